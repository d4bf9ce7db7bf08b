"""Tell the promises of the decision in plain words, apart from the code, and try a judge on them."""

import itertools
from collections.abc import Iterator

from msgspec.structs import replace

from appliance.schema.clocks import MS, EncoderCounts, HostNs
from appliance.schema.part import BeltPosition
from appliance.schema.policy import Basis, Role
from appliance.schema.verdict import Disposition, Verdict
from appliance.services.judge import JudgeNode
from tests.golden.test_truth_table import Case, Outcome, in_order, played
from tests.unit.judge_rig import BEGIN, BY_RISK, DRIFT, MARGIN, UNSAMPLED, WINDOW, Rig, entered, exposed, frame

OUT_OF_ORDER = "accepted out of order"
WRONG = ("void", "broken", "fault", "late", "missing", "drawn", "parallel")


def cases() -> Iterator[Case]:
    """Yield parts with at most two things wrong, on each basis."""
    wrongs = [{one: True} for one in WRONG]
    wrongs += [
        {"calibrated": False},
        {"novelty": "unknown"},
        {"novelty": "none"},
        {"place": "between"},
        {"place": "bad"},
    ]
    for basis in Basis:
        fine = Case(basis.value, calibrated=True, void=False, novelty="known", broken=False, place="good")
        yield fine
        yield from (replace(fine, **wrong) for wrong in wrongs)
        yield from (replace(fine, **{**one, **other}) for one, other in itertools.combinations(wrongs, 2))


def broken(judge: type[JudgeNode]) -> set[str]:
    """Name the promises that a judge breaks to parts, to several views, to heads and on a belt that stands."""
    found = {name for case in cases() for name in _broken_by(case, judge)}
    return {*found, *_by_views(judge), *_by_heads(judge), *_by_belt(judge), *_by_drift(judge)}


def _broken_by(case: Case, judge: type[JudgeNode]) -> Iterator[str]:
    try:
        outcome = played(case, judge)
    except (AssertionError, ValueError):
        yield "not one word in the right place"
        return
    unseen, disposition = case.fault or case.late or case.missing, outcome.disposition
    orderly = in_order(replace(case, drawn=False) if case.parallel else case)
    if orderly != (disposition is Disposition.ACCEPT):
        yield "held though in order" if orderly else OUT_OF_ORDER
    if unseen != (disposition is Disposition.NO_VERDICT):
        yield "decided unseen"
    if case.novelty == "unknown" and not unseen and outcome.reasons[0] != "unknown_defect":
        yield "unknown not shown"
    if case.broken and not unseen and case.novelty != "unknown" and disposition is not Disposition.REJECT:
        yield "broken rule not rejected"
    if case.place == "bad" and case.calibrated and not unseen and disposition is Disposition.REVIEW:
        yield "bad one not rejected"
    yield from _broken_by_word(case, outcome)


def _broken_by_word(case: Case, outcome: Outcome) -> Iterator[str]:
    """Name what is wrong with how a part's decision is said."""
    if (outcome.kind is Verdict) == case.parallel:
        yield "open in parallel mode"
    if case.drawn and in_order(replace(case, drawn=False)) and not case.parallel:
        if (outcome.reasons[0], outcome.sampling) != ("random_sample", 1.0):
            yield "draw not told"
    elif outcome.sampling:
        yield "draw of what is held anyway"


def _by_views(judge: type[JudgeNode]) -> Iterator[str]:
    """Show a good view beside one of each other kind, in both orders."""
    for bad, bad_first in itertools.product((1.5, 9.0, float("nan")), (True, False)):
        rig = Rig(("top", "side"), judge=judge)
        rig.tell(entered(0, rig.cameras), BEGIN)
        for camera, score in zip(rig.cameras, (bad, 0.5) if bad_first else (0.5, bad), strict=True):
            rig.model.score = score
            rig.tell(exposed(0, camera), BEGIN)
            rig.tell(frame(0, camera), BEGIN + 10 * MS)
        if any(one.disposition is Disposition.ACCEPT for one in rig.verdicts):
            yield "better view decides"


def _by_heads(judge: type[JudgeNode]) -> Iterator[str]:
    """Ask for heads that the bundle does not have."""
    for heads in ({"ocr": Role.DECIDES}, {"": Role.INFORMS}, {"": Role.CONFIRMS}):
        rig = Rig(policy=replace(UNSAMPLED, heads=heads), judge=judge)
        rig.part(0)
        if any(one.disposition is Disposition.ACCEPT for one in rig.verdicts):
            yield "accepted with nobody deciding"


def _by_belt(judge: type[JudgeNode]) -> Iterator[str]:
    """Let the belt stand for a second with a part on it, and let another part's time run out."""
    rig, due = Rig(judge=judge), HostNs(BEGIN + WINDOW)
    rig.tell(entered(0, close_counts=EncoderCounts(300)), BEGIN)
    rig.tell(BeltPosition(HostNs(due - MS), 0, EncoderCounts(0), 1000.0, 1), due - MS)
    if any(isinstance(one, Verdict) for one in rig.wake(due)):
        yield "expired on a belt that stands"
    rig = Rig(judge=judge)
    rig.tell(entered(0), BEGIN)
    if not any(isinstance(one, Verdict) for one in rig.wake(due - MARGIN)):
        yield "never expires"


def _by_drift(judge: type[JudgeNode]) -> Iterator[str]:
    """Let an alarm for drift come, another one, and one be lost."""
    for kind, expected in (("drift", Disposition.REVIEW), ("lamp", Disposition.ACCEPT)):
        rig = Rig(policy=BY_RISK, judge=judge)
        rig.tell(replace(DRIFT, kind=kind), BEGIN)
        rig.part(0)
        if [expected] != [one.disposition for one in rig.verdicts]:
            yield f"{kind} {'forgiven' if kind == 'drift' else 'punished'}"
    rig = Rig(policy=BY_RISK, judge=judge)
    rig.node.lost("alarm.record", 1, HostNs(BEGIN))
    rig.part(0)
    if any(one.disposition is Disposition.ACCEPT for one in rig.verdicts):
        yield "lost alarm forgiven"
