"""A touch means the picture that was on the screen when the finger came down, or nothing."""

import types
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.schema.clocks import MS, HostNs
from hmi.labelling import taps
from hmi.labelling.taps import GUARD_NS, Showing, bind, guarded, meant, show

PARTS = ("a-1", "a-2", "a-3")

deeds = st.lists(
    st.one_of(
        st.tuples(st.just("show"), st.sampled_from(("", *PARTS))),
        st.tuples(st.just("press"), st.integers(0, 2)),
        st.tuples(st.just("release"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.integers(0, 700)),
    ),
    max_size=60,
)
"""Pictures, three fingers and the clock in any order; waits in ms."""


def wrong_answers(module: types.ModuleType, story: list[tuple[str, object]]) -> list[str]:
    """Play a story; give the answers that a person cannot have meant."""
    showing, now = module.Showing(), HostNs(0)
    appeared: tuple[str, HostNs, int] = ("", now, 0)
    down: dict[int, tuple[str, tuple[str, HostNs, int], HostNs]] = {}
    wrong = []
    for deed, value in story:
        if deed == "wait":
            now = HostNs(now + int(str(value)) * MS)
        elif deed == "show":
            showing = module.show(showing, str(value), now)
            appeared = (str(value), now, appeared[2] + 1)
        elif deed == "press":
            down[int(str(value))] = (module.bind(showing, now), appeared, now)
        elif int(str(value)) in down:
            bound, seen, pressed = down.pop(int(str(value)))
            said = module.meant(showing, bound)
            if said and (said != seen[0] or seen != appeared or pressed - seen[1] < GUARD_NS):
                wrong.append(said)
    return wrong


@settings(max_examples=400, deadline=None)
@given(deeds)
def test_a_tap_for_the_previous_part_never_labels_the_next(story: list[tuple[str, object]]) -> None:
    """Whatever the order of pictures, presses, releases and time, an answer names the appearance that was pressed."""

    assert [] == wrong_answers(taps, story)


def test_a_tap_on_a_picture_long_enough_on_the_screen_counts() -> None:
    """The rule holds touches back, it does not swallow those that are meant."""
    showing = show(Showing(), "a-1", HostNs(0))

    assert "a-1" == meant(showing, bind(showing, HostNs(GUARD_NS)))


def test_the_guard_ends_after_its_time_and_not_before() -> None:
    """A press within 300 ms of a new picture was meant for the one before."""
    showing = show(Showing(), "a-1", HostNs(5))

    assert (True, False) == (guarded(showing, HostNs(4 + GUARD_NS)), guarded(showing, HostNs(5 + GUARD_NS)))


def test_a_part_that_went_and_came_back_is_another_appearance() -> None:
    """A press does not outlive the picture it was made on, even when the same part is shown again."""
    first = show(Showing(), "a-1", HostNs(0))
    bound = bind(first, HostNs(GUARD_NS))
    again = show(show(first, "a-2", HostNs(GUARD_NS)), "a-1", HostNs(2 * GUARD_NS))

    assert "" == meant(again, bound)


def test_each_rule_turned_round_is_found() -> None:
    """Without the guard, the binding or the number of the appearance, a story exists whose answer nobody meant."""
    source = Path(str(taps.__file__)).read_text("utf-8")
    rules = [
        (" or now - showing.since < GUARD_NS", ""),
        ("showing.number + 1)", "showing.number)"),
        ('if bound and bound == f"{showing.number}/{showing.subject}"', "if bound"),
    ]
    stories: list[list[tuple[str, object]]] = [
        [("show", "a-1"), ("wait", 500), ("show", "a-2"), ("press", 0), ("release", 0)],
        [("show", "a-1"), ("wait", 500), ("press", 0), ("show", "a-2"), ("show", "a-1"), ("release", 0)],
        [("show", "a-1"), ("wait", 500), ("press", 0), ("show", "a-2"), ("release", 0)],
    ]
    for number, (old, new) in enumerate(rules):
        turned = types.ModuleType(f"turned_taps_{number}")
        assert 1 == source.count(old)
        exec(compile(source.replace(old, new), turned.__name__, "exec"), turned.__dict__)  # noqa: S102  our own source, a rule changed

        assert any(wrong_answers(turned, story) for story in stories)
