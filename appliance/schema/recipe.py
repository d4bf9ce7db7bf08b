"""Describe a recipe: what is inspected, with which views and which bundle."""

from msgspec import Struct


class Recipe(Struct, frozen=True):
    """Name one product's inspection; kept apart from the station's configuration."""

    name: str
    number: int
    """What the PLC calls it, 1 to 65535."""
    views: tuple[str, ...]
    """Cameras whose frames an ACCEPT needs."""
    bundle: str
    """Folder of the bundle, relative to the station's bundle folder."""
