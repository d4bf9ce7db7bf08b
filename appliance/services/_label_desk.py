"""Take people's labels, and freeze what training may use of them; part of `record`.

A label is a fact of its own, so only what overrules another's goes into the audit chain too. What a label may do is
said of the labels as they stand when it arrives, since the touchscreen may have kept it back for hours.
"""

import math
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from appliance.governance.rights import Right
from appliance.labelling.standing import Standing, State, countable, standing
from appliance.ports.node import Publish
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.command import FreezeSnapshot
from appliance.schema.errors import Refused
from appliance.schema.label import Label, LabelLevel, Purpose, Region
from appliance.schema.person import Person
from appliance.schema.review import SeededAnswer
from appliance.schema.topics import AUDIT, LABEL
from appliance.services._people_desk import check_right
from appliance.services._review_desk import RECORD, STEPS, Deed, ReviewDesk, check_seconds, check_word
from appliance.storage import label_queries, snapshots
from appliance.storage.record_store import RecordStore

LONGEST_REASON = 400
"""Characters of a reason or a cause."""

LARGEST = 1_000_000
"""Bytes of a label with its outlines."""

SEVERITIES = ("", "minor", "major", "critical")


class LabelDesk:
    """Hold the rules of labelling. One thread; blocks on the store alone."""

    def __init__(self, store: RecordStore, review: ReviewDesk) -> None:
        """Take the store, and the desk that decides the parts that wait."""
        self._store = store
        self._review = review

    def submit(self, label: Label, person: Person | None, now: HostNs, utc: UtcNs) -> Deed:
        """Say what a label leads to; Refused says why it is not taken. person: who gives it; None: none is enrolled."""
        self._review.check_part(label.part)
        _check_label(label)
        held = self._store.ask(lambda connection: label_queries.label(connection, label.label_id))
        if held is not None:
            return _again(held, label)
        if label.purpose is Purpose.REVIEW:
            return self._review.decide(label, now, utc)
        labels = self._store.ask(lambda connection: label_queries.labels_of(connection, label.part))
        _admit(label, [one for one in labels if countable(one)], standing(labels), person)
        said = self._store.ask(lambda connection: label_queries.following(connection, label))
        is_seeded = self._review.is_seeded(label.part)
        kept: tuple[str, Struct] = (STEPS, SeededAnswer(said)) if is_seeded else (LABEL, said)
        outputs = () if is_seeded else (Publish(LABEL, said),)
        return Deed((kept, *_notes(said, standing(labels))), outputs, f"part {label.part}: {label.kind}")

    def freeze(self, wish: FreezeSnapshot) -> Deed:
        """Say what freezing leads to; Refused when there is nothing to freeze."""
        check_word("id", wish.snapshot_id)
        check_word("person", wish.person)
        check_word("reason", wish.why, LONGEST_REASON)
        held = self._store.ask(lambda connection: snapshots.snapshot(connection, wish.snapshot_id))
        if held is not None and (held.person, held.why) != (wish.person, wish.why):
            raise Refused(f"snapshot {wish.snapshot_id}: was frozen by {held.person}; send it under a new id")
        if held is None and not self._store.ask(snapshots.has_trainable):
            raise Refused("snapshot: 0 kept images have a class that stands, 1 is needed; label some, settle conflicts")
        return Deed(((STEPS, wish),) if held is None else (), (), wish.snapshot_id)


def _again(held: Label, label: Label) -> Deed:
    """Answer a label that is sent again; what `record` filled in is not compared."""
    if msgspec.structs.replace(label, previous=held.previous, old=held.old) != held:
        raise Refused(f"label {label.label_id}: another label has this id; send it under a new id")
    return Deed(detail=f"part {label.part}: {label.kind} was kept already")


def _admit(label: Label, labels: Sequence[Label], stands: Standing, person: Person | None) -> None:
    """Refuse a label that may not be given; labels: those of the part that count for anything, in order."""
    if not labels:
        raise Refused(f"part {label.part}: has no label, 1 is needed for {label.purpose.value}; review it first")
    match label.purpose:
        case Purpose.AUDIT:
            if any(one.person == label.person for one in labels):
                raise Refused(f"part {label.part}: {label.person!r} has labelled it; another person must audit it")
        case Purpose.DISAGREEMENT:
            _admit_settling(label, stands)
        case Purpose.CORRECTION:
            _admit_correction(label, stands, person)


def _admit_settling(label: Label, stands: Standing) -> None:
    if stands.state not in (State.CONFLICT, State.UNSURE):
        raise Refused(f"part {label.part}: is {stands.kind!r} and {stands.state.value}; correct it with a reason")
    highest = max(int(one.level) for one in stands.counted)
    is_party = any(one.person == label.person for one in stands.counted)
    if label.level > highest or (label.level is LabelLevel.EXPERT and not is_party):
        return
    raise Refused(
        f"part {label.part}: labels of level {highest} are to be settled, {label.person!r} labels at level "
        f"{int(label.level)}; it needs level {min(highest + 1, 3)}, of level 3 a person who has not labelled the part"
    )


def _admit_correction(label: Label, stands: Standing, person: Person | None) -> None:
    if not label.reason:
        raise Refused(f"part {label.part}: a correction has no reason; say in a few words why {label.kind!r} is right")
    if any(one.person == label.person for one in stands.counted):
        return  # his own word, said anew; it overrules nobody's
    if person is not None:
        check_right(label.person, person, Right.CORRECT)
    highest = max(int(one.level) for one in stands.counted)
    needed = highest + 1  # so level 2 at least
    if label.level < needed:
        raise Refused(
            f"part {label.part}: others have labelled it at level {highest}, {label.person!r} corrects at level "
            f"{int(label.level)}; "
            + (f"it needs level {needed}" if needed <= LabelLevel.EXPERT else "audit it instead")
        )


def _notes(label: Label, before: Standing) -> tuple[tuple[str, Struct], ...]:
    """Give the entry of the audit chain for a label that overrules others."""
    if label.purpose not in (Purpose.DISAGREEMENT, Purpose.CORRECTION):
        return ()
    action = "label_corrected" if label.purpose is Purpose.CORRECTION else "labels_settled"
    was = before.kind or " / ".join(dict.fromkeys(one.kind for one in before.counted))
    why = f": {label.reason}" if label.reason else ""
    after = f"{label.kind}, level {int(label.level)}{why}"
    return ((AUDIT + RECORD, AuditRequest(label.person, action, str(label.part), was, after)),)


def _check_label(label: Label) -> None:
    for name, word in (("id", label.label_id), ("person", label.person), ("class", label.kind)):
        check_word(name, word)
    for name, text in (("reason", label.reason), ("cause", label.cause)):
        if text:
            check_word(name, text, LONGEST_REASON)
    check_seconds(label.part, label.seconds)
    if not 0 < label.at < 1 << 63:
        raise Refused(f"part {label.part}: given at {label.at} ns, after 0 and under 2^63 is needed; set the clock")
    if label.severity not in SEVERITIES:
        raise Refused(f"part {label.part}: severity {label.severity!r}; choose minor, major, critical or none")
    for region in label.regions:
        _check_region(label, region)
    size = len(msgspec.msgpack.encode(label))
    if size > LARGEST:
        raise Refused(
            f"part {label.part}: the label has {size} bytes, limit is {LARGEST}; draw fewer or plainer outlines"
        )


def _check_region(label: Label, region: Region) -> None:
    check_word("camera", region.camera)
    check_word("class", region.kind)
    box, (rows, cols) = region.box, region.size
    numbers = (box.x_px, box.y_px, box.width_px, box.height_px, *(place for point in region.polygon for place in point))
    if not all(map(math.isfinite, numbers)) or box.width_px <= 0 or box.height_px <= 0:
        raise Refused(f"part {label.part}: a region of {region.camera} is {box}, over 0 px is needed; draw it again")
    if 0 < len(region.polygon) < 3:
        raise Refused(f"part {label.part}: an outline has {len(region.polygon)} points, 3 are needed; draw it again")
    if region.runs and (min(region.runs) < 0 or sum(region.runs) != rows * cols):
        raise Refused(
            f"part {label.part}: a mask covers {sum(region.runs)} px, its frame has {rows * cols}; draw it again"
        )
