"""Rules for texts and codes: what a check digit promises to find breaks the rule, and no input raises."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from appliance.decision.check_digits import CODE_39, DIGITS
from appliance.decision.text_rules import FORMATS, broken, fault
from appliance.schema.finding import Box, Finding
from appliance.schema.rule import Code, Text

TODAY = date(2026, 11, 21)
REGION = Box(0, 0, 100, 100)
NUMBERS = st.text(DIGITS, min_size=1, max_size=20)
CHECKS = {
    "mod10": lambda body: body + digit(lambda d: weighted(body + d) % 10 == 0),
    "luhn": lambda body: body + digit(lambda d: luhn(body + d) % 10 == 0),
    "mod43": lambda body: body + CODE_39[sum(map(CODE_39.index, body)) % 43],
    "mod97": lambda body: body + f"{98 - int(body + '00') % 97:02}",
}


def digit(is_right) -> str:
    return next(d for d in DIGITS if is_right(d))


def weighted(text: str) -> int:
    return sum(int(d) * (3 if place % 2 else 1) for place, d in enumerate(reversed(text)))


def luhn(text: str) -> int:
    return sum(sum(map(int, str(int(d) * (place % 2 + 1)))) for place, d in enumerate(reversed(text)))


def holds(rule: Text | Code, *texts: str, serials: frozenset[str] = frozenset()) -> bool:
    kind = "code" if isinstance(rule, Code) else "text"
    findings = [Finding(kind, 0.9, None, box=Box(10, 10, 10, 10), text=text) for text in texts]
    line = broken(rule, findings, serials, TODAY)
    assert line is None or (line.startswith(rule.name) and line.isprintable())
    return line is None


@given(st.sampled_from(sorted(CHECKS)), NUMBERS, st.data())
def test_any_wrong_digit_breaks_the_rule(name, body, data):
    """Every check digit finds every single wrong digit."""
    rule, right = Text("sn", "top", check_digit=name), CHECKS[name](body)
    place = data.draw(st.integers(0, len(right) - 1))
    other = data.draw(st.sampled_from([c for c in DIGITS if c != right[place]]))

    assert holds(rule, right)
    assert not holds(rule, right[:place] + other + right[place + 1 :])


@given(st.sampled_from(["mod10", "luhn", "mod97"]), NUMBERS, st.data())
def test_swapped_neighbours_break_the_rule(name, body, data):
    """Every swap that the check digit promises to find breaks the rule, and those it cannot find are only those."""
    rule, right = Text("sn", "top", check_digit=name), CHECKS[name](body)
    place = data.draw(st.integers(0, len(right) - 2))
    pair = right[place : place + 2]
    swapped = right[:place] + pair[::-1] + right[place + 2 :]
    unseen = {
        "mod10": abs(int(pair[0]) - int(pair[1])) in {0, 5},
        "luhn": pair in {"09", "90"} or pair[0] == pair[1],
        "mod97": pair[0] == pair[1],
    }[name]

    assert holds(rule, swapped) == unseen


@given(st.text(CODE_39, min_size=1, max_size=20), st.data())
def test_any_wrong_character_of_code_39_breaks_the_rule(body, data):
    """Modulo 43 finds every single wrong character."""
    rule, right = Text("sn", "top", check_digit="mod43"), "A" + CHECKS["mod43"]("A" + body)[1:]
    place = data.draw(st.integers(1, len(right) - 2))
    other = data.draw(st.sampled_from([c for c in CODE_39 if c != right[place]]))

    assert not holds(rule, right[:place] + other + right[place + 1 :])


ANY_TEXT = st.one_of(
    st.text(max_size=60),
    st.text("()0123456789\x1d]dCQE/+=&>$AB ", max_size=40),
    st.sampled_from(["(01)", "]d2", "+A1", "=/", "\x1d"]).flatmap(lambda s: st.text(max_size=30).map(lambda t: s + t)),
)
ANY_FORM = st.one_of(
    st.sampled_from(["", *FORMATS]),
    st.text(max_size=12),
    st.text("%YymbdjVHMS-/ ", max_size=12).map(lambda layout: "date:" + layout),
    st.text("%YymbdjVHMS-/ ", max_size=12).map(lambda layout: "expiry:" + layout),
)
ANY_CHECK = st.sampled_from(["", "mod10", "luhn", "mod43", "mod97"])
ANY_PATTERN = st.one_of(st.just(""), st.text(max_size=30), st.text("ab()[]*+?{}1,|\\^$.d", max_size=20))
ANY_REGION = st.sampled_from([None, REGION, Box(500, 500, 1, 1)])
ANY_RULE = st.one_of(
    st.builds(
        Text, st.just("r"), st.just("top"), ANY_REGION, ANY_PATTERN, ANY_CHECK, ANY_FORM, st.sampled_from(["", "l"])
    ),
    st.builds(
        Code,
        st.just("r"),
        st.just("top"),
        st.lists(st.sampled_from(["DataMatrix", "EAN-13", "UPC-A", "foo"]), max_size=2).map(tuple),
        ANY_REGION,
        ANY_PATTERN,
        ANY_CHECK,
        ANY_FORM,
        st.sampled_from(["", "l"]),
    ),
)


@given(ANY_RULE, st.lists(ANY_TEXT, max_size=3), st.dates())
def test_nothing_read_raises(rule, texts, today):
    """Whatever a recipe asks and a model reads, on whatever day, there is an answer of one line or none."""
    kind = "code" if isinstance(rule, Code) else "text"
    findings = [Finding(kind, 0.9, None, box=Box(10, 10, 10, 10), text=text) for text in texts]
    line = broken(rule, findings, {"A"}, today)

    assert line is None or line.isprintable()


@given(ANY_RULE)
def test_a_rule_without_a_finding_is_broken(rule):
    """No finding, one without text, or one without a place where a region is asked, never holds a rule."""
    assert not holds(rule)
    assert not holds(rule, "")
    if rule.region is not None:
        assert broken(rule, [Finding("text", 1.0, None, text="A"), Finding("code", 1.0, None, text="A")], {"A"}, TODAY)


@given(ANY_RULE, st.lists(ANY_TEXT, min_size=1, max_size=3))
def test_a_rule_that_cannot_be_evaluated_is_broken(rule, texts):
    """What the rule's own check refuses holds for no text."""
    assert not (fault(rule) and holds(rule, *texts, serials=frozenset(texts)))


@given(NUMBERS, NUMBERS)
def test_two_that_differ_break_the_rule(one, other):
    """Two texts that each hold the rule break it when they differ, and hold it when they are the same."""
    rule = Text("r", "top", REGION, pattern=r"\d+")

    assert holds(rule, one, other) == (one == other)


@given(st.text(min_size=1, max_size=20), st.sets(st.text(min_size=1, max_size=20), max_size=4))
def test_only_listed_serials_hold(text, listed):
    """A serial holds exactly when it is listed, as it stands without blanks around it."""
    rule = Text("r", "top", serials="list")

    assert holds(rule, text, serials=frozenset(listed)) == (text.strip(" ") in listed)


@given(st.dates(date(2001, 1, 1), date(2049, 12, 31)))
def test_expiry_is_the_line_between_past_and_not(day):
    """A part may be used up to the day that its date says, that day included."""
    rule = Text("r", "top", format="expiry:%Y-%m-%d")

    assert holds(rule, day.isoformat()) == (day >= TODAY)
    assert holds(Text("r", "top", format="date:%Y-%m-%d"), day.isoformat())
