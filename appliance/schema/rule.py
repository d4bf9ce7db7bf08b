"""Describe the logical rules of a recipe: what must be there, how many, in which order, how far apart, saying what.

A rule that is broken, or cannot be evaluated, rejects the part; none can turn a reject into an accept.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from appliance.schema.finding import Box

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Number = Annotated[int, Meta(ge=0, le=10_000)]
Length = Annotated[float, Meta(ge=0, le=100_000)]


class Presence(Struct, frozen=True, forbid_unknown_fields=True, tag_field="rule", tag="presence"):
    """Ask for at least one finding of a kind, inside the region where one is given."""

    name: Name
    view: str
    kind: str
    region: Box | None = None


class Count(Struct, frozen=True, forbid_unknown_fields=True, tag_field="rule", tag="count"):
    """Ask for `least` to `most` findings of a kind; a finding is inside the region when its centre is."""

    name: Name
    view: str
    kind: str
    least: Number
    most: Number
    region: Box | None = None


class Order(Struct, frozen=True, forbid_unknown_fields=True, tag_field="rule", tag="order"):
    """Ask that the findings of these kinds, sorted by their centres, follow one another exactly so."""

    name: Name
    view: str
    kinds: Annotated[tuple[str, ...], Meta(min_length=2)]
    along: Literal["x", "y"] = "x"


class Distance(Struct, frozen=True, forbid_unknown_fields=True, tag_field="rule", tag="distance"):
    """Ask for one finding of each kind with their centres `least_mm` to `most_mm` apart; needs the view's scale."""

    name: Name
    view: str
    one: str
    other: str
    least_mm: Length
    most_mm: Length


class Text(Struct, frozen=True, forbid_unknown_fields=True, tag_field="rule", tag="text"):
    """Ask for one line of text that says what it must; unreadable breaks the rule."""

    name: Name
    view: str
    region: Box | None = None
    pattern: str = ""
    """Regular expression for the whole line; empty: any. A group named `value` is what the keys below look at."""
    check_digit: Literal["", "mod10", "luhn", "mod43", "mod97"] = ""
    format: str = ""
    """`gs1`, `udi`, or a date such as `date:%Y-%m-%d`; empty: any. `gs1+expiry`, `udi+expiry`, `expiry:%Y-%m-%d` also
    ask that the day has not passed."""
    serials: str = ""
    """File beside the recipe with one allowed text per line; empty: any."""


class Code(Struct, frozen=True, forbid_unknown_fields=True, tag_field="rule", tag="code"):
    """Ask for one bar code or two-dimensional code that says what it must; unreadable breaks the rule."""

    name: Name
    view: str
    symbologies: tuple[str, ...] = ()
    """Such as `DataMatrix`, `GS1-DataMatrix`, `QRCode`, `EAN-13`; empty: any."""
    region: Box | None = None
    pattern: str = ""
    check_digit: Literal["", "mod10", "luhn", "mod43", "mod97"] = ""
    format: str = ""
    serials: str = ""


Rule = Presence | Count | Order | Distance | Text | Code
