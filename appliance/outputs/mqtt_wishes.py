"""Read the wishes that may come over MQTT; whatever is not listed here cannot be asked for.

Nothing here opens the gate: no verdict of a person, no handshake, no end of a purge, no other bundle. What is left can
stop the inspection, begin it, or have old results told again; each part still needs its own ACCEPT in time.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from appliance.schema.command import (
    AbortJob,
    Command,
    HaltLine,
    PrepareRecipe,
    ResetFault,
    SeedPart,
    StartJob,
    StopJob,
)
from appliance.schema.errors import Refused
from appliance.schema.part import PartId

LIMIT = 4096
"""Bytes of a wish; the longest sensible one takes a tenth."""

REPLAY_LIMIT = 1000
"""Messages told again for one wish; a receiver that misses more asks again."""

REPLAY = "replay"

_Kind = TypeVar("_Kind", bound=Struct)
Text = Annotated[str, Meta(max_length=80)]


class Start(Struct, frozen=True, forbid_unknown_fields=True):
    """Begin a job: `start`."""

    single: bool = False
    measurement: Text = ""
    part: Text = ""
    recipe: Text = ""
    product: Text = ""


class Bare(Struct, frozen=True, forbid_unknown_fields=True):
    """Say nothing more: `stop`, `abort`, `halt`, `reset`."""


class Prepare(Struct, frozen=True, forbid_unknown_fields=True):
    """Change over to another recipe: `prepare_recipe`."""

    number: Annotated[int, Meta(ge=1, le=65_535)]


class Seed(Struct, frozen=True, forbid_unknown_fields=True):
    """Announce a known defect: `seed`."""

    kind: Annotated[str, Meta(min_length=1, max_length=80)]
    part: Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-[0-9]{6,10}$")] | None = None
    """As in a result; none: the next part that enters."""


class ReplayResults(Struct, frozen=True, forbid_unknown_fields=True):
    """Tell messages again that a receiver misses: `replay`."""

    first: Annotated[int, Meta(ge=1, le=1 << 62)]
    """Sequence number."""
    count: Annotated[int, Meta(ge=1, le=REPLAY_LIMIT)] = REPLAY_LIMIT
    topic: Annotated[str, Meta(pattern="^(result|alarm|manual|hand)$")] = "result"


class Wish(Struct, frozen=True, tag=True):
    """Hand a wish to the node, which asks the owner."""

    ticket: int
    unit: str
    command: Command


class Answer(Struct, frozen=True, tag=True):
    """Hand the owner's answer back to the connection."""

    ticket: int
    granted: bool
    text: str
    """What follows, or why not."""


def read_wish(name: str, payload: bytes, actor: str) -> tuple[str, Command] | ReplayResults:
    """Give the unit to ask and the wish, or what is to be told again; Refused where it is none of ours."""
    if name not in (*_WISHES, REPLAY):
        raise Refused(f"{name[:80]!r} is no command here; there are {', '.join(sorted((*_WISHES, REPLAY)))}")
    if len(payload) > LIMIT:
        raise Refused(f"{name}: {len(payload)} bytes exceed {LIMIT}; send less")
    if name == REPLAY:
        return _decode(name, payload, ReplayResults)
    kind, make = _WISHES[name]
    return make(_decode(name, payload, kind), actor)


def _decode(name: str, payload: bytes, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.json.decode(payload or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        fields = ", ".join(kind.__struct_fields__) or "no fields"
        raise Refused(f"{name}: {error}; send a JSON object with {fields}") from error


def _start(wish: Start, actor: str) -> tuple[str, Command]:
    return "line", StartJob(wish.single, actor, wish.measurement, wish.part, wish.recipe, wish.product)


def _seed(wish: Seed, actor: str) -> tuple[str, Command]:
    if wish.part is None:
        return "record", SeedPart(wish.kind, actor)
    boot, _, number = wish.part.partition("-")
    return "record", SeedPart(wish.kind, actor, PartId(int(boot, 16), int(number)))


_WISHES: dict[str, tuple[type[Struct], Callable[[Any, str], tuple[str, Command]]]] = {
    "start": (Start, _start),
    "stop": (Bare, lambda _wish, actor: ("line", StopJob(actor))),
    "abort": (Bare, lambda _wish, actor: ("line", AbortJob(actor))),
    "halt": (Bare, lambda _wish, actor: ("line", HaltLine(actor))),
    "reset": (Bare, lambda _wish, actor: ("line", ResetFault(actor))),
    "prepare_recipe": (Prepare, lambda wish, actor: ("line", PrepareRecipe(wish.number, actor))),
    "seed": (Seed, _seed),
}
