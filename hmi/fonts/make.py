"""Cut the shipped fonts out of Debian's Noto fonts (packages fonts-noto-core and fonts-noto-cjk).

Run: `python hmi/fonts/make.py [FOLDER OF NOTO FONTS]`. Kept: Latin, Greek and the signs that screens use; Arabic
whole; of Simplified Chinese the 3755 characters of GB 2312 level 1 and whatever else a catalogue uses. The families get
names of their own, so that a font of the same name on the computer never stands in for them.
"""

# ruff: noqa: INP001  a script beside what it makes

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

HERE: Final = Path(__file__).parent
NOTO: Final = Path("/usr/share/fonts")
LINE: Final = (1.069, 0.293)
"""Ascent and descent of Noto Sans, em; Arabic and Chinese letters stay within it but for stacked vowel signs."""
LATIN: Final = (
    *range(0x20, 0x250),
    *range(0x370, 0x400),
    *range(0x2000, 0x2070),
    *range(0x20A0, 0x20C0),
    *range(0x2100, 0x2215),
    *(0x2260, 0x2264, 0x2265, 0x2423, 0x25CF),
)
ARABIC: Final = (
    0x20,
    *range(0x600, 0x700),
    *range(0x750, 0x780),
    *range(0xFB50, 0xFE00),
    *range(0xFE70, 0xFF00),
    *range(0x200C, 0x2010),
)
CJK_SIGNS: Final = (*range(0x3000, 0x3020), *range(0xFF01, 0xFF5F))


def main() -> None:
    """Write the six fonts."""
    noto = Path(sys.argv[1]) if len(sys.argv) > 1 else NOTO
    chinese = {*gb2312_level_1(), *CJK_SIGNS, *catalogue_characters()}
    for weight in ("Regular", "Bold"):
        latin = TTFont(noto / f"truetype/noto/NotoSans-{weight}.ttf")
        _write(latin, LATIN, "Firstshift Sans", weight)
        arabic = TTFont(noto / f"truetype/noto/NotoSansArabic-{weight}.ttf")
        _write(arabic, ARABIC, "Firstshift Sans Arabic", weight)
        _write(_simplified(noto / f"opentype/noto/NotoSansCJK-{weight}.ttc"), chinese, "Firstshift Sans SC", weight)


def gb2312_level_1() -> Iterator[int]:
    """Yield the code points of rows 16 to 55 of GB 2312-80, ordered by pinyin: the 3755 usual characters."""
    for row in range(16, 56):
        for cell in range(1, 95):
            try:
                yield ord(bytes((0xA0 + row, 0xA0 + cell)).decode("gb2312"))
            except UnicodeDecodeError:  # the last five cells of row 55 are empty
                continue


def catalogue_characters() -> set[int]:
    """Give every character beyond Latin and Arabic that a catalogue of the touchscreen uses."""
    texts = "".join(path.read_text("utf-8") for path in HERE.parent.rglob("words.json"))
    return {ord(letter) for letter in texts if ord(letter) >= 0x2E80} | {ord(letter) for letter in "中文"}


def _simplified(path: Path) -> TTFont:
    fonts = TTCollection(path).fonts
    return next(font for font in fonts if font["name"].getDebugName(1) == "Noto Sans CJK SC")


def _write(font: Any, characters: Any, family: str, weight: str) -> None:
    options = subset.Options(
        layout_features=["*"], name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14], hinting=False, desubroutinize=False
    )
    options.drop_tables += ["vhea", "vmtx", "VORG", "DSIG", "BASE"]
    if family.endswith("SC"):
        options.layout_features = ["ccmp", "locl", "kern"]
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=characters)
    cutter.subset(font)
    for record in font["name"].names:
        new = {
            1: family,
            3: f"{family} {weight}",
            4: f"{family} {weight}",
            6: f"{family.replace(' ', '')}-{weight}",
            16: family,
        }
        record.string = new.get(record.nameID, record.toUnicode())
    _same_lines(font)
    font.save(HERE / f"{family.replace(' ', '')}-{weight}.ttf")


def _same_lines(font: Any) -> None:
    """Give every font the line of the Latin one: a screen is as high in one language as in another."""
    ascent, descent = (round(part * font["head"].unitsPerEm) for part in LINE)
    font["hhea"].ascent, font["hhea"].descent, font["hhea"].lineGap = ascent, -descent, 0
    lines = font["OS/2"]
    lines.sTypoAscender, lines.sTypoDescender, lines.sTypoLineGap = ascent, -descent, 0
    lines.usWinAscent, lines.usWinDescent = ascent, descent


if __name__ == "__main__":
    main()
