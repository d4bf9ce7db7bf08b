"""`firstshift review`: what it shows, what it hides, and one clear line for what it refuses."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from appliance.bus.control import ControlServer
from appliance.cli import main
from appliance.cli_station import part_of
from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import UtcNs
from appliance.schema.command import (
    Accepted,
    Command,
    DecidePart,
    QuarantinePart,
    RefusedReply,
    ReinspectPart,
    Reply,
    SeedPart,
    SubmitLabel,
)
from appliance.schema.errors import ConfigError
from appliance.schema.part import PartId
from appliance.schema.policy import Mode
from appliance.schema.review import Seeded
from appliance.schema.verdict import Disposition, Reason
from tests.unit.label_rig import label
from tests.unit.review_rig import SAMPLED, UTC, Rig, accept, actuation, entered, part, reject, running, sealed, verdict
from tests.unit.test_report import STATION

Said = Callable[..., tuple[int, str, str]]
PASSED = (Reason.WITHIN_LIMITS,)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "station.toml").write_text(STATION.format(state=tmp_path), "utf-8")
    (tmp_path / "recipe.toml").write_text('name = "demo"\nnumber = 1\nviews = ["top"]\nbundle = "day-one"\n', "utf-8")
    return tmp_path


@pytest.fixture
def said(state: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["review", *arguments, "--state", str(state)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def primary(state: Path) -> Iterator[Rig]:
    with running(state) as rig:
        rig.hear("part.entered", *(entered(number) for number in range(1, 7)))
        rig.hear(
            "verdict",
            verdict(1, Disposition.REVIEW),
            verdict(2, Disposition.REVIEW, SAMPLED, 0.1),
            verdict(3, Disposition.UNKNOWN, (Reason.UNKNOWN_DEFECT, Reason.BETWEEN_LIMITS)),
            verdict(4, Disposition.ACCEPT, PASSED, 0.1),
            verdict(5, Disposition.REVIEW),
        )
        yield rig


@pytest.fixture
def rig(state: Path) -> Iterator[Rig]:
    yield from primary(state)


@pytest.mark.usefixtures("rig")
def test_operators_see_their_parts_oldest_first(said: Said) -> None:
    """The unknown part is counted and is the quality engineer's."""
    code, out, _ = said("list", "--json", "-")
    answer = json.loads(out)

    assert (0, [str(part(n)) for n in (1, 2, 5)]) == (code, [row["part"] for row in answer["parts"]])
    assert (4, 1, 200, 0, 0) == tuple(answer[key] for key in ("waiting", "unknown", "limit", "quarantined", "decided"))


@pytest.mark.usefixtures("rig")
def test_a_random_sample_cannot_be_told_from_a_review(said: Said) -> None:
    """Neither list nor show say of a part that waits what the model thought, nor that it was drawn."""
    _, out, _ = said("list", "--quality", "--json", "-")
    rows = {row["part"]: row for row in json.loads(out)["parts"]}
    shown = [json.loads(said("show", str(part(number)), "--json", "-")[1]) for number in (1, 2)]

    assert rows[str(part(1))] | {"part": ""} == rows[str(part(2))] | {"part": ""}
    assert shown[0] | {"part": ""} == shown[1] | {"part": ""}
    assert not {"verdict", "reasons", "score", "sealed", "seeded"} & set(shown[0])


@pytest.mark.usefixtures("rig")
def test_the_quality_engineer_sees_unknown_parts_first_with_their_reasons(said: Said) -> None:
    """In the order of the judge."""
    _, out, _ = said("list", "--quality", "--json", "-")
    first = json.loads(out)["parts"][0]
    text = said("list", "--quality")[1]

    assert (str(part(3)), "unknown", "unknown defect - human review required") == (
        first["part"], first["occasion"], first["text"],
    )  # fmt: skip
    assert ["unknown_defect", "between_limits"] == first["reasons"]
    assert "unknown defect - human review required  unknown_defect  between_limits" in text
    assert text.startswith("4 parts wait for a person (limit 200), 1 of them unknown: a quality engineer's; 0 in")


def test_a_handed_on_sample_still_looks_like_a_review(rig: Rig, said: Said) -> None:
    """It is the quality engineer's now, for somebody could not say; that it was drawn is told to nobody."""
    for number in (1, 2):
        rig.ask(SubmitLabel(label(number, "unsure")))
    _, out, _ = said("list", "--quality", "--json", "-")
    rows = {row["part"]: row for row in json.loads(out)["parts"]}

    assert [str(part(5))] == [row["part"] for row in json.loads(said("list", "--json", "-")[1])["parts"]]
    assert rows[str(part(1))] | {"part": ""} == rows[str(part(2))] | {"part": ""}
    assert ("somebody could not say - a quality engineer decides", None) == (
        rows[str(part(2))]["text"], rows[str(part(2))].get("reasons"),
    )  # fmt: skip


def test_after_the_decision_everything_is_shown(rig: Rig, said: Said) -> None:
    """The draw, the model's word, the person's word and the seed."""
    rig.ask(reject(2))
    rig.ask(SeedPart("dent", "qe-1", part(1)))
    waits = json.loads(said("show", str(part(1)), "--json", "-")[1])
    rig.ask(accept(1))
    answer = json.loads(said("show", str(part(2)), "--json", "-")[1])
    seeded = json.loads(said("show", str(part(1)), "--json", "-")[1])

    assert ("decided", "sample", "review", ["random_sample", "within_limits"]) == (
        answer["state"], answer["occasion"], answer["verdict"], answer["reasons"],
    )  # fmt: skip
    assert [("scratch", "op-1", "sample")] == [(m["kind"], m["person"], m["occasion"]) for m in answer["manual"]]
    assert ("opened", None, "dent") == (waits["state"], waits.get("seeded"), seeded["seeded"])


def test_a_sealed_verdict_is_shown_after_the_persons_own(state: Path, said: Said) -> None:
    """Parallel mode: the model's word comes second."""
    with running(state, mode=Mode.PARALLEL) as rig:
        rig.hear("part.entered", entered(1))
        rig.hear("sealed", sealed(1, Disposition.REJECT))
        before = json.loads(said("show", str(part(1)), "--json", "-")[1])
        rig.ask(accept(1))
        after = json.loads(said("show", str(part(1)), "--json", "-")[1])

    assert "sealed" not in before
    assert {"verdict": "reject", "reasons": ["above_reject_limit"], "score": 0.125} == after["sealed"]
    assert "no_verdict" == after["verdict"]


def test_escapes_are_stated_with_their_counts(rig: Rig, said: Said) -> None:
    """Every share with n and its interval; a class without a seeded part has no bound."""
    empty = said("escapes")[1]
    rig.ask(reject(2))
    rig.store.write([("seed", 0, -1, Seeded(part(6), "dent", "qe-1", UtcNs(UTC)))], UtcNs(UTC))
    rig.hear("verdict", verdict(6, Disposition.REJECT))
    rig.hear("actuation", actuation(6, Lane.REJECT, Cause.DECIDED_REJECT))
    code, out, _ = said("escapes")
    answer = json.loads(said("escapes", "--json", "-")[1])

    assert "escape rate: not known, no drawn part was inspected" in empty
    assert "no part was seeded" in empty
    assert code == 0
    assert "of 2 parts that the model would accept 1 were drawn, 1 inspected, 1 found defective; 0 wait" in out
    assert "95 % interval 2.500% to 100.000% (n = 1, exact; the 0 that wait" in out
    assert "seeded dent: the model accepted 0 of 1 (0.0%, 95 % interval 0.0% to 97.5%); people accepted 0 of 0" in out
    assert (1, 1, "dent") == (
        answer["random_sample"]["drawn"],
        answer["random_sample"]["found"],
        answer["seeded"][0]["kind"],
    )


class Owner:
    """Stand where `record` answers wishes, once."""

    def __init__(self, runtime: Path, reply: Reply) -> None:
        runtime.mkdir(parents=True, exist_ok=True)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._server = ControlServer(self._context, runtime, "record")
        self._reply = reply
        self.heard: list[Command] = []
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        if self._server.socket.poll(20_000):
            command = self._server.receive()
            if command is not None:
                self.heard.append(command)
                self._server.answer(self._reply)

    def close(self) -> list[Command]:
        self._thread.join()
        self._server.close()
        self._context.term()
        return self.heard


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (
            ["decide", "a0b1c2d3-000007", "--accept", "--person", "op-1", "--seconds", "3"],
            DecidePart(part(7), accept=True, kind="good", person="op-1", seconds=3.0),
        ),
        (
            ["decide", "a0b1c2d3-000007", "--reject", "scratch", "--person", "op-1", "--prediction-shown"],
            DecidePart(part(7), accept=False, kind="scratch", person="op-1", seconds=0.0, prediction_shown=True),
        ),
        (
            ["quarantine", "a0b1c2d3-000007", "--person", "op-1", "--why", "odd"],
            QuarantinePart(part(7), "op-1", "odd"),
        ),
        (
            ["reinspect", "a0b1c2d3-000007", "--person", "op-1", "--why", "odd"],
            ReinspectPart(part(7), "op-1", "odd"),
        ),
        (["seed", "scratch", "--person", "qe-1"], SeedPart("scratch", "qe-1")),
        (
            ["seed", "scratch", "--person", "qe-1", "--part", "a0b1c2d3-000007"],
            SeedPart("scratch", "qe-1", part(7)),
        ),
    ],
)
def test_wishes_go_to_the_record_service(state: Path, said: Said, arguments: list[str], command: Command) -> None:
    """The command line writes nothing itself; the owner's answer is printed."""
    owner = Owner(state / "run", Accepted("done so"))
    code, out, err = said(*arguments)

    assert [command] == owner.close()
    assert (0, "done so\n", "") == (code, out, err)


def test_a_refusal_is_one_line(state: Path, said: Said) -> None:
    """Exit code 2, and the owner's reason."""
    owner = Owner(state / "run", RefusedReply("part a0b1c2d3-000007: decided already by op-2"))
    code, out, err = said("decide", "a0b1c2d3-000007", "--accept", "--person", "op-1")
    owner.close()

    assert (2, "") == (code, out)
    assert err == "firstshift: record: DecidePart refused: part a0b1c2d3-000007: decided already by op-2\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "seven"], "part 'seven': is no part's name; it looks like a0b1c2d3-000007"),
        (["show", "a0b1c2d3-000099"], "part a0b1c2d3-000099: is not known to station demo"),
    ],
)
@pytest.mark.usefixtures("rig")
def test_a_part_that_is_none_is_bad_input(said: Said, arguments: list[str], words: str) -> None:
    """One line that names it."""
    code, out, err = said(*arguments)

    assert (2, "", 1) == (code, out, err.count("\n"))
    assert words in err


def test_a_station_without_a_record_is_bad_input(said: Said) -> None:
    """Nothing recorded yet: one line says so."""
    code, out, err = said("list")

    assert (2, "") == (code, out)
    assert "is not there, nothing was recorded yet" in err


@pytest.mark.parametrize("action", ["list", "show", "escapes", "decide", "quarantine", "reinspect", "seed"])
def test_every_action_has_help(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each explains itself and exits with 0."""
    with pytest.raises(SystemExit) as ended:
        main(["review", action, "--help"])

    assert 0 == ended.value.code
    assert f"firstshift review {action}" in capsys.readouterr().out


def test_a_parts_name_is_read_whole() -> None:
    """As it is printed, and nothing else."""
    assert PartId(0xA0B1C2D3, 7) == part_of(str(PartId(0xA0B1C2D3, 7)))
    for text in ("a0b1c2d3-7 ", "A0B1C2D3-000007", "a0b1c2d3", "a0b1c2d3-0x7", "a0b1c2d3-٣"):
        with pytest.raises(ConfigError):
            part_of(text)
