"""Describe a recipe: what is inspected, with which views and which bundle."""

from typing import Annotated

from msgspec import Meta, Struct

from appliance.schema.rule import Rule


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Name one product's inspection; kept apart from the station's configuration."""

    name: str
    number: Annotated[int, Meta(ge=1, le=65535)]
    """What the PLC calls it, 1 to 65535."""
    views: tuple[str, ...]
    """Cameras whose frames an ACCEPT needs."""
    bundle: str
    """Folder of the bundle, relative to the station's bundle folder."""
    shadow: str = ""
    """Folder of a bundle that runs beside it for comparison and decides nothing; empty: none."""
    allow_cpu: bool = False
    """Whether a model meant for a GPU may run on the CPU when the GPU is not there."""
    rules: tuple[Rule, ...] = ()
    """What must also hold beside the model's score; a broken rule rejects."""
