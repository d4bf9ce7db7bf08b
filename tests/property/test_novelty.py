"""The stated share of false unknowns is kept by rank alone, whatever the scores."""

import math

from hypothesis import given
from hypothesis import strategies as st

from appliance.decision.novelty import false_unknown_rate, is_unknown, p_value

RATES = st.floats(0.001, 0.5)
SCORES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=120)


@given(SCORES, RATES)
def test_among_known_parts_no_more_than_stated_are_called_unknown(scores: list[float], rate: float) -> None:
    """Each known part held against all others: with distinct scores exactly the stated share, with ties fewer."""
    called = 0
    for place, score in enumerate(scores):
        others = sorted(scores[:place] + scores[place + 1 :])
        called += is_unknown(p_value(score, others), len(others), rate)
    promised = round(false_unknown_rate(len(scores) - 1, rate) * len(scores))

    assert called <= promised
    if len(set(scores)) == len(scores):
        assert promised == called


@given(SCORES, RATES, st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_more_unlike_is_never_less_unknown(scores: list[float], rate: float, score: float, further: float) -> None:
    """A part further from everything known stays unknown; what is no number is unknown."""
    ordered = sorted(scores)
    near, far = (is_unknown(p_value(one, ordered), len(ordered), rate) for one in (score, score + further))

    assert near <= far
    assert is_unknown(p_value(math.nan, ordered), len(ordered), rate)
    assert is_unknown(p_value(math.inf, ordered), len(ordered), rate)


@given(st.integers(0, 5000), RATES)
def test_stated_rate_is_within_the_rate_or_the_least_there_is(known: int, rate: float) -> None:
    """The promise exceeds the rate only where the known parts are too few for it, and then by the least possible."""
    stated = false_unknown_rate(known, rate)

    assert stated <= max(rate, 1 / (known + 1))
    assert is_unknown(stated, known, rate)
    assert not is_unknown(stated + 1 / (known + 1), known, rate)
