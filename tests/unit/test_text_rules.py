"""Rules for texts and codes: the right text holds them, and everything else breaks them with a line that says why."""

from datetime import date

import pytest

from appliance.decision.check_digits import is_right
from appliance.decision.text_rules import broken, fault
from appliance.schema.finding import Box, Finding
from appliance.schema.rule import Code, Text

TODAY = date(2026, 11, 21)
REGION = Box(100, 100, 200, 50)


def read(text: str, kind: str = "text", at: tuple[float, float] = (200, 125)) -> Finding:
    return Finding(kind, 0.99, None, box=Box(at[0] - 10, at[1] - 5, 20, 10), text=text)


def of(rule, *findings: Finding, serials=frozenset()) -> str | None:
    return broken(rule, findings, frozenset(serials), TODAY)


NOWHERE = Finding("text", 1.0, None, text="LOT A12345")
LOT = Text("lot", "top", REGION, pattern=r"LOT [A-Z]\d{5}")


def test_the_right_text_holds_the_rule():
    """One line in the region that says what is asked, whatever else lies there or elsewhere."""
    assert of(LOT, read("LOT A12345")) is None
    assert of(LOT, read("EXP 2027"), read("LOT A12345"), read("")) is None
    assert of(LOT, read("LOT A12345"), read("LOT A12345")) is None
    assert of(LOT, read("LOT A12345"), read("LOT B12345", at=(500, 125))) is None


@pytest.mark.parametrize(
    ("findings", "line"),
    [
        ((), "lot: found no text in the region, asked pattern LOT [A-Z]\\d{5}"),
        ((read(""), read("")), "lot: found 2 text in the region that cannot be read, asked pattern LOT [A-Z]\\d{5}"),
        (
            (read("LOT 12345"),),
            "lot: read LOT 12345 in the region, which the pattern does not match; asked pattern LOT [A-Z]\\d{5}",
        ),
        (
            (read("LOT A12345"), read("LOT A12346")),
            "lot: read LOT A12345 and LOT A12346 in the region, asked one pattern LOT [A-Z]\\d{5}",
        ),
        ((read("LOT A12345", at=(99, 125)),), "lot: found no text in the region, asked pattern LOT [A-Z]\\d{5}"),
        ((read("LOT A12345", kind="code"),), "lot: found no text in the region, asked pattern LOT [A-Z]\\d{5}"),
        (
            (NOWHERE,),
            "lot: found no text in the region, asked pattern LOT [A-Z]\\d{5}",
        ),
    ],
)
def test_all_else_breaks_it(findings, line):
    """Nothing, nothing readable, another text, two texts, and a text elsewhere: each with its reason in one line."""
    assert of(LOT, *findings) == line


def test_a_rule_that_asks_nothing_needs_all_there_is_to_be_readable():
    """Without a pattern or another mark the rule cannot tell its line from others, so an unreadable one breaks it."""
    rule = Text("label", "top", REGION)

    assert of(rule, read("A")) is None
    assert of(rule, read("A"), read("B")) == "label: read A and B in the region, asked one any that can be read"
    assert (
        of(rule, read("A"), read(""))
        == "label: found 1 text in the region that cannot be read, asked any that can be read"
    )


def test_the_value_of_a_pattern_is_what_is_checked():
    """A group named value is what check digit, format and serials look at; without it the whole line is."""
    rule = Text("sn", "top", pattern=r"S/N:? (?P<value>.+)", check_digit="luhn", serials="allowed.txt")

    assert of(rule, read("S/N: 79927398713"), serials={"79927398713"}) is None
    assert "check digit is wrong" in of(rule, read("S/N: 79927398710"), serials={"79927398710"})
    assert "not in allowed.txt" in of(rule, read("S/N: 79927398713"), serials={"S/N: 79927398713"})
    assert "check digit is wrong" in of(Text("sn", "top", check_digit="luhn"), read("S/N: 79927398713"))


def test_an_empty_serial_list_allows_nothing():
    """A list without lines, or one that was never read, is no list of everything."""
    assert "not in allowed.txt" in of(Text("sn", "top", serials="allowed.txt"), read("A1"))


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("mod10", "9501101530003", "9501101530004"),
        ("mod10", "4 006381 333931", "4 006381 333913"),
        ("mod10", "106141412345678908", "106141412345678909"),
        ("luhn", "79927398713", "79927398731"),
        ("luhn", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("mod43", "CODE39W", "CODE38W"),
        ("mod43", "+A123BJC5D6E71G", "+A123BJC5D6E71H"),
        ("mod97", "3214282912345698765432161182", "3214282912345698765432161128"),
        ("mod97", "79444", "79744"),
        ("mod97", "5493001KJTIIGC8Y1R12", "5493001KJTIIGC8Y1R21"),
    ],
)
def test_check_digits(name, right, wrong):
    """Published numbers are right, and one changed or two swapped characters make them wrong."""
    rule = Text("sn", "top", check_digit=name)

    assert of(rule, read(right)) is None
    assert of(rule, read(wrong)) == f"sn: read {wrong}, whose {name} check digit is wrong; asked check digit {name}"


@pytest.mark.parametrize("text", ["", "7", "²²", "٣٣", "-0", "12a", "\uff11\uff12", "0x10"])
def test_what_has_no_check_digit_is_wrong(text):
    """Other scripts' digits, signs and too short texts have no check digit, and none raises."""
    assert not any(is_right(name, text) for name in ("mod10", "luhn", "mod97"))
    assert not is_right("mod43", "abc")
    assert not is_right("mod11", "0123456789")


def test_dates():
    """A date must be there as its format says; with `expiry:` it must not be past."""
    printed = Text("date", "top", format="date:EXP %Y-%m-%d")
    expiry = Text("date", "top", format="expiry:%m/%y")

    assert of(printed, read("EXP 2020-02-29")) is None
    assert "there is no 2021-02-29" in of(printed, read("EXP 2021-02-29"))
    assert "'3-' is no %m" in of(printed, read("EXP 2027-3-31"))
    assert "characters too many" in of(printed, read("EXP 2027-03-311"))
    assert of(expiry, read("11/26")) is None
    assert of(Text("date", "top", format="expiry:%Y-%m-%d"), read(TODAY.isoformat())) is None
    assert "which expired on 2026-10-31" in of(expiry, read("10/26"))


CARRIED = "010950110153000310AB-123\x1d17271231"


def test_codes():
    """A code must be of the asked symbology, a GS1 code must begin with FNC1, and its expiry date is looked at."""
    rule = Code("udi", "top", ("DataMatrix",), format="udi+expiry")

    assert of(rule, read("]d2" + CARRIED, "code")) is None
    assert of(rule, read("]Q3" + CARRIED, "code")) == "udi: found no code, asked DataMatrix, format udi+expiry"
    assert "does not begin with FNC1" in of(rule, read("]d1" + CARRIED, "code"))
    assert "which expired on 2025-12-31" in of(rule, read("]d2" + CARRIED.replace("271231", "251231"), "code"))
    assert "says no expiry date" in of(rule, read("]d20109501101530003", "code"))
    assert "cannot be read" in of(rule, read("", "code"))
    assert "read ]d2010950110153000410AB<GS>21," in of(rule, read("]d2010950110153000410AB\x1d21", "code"))


def test_the_pattern_of_a_code_is_held_against_its_data():
    """The AIM identifier is no part of what a pattern or a serial list means."""
    rule = Code("sn", "top", ("Data Matrix", "EAN-13"), pattern=r"SN\d+", serials="list")

    assert of(rule, read("]d1SN12", "code"), serials={"SN12"}) is None
    assert "pattern does not match" in of(rule, read("]d1SN12x", "code"), serials={"SN12x"})
    assert of(Code("any", "top", ("UPC-A",)), read("]E00012345678905", "code")) is None
    assert of(Code("any", "top", ("UPC-A",)), read("]E09501101530003", "code")) is not None


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (Text("r", "top", pattern="["), "unterminated character set"),
        (Text("r", "top", pattern=r"(a)\1"), "uses `groupref`"),
        (Text("r", "top", pattern="(?i)a"), "sets flags"),
        (Text("r", "top", pattern="a(?=b)"), "uses `assert`"),
        (Text("r", "top", pattern="(a{99}){99}"), "more than 1000 steps"),
        (Text("r", "top", pattern="a" * 257), "257 characters exceeds 256"),
        (Text("r", "top", pattern="[[a]"), "possible nested set"),
        (Text("r", "top", format="gs2"), "format gs2 is not one of gs1"),
        (Text("r", "top", format="date:%d.%m."), "has no year"),
        (Text("r", "top", format="expiry:%Q"), "%Q is not one of"),
        (Text("r", "top", format="date:%Y%y"), "says a part twice"),
        (Text("r", "top", format="date:%Y %j %m"), "mixes"),
        (Text("r", "top", format="date:%Y %d"), "a day without a month"),
        (Code("r", "top", ("Kode",)), "symbology Kode is not one of aztec"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_always_broken(rule, reason):
    """What is wrong with it is said when the recipe is read, and it rejects if that is ignored."""
    assert reason.lower() in fault(rule).lower()
    assert of(rule, read("a", "code" if isinstance(rule, Code) else "text")) == f"r: {fault(rule)}"


@pytest.mark.parametrize("expression", ["(a+)+b", "(a|a)*b", "(a*)*b", "(a?){30}a{30}b", ".*.*.*.*.*b"])
def test_patterns_that_explode_elsewhere_take_no_time_here(expression):
    """Expressions for which backtracking takes longer than a shift are answered, wrong and right."""
    rule = Text("r", "top", pattern=expression)

    assert of(rule, read("a" * 500)) is not None
    assert of(rule, read("a" * 40 + "b")) is None


def test_a_text_too_long_breaks_every_rule():
    """More characters than any print or code has are not evaluated."""
    assert "2049 characters exceed 2048" in of(Text("r", "top"), read("a" * 2049))


def test_lines_are_single_and_printable():
    """Whatever was read, the line for the operator has no line break or control character, and is short."""
    line = of(LOT, read("\n\x00\x1b[31m\u2028" + "x" * 500))

    assert line.isprintable()
    assert len(line) < 250
