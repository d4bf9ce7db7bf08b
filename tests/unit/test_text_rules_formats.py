"""GS1 element strings, device identifications, dates and patterns: published examples and their near misses."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.decision import dates, gs1, pattern, udi
from appliance.decision.gs1_table import PARTS, PREDEFINED

TODAY = date(2026, 11, 21)
CARRIED = "010950110153000310AB-123\x1d17271231"
PRINTED = "(01)09501101530003(10)AB-123(17)271231"
ELEMENTS = (("01", "09501101530003"), ("10", "AB-123"), ("17", "271231"))


def elements(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((element.identifier, element.data) for element in gs1.read(text, TODAY))


@pytest.mark.parametrize(
    "text",
    [CARRIED, "\x1d" + CARRIED, "]d2" + CARRIED, "]C1" + CARRIED, "]Q3" + CARRIED, "]e0" + CARRIED, PRINTED,
     "(01) 0950 1101 530003 (10) AB-123 (17) 271231", CARRIED + "\x1d"],
)  # fmt: skip
def test_element_strings_are_read_in_every_form(text):
    """As carried with or without FNC1 in front, behind an AIM identifier, and as printed with blanks."""
    assert elements(text) == ELEMENTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("]E09501101530003", (("01", "09501101530003"),)),
        ("]E496385074", (("01", "00000096385074"),)),
        ("]I100012345678905", (("01", "00012345678905"),)),
        ("00106141412345678908", (("00", "106141412345678908"),)),
        ("3103001750393297812341\x1d10A", (("3103", "001750"), ("3932", "97812341"), ("10", "A"))),
        ("(10)A(1)B(21)7", (("10", "A(1)B"), ("21", "7"))),
        ("020950110153000337 24".replace(" ", ""), (("02", "09501101530003"), ("37", "24"))),
        ("70032703311200\x1d1527030010", None),
    ],
)
def test_elements(text, expected):
    """Item numbers of retail codes, weights with decimals, parentheses in data, and what is cut off."""
    if expected is None:
        with pytest.raises(ValueError, match="too short"):
            elements(text)
    else:
        assert elements(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0109501101530004", "wrong check digit"),
        ("00106141412345678909", "wrong check digit"),
        ("010950110153000", "too short"),
        ("17271301", "wrong month"),
        ("17270230", "wrong month"),
        ("7003270331\x1d", "too short"),
        ("70032703001200", "wrong date"),
        ("70032703312460", "wrong time"),
        ("3106001750", "known application identifier"),
        ("10\x1d17271231", "too short"),
        ("10" + "A" * 21, "1 characters too long"),
        ("10AB C", "not allowed"),
        ("21Ä", "not allowed"),
        ("17271231\x1d17281231", "said twice"),
        ("0209501101530003", r"\(02\) needs \(37\)"),
        ("8006095011015300030302", "wrong pieces"),
        ("99", "too short"),
        ("(1)2", "known application identifier"),
        ("(01)09501101530003x", "too long"),
        ("]C0" + CARRIED, "does not begin with FNC1"),
        ("]E0950110153000", "13 digits expected"),
        ("", "no application identifier"),
    ],
)
def test_what_is_no_element_string(text, reason):
    """Wrong check digits, dates, lengths, characters, identifiers and contradictions are named."""
    with pytest.raises(ValueError, match=reason):
        elements(text)


def test_fnc1_ends_variable_data_only():
    """Data of a predefined length needs no separator; without one, variable data swallows what follows."""
    assert elements("1727123110AB") == (("17", "271231"), ("10", "AB"))
    assert elements("10AB17271231") == (("10", "AB17271231"),)


def test_the_table_agrees_with_the_predefined_lengths():
    """Each identifier whose length is predefined has data of exactly that length, and none begins another."""
    for identifier, parts in PARTS.items():
        if identifier[:2] in PREDEFINED:
            assert len(identifier) + sum(part.most for part in parts) == PREDEFINED[identifier[:2]]
            assert all(part.least == part.most and not part.optional for part in parts)
        assert not any(other != identifier and other.startswith(identifier) for other in PARTS)


@pytest.mark.parametrize(
    ("digits", "expected"),
    [("260200", date(2026, 2, 28)), ("280200", date(2028, 2, 29)), ("760101", date(2076, 1, 1)),
     ("770101", date(1977, 1, 1)), ("991231", date(1999, 12, 31)), ("000229", date(2000, 2, 29))],
)  # fmt: skip
def test_six_digit_dates(digits, expected):
    """Day 00 is the month's last; a year lies within 49 years back and 50 ahead of today."""
    assert dates.read_six_digits(digits, TODAY) == expected


def test_the_century_turns_with_today():
    """Near the end of a century, small years belong to the next one."""
    assert dates.whole_year(10, date(2098, 1, 1)) == 2110
    assert dates.whole_year(98, date(2101, 1, 1)) == 2098
    assert dates.whole_year(48, date(2098, 1, 1)) == 2148
    assert dates.whole_year(49, date(2098, 1, 1)) == 2049


@pytest.mark.parametrize(
    ("layout", "text", "expected"),
    [
        ("%Y-%m-%d", "2027-03-31", date(2027, 3, 31)),
        ("EXP %d%b%y", "EXP 28feb27", date(2027, 2, 28)),
        ("%m/%Y", "02/2028", date(2028, 2, 29)),
        ("%Y", "2027", date(2027, 12, 31)),
        ("%y%j", "28060", date(2028, 2, 29)),
        ("W%V/%y", "W53/26", date(2027, 1, 3)),
        ("%Y%m%d %H:%M:%S", "20270331 23:59:59", date(2027, 3, 31)),
        ("100%% %y%m%d", "100% 270331", date(2027, 3, 31)),
    ],
)
def test_printed_dates(layout, text, expected):
    """Directives are read strictly; a date without a day is the last day it names."""
    assert not dates.format_fault(layout)
    assert dates.read(layout, text, TODAY) == expected


@pytest.mark.parametrize(
    ("layout", "text"),
    [("%Y-%m-%d", "2027-13-01"), ("%Y-%m-%d", "2027-02-30"), ("%Y", "0000"), ("%y%j", "27366"), ("%V/%y", "54/26"),
     ("%V/%y", "53/25"), ("%d %b %Y", "01 MÄR 2027"), ("%Y", "202\uff17"), ("%Y", "202"), ("%Y-%m", "2027_03"),
     ("%H:%M %Y", "24:00 2027"), ("%Y %V", "9999 53")],
)  # fmt: skip
def test_what_is_no_date(layout, text):
    """Days, weeks and times that do not exist, and other characters, are no date."""
    with pytest.raises(ValueError, match=r"no|characters"):
        dates.read(layout, text, TODAY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(01)09501101530003(17)271231(10)A", date(2027, 12, 31)),
        ("+A123BJC5D6E71G", None),
        ("*+A123BJC5D6E71G*", None),
        ("=/A9999XYZ100T0944=,000025=A99971312345600=>028032=}013032&,1000000000000XYZ123", date(2028, 2, 1)),
    ],
)
def test_device_identifications(text, expected):
    """Published examples of the three agencies are taken, their expiry dates read."""
    assert udi.expiry(text, TODAY) == expected


def with_check(text: str) -> str:
    characters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"
    return text + characters[sum(map(characters.index, text)) % 43]


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("/$$0328LOT7", date(2028, 3, 31)),
        ("/$$2033128LOT7", date(2028, 3, 31)),
        ("/$$3280331LOT7", date(2028, 3, 31)),
        ("/$$428033112LOT7", date(2028, 3, 31)),
        ("/$$528091LOT7", date(2028, 3, 31)),
        ("/$$62809112LOT7", date(2028, 3, 31)),
        ("/$$7LOT7", None),
        ("/$$8243280331LOT7", date(2028, 3, 31)),
        ("/$$9000243280331LOT7", date(2028, 3, 31)),
        ("/$$824", None),
        ("/$$+3280331SN7", date(2028, 3, 31)),
        ("/28091LOT7", date(2028, 3, 31)),
        ("/$LOT7/S77DEFG457/14D20280331/16D20260331", date(2028, 3, 31)),
    ],
)
def test_hibcc_dates(rest, expected):
    """Each date flag of HIBCC secondary data is understood."""

    assert udi.expiry(with_check("+A99912345" + "1" + rest), TODAY) == expected


@pytest.mark.parametrize(
    "text",
    [
        "(10)A",
        "+A123BJC5D6E71H",
        with_check("+1123BJC5D6E71"),
        with_check("+A1231"),
        with_check("+A123BJC5D6E7X"),
        with_check("+A999123451/$$1328LOT"),
        with_check("+A999123451//S1"),
        "=/A9999XYZ100",
        "=A99971312345600",
        "=/A9999XYZ100T0944=>028400",
        "",
    ],
)
def test_what_is_no_device_identification(text):
    """No device, wrong check characters, no such dates, and ICCBBA data of another form."""
    with pytest.raises(ValueError, match=r"\w"):
        udi.expiry(text, TODAY)


PLAIN = st.text("ab1 -", max_size=12)
EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "1", ".", "[ab]", "[^a]", r"\d", r"\w", r"\S", "[b-z1]", "-", "", "^", "$"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "*?", "+?", "??"])).map(
            lambda part: f"(?:{part[0]}){part[1]}"
        ),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS, PLAIN)
def test_patterns_match_what_python_matches(expression, text):
    """On short texts, where Python's own matcher is quick, both say the same."""
    steps = pattern.compile_pattern(expression)

    assert (pattern.value(steps, text) is not None) == (re.fullmatch(expression, text, re.ASCII) is not None)


@given(st.lists(st.tuples(st.sampled_from(["a*", "a+?", "[ab]*?", "b?", "1{0,2}"]), st.booleans()), max_size=4), PLAIN)
def test_the_value_is_python_s_group(parts, text):
    """The group named value holds what Python's matcher finds for it."""
    marked = "".join(part for part, _ in parts) + "(?P<value>[ab]+)" + "".join(part for part, after in parts if after)
    matched = re.fullmatch(marked, text, re.ASCII)

    assert pattern.value(pattern.compile_pattern(marked), text) == (matched and matched["value"])
