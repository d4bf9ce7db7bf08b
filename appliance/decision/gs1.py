r"""Read GS1 element strings, as codes carry them and as they are printed, and verify what they say.

As codes carry them: identifier and data in a row, FNC1 (\x1d) behind data of variable length unless it is the last. As
printed: the identifiers in parentheses. Source: GS1 General Specifications, sections 3 (identifiers), 4.14 (printed
form), 7.8 (element strings).
"""

from datetime import date

from msgspec import Struct

from appliance.decision import dates
from appliance.decision.check_digits import has_mod10, is_digits
from appliance.decision.gs1_table import PARTS, PREDEFINED, SETS, Part
from appliance.decision.symbology import ELEMENT_STRINGS, split

SEPARATOR = "\x1d"
EXPIRY = ("17", "7003")
"""Identifiers whose date is the last on which the part may be used."""
# Codes whose data is the bare item number, by AIM identifier: what completes it to the element string of AI 01.
ITEM_NUMBERS = {"]E0": ("010", 13), "]E4": ("01000000", 8), "]I1": ("01", 14)}


class Element(Struct, frozen=True):
    """Hold one application identifier and its data."""

    identifier: str
    data: str


def read(text: str, today: date) -> tuple[Element, ...]:
    """Give the elements of a text or a code's text; ValueError says what is wrong. today: to complete years."""
    symbology, data = split(text)
    if symbology in ITEM_NUMBERS:
        begin, length = ITEM_NUMBERS[symbology]
        if len(data) != length:
            raise ValueError(f"{length} digits expected, {len(data)} found")
        data = begin + data
    elif symbology and symbology not in ELEMENT_STRINGS:
        raise ValueError(f"the code ({symbology}) does not begin with FNC1, so it is no GS1 code")
    elements = _printed(data) if data.startswith("(") else _carried(data)
    if not elements:
        raise ValueError("no application identifier")
    for element in elements:
        _verify(element, today)
    _verify_together(elements)
    return elements


def expiry(elements: tuple[Element, ...], today: date) -> date | None:
    """Give the earliest expiry date that verified elements say; None when they say none."""
    said = [dates.read_six_digits(e.data[:6], today) for e in elements if e.identifier in EXPIRY]
    return min(said, default=None)


def _carried(data: str) -> tuple[Element, ...]:
    elements = []
    place = 1 if data.startswith(SEPARATOR) else 0
    while place < len(data):
        identifier = _identifier(data[place : place + 4])
        length = PREDEFINED.get(identifier[:2])
        end = data.find(SEPARATOR, place)
        end = len(data) if end < 0 else end
        if length is not None:
            end = min(end, place + length)
        elements.append(Element(identifier, data[place + len(identifier) : end]))
        place = end + 1 if data[end : end + 1] == SEPARATOR else end
    return tuple(elements)


def _printed(text: str) -> tuple[Element, ...]:
    """Split at each known identifier in parentheses; data may hold parentheses of its own. Blanks are the printer's."""
    starts = []
    for place, character in enumerate(text):
        close = text.find(")", place, place + 6)
        if character == "(" and close > 0 and text[place + 1 : close] in PARTS:
            starts.append((place, close))
    if not starts or starts[0][0] != 0:
        raise ValueError(f"{text[:6]} is no known application identifier")
    ends = [place for place, _ in starts[1:]] + [len(text)]
    return tuple(
        Element(text[place + 1 : close], text[close + 1 : end].replace(" ", ""))
        for (place, close), end in zip(starts, ends, strict=True)
    )


def _identifier(text: str) -> str:
    for length in (2, 3, 4):
        if text[:length] in PARTS and len(text) >= length:
            return text[:length]
    raise ValueError(f"{text} begins with no known application identifier")


def _verify(element: Element, today: date) -> None:
    place = 0
    for part in PARTS[element.identifier]:
        piece = element.data[place : place + part.most]
        if not piece and part.optional:
            continue
        if len(piece) < part.least:
            raise ValueError(f"({element.identifier}){element.data} is too short, {part.least} characters are needed")
        if not SETS[part.characters].issuperset(piece):
            raise ValueError(f"({element.identifier}){element.data} has a character that is not allowed there")
        if part.must_be and not _is(part, piece, today):
            what = "check digit" if part.must_be == "csum" else part.must_be
            raise ValueError(f"({element.identifier}){element.data}: wrong {what}")
        place += len(piece)
    if place < len(element.data):
        raise ValueError(f"({element.identifier}){element.data} is {len(element.data) - place} characters too long")


def _is(part: Part, piece: str, today: date) -> bool:
    match part.must_be:
        case "csum":
            return has_mod10(piece)
        case "month":
            return _is_day(piece, today)
        case "date":
            return not piece.endswith("00") and _is_day(piece, today)
        case "time":
            return is_digits(piece) and int(piece[:2]) < 24 and int(piece[2:]) < 60
        case "hours":
            return _is_day(piece[:6], today) and not piece[:6].endswith("00") and int(piece[6:]) < 24
        case "pieces":
            return 0 < int(piece[:2]) <= int(piece[2:])
        case "zero":
            return piece == "0"
    return piece in {"0", "1"}


def _is_day(piece: str, today: date) -> bool:
    try:
        dates.read_six_digits(piece, today)
    except ValueError:
        return False
    return True


def _verify_together(elements: tuple[Element, ...]) -> None:
    """Refuse what contradicts itself (GS1 General Specifications 4.13)."""
    said: dict[str, str] = {}
    for element in elements:
        if said.setdefault(element.identifier, element.data) != element.data:
            raise ValueError(f"({element.identifier}) is said twice, as {said[element.identifier]} and {element.data}")
    if "02" in said and ("37" not in said or "01" in said):
        raise ValueError("(02) needs (37), the count, and excludes (01)")
