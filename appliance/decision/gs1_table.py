"""List the GS1 application identifiers: what each one's data looks like (GS1 General Specifications, section 3).

One line per identifier or range: the identifier, then parts. `N6` is six digits, `X..20` one to twenty characters of
set 82, `Y` of set 39, `Z` of set 64; a part in brackets may be left out. After the comma, what it must also be: `csum`
ends with a GS1 check digit, `date` is YYMMDD, `month` is YYMMDD where day 00 is the month's last, `time` is HHMM,
`hours` is YYMMDDHH, `zero` is 0, `bool` is 0 or 1, `pieces` is piece and total. Country, currency, IBAN, coupon and
GMN check characters are not looked into.
"""

from msgspec import Struct

DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# GS1 General Specifications 7.11.
SETS = {
    "N": frozenset(DIGITS),
    "X": frozenset(DIGITS + LETTERS + "!\"%&'()*+,-./_:;<=>?"),
    "Y": frozenset(DIGITS + LETTERS[:26] + "#-/"),
    "Z": frozenset(DIGITS + LETTERS + "-_="),
}
# Length of identifier and data by the first two digits: no separator follows these (section 7.8.5, figure 7.8.5-2).
PREDEFINED = {"00": 20, "01": 16, "02": 16, "03": 16, "04": 18, "20": 4, "41": 16}
PREDEFINED |= {f"{prefix}": 8 for prefix in range(11, 20)} | {f"{prefix}": 10 for prefix in range(31, 37)}

TABLE = """
00 N18,csum
01-03 N14,csum
10 X..20
11-13 N6,month
15-17 N6,month
20 N2
21-22 X..20
235 X..28
240-241 X..30
242 N..6
243 X..20
250-251 X..30
253 N13,csum [X..17]
254 X..20
255 N13,csum [N..12]
30 N..8
3100-3105 N6
3110-3115 N6
3120-3125 N6
3130-3135 N6
3140-3145 N6
3150-3155 N6
3160-3165 N6
3200-3205 N6
3210-3215 N6
3220-3225 N6
3230-3235 N6
3240-3245 N6
3250-3255 N6
3260-3265 N6
3270-3275 N6
3280-3285 N6
3290-3295 N6
3300-3305 N6
3310-3315 N6
3320-3325 N6
3330-3335 N6
3340-3345 N6
3350-3355 N6
3360-3365 N6
3370-3375 N6
3400-3405 N6
3410-3415 N6
3420-3425 N6
3430-3435 N6
3440-3445 N6
3450-3455 N6
3460-3465 N6
3470-3475 N6
3480-3485 N6
3490-3495 N6
3500-3505 N6
3510-3515 N6
3520-3525 N6
3530-3535 N6
3540-3545 N6
3550-3555 N6
3560-3565 N6
3570-3575 N6
3600-3605 N6
3610-3615 N6
3620-3625 N6
3630-3635 N6
3640-3645 N6
3650-3655 N6
3660-3665 N6
3670-3675 N6
3680-3685 N6
3690-3695 N6
37 N..8
3900-3909 N..15
3910-3919 N3 N..15
3920-3929 N..15
3930-3939 N3 N..15
3940-3943 N4
3950-3955 N6
400-401 X..30
402 N17,csum
403 X..30
410-417 N13,csum
420 X..20
421 N3 X..9
422 N3
423 N3 [N..12]
424 N3
425 N3 [N..12]
426 N3
427 X..3
4300-4301 X..35
4302-4306 X..70
4307 X2
4308 X..30
4309 N20
4310-4311 X..35
4312-4316 X..70
4317 X2
4318 X..20
4319 X..30
4320 X..35
4321-4323 N1,bool
4324-4325 N6,month N4,time
4326 N6,date
4330-4333 N6 [X1]
7001 N13
7002 X..30
7003 N6,date N4,time
7004 N..4
7005 X..12
7006 N6,date
7007 N6,date [N6,date]
7008 X..3
7009 X..10
7010 X..2
7011 N6,date [N4,time]
7020-7022 X..20
7023 X..30
7030-7039 N3 X..27
7040 N1 X3
710-715 X..20
7230-7239 X2 X..28
7240 X..20
7241 N2
7242 X..25
8001 N14
8002 X..20
8003 N1,zero N13,csum [X..16]
8004 X..30
8005 N6
8006 N14,csum N4,pieces
8007 X..34
8008 N8,hours [N..4]
8009 X..50
8010 Y..30
8011 N..12
8012 X..20
8013 X..25
8017-8018 N18,csum
8019 N..10
8020 X..25
8026 N14,csum N4,pieces
8030 Z..90
8110 X..70
8111 N4
8112 X..70
8200 X..70
90 X..30
91-99 X..90
"""


class Part(Struct, frozen=True):
    """Describe one part of an identifier's data."""

    characters: str
    """Key of SETS."""
    least: int
    most: int
    must_be: str
    optional: bool


def _part(text: str) -> Part:
    inner = text.strip("[]")
    layout, _, must_be = inner.partition(",")
    variable = ".." in layout
    most = int(layout[1:].lstrip("."))
    return Part(layout[0], 1 if variable else most, most, must_be, text.startswith("["))


def _parts() -> dict[str, tuple[Part, ...]]:
    table = {}
    for line in TABLE.split("\n"):
        if line:
            names, *parts = line.split(" ")
            first, _, last = names.partition("-")
            for number in range(int(first), int(last or first) + 1):
                table[str(number).zfill(len(first))] = tuple(map(_part, parts))
    return table


PARTS = _parts()
"""Parts of the data by application identifier."""
