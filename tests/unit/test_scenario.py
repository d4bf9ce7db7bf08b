"""Protect the scenario language: every sentence means one thing, and one that is not understood is named."""

from pathlib import Path

import pytest

from appliance.schema.clocks import MS, S
from appliance.schema.errors import ConfigError
from appliance.sim import scenario
from appliance.sim.scenario import Action, BusFaults, Scenario, Shown, parse, read, unmet


def test_an_empty_scenario_is_a_quiet_day() -> None:
    """Comments and empty lines say nothing."""
    assert Scenario("x") == parse("# nothing\n\n   # more\n", "x")


def test_settings() -> None:
    """Parts, rate, seed and the bus are set by a sentence each."""
    told = parse("parts 60\nrate 12.5\nseed 7\nbus lose 2% double 0.5% delay 30ms\n", "x")

    assert Scenario("x", 60, 12.5, 7, BusFaults(0.02, 0.005, 30 * MS)) == told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 2s lose camera top", Action(2 * S, "lose", "top")),
        ("at 2s lose camera top 3", Action(2 * S, "lose", "top", 0, 3)),
        ("at 500us double camera top 2  # twice", Action(500_000, "double", "top", 0, 2)),
        ("at 1.5s incomplete camera side", Action(1500 * MS, "incomplete", "side")),
        ("at 0ms delay camera top 120ms 2", Action(0, "delay", "top", 120 * MS, 2)),
        ("at 2s unplug camera top", Action(2 * S, "unplug", "top")),
        ("at 2s replug camera top", Action(2 * S, "replug", "top")),
        ("at 3s kill judge", Action(3 * S, "kill", "judge")),
        ("at 3s kill acquire@top", Action(3 * S, "kill", "acquire@top")),
        ("at 3s freeze line 800ms", Action(3 * S, "freeze", "line", 800 * MS)),
        ("at 3s reset mcu", Action(3 * S, "reset", "mcu")),
        ("at 3s stop belt", Action(3 * S, "stop", "belt")),
        ("at 3s start belt", Action(3 * S, "start", "belt")),
        ("at 3s stop plc 2s", Action(3 * S, "stop", "plc", 2 * S)),
    ],
)
def test_actions(text: str, expected: Action) -> None:
    """Each sentence of the page above scenario.py is understood."""
    assert (expected,) == parse(text, "x").actions


def test_every_documented_sentence_is_understood() -> None:
    """The examples in the module's own page are sentences of the language."""
    page = scenario.__doc__ or ""
    words = ("parts", "rate", "seed", "bus", "at", "expect")
    lines = [line.strip() for line in page.splitlines() if line.startswith("    ") and line.strip().startswith(words)]
    told = [parse(line.partition("   ")[0].partition(";")[0], "page") for line in lines]

    assert len(told) > 15


def test_actions_are_in_order_of_time() -> None:
    """A scenario may name its troubles in any order."""
    told = parse("at 3s kill judge\nat 1s reset mcu\n", "x")

    assert [1 * S, 3 * S] == [action.at_ns for action in told.actions]


def test_an_expectation_starts_at_the_last_action() -> None:
    """`within` counts from the sentence above it, before any action from the start of the belt."""
    told = parse(
        "expect actuation accept within 2s\nat 2s kill judge\n"
        "expect no verdict no_verdict reason view_missing for 300ms\n",
        "x",
    ).expectations

    assert [(0, 2 * S, False, ""), (2 * S, 2300 * MS, True, "view_missing")] == [
        (one.from_ns, one.to_ns, one.none, one.why) for one in told
    ]


@pytest.mark.parametrize(
    "text",
    [
        "hope for the best",
        "parts many",
        "at 2s explode camera top",
        "at 2s lose camera",
        "at soon lose camera top",
        "at 2m lose camera top",
        "at 2s freeze line",
        "at 2s stop gate",
        "bus lose 2",
        "bus lose",
        "bus burn 2%",
        "expect accept within 2s",
        "expect actuation accept soon",
    ],
)
def test_a_sentence_that_is_not_understood_is_named(text: str) -> None:
    """The message gives name, line and sentence."""
    with pytest.raises(ConfigError) as caught:
        parse(f"parts 5\n{text}\n", "bad_day")

    assert str(caught.value).startswith(f"bad_day, line 2: {text!r} is not understood")


def test_a_file_is_named_by_its_stem(tmp_path: Path) -> None:
    """A scenario is known by its file's name; a file that is not there is named too."""
    (tmp_path / "lost_frame.txt").write_text("parts 5\n")

    assert read(tmp_path / "lost_frame.txt").name == "lost_frame"
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "absent.txt")


SHOWN = [
    Shown(1 * S, "actuation", "accept", ("accepted",)),
    Shown(2 * S, "verdict", "no_verdict", ("view_missing", "within_limits")),
]


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("expect actuation accept within 1s", True),
        ("expect actuation accept within 999ms", False),
        ("expect actuation accept cause accepted within 1s", True),
        ("expect actuation accept cause late within 1s", False),
        ("expect actuation reject within 5s", False),
        ("expect alarm accept within 5s", False),
        ("expect verdict no_verdict reason within_limits within 2s", True),
        ("expect no actuation accept for 999ms", True),
        ("expect no actuation accept for 1s", False),
        ("at 1500ms kill judge\nexpect actuation accept within 5s", False),
    ],
)
def test_expectations(text: str, met: bool) -> None:
    """A fact counts in its span, ends included, with kind, value and, when one is named, cause."""
    assert met == (unmet(parse(text, "x").expectations, SHOWN) == [])


def test_what_was_not_met_is_said_in_its_own_words() -> None:
    """The line of the file and its sentence, so that nobody has to look for it."""
    told = parse("\nexpect alarm fire within 1s\nexpect no actuation accept for 2s\n", "x")
    failures = unmet(told.expectations, SHOWN)

    assert [
        "line 2: `expect alarm fire within 1s` did not happen",
        "line 3: `expect no actuation accept for 2s` happened",
    ] == failures
