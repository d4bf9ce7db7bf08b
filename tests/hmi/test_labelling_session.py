"""The session behind the review screen: what a touch says, what is sent, what can be taken back, how long it took."""

from appliance.labelling.queue import Task
from appliance.schema.clocks import MS, HostNs, S, UtcNs
from appliance.schema.command import SubmitLabel
from appliance.schema.label import GOOD, UNSURE, Label, LabelLevel, Purpose, Shown
from appliance.schema.part import PartId
from appliance.schema.review import Occasion
from hmi.labelling import drawing, lineup, timing
from hmi.labelling.draft import DEFECT, Draft, deeper, missing, redrawn
from hmi.labelling.drawing import Drawing, Tool
from hmi.labelling.lineup import Lineup, Tab
from hmi.labelling.session import UNDO_S, LabellingSession

CLASSES = ("scratch", "dent")
SHOWN = Shown("review", "scratch", 0.83, "sha256:1")


class Desk:
    """Stand in for the touchscreen's desk: a clock moved by hand and an outbox in memory."""

    terminal = "st-04"

    def __init__(self) -> None:
        self.at = HostNs(10 * S)
        self.held: dict[str, Label] = {}
        self.made = 0

    def now(self) -> HostNs:
        return self.at

    def utc(self) -> UtcNs:
        return UtcNs(self.at)

    def new_id(self) -> str:
        self.made += 1
        return f"label-{self.made}"

    def put(self, command: SubmitLabel, hold_s: float = 0.0) -> str:
        assert hold_s == UNDO_S
        self.held[command.label.label_id] = command.label
        return command.label.label_id

    def withdraw(self, entry: str) -> bool:
        return self.held.pop(entry, None) is not None

    def wait(self, seconds: float) -> None:
        self.at = HostNs(self.at + round(seconds * S))


def task(number: int, purpose: Purpose = Purpose.REVIEW, level: LabelLevel = LabelLevel.CONFIRM, **more) -> Task:
    occasion = more.get("occasion", Occasion.REVIEW)
    return Task(PartId(1, number), purpose, occasion, level, blind=True, prediction_hidden=False, since=UtcNs(number))


def shown(desk: Desk, *tasks: Task, seen: Shown | None = SHOWN) -> LabellingSession:
    """Give a session whose first task has stood on the screen for half a second."""
    made = LabellingSession(desk, "1.0")
    made.sign("o-anna", LabelLevel.EXPERT)
    made.offer(tasks, frozenset())
    opened(desk, made, seen)
    return made


def opened(desk: Desk, session: LabellingSession, seen: Shown | None = SHOWN) -> None:
    session.next()
    session.begin(seen, CLASSES, [Drawing("top", (100, 100))])
    session.appeared()
    desk.wait(0.5)


def test_a_class_or_good_part_answers_at_one_touch() -> None:
    """At level 1 a touch on GOOD PART or a class is the answer, with what was shown and how long it took."""
    desk = Desk()
    session = shown(desk, task(1))
    desk.wait(3.5)
    session.answer(session.bound, "dent")
    label = desk.held["label-1"]

    assert ("dent", 4.0, SHOWN, True, "st-04", "1.0") == (
        label.kind, label.seconds, label.shown, label.prediction_shown, label.terminal, label.software,
    )  # fmt: skip


def test_defect_agrees_with_the_class_on_the_screen() -> None:
    """DEFECT takes the class that is shown, and no other."""
    desk = Desk()
    session = shown(desk, task(1))
    session.answer(session.bound, DEFECT)

    assert "scratch" == desk.held["label-1"].kind


def test_defect_asks_where_no_class_is_shown() -> None:
    """Where the model's answer is hidden, DEFECT says nothing of it: the person must name the class."""
    desk = Desk()
    session = shown(desk, task(1), seen=None)
    asked = session.answer(session.bound, DEFECT), len(desk.held), session.draft.asks_kind if session.draft else None
    session.answer(session.bound, "dent")

    assert ((False, 0, True), "dent", False) == (
        asked,
        desk.held["label-1"].kind,
        desk.held["label-1"].prediction_shown,
    )


def test_a_touch_of_the_part_before_answers_nothing() -> None:
    """What was pressed on one part is no answer to the next."""
    desk = Desk()
    session = shown(desk, task(1), task(2))
    bound = session.bound
    session.answer(bound, GOOD)
    opened(desk, session)

    assert (False, 1) == (session.answer(bound, GOOD), len(desk.held))


def test_undo_takes_the_answer_back_within_its_time() -> None:
    """Within ten seconds the answer never leaves the touchscreen, and its part is shown again first."""
    desk = Desk()
    session = shown(desk, task(1), task(2))
    session.answer(session.bound, GOOD)
    desk.wait(UNDO_S - 0.1)
    back = session.undo()

    assert (True, {}, PartId(1, 1)) == (back, desk.held, session.next().part)


def test_undo_ends_after_its_time() -> None:
    """An answer older than ten seconds is corrected, not undone."""
    desk = Desk()
    session = shown(desk, task(1))
    session.answer(session.bound, GOOD)
    desk.wait(UNDO_S)

    assert (None, False) == (session.undoable, session.undo())


def test_nobody_takes_back_what_another_said() -> None:
    """After a switch of people the answer before belongs to who gave it."""
    desk = Desk()
    session = shown(desk, task(1))
    session.answer(session.bound, GOOD)
    session.sign("o-ben", LabelLevel.CONFIRM)

    assert session.undoable is None


def test_what_is_answered_is_not_offered_again_until_it_is_decided() -> None:
    """The store still lists a part whose answer is under way; it is shown to nobody a second time."""
    desk = Desk()
    session = shown(desk, task(1), task(2))
    session.answer(session.bound, GOOD)
    session.offer([task(1), task(2)], frozenset())

    assert PartId(1, 2) == session.next().part


def test_a_refused_answer_brings_its_part_back() -> None:
    """Who hears that his answer was refused can give it again."""
    desk = Desk()
    session = shown(desk, task(1))
    session.answer(session.bound, GOOD)
    session.refused(desk.held["label-1"])

    assert PartId(1, 1) == session.next().part


def test_skipped_work_comes_last_and_comes_again() -> None:
    """Skipping is no answer: the part stays, behind the others."""
    desk = Desk()
    session = shown(desk, task(1), task(2))
    session.skip(session.bound)
    opened(desk, session)
    second = session.task.part
    session.skip(session.bound)

    assert (PartId(1, 2), PartId(1, 1)) == (second, session.next().part)


def test_a_part_decided_elsewhere_is_taken_away() -> None:
    """What another has decided is not asked again; label-only work that is open stays whatever waits."""
    desk = Desk()
    gone = shown(desk, task(1))
    audit = shown(desk, task(2, Purpose.AUDIT))

    assert (False, True) == (gone.offer([], frozenset()), audit.offer([task(3)], frozenset()))


def test_known_answers_look_like_reviews() -> None:
    """A known answer stands in the queue of reviews, and its age is not told."""
    work = Lineup((task(1, Purpose.KNOWN_ANSWER), task(2, Purpose.AUDIT), task(3, occasion=Occasion.UNKNOWN)))
    counts = {tab: (load.count, load.oldest) for tab, load in lineup.loads(work).items()}

    assert {Tab.REVIEW: (1, None), Tab.UNKNOWN: (1, 3), Tab.AUDIT: (1, 2), Tab.DISAGREEMENT: (0, None)} == counts


def test_deeper_levels_need_what_they_are_for() -> None:
    """Level 2 names class and region, level 3 severity and cause too; without them nothing is saved."""
    asked = task(1, Purpose.DISAGREEMENT, LabelLevel.CLASSIFY)
    draft = Draft(
        asked, asked.level, timing.start(asked.level, HostNs(0)), None, CLASSES, (Drawing("top", (100, 100)),)
    )
    said = [missing(draft)]
    draft = Draft(asked, asked.level, draft.watch, None, CLASSES, draft.drawings, kind="dent")
    said.append(missing(draft))
    box = drawing.lift(drawing.extend(drawing.begin(draft.drawings[0], Tool.BOX, "dent", (10, 10)), (40, 40)))
    draft = redrawn(draft, box)
    said += [missing(draft), missing(deeper(draft, LabelLevel.EXPERT))]

    assert ["kind", "region", "", "severity"] == said


def test_a_deep_answer_is_saved_by_its_own_key() -> None:
    """At level 2 a class is chosen and stays a draft; SAVE sends it with its region. A good part has none."""
    desk = Desk()
    session = shown(desk, task(1, Purpose.DISAGREEMENT, LabelLevel.CLASSIFY))
    chosen = session.answer(session.bound, GOOD)
    session.save(session.bound)

    assert (False, GOOD, ()) == (chosen, desk.held["label-1"].kind, desk.held["label-1"].regions)


def test_unsure_answers_at_every_level_and_marks_nothing() -> None:
    """Who cannot say hands the part on at one touch."""
    desk = Desk()
    session = shown(desk, task(1, Purpose.DISAGREEMENT, LabelLevel.CLASSIFY))
    session.answer(session.bound, UNSURE)

    assert (UNSURE, ()) == (desk.held["label-1"].kind, desk.held["label-1"].regions)


def test_a_correction_needs_its_reason() -> None:
    """A standing label is not changed without a word why, and never by a single touch."""
    desk = Desk()
    session = shown(desk, task(1, Purpose.CORRECTION))
    session.answer(session.bound, GOOD)

    assert (False, "reason") == (session.save(session.bound), missing(session.draft))


def test_time_stands_still_behind_a_locked_screen() -> None:
    """The seconds of a label are those in which its part was on the screen."""
    desk = Desk()
    session = shown(desk, task(1))
    desk.wait(1.5)
    session.hide()
    desk.wait(600)
    session.appeared()
    desk.wait(3)
    session.answer(session.bound, GOOD)

    assert 5.0 == desk.held["label-1"].seconds


def test_a_gap_without_a_touch_counts_no_more_than_its_limit() -> None:
    """Who went away in front of a part did not look at it for an hour."""
    watch = timing.start(LabelLevel.CONFIRM, HostNs(0))

    assert 60.0 == timing.seconds(watch, HostNs(3600 * S))


def test_no_touch_counts_before_the_picture_is_there() -> None:
    """A part whose picture has not appeared yet cannot be answered."""
    desk = Desk()
    session = LabellingSession(desk, "1.0")
    session.sign("o-anna", LabelLevel.CONFIRM)
    session.offer([task(1)], frozenset())
    session.next()
    session.begin(SHOWN, CLASSES, [])
    desk.wait(1)
    early = session.bound
    session.appeared()
    desk.at = HostNs(desk.at + 299 * MS)

    assert ("", "") == (early, session.bound)
