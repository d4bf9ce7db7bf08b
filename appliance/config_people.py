"""Set whose word counts: who may sign for a recipe, and what must be shown first; read by `config.py` alone."""

import base64
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct, field

from appliance.config_plant import Name


class Signers(Struct, frozen=True, forbid_unknown_fields=True):
    """Set whose signature lets a recipe version run as primary."""

    people: Annotated[
        dict[Name, str], Meta(description="Operator id = Ed25519 public key (base64), as `recipe keygen` prints it.")
    ] = field(default_factory=dict)
    two_persons: Annotated[bool, Meta(description="True: two must sign, so that nobody approves a proposal alone.")] = (
        False
    )


class Parallel(Struct, frozen=True, forbid_unknown_fields=True):
    """Set what parallel mode must have shown before the model may become primary."""

    hours: Annotated[int, Meta(ge=1, le=10_000, description="Hours in which parts were compared.")] = 72
    defects: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Defective parts compared; 59 without a miss show 5 %.")
    ] = 60
    escape_rate: Annotated[
        float, Meta(gt=0, lt=1, description="Escapes among them are under this, by the exact 95 % bound.")
    ] = 0.05


def people_faults(signers: Signers) -> Iterator[str]:
    """Yield what is wrong with the list of signers: key, value, limit and remedy."""
    for person, key in signers.people.items():
        try:
            length = len(base64.b64decode(key, validate=True))
        except ValueError:
            length = -1
        if length != 32:
            yield (
                f"approval.people.{person}: is no base64 of a 32-byte Ed25519 public key, is {key!r}; copy the line "
                "that `firstshift recipe keygen` printed"
            )
    if signers.two_persons and len(signers.people) < 2:
        yield (
            f"approval.two_persons: demands 2 persons, approval.people lists {len(signers.people)}; add another, or "
            "nothing can be approved"
        )
