"""`firstshift label`: who is asked what, what is told and what is not, and the exit codes of its two gates."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import time_ns

import pytest
from msgspec.structs import replace

from appliance.cli import main
from appliance.labelling.draws import NEWCOMER_ANSWERS, hides_prediction
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.command import Accepted, FreezeSnapshot, RefusedReply, SubmitLabel
from appliance.schema.finding import Box, Finding, ViewResult
from appliance.schema.label import Label, LabelLevel, Purpose, Region
from appliance.schema.person import Person, Role
from appliance.schema.review import Change, Occasion, ReviewStep, Seeded, SeededAnswer
from appliance.schema.verdict import InspectionResult, StageTimes
from appliance.storage.record_store import RecordStore
from tests.unit.labelling_rig import DAY, UTC, keep, label, part, say, station
from tests.unit.test_cli_review import Owner

Said = Callable[..., tuple[int, str, str]]
AUDIT = Purpose.AUDIT
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return station(tmp_path)


@pytest.fixture
def store(state: Path) -> Iterator[RecordStore]:
    with closing(RecordStore(state, 16)) as held:
        yield held


@pytest.fixture
def said(state: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["label", *arguments, "--state", str(state)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def asked(said: Said, *arguments: str) -> tuple[int, dict]:
    code, out, _ = said(*arguments, "--json", "-")
    return code, json.loads(out)


def disputed(store: RecordStore, of: int = 1) -> None:
    keep(store, of)
    say(store, label(f"a{of}", "dent", of=of), label(f"b{of}", "good", "op-2", of=of, purpose=AUDIT))


def waits(store: RecordStore, number: int, occasion: Occasion = Occasion.REVIEW) -> None:
    step = ReviewStep(part(number), 1, Change.OPENED, occasion, "", "", UtcNs(UTC))
    store.write([("review", 0, -1, step)], UtcNs(UTC))


def enrol(store: RecordStore, person: str, level: LabelLevel) -> None:
    event = Person("e1", person, "A", Role.QUALITY, level, "", None, "en", True, "admin", UtcNs(UTC))
    store.write([("people", 0, -1, event)], UtcNs(UTC))


def test_a_person_sees_decisions_first_and_then_labels(store: RecordStore, said: Said) -> None:
    """The level is the person's own; what waits stands alone."""
    enrol(store, "qe-1", LabelLevel.CLASSIFY)
    disputed(store)
    _, free = asked(said, "queue", "--person", "qe-1")
    waits(store, 7)
    waits(store, 8, Occasion.SAMPLE)
    _, busy = asked(said, "queue", "--person", "qe-1")

    assert (2, ["disagreement"], [2]) == (
        free["level"], [one["purpose"] for one in free["tasks"]], [one["level"] for one in free["tasks"]],
    )  # fmt: skip
    assert [("review", "review", str(part(7))), ("review", "review", str(part(8)))] == [
        (one["purpose"], one["occasion"], one["part"]) for one in busy["tasks"]
    ]
    text = said("queue", "--person", "qe-1")[1]
    assert text.startswith("2 tasks for qe-1 at level 2\n")


def test_a_known_answer_looks_like_a_review(store: RecordStore, said: Said) -> None:
    """Neither JSON nor text tells it."""
    for number in range(1, 4):
        disputed(store, number)
        settled = label(f"c{number}", "dent", "qe-1", of=number, purpose=Purpose.DISAGREEMENT, level=2)
        say(store, settled)
    say(store, *(label(f"n{number}", "good", "new", of=100 + number) for number in range(NEWCOMER_ANSWERS)))
    _, answer = asked(said, "queue", "--person", "new")
    text = said("queue", "--person", "new")[1]

    assert {"review"} == {one["purpose"] for one in answer["tasks"]}
    assert answer["tasks"]
    assert "known" not in text
    assert "known" not in json.dumps(answer)


def test_without_a_person_the_station_is_summed_up(store: RecordStore, said: Said) -> None:
    """How the labelled parts stand, what is disputed and who is asked, what was drawn for audit."""
    disputed(store)
    say(store, label("c", "good", of=2), label("u", "unsure", "qe-3", of=3, level=3))
    _, answer = asked(said, "queue")
    text = said("queue")[1]

    assert (0, 3, 1, 1, 1) == (
        answer["waiting"], answer["labelled"], *(answer["states"][key] for key in ("conflict", "single", "unsure")),
    )  # fmt: skip
    assert [("conflict", 2), ("unsure", None)] == [(one["state"], one["level"]) for one in answer["disputed"]]
    assert {"drawn": 2, "done": 1} == answer["audits"]
    assert "asked at level 2" in text
    assert "nobody is above who could not say" in text


def sent(state: Path, said: Said, *arguments: str) -> Label:
    owner = Owner(state / "run", Accepted())
    code, out, err = said("submit", *arguments)
    heard = owner.close()

    assert (0, "done\n", "") == (code, out, err)
    assert isinstance(heard[0], SubmitLabel)
    return heard[0].label


def test_an_answer_has_the_purpose_for_which_it_was_asked(store: RecordStore, state: Path, said: Said) -> None:
    """The queue knows it: decision, audit, disagreement; the id is a UUID of version 7."""
    keep(store, 1)
    say(store, label("a", "dent"))
    audit = sent(state, said, str(part(1)), "dent", "--person", "op-2", "--seconds", "4.5")
    say(store, replace(audit, kind="good"))
    settled = sent(state, said, str(part(1)), "dent", "--person", "qe-1", "--level", "2", "--reason", "seen")
    waits(store, 7)
    decided = sent(state, said, str(part(7)), "good", "--person", "op-1", "--prediction-shown")

    assert (AUDIT, Purpose.DISAGREEMENT, Purpose.REVIEW) == (audit.purpose, settled.purpose, decided.purpose)
    assert (1, 2, 1) == (audit.level, settled.level, decided.level)
    assert (4.5, "op-2", "dent", part(1)) == (audit.seconds, audit.person, audit.kind, audit.part)
    assert ("seen", True) == (settled.reason, decided.prediction_shown)
    assert all(UUID7.fullmatch(one.label_id) for one in (audit, settled, decided))
    assert abs(audit.at - time_ns()) < 60e9


def test_a_correction_gives_its_reason(store: RecordStore, state: Path, said: Said) -> None:
    """Unasked, a label needs a reason or its purpose by name."""
    keep(store, 1)
    say(store, label("a", "dent"))
    code, _, err = said("submit", str(part(1)), "good", "--person", "op-1")
    corrected = sent(
        state, said, str(part(1)), "good", "--person", "op-1", "--reason", "dust", "--purpose", "correction"
    )

    assert (2, 1) == (code, err.count("\n"))
    assert "op-1 is not asked about it now" in err
    assert (Purpose.CORRECTION, "dust") == (corrected.purpose, corrected.reason)


def test_marks_are_read_in_pixels(state: Path, store: RecordStore, said: Said) -> None:
    """Camera, corner, size; of the class said or of its own."""
    waits(store, 7)
    marks = ("--box", "top:1,2,3.5,4", "--box", "side:5,6,7,8:dent")
    found = sent(state, said, str(part(7)), "scratch", "--person", "op-1", *marks)

    assert (
        Region("top", "scratch", Box(1, 2, 3.5, 4)),
        Region("side", "dent", Box(5, 6, 7, 8)),
    ) == found.regions


@pytest.mark.parametrize(
    "text",
    ["top", "top:1,2,3", "top:a,b,c,d", ":1,2,3,4", "top:1,2,0,4", "top:-1,2,3,4", "top:1,2,inf,4", "top:nan,1,1,1"],
)
def test_a_mark_that_is_none_is_bad_input(said: Said, store: RecordStore, text: str) -> None:
    """One line that shows how it looks."""
    waits(store, 7)
    code, _, err = said("submit", str(part(7)), "scratch", "--person", "op-1", "--box", text)

    assert (2, 1, True) == (code, err.count("\n"), "is no mark; it looks like top:120,80,32,18" in err)


def test_nobody_labels_above_his_level(store: RecordStore, said: Said) -> None:
    """The person's own is the limit."""
    enrol(store, "qe-1", LabelLevel.CLASSIFY)
    code, _, err = said("queue", "--person", "qe-1", "--level", "3")

    assert (2, "firstshift: --level 3: qe-1 labels up to level 2; give that or less\n") == (code, err)


def test_a_refusal_is_one_line(state: Path, store: RecordStore, said: Said) -> None:
    """Exit code 2, and the owner's reason."""
    waits(store, 7)
    owner = Owner(state / "run", RefusedReply("part a0b1c2d3-000007: decided already by op-2"))
    code, out, err = said("submit", str(part(7)), "good", "--person", "op-1")
    owner.close()

    assert (2, "", 1) == (code, out, err.count("\n"))
    assert "decided already by op-2" in err


def test_a_snapshot_is_asked_of_record(state: Path, said: Said) -> None:
    """Its id is told."""
    owner = Owner(state / "run", Accepted("01890000"))
    code, out, _ = said("snapshot", "--person", "qe-1", "--why", "first")
    wish = owner.close()[0]

    assert isinstance(wish, FreezeSnapshot)
    assert (0, "01890000\n", "qe-1", "first") == (code, out, wish.person, wish.why)
    assert UUID7.fullmatch(wish.snapshot_id)


def careless(store: RecordStore, at: int, wrong: int = 10) -> None:
    """Let a person take scratch for good again and again."""
    for number in range(1, wrong + 1):
        say(
            store,
            label(f"a{number}", "good", "op-7", of=number, at=at),
            label(f"b{number}", "scratch", "op-2", of=number, at=at, purpose=AUDIT),
            label(f"c{number}", "scratch", "qe-1", of=number, at=at, purpose=Purpose.DISAGREEMENT, level=2),
        )


def test_who_errs_systematically_is_flagged(store: RecordStore, said: Said) -> None:
    """Exit code 1, the matrix, the sentence with the remedy; every rate with count and interval."""
    careless(store, time_ns() - UTC)
    code, answer = asked(said, "audit")
    told = said("audit")
    cell = next(one for one in answer["error_matrix"] if one["person"] == "op-7")

    assert (1, 1) == (code, told[0])
    assert ("scratch", "good", 10, 10) == (cell["truth"], cell["said"], cell["share"]["k"], cell["share"]["n"])
    assert {"value", "k", "n", "low", "high"} == set(cell["share"]) == set(answer["audit"]["agreed"])
    assert "FLAG  op-7 takes scratch for good: " in told[1]
    assert "train op-7 on scratch" in told[1]
    assert answer["flags"][0]["fresh"]


def test_an_old_flag_is_history(store: RecordStore, said: Said) -> None:
    """It is told, and fails no longer; `--since` leaves its checks out."""
    careless(store, -200 * DAY)
    code, answer = asked(said, "audit")
    later = asked(said, "audit", "--since", "2026-11-01")[1]

    assert (0, False) == (code, answer["flags"][0]["fresh"])
    assert ([], []) == (later["flags"], later["error_matrix"])
    assert 2 == said("audit", "--since", "yesterday")[0]


def test_a_seeded_part_checks_its_reviewer(store: RecordStore, said: Said) -> None:
    """What was said of it is no label and counts in the matrix."""
    seeded = [
        ("seed", 0, -1, Seeded(part(5), "dent", "qe-1", UtcNs(UTC))),
        ("answer", 0, -1, SeededAnswer(label("s", "good", "op-4", of=5))),
    ]
    assert () == store.write(seeded, UtcNs(UTC))
    _, answer = asked(said, "audit")

    assert [("op-4", "dent", "good")] == [(c["person"], c["truth"], c["said"]) for c in answer["error_matrix"]]


def agree(store: RecordStore, parts: int, wrong: int = 0) -> None:
    labels = []
    for number in range(1, parts + 1):
        kind = "dent" if number % 2 else "good"
        labels.append(label(f"a{number}", kind, of=number))
        labels.append(label(f"b{number}", "scratch" if number <= wrong else kind, "op-2", of=number, purpose=AUDIT))
    say(store, *labels)


def test_the_gate_of_agreement_needs_proof(store: RecordStore, said: Said) -> None:
    """71 of 71 is not yet 95 %: exit 1 and how many more; with two more it passes."""
    agree(store, 71)
    before, first = asked(said, "agreement")
    text = said("agreement")[1]
    say(store, label("x", "dent", of=99), label("y", "dent", "op-2", of=99, purpose=AUDIT))
    after, second = asked(said, "agreement")

    assert (1, False, 1) == (before, first["gate"]["passes"], first["gate"]["more"])
    assert "over 95%: not proven, 1 more parts that agree as well would prove it" in text
    assert (0, True, 1.0) == (after, second["gate"]["passes"], second["alpha"]["value"])
    assert [{"people": ["op-1", "op-2"], "parts": 72, "kappa": 1.0}] == second["pairs"]


def test_a_class_that_people_cannot_tell_fails_the_gate(store: RecordStore, said: Said) -> None:
    """However well the others are told: agreement on it is proven to lie below."""
    agree(store, 600, wrong=6)
    code, answer = asked(said, "agreement")
    text = said("agreement")[1]

    assert (1, ["scratch"]) == (code, answer["gate"]["refuted_classes"])
    assert answer["observed"]["low"] > 0.95
    assert (0, 6) == (
        answer["per_class"]["scratch"]["agreement"]["k"],
        answer["per_class"]["scratch"]["agreement"]["n"],
    )
    assert "scratch: agreement lies below 95%; settle what scratch means and train on it" in text


@pytest.mark.usefixtures("store")
def test_nothing_labelled_proves_nothing(said: Said) -> None:
    """Exit 1 with what to do; an empty audit is no finding."""
    code, out, _ = said("agreement")

    assert (1, True) == (code, "do the audits of `label queue`" in out)
    assert 0 == said("audit")[0]
    assert "0 parts wait for a decision; 0 labelled parts: none" in said("queue")[1]


def judged(store: RecordStore, number: int, kind: str, occasion: Occasion) -> None:
    """Let the model find something on a part that then waits."""
    finding = Finding(kind, 0.9, 0.8)
    view = ViewResult("top", 1, number, 0.125, None, (finding,) if kind else ())
    result = InspectionResult(
        part(number), (view,), "sha256:5ea1ed", "openvino", "f32", StageTimes(), 0, HostNs(number)
    )
    store.write([("result", 6, number, result)], UtcNs(UTC))
    waits(store, number, occasion)


def test_the_models_lead_is_measured_where_the_draw_hid_it(store: RecordStore, said: Said) -> None:
    """Shown against hidden by the draw; a random sample, and what was hidden for another reason, are left out."""
    hidden = [number for number in range(1, 200) if hides_prediction(1, part(number), "op-1")][:6]
    shown = [number for number in range(1, 200) if number not in hidden][:9]
    for number in (*hidden, *shown):
        judged(store, number, "anomaly" if number % 2 else "dent", Occasion.REVIEW)
    judged(store, 300, "dent", Occasion.SAMPLE)
    judged(store, 301, "", Occasion.REVIEW)
    say(
        store,
        *(label(f"h{number}", "good", of=number) for number in hidden),
        *(replace(label(f"s{number}", "dent", of=number), prediction_shown=True) for number in (*shown, 300)),
        replace(label("n", "good", of=301), prediction_shown=True),
    )
    _, answer = asked(said, "audit")
    led = answer["anchoring"]

    assert (10, 10, 0, 6) == (led["shown"]["k"], led["shown"]["n"], led["hidden"]["k"], led["hidden"]["n"])
    assert (1.0, True) == (led["difference"], 0 < led["low"] < led["high"] <= 1)
    assert "with the model's answer shown 10 of 10" in said("audit")[1]


def test_times_are_told_beside_what_is_expected(store: RecordStore, said: Said) -> None:
    """By level, in text and JSON."""
    say(store, *(label(f"l{number}", "good", of=number, seconds=4.0 + number) for number in range(1, 6)))
    _, answer = asked(said, "audit")

    assert (5, 7.0, [5.0, 10.0]) == tuple(answer["times"][0][key] for key in ("n", "median_s", "expected_s"))
    assert "level 1: 5 labels, median 7.0 s, expected 5 to 10\n" in said("audit")[1]


@pytest.mark.parametrize("action", ["queue", "submit", "audit", "agreement", "snapshot"])
def test_every_action_has_help(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each explains itself and exits with 0."""
    with pytest.raises(SystemExit) as ended:
        main(["label", action, "--help"])

    assert 0 == ended.value.code
    assert f"firstshift label {action}" in capsys.readouterr().out
