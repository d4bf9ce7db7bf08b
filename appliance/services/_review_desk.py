"""Take what people decide about parts, and the known defects they put on the line; half of `record`.

A person's wish is answered only when what follows from it is durable: no decision acts that could be forgotten. The
way to the store is the caller's: `answer` says what must be kept, `keep` lets it happen.
"""

import math
from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

from appliance.decision.review_queue import WAITS, Item, ReviewQueue, occasion_of
from appliance.ports.node import Output, Publish
from appliance.schema.actuation import Actuation, HandActuation, Lane
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.command import DecidePart, QuarantinePart, ReinspectPart, SeedPart
from appliance.schema.errors import Refused
from appliance.schema.health import Alarm
from appliance.schema.ids import uuid7
from appliance.schema.label import GOOD, UNSURE, Label, LabelLevel
from appliance.schema.part import PartEntered, PartId
from appliance.schema.person import Role
from appliance.schema.policy import Mode, Policy
from appliance.schema.review import Change, ManualVerdict, Occasion, ReviewStep, Seeded, SeededAnswer
from appliance.schema.topics import ALARM, AUDIT, LABEL, MANUAL, SEED
from appliance.schema.verdict import Disposition, Verdict
from appliance.storage import label_queries, people_queries, review_queries
from appliance.storage.record_store import RecordStore

RECORD = "record"

STEPS = "review"
"""Stands for a topic where steps of the queue are kept; they are on none."""

HELD = {Disposition.REVIEW: Occasion.REVIEW, Disposition.UNKNOWN: Occasion.UNKNOWN}
"""What the gate held back for a person; the actuation says so where the verdict itself was lost on its way."""

LONGEST_WORD = 80
"""Characters of a person, a class or a reason."""

Wish = DecidePart | SeedPart | QuarantinePart | ReinspectPart


class Deed(Struct, frozen=True):
    """Say what follows from a wish or a message."""

    facts: tuple[tuple[str, Struct], ...] = ()
    """What must be kept, with its topic."""
    outputs: tuple[Output, ...] = ()
    """What is said once it is kept."""
    detail: str = ""
    """Answer to the person."""
    armed: SeedPart | None = None
    """A known defect that is still to meet its part."""


class ReviewDesk:
    """Hold the review queue of a station. One thread; never blocks but for the store."""

    def __init__(
        self,
        store: RecordStore,
        policy: Policy,
        mode: Mode,
        quality: Collection[str],
        entropy: Callable[[int], int],
    ) -> None:
        """Take the recipe's policy and mode, and who, beside the role, may decide what the model did not know.

        entropy: gives a random number of so many bits, for ids.
        """
        self._store = store
        self._policy = policy
        self._mode = mode
        self._quality = frozenset(quality)
        self._entropy = entropy
        self._queue = self._filled(())
        self._seeds: dict[PartId, tuple[str, str]] = {}
        self._armed: SeedPart | None = None
        self._was_full = False

    @property
    def waiting(self) -> int:
        """Parts that wait for a person."""
        return len(self._queue.waiting)

    @property
    def limit(self) -> int:
        """Most parts that may wait."""
        return self._policy.review_limit

    @property
    def due(self) -> UtcNs | None:
        """Instant at which `expire` has something to do."""
        return self._queue.due

    def start(self, at: UtcNs) -> Deed:
        """Build the queue again from the store, with what ought to be in it and is not."""
        ask = self._store.ask
        self._queue = self._filled(ask(lambda held: review_queries.items(held, WAITS)))
        self._seeds = ask(review_queries.seeds)
        wish = ask(review_queries.seed_wish)
        self._armed = SeedPart(*wish) if wish is not None else None
        self._was_full = self._queue.is_full
        steps = []
        for part, occasion in ask(review_queries.overlooked):
            step = self._queue.opening(part, occasion, at)
            if step is not None:
                self._queue.take(step)
                steps.append(step)
        return Deed(tuple((STEPS, step) for step in steps))

    def hear(self, message: Struct, now: HostNs, utc: UtcNs) -> Deed:
        """Take a fact; its steps have happened when this returns, and are to be kept with it."""
        match message:
            case Verdict():
                occasion = occasion_of(message)
                return self._open(message.part, occasion, now, utc) if occasion is not None else Deed()
            case PartEntered():
                return self._entered(message, now, utc)
            case Actuation():
                occasion = Occasion.PARALLEL if self._mode is Mode.PARALLEL else HELD.get(message.disposition)
                deed = self._open(message.part, occasion, now, utc) if occasion is not None else Deed()
                back = self._back(message, now, utc)
                outputs = (*deed.outputs, *back.outputs, *self._seed_alarm(message, now))
                return Deed((*deed.facts, *back.facts), outputs)
            case HandActuation():
                return Deed(outputs=self._seed_alarm(message, now))
        return Deed()

    def expire(self, now: HostNs, utc: UtcNs) -> Deed:
        """Put into quarantine what nobody decided in time."""
        steps = self._queue.expiring(utc)
        if not steps:
            return Deed()
        for step in steps:
            self._queue.take(step)
        first = steps[0]
        text = (
            f"{len(steps)} parts went into quarantine, the first is {first.part}: {first.why}; hold them and ask for "
            "a re-inspection"
        )
        return Deed(tuple((STEPS, step) for step in steps), (_alarm("review_expired", text, first.part, now),))

    def answer(self, wish: Wish, now: HostNs, utc: UtcNs) -> Deed:
        """Say what a person's wish leads to; nothing has happened before `keep`. Refused says why it leads nowhere."""
        check_word("person", wish.person)
        match wish:
            case DecidePart():
                return self._decide(wish, now, utc)
            case SeedPart():
                return self._seed(wish, utc)
            case QuarantinePart():
                self.check_part(wish.part)
                check_word("reason", wish.why)
                step = self._queue.quarantining(wish.part, wish.person, wish.why, utc)
                note = AuditRequest(wish.person, "part_quarantined", str(wish.part), "", wish.why)
                return Deed(((STEPS, step), (AUDIT + RECORD, note)), (), f"part {wish.part} is in quarantine")
            case ReinspectPart():
                self.check_part(wish.part)
                check_word("reason", wish.why)
                step = self._queue.reopening(wish.part, wish.person, wish.why, utc)
                note = AuditRequest(wish.person, "reinspection_asked", str(wish.part), "", wish.why)
                return Deed(((STEPS, step), (AUDIT + RECORD, note)), (), f"part {wish.part} waits for a re-inspection")

    def keep(self, deed: Deed) -> None:
        """Let happen what `answer` gave, now that it is durable."""
        for _, fact in deed.facts:
            if isinstance(fact, ReviewStep):
                self._queue.take(fact)
            elif isinstance(fact, Seeded):
                self._seeds[fact.part] = (fact.kind, fact.person)
        self._armed = deed.armed or self._armed

    def _filled(self, waiting: Sequence[Item]) -> ReviewQueue:
        wait_ns = int(self._policy.review_minutes * 60 * S)
        return ReviewQueue(self._policy.review_limit, wait_ns, self._past, waiting)

    def _past(self, part: PartId) -> Item | None:
        return self._store.ask(lambda held: review_queries.standing(held, part))

    def _seed_alarm(self, fact: Actuation | HandActuation, now: HostNs) -> tuple[Output, ...]:
        if fact.lane is not Lane.ACCEPT or fact.part not in self._seeds:
            return ()
        kind, _ = self._seeds[fact.part]
        text = f"part {fact.part} is a known {kind}, put there as a test, and was accepted: take it out"
        return (_alarm("seed_accepted", text, fact.part, now),)

    def _open(self, part: PartId, occasion: Occasion, now: HostNs, utc: UtcNs) -> Deed:
        step = self._queue.opening(part, occasion, utc)
        if step is None:
            return Deed()
        self._queue.take(step)
        was_full, self._was_full = self._was_full, step.change is Change.QUARANTINED
        if was_full or not self._was_full:
            return Deed(((STEPS, step),))
        text = f"part {part} and those after it go into quarantine: {step.why}; decide some, or raise review_limit"
        return Deed(((STEPS, step),), (_alarm("review_full", text, part, now),))

    def _back(self, actuation: Actuation, now: HostNs, utc: UtcNs) -> Deed:
        """Ask again about a part that a person accepted before the gate held it back: no hand has moved it."""
        item = self._queue.find(actuation.part) if actuation.lane is Lane.REJECT else None
        if item is None or item.change is not Change.DECIDED:
            return Deed()
        last = self._store.ask(lambda held: review_queries.manual_verdicts(held, actuation.part))[-1]
        if not last.accept or last.decided > actuation.at:
            return Deed()
        why = "accepted before the gate, which held it back"
        step = self._queue.returning(actuation.part, why, utc)
        if step is None:
            text = f"part {actuation.part}: {why}, and no place in review is free; ask for a re-inspection"
            return Deed(outputs=(_alarm("review_full", text, actuation.part, now),))
        self._queue.take(step)
        return Deed(((STEPS, step),))

    def _entered(self, entered: PartEntered, now: HostNs, utc: UtcNs) -> Deed:
        deed = Deed()
        if self._mode is Mode.PARALLEL:
            deed = self._open(entered.part, Occasion.PARALLEL, now, utc)
        wish, self._armed = self._armed, None
        if wish is None:
            return deed
        seeded = Seeded(entered.part, wish.kind, wish.person, UtcNs(utc - (now - entered.at)))
        self._seeds[entered.part] = (wish.kind, wish.person)
        return Deed((*deed.facts, *_seed_facts(seeded)), (*deed.outputs, Publish(SEED, seeded)))

    def decide(self, label: Label, now: HostNs, utc: UtcNs) -> Deed:
        """Say what a label leads to on a part that waits: its decision, or a quality engineer's if it is unsure.

        Of a seeded part the answer is kept apart from labels.
        """
        kind, seeder = self._seeds.get(label.part, ("", ""))
        if label.person == seeder:
            raise Refused(
                f"part {label.part}: {seeder!r} put it there as a known {kind}; another person must decide it"
            )
        said = self._store.ask(lambda held: label_queries.following(held, label))
        kept: tuple[str, Struct] = (STEPS, SeededAnswer(said)) if seeder else (LABEL, said)
        if label.kind == UNSURE:
            step = self._queue.handing_on(label.part, label.person, utc, quality=self._is_quality(label.person))
            return _told((STEPS, step), kept, detail=f"part {label.part}: waits for a quality engineer")
        step = self._queue.deciding(label.part, label.person, utc, quality=self._is_quality(label.person))
        verdict = ManualVerdict(
            verdict_id=label.label_id,
            part=label.part,
            accept=label.kind == GOOD,
            kind=label.kind,
            person=label.person,
            occasion=step.occasion,
            seconds=label.seconds,
            prediction_shown=label.prediction_shown,
            decided=now,
            at=utc,
        )
        detail = f"part {label.part}: {'accept' if verdict.accept else 'reject'}, {label.kind}"
        return _told((STEPS, step), (MANUAL, verdict), kept, detail=detail)

    def check_part(self, part: PartId) -> None:
        """Refuse a part that no fact names."""
        possible = 0 <= part.boot < 1 << 32 and 0 <= part.number < 1 << 32
        if not possible or not self._store.ask(lambda held: review_queries.is_known(held, part)):
            raise Refused(f"part {part}: is not known to this station; `firstshift review list` names those that wait")

    def is_seeded(self, part: PartId) -> bool:
        """Say whether a part is a known defect that somebody put there; to be told to nobody."""
        return part in self._seeds

    def _is_quality(self, person: str) -> bool:
        found = self._store.ask(lambda held: people_queries.person(held, person))
        return person in self._quality or (found is not None and found.active and found.role is Role.QUALITY)

    def _decide(self, wish: DecidePart, now: HostNs, utc: UtcNs) -> Deed:
        self.check_part(wish.part)
        _check_answer(wish)
        label = Label(
            label_id=uuid7(utc, self._entropy(74)),
            part=wish.part,
            level=LabelLevel.CONFIRM,
            person=wish.person,
            kind=wish.kind,
            seconds=wish.seconds,
            prediction_shown=wish.prediction_shown,
            at=utc,
        )
        return self.decide(label, now, utc)

    def _seed(self, wish: SeedPart, utc: UtcNs) -> Deed:
        check_word("class", wish.kind)
        if wish.kind == GOOD:
            raise Refused("seed: class 'good' is no defect; name the class of the known defect")
        if wish.part is None:
            if self._armed is not None:
                raise Refused(f"seed: a {self._armed.kind} waits for the next part already; put that on the line first")
            note = AuditRequest(wish.person, "seed_announced", "next part", "", wish.kind)
            return Deed(((AUDIT + RECORD, note),), (), f"the next part that enters is a known {wish.kind}", wish)
        return self._seed_known(wish, wish.part, utc)

    def _seed_known(self, wish: SeedPart, part: PartId, utc: UtcNs) -> Deed:
        self.check_part(part)
        item = self._queue.find(part)
        if part in self._seeds:
            raise Refused(f"part {part}: is seeded already as {self._seeds[part][0]}; choose another part")
        if item is not None and item.people:
            raise Refused(f"part {part}: {item.people[-1]} has decided it already; seed a part that nobody has decided")
        if item is not None and item.handed_on:
            raise Refused(f"part {part}: somebody has looked at it already; seed a part that nobody has seen")
        lane = self._store.ask(lambda held: review_queries.lane_of(held, part))
        if lane == Lane.ACCEPT:
            raise Refused(f"part {part}: lies in the accept lane, where nobody would look at it; choose a held part")
        seeded = Seeded(part, wish.kind, wish.person, utc)
        facts: tuple[tuple[str, Struct], ...] = _seed_facts(seeded)
        if item is None and lane is not None:  # held by the machine, and nobody is asked: it comes as any other review
            if self._queue.is_full:
                raise Refused(f"part {part}: {self.waiting} parts wait, limit {self.limit}; decide some of them first")
            facts = ((STEPS, ReviewStep(part, 1, Change.OPENED, Occasion.REVIEW, "", "", utc)), *facts)
        return Deed(facts, (Publish(SEED, seeded),), f"part {part} is a known {wish.kind}")


def _seed_facts(seeded: Seeded) -> tuple[tuple[str, Struct], ...]:
    note = AuditRequest(seeded.person, "part_seeded", str(seeded.part), "", seeded.kind)
    return (SEED, seeded), (AUDIT + RECORD, note)


def _check_answer(wish: DecidePart) -> None:
    check_word("class", wish.kind)
    if wish.accept is not (wish.kind == GOOD):
        way = "an accept as" if wish.accept else "a reject as"
        raise Refused(
            f"part {wish.part}: {way} {wish.kind!r} contradicts itself; accept as good, or reject as a class of defect"
        )
    if wish.kind == UNSURE:
        raise Refused(f"part {wish.part}: {UNSURE!r} decides nothing; `firstshift label submit` hands the part on")
    check_seconds(wish.part, wish.seconds)


def check_seconds(part: PartId, seconds: float) -> None:
    """Refuse a time that nobody can have taken."""
    if not (math.isfinite(seconds) and seconds >= 0):
        raise Refused(f"part {part}: {seconds} s to decide, limit is 0 or more; correct it")


def check_word(name: str, word: str, longest: int = LONGEST_WORD) -> None:
    """Refuse a word that is empty, too long, or cannot be shown in one line."""
    if not word or len(word) > longest or not word.isprintable() or word != word.strip():
        raise Refused(f"{name} {word[:longest]!r}: 1 to {longest} printable characters are needed; correct it")


def _told(*facts: tuple[str, Struct], detail: str) -> Deed:
    """Keep facts, and say those that have a topic."""
    return Deed(facts, tuple(Publish(topic, fact) for topic, fact in facts if topic != STEPS), detail)


def _alarm(kind: str, text: str, part: PartId, now: HostNs) -> Output:
    return Publish(ALARM + RECORD, Alarm(RECORD, kind, text, str(part), now))
