"""Spell capitals, digits and signs in dots, 5 x 7 and 7 x 9, drawn for this project.

A row of a character is one hexadecimal pair, its lowest bit the rightmost dot.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Grid = Literal["5x7", "7x9"]
COLUMNS: dict[Grid, int] = {"5x7": 5, "7x9": 7}
ROWS: dict[Grid, int] = {"5x7": 7, "7x9": 9}
SLASHED = "slashed 0"

_FIVE = """
0 06090909090906  1 040C040404040E  2 0E11010204081F  3 1F02040201110E  4 02060A121F0202  5 1F101E0101110E
6 0608101E11110E  7 1F010204080808  8 0E11110E11110E  9 0E11110F01020C  A 0E11111F111111  B 1E11111E11111E
C 0E11101010110E  D 1C12111111121C  E 1F10101E10101F  F 1F10101E101010  G 0E11101711110F  H 1111111F111111
I 0E04040404040E  J 0702020202120C  K 11121418141211  L 1010101010101F  M 111B1515111111  N 11111915131111
O 0E11111111110E  P 1E11111E101010  Q 0E11111115120D  R 1E11111E141211  S 0F10100E01011E  T 1F040404040404
U 1111111111110E  V 11111111110A04  W 1111111515150A  X 11110A040A1111  Y 1111110A040404  Z 1F01020408101F
- 0000001F000000  . 00000000000C0C  / 00010204081000  : 000C0C000C0C00  ( 02040808080402  ) 08040202020408
+ 0004041F040400
"""
_SEVEN = """
0 1C222222222222221C  1 08182808080808083E  2 3E4101020C3040407F  3 3E4101011E0101413E  4 02060A1222427F0202
5 7F40407E010101413E  6 1E2040407E4141413E  7 7F0102040808101010  8 3E4141413E4141413E  9 3E4141413F0101023C
A 08142241417F414141  B 7E4141417E4141417E  C 1E214040404040211E  D 7C424141414141427C  E 7F4040407C4040407F
F 7F4040407C40404040  G 1E214040474141211E  H 414141417F41414141  I 3E080808080808083E  J 0F020202020202423C
K 414244487048444241  L 40404040404040407F  M 416355494941414141  N 416151514945454341  O 3E414141414141413E
P 7E4141417E40404040  Q 3E414141414945423D  R 7E4141417E48444241  S 3E4140403E0101413E  T 7F0808080808080808
U 41414141414141413E  V 414141222222141408  W 414141414949556341  X 414122140814224141  Y 414122140808080808
Z 7F010204081020407F  - 000000003E00000000  . 000000000000001818  / 010102040810204040  : 001818000018180000
( 040810101010100804  ) 100804040404040810  + 000808087F08080800
"""


def spelt(text: str, grid: Grid, *, slashed: bool) -> tuple[NDArray[np.float32], list[int]]:
    """Give the dots of a text as (dots, 2) float32 columns and rows, and the first column of each character.

    slashed: zeros have a stroke; without it they are narrow. ValueError on a character that the table does not have.
    """
    table = TABLES[grid]
    unknown = sorted(set(text) - set(table) - {" "})
    if unknown:
        raise ValueError(f"dot matrix: characters {unknown[:5]} are not in the {grid} table; leave them out")
    wide = COLUMNS[grid]
    pitch = wide + (1 if grid == "5x7" else 2)
    dots, starts = [np.zeros((0, 2), np.float32)], []
    for place, character in enumerate(text):
        starts.append(place * pitch)
        if character != " ":
            name = SLASHED if character == "0" and slashed else character
            dots.append(table[name] + np.array([place * pitch, 0], np.float32))
    return np.concatenate(dots), starts


def _table(text: str, grid: Grid) -> dict[str, NDArray[np.float32]]:
    words = text.split()
    return {name: _dots(code, grid) for name, code in zip(words[::2], words[1::2], strict=True)}


def _dots(code: str, grid: Grid) -> NDArray[np.float32]:
    rows = bytes.fromhex(code)
    wide = COLUMNS[grid]
    found = [(wide - 1 - bit, row) for row, value in enumerate(rows) for bit in range(wide) if value >> bit & 1]
    return np.array(sorted(found), np.float32)


TABLES: dict[Grid, dict[str, NDArray[np.float32]]] = {
    "5x7": _table(_FIVE, "5x7") | {SLASHED: _dots("0E11131519110E", "5x7")},
    "7x9": _table(_SEVEN, "7x9") | {SLASHED: _dots("1C224345495161221C", "7x9")},
}
