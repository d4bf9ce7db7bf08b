"""Name the symbologies of bar codes by their AIM identifiers (ISO/IEC 15424), as a scanner sends them before the data.

An identifier is `]`, a letter for the symbology and a digit for its options: `]d2` is a Data Matrix that begins with
FNC1, so its data is a GS1 element string, and `]d1` is any other. The text of a code finding begins with it.
"""

IDENTIFIER_LENGTH = 3
# Letters and option digits: ISO/IEC 15424, table 1; GS1 General Specifications, figure 5.1.2-2.
IDENTIFIERS = {
    "aztec": ("]z",),
    "codabar": ("]F",),
    "code128": ("]C",),
    "code39": ("]A",),
    "code93": ("]G",),
    "databar": ("]e",),
    "datamatrix": ("]d",),
    "ean13": ("]E0",),
    "ean8": ("]E4",),
    "gs1128": ("]C1",),
    "gs1databar": ("]e",),
    "gs1datamatrix": ("]d2",),
    "gs1qrcode": ("]Q3",),
    "itf": ("]I",),
    "maxicode": ("]U",),
    "pdf417": ("]L",),
    "qrcode": ("]Q",),
    "upca": ("]E0",),
}
"""By name in lower case without blanks, hyphens, underscores and slashes: what the identifier may begin with."""
ELEMENT_STRINGS = ("]C1", "]e0", "]d2", "]Q3", "]J1")
"""Symbologies whose data is a GS1 element string (GS1 General Specifications 7.2.6)."""


def plain_name(name: str) -> str:
    """Give a symbology's name as the tables write it: `EAN-13` and `ean 13` are `ean13`."""
    return "".join(character for character in name.casefold() if character not in " -_/")


def split(text: str) -> tuple[str, str]:
    """Give the identifier and the data of a code's text; no identifier when it has none."""
    if len(text) >= IDENTIFIER_LENGTH and text[0] == "]" and text[1].isascii() and text[1].isalpha():
        return text[:IDENTIFIER_LENGTH], text[IDENTIFIER_LENGTH:]
    return "", text


def is_one_of(text: str, names: tuple[str, ...]) -> bool:
    """Say whether a code's text is of one of these symbologies; any is right where none is named."""
    return not names or any(_is(text, plain_name(name)) for name in names)


def _is(text: str, name: str) -> bool:
    identifier, data = split(text)
    if not identifier.startswith(IDENTIFIERS.get(name, ("never",))):
        return False
    # A UPC-A code is an EAN-13 that begins with 0.
    return name != "upca" or data.startswith("0")
