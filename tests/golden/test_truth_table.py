"""Pin what the judge publishes in every combination of what can be the case, as `truth_table.txt` says in words.

Each combination is played through the judge itself: two views of a part, with messages, deadlines and mode. The first
table holds what becomes of a part that is seen whole and in time; the second what late and missing frames, faults, the
draw and the mode make of that. Write the file again with `python -m tests.golden.test_truth_table` and read the
difference line by line: each is a rule that changed.
"""

import itertools
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from appliance.ports.node import Publish
from appliance.schema.clocks import MS
from appliance.schema.limits import Limits
from appliance.schema.policy import Basis, Policy
from appliance.schema.verdict import Disposition, InspectionResult, SealedVerdict, Verdict
from appliance.services.judge import JudgeNode
from appliance.sim.twins import PromiseTwin
from tests.unit.judge_rig import BEGIN, KNOWN, RISK, SIGNED, WINDOW, Model, Rig, entered, exposed, frame

FILE = Path(__file__).with_name("truth_table.txt")
CAMERAS = ("top", "side")
PLACES = {"good": (0.5, 0.01), "between": (1.5, 0.15), "bad": (2.5, 0.9)}
"""Image score and calibrated probability of a defect, by where they lie between limits of 1 and 2, and bands."""
NOVELTIES = {"known": 1.0, "unknown": 1 / (KNOWN + 1), "none": None}
HEAD = """What the judge makes of a part, by what is the case. Only ACCEPT opens the gate.

1. A part seen whole, in time, by a model that gives numbers
   basis: what the recipe holds scores against. bundle: raw = without calibration, or in another precision than it was
   calibrated in. promise: void = drift since, another bundle or precision. novelty: what the detector of unknown parts
   says, none = the bundle has none. rule: of the recipe, for example a missing screw. place: good, between or bad by
   limits or bands; - = any of them.

basis      bundle     promise novelty rule   place   disposition reasons
"""
SECOND = """
2. The same part when something else is the case too; sealed = nobody sees it before a person has decided
   `as above` = what the first table says. Reasons of the first table follow those named here where they hold.

fault late view missing drawn mode     accept above                                      anything else above
"""


class Case(Struct, frozen=True, order=True):
    """Name one combination."""

    basis: str
    calibrated: bool
    void: bool
    novelty: str
    broken: bool
    place: str
    fault: bool = False
    late: bool = False
    missing: bool = False
    drawn: bool = False
    parallel: bool = False

    @property
    def plain(self) -> "Case":
        """The same part, seen whole and in time, in primary mode and not in the draw."""
        return replace(self, fault=False, late=False, missing=False, drawn=False, parallel=False)


class Outcome(Struct, frozen=True):
    """State what was published."""

    kind: type
    disposition: Disposition
    reasons: tuple[str, ...]
    sampling: float


def cases() -> Iterator[Case]:
    """Yield every combination."""
    both = (False, True)
    for own in itertools.product(Basis, (True, False), both, NOVELTIES, both, PLACES, *[both] * 5):
        yield Case(own[0].value, *own[1:])


@cache
def played(case: Case, judge: type[JudgeNode] = JudgeNode) -> Outcome:
    """Play one part through a judge and give the one thing it decides."""
    score, probability = PLACES[case.place]
    model = Model()
    model.limits = Limits(1.0, 2.0, 0.5, known_parts=KNOWN) if case.calibrated else Limits(known_parts=KNOWN)
    model.score = math.nan if case.fault else score
    model.probability = probability if case.calibrated else None
    model.novelty_p = NOVELTIES[case.novelty]
    model.broken = ("screws: found 1 screw, asked 2",) if case.broken else ()
    promise = PromiseTwin()
    if case.void:
        promise.void("sha256:a", "record: drift")
    policy = Policy(basis=Basis(case.basis), risk=RISK, sample_share=float(case.drawn))
    rig = Rig(CAMERAS, model, policy, None if case.parallel else SIGNED, promise, judge)
    rig.tell(entered(0, CAMERAS), BEGIN)
    for camera in CAMERAS[: 1 if case.missing else 2]:
        rig.tell(exposed(0, camera), BEGIN)
        rig.tell(frame(0, camera), BEGIN + (WINDOW if case.late else 10 * MS))
    rig.wake(BEGIN + WINDOW)
    said = [one.message for one in rig.said if isinstance(one, Publish)]
    (decided,) = [one for one in said if isinstance(one, Verdict | SealedVerdict)]

    assert case.parallel != any(isinstance(one, InspectionResult) for one in said)
    reasons = tuple(reason.value for reason in decided.reasons)
    return Outcome(type(decided), decided.disposition, reasons, getattr(decided, "sampling", 0.0))


def written() -> str:
    """Lay both tables out."""
    return "".join([HEAD, *_first(), SECOND, *_second()])


def _first() -> Iterator[str]:
    plain = [case for case in cases() if case == case.plain]
    for _, group in itertools.groupby(plain, lambda case: replace(case, place="")):
        own = list(group)
        promised = {played(replace(case, void=void)) == played(case) for case in own for void in (False, True)}
        if promised == {True} and own[0].void:
            continue
        said = [played(case) for case in own]
        for case, outcome in zip(own, said, strict=True):
            if len(set(said)) == 1 and case is not own[0]:
                continue
            yield _columns(
                (10, case.basis),
                (10, "calibrated" if case.calibrated else "raw"),
                (7, "-" if promised == {True} else "void" if case.void else "stands"),
                (7, case.novelty),
                (6, "broken" if case.broken else "holds"),
                (7, "-" if len(set(said)) == 1 else case.place),
                (11, outcome.disposition.upper()),
                (0, ", ".join(outcome.reasons)),
            )


def _second() -> Iterator[str]:
    everything = list(cases())
    for overlay in itertools.product((False, True), repeat=5):
        own = [case for case in everything if _overlay(case) == overlay]
        accepts = {_change(case) for case in own if played(case.plain).disposition is Disposition.ACCEPT}
        others = {_change(case) for case in own if played(case.plain).disposition is not Disposition.ACCEPT}
        fault, late, missing, drawn, parallel = overlay
        yield _columns(
            (5, "yes" if fault else "no"),
            (4, "yes" if late else "no"),
            (12, "yes" if missing else "no"),
            (5, "yes" if drawn else "no"),
            (8, "parallel" if parallel else "primary"),
            (49, " or ".join(sorted(accepts))),
            (0, " or ".join(sorted(others))),
        )


def _overlay(case: Case) -> tuple[bool, ...]:
    return case.fault, case.late, case.missing, case.drawn, case.parallel


def _change(case: Case) -> str:
    """Say what became of a part in comparison with the first table."""
    before, after = played(case.plain), played(case)
    sealed = "sealed, " if after.kind is SealedVerdict else ""
    if (before.disposition, before.reasons) == (after.disposition, after.reasons):
        return f"{sealed}as above"
    new = [reason for reason in after.reasons if reason not in before.reasons]
    return f"{sealed}{after.disposition.upper()} {', '.join(new)}"


def _columns(*columns: tuple[int, str]) -> str:
    return "".join(f"{text:<{width}} " if width else text for width, text in columns).rstrip() + "\n"


def test_the_table_is_unchanged() -> None:
    """Every one of 6,912 combinations gives what the file says that a quality engineer has read."""
    assert FILE.read_text("utf-8") == written()


def test_the_table_is_whole() -> None:
    """The second table loses nothing: what is published follows from its line and that of the first table."""
    everything = list(cases())

    assert 6912 == len(set(everything)) == len(everything)
    assert {Disposition.ACCEPT, *Disposition} == {played(case).disposition for case in everything}


def in_order(case: Case) -> bool:
    """Say in plain words when the gate may open."""
    return (
        case.calibrated
        and case.place == "good"
        and case.novelty == "known"
        and not (case.void and case.basis == "risk")
        and not (case.broken or case.fault or case.late or case.missing or case.drawn)
    )


def test_an_accept_means_that_everything_is_in_order() -> None:
    """In all combinations, and only then; and in parallel mode nothing is published that opens a gate."""
    for case in cases():
        outcome = played(case)

        # A part that people decide anyway is in no draw.
        told = replace(case, drawn=False) if case.parallel else case

        assert in_order(told) == (outcome.disposition is Disposition.ACCEPT), case
        assert (SealedVerdict if case.parallel else Verdict) is outcome.kind, case


def test_unknown_is_held_and_shown_whatever_else() -> None:
    """A part unlike everything known is UNKNOWN in every combination in which it was seen at all."""
    for case in cases():
        seen = not (case.fault or case.late or case.missing)
        if case.novelty == "unknown" and seen:
            assert (Disposition.UNKNOWN, "unknown_defect") == (played(case).disposition, played(case).reasons[0]), case


def test_what_was_not_seen_is_no_verdict() -> None:
    """A late, missing or failed view decides nothing, in any combination with anything."""
    for case in cases():
        unseen = case.fault or case.late or case.missing

        assert unseen == (played(case).disposition is Disposition.NO_VERDICT), case


@pytest.mark.parametrize("mode", [False, True])
def test_the_draw_concerns_would_be_accepts_of_primary_mode_alone(mode: bool) -> None:
    """It takes accepts, states its probability for each of them, and touches nothing else."""
    for case in cases():
        if not case.drawn or case.parallel is not mode:
            continue
        without, drawn = played(replace(case, drawn=False)), played(case)
        if without.disposition is Disposition.ACCEPT and not mode:
            assert (Disposition.REVIEW, ("random_sample", *without.reasons), 1.0) == (
                drawn.disposition,
                drawn.reasons,
                drawn.sampling,
            )
        else:
            assert without == drawn


@pytest.mark.parametrize("worse", ["void", "broken", "fault", "late", "missing", "drawn"])
def test_nothing_that_gets_worse_opens_the_gate(worse: str) -> None:
    """Whatever else is the case, turning one thing for the worse makes no accept of what was none."""
    for case in cases():
        if not getattr(case, worse):
            after = played(replace(case, **{worse: True})).disposition

            assert played(case).disposition is Disposition.ACCEPT or after is not Disposition.ACCEPT, case


if __name__ == "__main__":
    FILE.write_text(written(), "utf-8")
