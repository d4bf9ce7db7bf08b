"""Protect the way out of parallel mode: enough hours *and* enough defects *and* few enough escapes, in counts."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.cli import main
from appliance.decision.calibration import upper_bound
from appliance.decision.parallel import HOUR, Pair, compare, is_ready, requirements, standing
from appliance.decision.risk import counted
from appliance.decision.spot_check import spot_check
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Mode
from appliance.schema.review import ManualVerdict, Occasion, Seeded
from appliance.schema.verdict import Disposition, Reason
from appliance.storage.record_store import RecordStore
from tests.unit.approval_rig import AT
from tests.unit.review_rig import part, sealed
from tests.unit.test_cli_recipe import RECIPE, Station

D = Disposition


def pairs(count: int, *, accept: bool, model: Disposition, hours: int = 1, kind: str = "") -> list[Pair]:
    """Give equal parts, spread evenly over some hours."""
    kind = kind or ("good" if accept else "scratch")
    return [Pair(accept, kind, model, UtcNs(AT + index % hours * HOUR)) for index in range(count)]


def line_of(found: list[Pair], hours: int = 72, defects: int = 60, escape_rate: float = 0.05) -> str:
    """Give the standing in one line."""
    return standing(requirements(compare(found), hours, defects, escape_rate))


def test_each_cell_is_counted() -> None:
    """The table is what people and model said, part by part; each rate has its count and exact interval."""
    found = compare([
        *pairs(90, accept=True, model=D.ACCEPT),
        *pairs(4, accept=True, model=D.REVIEW),
        *pairs(3, accept=True, model=D.REJECT),
        *pairs(2, accept=True, model=D.NO_VERDICT),
        *pairs(1, accept=True, model=D.UNKNOWN),
        *pairs(20, accept=False, model=D.REJECT),
        *pairs(1, accept=False, model=D.ACCEPT),
        *pairs(5, accept=False, model=D.UNKNOWN, kind="dent"),
        *pairs(2, accept=False, model=D.NO_VERDICT, kind="dent"),
    ])  # fmt: skip

    assert [("good", True), ("dent", False), ("scratch", False)] == [(row.kind, row.accept) for row in found.rows]
    assert {"accept": 90, "reject": 3, "review": 4, "unknown": 1, "no_verdict": 2} == found.rows[0].model
    assert (counted(1, 26), counted(10, 100)) == (found.escapes, found.overkill)
    assert (counted(10, 128), counted(4, 128)) == (found.review, found.no_verdict)
    assert (counted(0, 5), counted(1, 21)) == (found.rows[1].accepted, found.rows[2].accepted)


def test_a_defect_without_a_verdict_is_no_evidence() -> None:
    """What the line held back for want of a verdict says nothing of the model: neither found nor seen."""
    found = compare(pairs(100, accept=False, model=D.NO_VERDICT))

    assert counted(0, 0) == found.escapes
    assert not is_ready(requirements(found, 1, 1, 0.99))


def test_known_answers_are_counted_apart() -> None:
    """Seeded parts are no sample of the line, and a person who saw the prediction is no second opinion."""
    seeded = [replace(pair, seeded=True) for pair in pairs(30, accept=False, model=D.REJECT)]
    shown = [replace(pair, prediction_shown=True) for pair in pairs(40, accept=False, model=D.REJECT, hours=9)]
    found = compare([*seeded, *shown, *pairs(5, accept=False, model=D.REJECT)])

    assert (5, 5, 1, counted(0, 30), 40) == (found.parts, found.escapes.n, found.hours, found.seeded, found.shown)


def test_neither_hours_nor_defects_are_enough_alone() -> None:
    """C5: 72 hours hold four defects on many a line, and sixty defects may all be of one bad hour."""
    good = pairs(410, accept=True, model=D.ACCEPT, hours=41)
    few = pairs(12, accept=False, model=D.REJECT)
    many = pairs(60, accept=False, model=D.REJECT)
    long = pairs(720, accept=True, model=D.ACCEPT, hours=72)

    assert line_of([*good, *few]).startswith("not ready: 41 of 72 h, 12 of 60 defects, escapes 0 of 12, at most 22.1%")
    assert line_of([*long, *few]).startswith("not ready: 12 of 60 defects")
    assert "not ready: 41 of 72 h" == line_of([*good, *many])
    assert line_of([*long, *many]).startswith("ready: 72 of 72 h, 60 of 60 defects, escapes 0 of 60, at most 4.9%")
    assert "not ready: 0 of 72 h, 0 of 60 defects" in line_of([])


@pytest.mark.parametrize(("seen", "escaped", "ready"), [(58, 0, False), (59, 0, True), (92, 1, False), (93, 1, True)])
def test_misses_need_more_defects(seen: int, escaped: int, ready: bool) -> None:
    """5 % is shown by 59 defects without a miss, or 93 with one; the line says how many would do."""
    found = [
        *pairs(seen - escaped, accept=False, model=D.REJECT),
        *pairs(escaped, accept=False, model=D.ACCEPT),
    ]
    asked = requirements(compare(found), 1, 1, 0.05)

    assert ready is is_ready(asked)
    assert ready is not (f"{93 if escaped else 59} defects with {escaped} missed would do" in standing(asked))


DISPOSITIONS = st.sampled_from(Disposition)
PAIRS = st.lists(
    st.builds(
        Pair, st.booleans(), st.sampled_from(["a", "b"]), DISPOSITIONS, st.integers(0, 9).map(lambda h: UtcNs(h * HOUR))
    ),
    max_size=80,
)


@given(PAIRS, PAIRS)
def test_every_part_is_in_one_cell(some: list[Pair], more: list[Pair]) -> None:
    """Nothing is lost or counted twice, and what is ready satisfies each bound."""
    found = compare([*some, *more])
    asked = requirements(found, 3, 4, 0.5)

    assert found.parts == sum(sum(row.model.values()) for row in found.rows) == len(some) + len(more)
    assert found.hours >= compare(some).hours
    assert is_ready(asked) == (
        found.hours >= 3 and found.escapes.n >= 4 and upper_bound(found.escapes.k, found.escapes.n) <= 0.5
    )


@given(PAIRS, st.integers(0, 9))
def test_an_escape_never_helps(some: list[Pair], hour: int) -> None:
    """Turning a defect that was found into one that passed never makes the model ready."""
    bad = Pair(False, "a", D.REJECT, UtcNs(hour * HOUR))
    found, escaped = (requirements(compare([*some, one]), 3, 4, 0.5) for one in (bad, replace(bad, model=D.ACCEPT)))

    assert is_ready(found) or not is_ready(escaped)


@pytest.mark.parametrize(
    ("lot", "share", "parts"), [(20, 0.05, 19), (100, 0.01, 95), (1000, 0.01, 258), (10**5, 0.01, 298)]
)
def test_the_spot_check_is_exact(lot: int, share: float, parts: int) -> None:
    """Of 20 parts with one bad all but one are checked; of a large lot with 1 % as many as the binomial law says."""
    plan = spot_check(lot, share)

    assert (parts, 0) == (plan.parts, plan.acceptance)


@given(st.integers(1, 400), st.integers(1, 50), st.floats(0.5, 0.99))
def test_the_spot_check_finds_what_it_says(lot: int, defects: int, assurance: float) -> None:
    """By exact probability of the hypergeometric and of the draw part by part; one part fewer would not do."""
    from math import comb

    if defects >= lot:
        return
    plan = spot_check(lot, defects / lot, assurance)

    def missed(taken: int) -> float:
        return comb(lot - defects, taken) / comb(lot, taken)

    assert missed(plan.parts) <= 1 - assurance + 1e-12
    assert plan.parts == 0 or missed(plan.parts - 1) > 1 - assurance - 1e-12
    assert (1 - plan.share) ** defects <= 1 - assurance + 1e-9
    assert plan.share * lot >= plan.parts - 1


@pytest.mark.parametrize(("lot", "share", "assurance"), [(99, 0.01, 0.95), (0, 0.5, 0.95), (100, 0, 0.95), (9, 0.5, 1)])
def test_a_plan_that_finds_nothing_is_refused(lot: int, share: float, assurance: float) -> None:
    """A lot without one defective part has nothing to find."""
    with pytest.raises(ConfigError, match=r"^spot check: "):
        spot_check(lot, share, assurance)


class Line(Station):
    """Run parallel mode at a station: parts with sealed verdicts, and what a person said of them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder, capsys)
        self._store = RecordStore(folder / "state", 16)
        capsys.readouterr()  # what the store logs at its start is no answer of a command
        self._number = 0

    def show(self, count: int, model: Disposition, *, accept: bool, hours: int = 4, **more: object) -> None:
        """Let parts pass, spread over hours."""
        for index in range(count):
            self._number += 1
            name, at = part(self._number), UtcNs(AT + index % hours * HOUR)
            verdict = sealed(self._number, model)
            if "reason" in more:
                verdict = replace(verdict, reasons=(more["reason"], *verdict.reasons))
            if "bundle" in more:
                verdict = replace(verdict, result=replace(verdict.result, bundle=more["bundle"]))
            manual = ManualVerdict(
                str(self._number), name, accept, "good" if accept else "scratch", "op-1", Occasion.PARALLEL, 2.0,
                False, HostNs(10 * S), at,
            )  # fmt: skip
            seed = [Seeded(name, "scratch", "qe", at)] if "seeded" in more else []
            said = [] if "undecided" in more else [manual]
            for fact in (*seed, verdict, *said):
                assert () == self._store.write([("x", 0, -1, fact)], at, HostNs(10 * S))

    def close(self) -> None:
        self._store.close()


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    line = Line(tmp_path, capsys)
    yield line
    line.close()


def test_not_ready_proposes_nothing(line: Line) -> None:
    """A transition is refused with what is missing, and leaves nothing behind."""
    line.show(20, D.ACCEPT, accept=True)
    line.show(12, D.REJECT, accept=False, hours=2)

    assert 1 == line.run("parallel", "status")
    assert "mode parallel: not ready: 12 of 59 defects" in line.said
    assert 1 == line.run("parallel", "transition", "--person", "QE1")
    assert "nothing was proposed" in line.said
    assert not (line.folder / "recipes").exists()


def test_the_model_becomes_primary_by_a_signature_alone(line: Line) -> None:
    """Ready is not primary: table, proposal, signature and activation follow one another, in this order."""
    line.show(400, D.ACCEPT, accept=True)
    line.show(59, D.REJECT, accept=False)

    assert 0 == line.run("parallel", "status")
    assert 0 == line.run("parallel", "transition", "--person", "QE1", "--limiting-share", "0.02")
    assert "escapes  0.00% (0 of 59, 95 %: 0.00% to 6.06%) of defective parts" in line.said
    assert Mode.PARALLEL is line.loaded().recipe.mode
    assert 2 == line.activate(2)
    assert 0 == line.run("recipe", "show", "2")
    assert "136 of 800 accepted parts" in line.said
    assert 0 == line.approve(2)
    assert "the model decides" in line.said
    assert 0 == line.activate(2)
    loaded = line.loaded()
    assert (Mode.PRIMARY, "QE2", 2) == (loaded.recipe.mode, loaded.approval.person, loaded.recipe.version)
    assert spot_check(800, 0.02).share == loaded.recipe.policy.sample_share
    assert 2 == line.run("parallel", "transition", "--person", "QE1")
    assert "mode is primary, a transition starts from parallel" in line.said
    assert 0 == line.run("recipe", "rollback", "--person", "TECH", "--why", "escape at the customer")
    assert (Mode.PARALLEL, None) == (line.loaded().recipe.mode, line.loaded().approval)


def test_a_hand_written_primary_is_not_approved(line: Line) -> None:
    """Whoever lays a proposal down by hand cannot go round the table of parallel mode."""
    line.show(400, D.ACCEPT, accept=True)
    line.show(59, D.REJECT, accept=False)
    line.run("parallel", "transition", "--person", "QE1")
    file = line.folder / "recipes/lid/v0002.evidence.json"
    tree = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(tree | {"spot_check": None}), "utf-8")

    assert 2 == line.approve(2)
    assert "without the table of parallel mode" in line.said


def test_only_the_present_inspection_counts(line: Line) -> None:
    """Parts of another bundle, and parts that were decided under another version, prove nothing about this one."""
    line.show(60, D.REJECT, accept=False, bundle="sha256:other")
    line.show(9, D.REJECT, accept=False)
    line.show(5, D.REVIEW, accept=True, reason=Reason.RANDOM_SAMPLE)
    line.show(3, D.REJECT, accept=False, seeded=True)

    assert 0 == line.run("parallel", "table", "--json", "-")
    found = json.loads(line.said)
    assert (14, 9, 5, 3) == (
        found["table"]["parts"], found["table"]["escapes"]["n"], found["table"]["rows"][0]["model"]["accept"],
        found["table"]["seeded"]["n"],
    )  # fmt: skip
    assert ([0.125] * 5, [0.125] * 9) == (found["good"], found["defects"])
    line.propose(RECIPE + "version = 2\n[policy]\nsample_share = 0.05\n")
    line.approve(2)
    line.activate(2)
    assert 1 == line.run("parallel", "status")
    assert "version 2, mode parallel: not ready: 0 of 4 h, 0 of 59 defects" in line.said


def test_the_table_is_evidence_of_a_change(line: Line) -> None:
    """What parallel mode has shown predicts a change that keeps its bundle, in counts of parts."""
    line.show(40, D.ACCEPT, accept=True)
    line.show(9, D.REJECT, accept=False)
    file = line.folder / "table.json"

    line.show(4, D.ACCEPT, accept=True, undecided=True)
    assert 0 == line.run("parallel", "table", "--json", file)
    assert "reject scratch" in line.said
    assert "undecided  4 parts" in line.said
    assert 0 == line.propose(RECIPE + "version = 2\n[policy]\nreview_limit = 50\n", evidence=str(file))
    assert "0.00% (0 of 9" in line.said


def test_a_station_that_never_ran_has_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a database there is one line, not a table of nothing."""
    station = Station(tmp_path, capsys)

    assert main(["parallel", "status", "--config", str(station.file)]) == 2
    assert 1 == capsys.readouterr().err.count("\n")
