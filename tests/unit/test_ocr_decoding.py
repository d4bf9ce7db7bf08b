"""Reading by a pattern: the best path of all, nothing invented, and how far it is from what the network says."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.decision import pattern
from appliance.ocr.decoding import MOST_PLACES, Grammar, grammars, spell

LETTERS = ("a", "b", "0")
PATTERNS = ("a[ab]", "(ab|0)+", "a?b0*", "^[^0]{2}$", "aa", "a*")


def steps_of(seed: int, count: int) -> np.ndarray:
    raw = np.random.default_rng(seed).gamma(0.5, size=(count, 1 + len(LETTERS))) + 1e-4
    return (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


def collapsed(path: tuple[int, ...]) -> str:
    return "".join(LETTERS[place - 1] for place, _ in itertools.groupby(path) if place)


@given(st.integers(0, 10**6), st.integers(2, 5), st.sampled_from(PATTERNS))
@settings(max_examples=80, deadline=None)
def test_the_best_path_of_all_is_found(seed, count, expression):
    """Against every path there is: the likeliest text that the pattern allows, and its distance to the free one."""
    probabilities = steps_of(seed, count)
    compiled = pattern.compile_pattern(expression)
    paths = itertools.product(range(1 + len(LETTERS)), repeat=count)
    found = [
        (sum(math.log(probabilities[step, place]) for step, place in enumerate(path)), collapsed(path))
        for path in paths
        if collapsed(path) and pattern.value(compiled, collapsed(path)) is not None
    ]
    bound = Grammar(expression, LETTERS).spell(probabilities)
    if bound is None:
        assert not found
        return
    best, text = max(found)

    assert bound.text == text
    assert bound.gap == pytest.approx(np.log(probabilities.max(axis=1)).sum() - best, abs=1e-3)
    assert len(bound.probabilities) == len(text)


def test_a_letter_gives_way_to_the_digit_that_was_nearly_read():
    """O for 0 is put right where the pattern has a digit, at its probability among digits; the gap says how near."""
    characters = ("0", "O", "1")
    probabilities = np.array([[0.01, 0.39, 0.6, 0.0], [0.97, 0.01, 0.01, 0.01], [0.0, 0.1, 0.0, 0.9]], np.float32)
    bound = Grammar(r"\d{2}", characters).spell(probabilities)

    assert spell(probabilities, characters).text == "O1"
    assert bound is not None
    assert bound.text == "01"
    assert bound.gap == pytest.approx(math.log(0.6 / 0.39), abs=1e-5)
    assert bound.lowest == pytest.approx(0.9)


def test_what_was_not_seen_costs_a_large_gap():
    """A pattern that asks for more than the picture shows is not satisfied cheaply, nor in too few steps."""
    probabilities = np.array([[0.001, 0.998, 0.001], [0.998, 0.001, 0.001], [0.998, 0.001, 0.001]], np.float32)
    grammar = Grammar("ab", ("a", "b"))
    bound = grammar.spell(probabilities)

    assert bound is not None
    assert bound.gap > 6
    assert grammar.spell(probabilities[:1]) is None


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_reading_that_fits_is_left_alone(seed):
    """Where the free reading matches, reading by the pattern says the same with no gap."""
    probabilities = steps_of(seed, 6)
    free = spell(probabilities, LETTERS)
    grammar = Grammar("[ab0]+", LETTERS)
    if not free.text:
        return
    bound = grammar.spell(probabilities)

    assert grammar.matches(free.text)
    assert bound is not None
    assert bound.text == free.text
    assert bound.gap == pytest.approx(0, abs=1e-4)


def test_patterns_that_cannot_be_followed_are_left_out():
    """Too long a pattern is not followed, so that no line takes long; an empty one asks nothing."""
    kept = grammars(["", "ab", "ab", f"a{{{MOST_PLACES + 1}}}"], LETTERS)

    assert [grammar.places for grammar in kept] == [2]
