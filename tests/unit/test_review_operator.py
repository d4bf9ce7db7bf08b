"""The simulated person: seeded skill, one part at a time, and no answer that is lost."""

import json
from pathlib import Path

import pytest

from appliance.schema.clocks import HostNs, S
from appliance.schema.command import DecidePart
from appliance.schema.errors import ApplianceError, LinkError, Refused
from appliance.schema.part import PartId
from appliance.sim.operator import PAUSE, Operator, Sight, Skill

NOW = HostNs(100 * S)


def part(number: int) -> PartId:
    return PartId(1, number)


def answers(operator: Operator, until: int, step: int = S // 100) -> list[tuple[int, DecidePart]]:
    """Let the person work; gives each answer with its instant."""
    given: list[tuple[int, DecidePart]] = []
    for now in range(NOW, until, step):
        operator.act(lambda answer, now=now: given.append((now, answer)), HostNs(now))  # type: ignore[misc]
    return given


def test_skill_and_speed_are_the_seeds() -> None:
    """The same parts get the same answers; the shares are those of the skill, one part after the other."""
    truths = {counts: "dent" if counts % 2 else "good" for counts in range(2000)}
    skill = Skill(finds=0.9, passes=0.98, seconds=0.01)

    def play(seed: int) -> list[tuple[int, DecidePart]]:
        operator = Operator(seed, truths.get, skill)
        for counts in truths:
            operator.see(part(counts), counts, "op-1", NOW)
        return answers(operator, NOW + 60 * S)

    first, again, other = play(3), play(3), play(4)
    right = {kind: [answer for _, answer in first if truths[answer.part.number] == kind] for kind in ("good", "dent")}
    found = sum(answer.kind == "dent" for answer in right["dent"]) / len(right["dent"])
    passed = sum(answer.accept for answer in right["good"]) / len(right["good"])

    assert first == again != other
    assert [part(number) for number in range(2000)] == [answer.part for _, answer in first]
    assert found == pytest.approx(0.9, abs=0.03)
    assert passed == pytest.approx(0.98, abs=0.015)


def test_a_person_takes_time_and_does_one_part_at_a_time() -> None:
    """Nothing is answered before the time stated for it has passed."""
    operator = Operator(1, lambda _: "good", Skill(seconds=1.0, spread=0.0))
    for number in (1, 2):
        operator.see(part(number), 0, "op-1", NOW)
    given = answers(operator, NOW + 5 * S)

    assert [NOW + S, NOW + 2 * S] == [at for at, _ in given]
    assert [1.0, 1.0] == [answer.seconds for _, answer in given]


def test_an_answer_that_nobody_took_is_given_again() -> None:
    """The record service may be down for a while; a refusal ends the matter."""
    operator = Operator(1, lambda _: "good", Skill(seconds=0.0))
    operator.see(part(1), 0, "op-1", NOW)
    operator.see(part(2), 0, "op-1", NOW)
    heard: list[int] = []

    def deaf(answer: DecidePart) -> None:
        heard.append(answer.part.number)
        raise LinkError("no answer")

    def refusing(answer: DecidePart) -> None:
        heard.append(answer.part.number)
        raise Refused("decided already")

    operator.act(deaf, NOW)
    operator.act(deaf, HostNs(NOW + PAUSE - 1))
    operator.act(refusing, HostNs(NOW + PAUSE))

    assert [1, 1] == heard[:2]
    assert (0, 2, 0) == (operator.waiting, operator.refused, operator.answered)


def test_an_unseen_part_is_rejected() -> None:
    """What the person cannot make out is not let pass."""
    operator = Operator(1, lambda _: None, Skill(seconds=0.0))
    operator.see(part(1), 0, "op-1", NOW)
    ((_, answer),) = answers(operator, NOW + 1)

    assert (False, "not recognised") == (answer.accept, answer.kind)


def test_the_plants_account_is_read_as_it_grows(tmp_path: Path) -> None:
    """A line that is being written is taken when it is whole; places are found within a few counts."""
    path = tmp_path / "truth.jsonl"
    first, second = (json.dumps({"enter_counts": at, "truth": kind}) for at, kind in ((1000, "good"), (2000, "dent")))
    path.write_text(first + "\n" + second[:10], "utf-8")
    sight = Sight(path, near=5)
    before = (sight(1003), sight(2000), sight(1006))
    path.write_text(first + "\n" + second + "\n", "utf-8")

    assert ("good", None, None) == before
    assert "dent" == sight(1998)
    with pytest.raises(ApplianceError, match="cannot be read"):
        Sight(tmp_path / "none", 5)(1)
