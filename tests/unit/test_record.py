"""The record service writes what happened, in one transaction a turn, and says when it cannot."""

import pytest

from appliance.governance import audit_chain
from appliance.ports.node import Send
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import MS, S
from appliance.schema.command import Accepted, ActivateBundle, Drain, RefusedReply
from appliance.schema.errors import StoreError
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.part import PartEntered, PartId
from appliance.schema.verdict import Disposition, InspectionResult, Reason, StageTimes, Verdict
from appliance.services.record import IMAGES, RecordNode
from appliance.storage import queries
from appliance.storage.database import open_reader
from appliance.storage.fact_queue import FIRST_PAUSE, LONGEST_PAUSE, FactQueue
from appliance.storage.image_messages import ImageFailed, ImageKept, KeepImage, MeetRing, ReleaseFrame
from appliance.storage.image_plan import ImagePlan
from appliance.storage.record_store import RecordStore

UTC = 1_763_000_000_000_000_000


class ManualClock:
    def __init__(self):
        self.host = 1 * S

    def now(self):
        return self.host

    def utc(self):
        return UTC + self.host


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(tmp_path):
    store = RecordStore(tmp_path, 16)
    yield store
    store.close()


@pytest.fixture
def node(store, clock):
    node = RecordNode(store, ImagePlan(1.0, 1500 * MS), clock, "cell-4", "c0ffee", 42)
    node.start(clock.now())
    return node


@pytest.fixture
def reader(store):
    connection = open_reader(store.path)
    yield connection
    connection.close()


def entered(number):
    return PartEntered(PartId(1, number), 900 * MS, 500, 10, 20, 2 * S, ("top",))


def frame_of(number):
    return FrameReady(
        "top", SlotRef(1, 0, 1), number, 0, 910 * MS, 500, None, 920 * MS, 16, 16, PixelFormat.MONO8, 100.0, 0.0, 0,
        FrameCounts(),
    )  # fmt: skip


def result_of(number):
    view = ViewResult("top", 1, number, 0.25, None, ())
    return InspectionResult(PartId(1, number), (view,), "b", "openvino", "f32", StageTimes(), 0, 950 * MS)


def verdict_of(number, disposition=Disposition.REJECT):
    return Verdict(PartId(1, number), disposition, (Reason.ABOVE_REJECT_LIMIT,), 960 * MS, 2 * S, number)


def actuation_of(number):
    return Actuation(PartId(1, number), Lane.REJECT, Cause.DECIDED_REJECT, Disposition.REJECT, number, 3 * S, 1, 1)


def messages(outputs, kind):
    return [output.message for output in outputs if isinstance(output.message, kind)]


@pytest.mark.usefixtures("node")
def test_a_first_start_founds_the_chain_and_each_start_names_the_configuration(store, clock, reader):
    """An auditor can say under which configuration every part was inspected."""
    RecordNode(store, ImagePlan(1.0, S), clock, "cell-4", "decaf", 43).start(clock.now())
    entries = list(queries.audit_entries(reader))

    assert [
        ("chain_started", "station cell-4", "config c0ffee"),
        ("service_started", "record", "config c0ffee"),
        ("service_started", "record", "config decaf"),
    ] == [(entry.action, entry.subject, entry.after) for entry in entries]
    assert audit_chain.verify(entries) is None


def test_the_messages_of_one_turn_are_written_together(node, clock, reader):
    """A turn's facts become durable at its end, all or none, with their places."""
    for number in range(3):
        assert () == tuple(node.receive_envelope("part.entered", 9, number, entered(number), clock.now()))
    before = reader.execute("SELECT count(*) FROM entered").fetchone()[0]
    due = node.wake_at
    node.wake(clock.now())
    after = reader.execute("SELECT count(*) FROM entered").fetchone()[0]

    assert (0, clock.now(), 3) == (before, due, after)
    assert (9, 2) == node.positions()["part.entered"]


def test_a_frame_becomes_the_image_of_the_part_the_judge_named(node, clock, reader):
    """Frame, result and verdict in, one request out; the row is written when the file is durable."""
    outputs = [*node.receive("frame.top", frame_of(3), clock.now())]
    outputs += node.receive("result", result_of(3), clock.now())
    outputs += node.receive("verdict", verdict_of(3), clock.now())
    request = KeepImage(frame_of(3), PartId(1, 3), Disposition.REJECT)
    node.receive(f"device:{IMAGES}", ImageKept(*_whole(request), "2025-11-13/02/ab.tif", "ab", 9, "tiff"), clock.now())
    node.wake(clock.now())
    (row,) = queries.images(reader, PartId(1, 3))

    assert [Send(IMAGES, MeetRing("top")), Send(IMAGES, request)] == outputs
    assert ("2025-11-13/02/ab.tif", "reject", 3) == (row["path"], row["disposition"], row["frame_id"])


def _whole(request):
    return request.part, request.frame, request.disposition


def test_an_actuation_decides_where_no_verdict_came(node, clock):
    """A part without a verdict is evidence too."""
    node.receive("frame.top", frame_of(3), clock.now())
    node.receive("result", result_of(3), clock.now())
    silent = Actuation(PartId(1, 3), Lane.REJECT, Cause.NO_VERDICT, Disposition.NO_VERDICT, 0, 3 * S, 1, 1)
    outputs = node.receive("actuation", silent, clock.now())

    assert [Send(IMAGES, KeepImage(frame_of(3), PartId(1, 3), Disposition.NO_VERDICT))] == list(outputs)


def test_an_unclaimed_frame_is_given_back_in_time(node, clock):
    """Record never holds a ring slot longer than its lease."""
    node.receive("frame.top", frame_of(3), clock.now())
    clock.host += 1500 * MS
    outputs = node.wake(clock.now())

    assert [ReleaseFrame(frame_of(3))] == messages(outputs, ReleaseFrame)


def test_an_image_that_was_not_kept_is_a_row_and_one_alarm(node, clock, reader):
    """The row says why; a full disk does not flood the operator."""
    alarms = []
    for number in (1, 2, 3):
        failed = ImageFailed(PartId(1, number), frame_of(number), Disposition.REJECT, "disk: 3 MB free")
        alarms += messages(node.receive(f"device:{IMAGES}", failed, clock.now()), Alarm)
    node.wake(clock.now())
    reasons = [row["not_kept"] for number in (1, 2, 3) for row in queries.images(reader, PartId(1, number))]

    assert ["disk: 3 MB free"] * 3 == reasons
    assert ["image_not_kept"] == [alarm.kind for alarm in alarms]


def test_lost_facts_leave_a_mark_in_the_chain(node, clock, reader):
    """What is missing is itself on record; a lost frame costs an image, and what is repeated each second nothing."""
    outputs = node.lost("verdict", 3, clock.now())
    others = [*node.lost("frame.top", 2, clock.now()), *node.lost("line.state", 1, clock.now())]
    last = list(queries.audit_entries(reader))[-1]

    assert ("facts_lost", "verdict", "3: never reached this service") == (last.action, last.subject, last.after)
    assert (["facts_lost"], []) == ([alarm.kind for alarm in messages(outputs, Alarm)], others)


def test_a_loss_noticed_while_the_disk_is_full_is_marked_later(node, store, clock, reader):
    """The mark of a gap is as durable as a fact."""
    _fill_up(store)
    for number in range(2000):
        node.receive_envelope("part.entered", 9, number, entered(number), clock.now())
    node.wake(clock.now())
    node.lost("verdict", 3, clock.now())
    store._database.execute("PRAGMA max_page_count=1000000")
    clock.host = node.wake_at + 10 * S
    node.wake(clock.now())

    assert "facts_lost" in [entry.action for entry in queries.audit_entries(reader)]


def _fill_up(store):
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count={pages}")


def test_facts_wait_while_the_disk_is_full_and_are_written_afterwards(node, store, clock, reader):
    """A full disk costs nothing but time; the service says so and does not die."""
    _fill_up(store)
    for number in range(2000):
        node.receive_envelope("part.entered", 9, number, entered(number), clock.now())
    outputs = [*node.wake(clock.now())]
    due = node.wake_at
    node.receive_envelope("verdict", 9, 0, verdict_of(1), clock.now())
    early = node.wake_at
    clock.host = due
    again = [*node.wake(clock.now())]
    health = messages(outputs, Health)[-1]
    store._database.execute("PRAGMA max_page_count=1000000")
    clock.host = node.wake_at
    recovered = messages(node.wake(clock.now() + 5 * S), Health)[-1]
    found = queries.summary(reader)

    assert ["store_failed"] == [alarm.kind for alarm in messages(outputs + again, Alarm)]
    assert (Condition.FAILED, True) == (health.condition, "free disk space" in health.components[0].cause)
    assert FIRST_PAUSE == due - 1 * S
    assert early == due
    assert (2000, 1, Condition.OK) == (found.parts, found.verdicts["reject"], recovered.components[0].condition)


def test_an_image_row_alone_is_tried_again(node, store, clock, reader):
    """A full disk delays the row of the last image too, even when no further part comes."""
    _fill_up(store)
    failed = [ImageFailed(PartId(1, number), frame_of(number), Disposition.REJECT, "x" * 500) for number in range(200)]
    for image in failed:
        node.receive(f"device:{IMAGES}", image, clock.now())
    node.wake(clock.now())
    store._database.execute("PRAGMA max_page_count=1000000")
    clock.host = node.wake_at
    node.wake(clock.now())

    assert 200 == reader.execute("SELECT count(*) FROM images").fetchone()[0]


def test_what_the_full_queue_dropped_is_in_the_chain(node, clock, reader):
    """A bounded queue may overflow, but never in silence."""
    node._queue = FactQueue(limit=10)
    for number in range(15):
        node.receive_envelope("part.entered", 9, number, entered(number), clock.now())
    node.wake(clock.now())
    last = list(queries.audit_entries(reader))[-1]

    assert (10, ("facts_lost", "part.entered", "5: the store")) == (
        queries.summary(reader).parts,
        (last.action, last.subject, last.after[:12]),
    )
    assert (9, 9) == node.positions()["part.entered"]


def test_the_pause_between_tries_grows_to_a_bound():
    """Retrying neither floods the log nor waits for ever."""
    queue = FactQueue()
    queue.put("verdict", 1, 0, verdict_of(1), 0)
    pauses = [queue.failed(0) for _ in range(10)]

    assert [FIRST_PAUSE, 2 * FIRST_PAUSE, LONGEST_PAUSE] == [pauses[0], pauses[1], pauses[-1]]


def test_status_comes_once_a_second_with_progress(node, clock):
    """The watchdog is fed only by real work: each status has asked the database something."""
    first = messages(node.start(clock.now()), Health)[0]
    assert [] == messages(node.wake(clock.now()), Health)
    clock.host += S
    second = messages(node.wake(clock.now()), Health)[0]

    assert (Condition.OK, ["database", "disk", "images"]) == (second.condition, [c.name for c in second.components])
    assert second.progress > first.progress
    assert 42 == second.pid


def test_drain_writes_what_waits_and_other_wishes_are_refused(node, clock, reader):
    """Only the owner of a thing grants wishes about it."""
    node.receive_envelope("part.entered", 9, 0, entered(1), clock.now())
    reply, _ = node.command(Drain(), clock.now())
    refusal, outputs = node.command(ActivateBundle("x", "operator-7"), clock.now())

    assert (Accepted, 1) == (type(reply), queries.summary(reader).parts)
    assert (RefusedReply, ()) == (type(refusal), outputs)


def test_audit_requests_of_other_units_are_linked(node, clock, reader):
    """Others ask, record appends."""
    node.receive_envelope("audit.judge", 9, 0, AuditRequest("service:judge", "service_started", "judge"), clock.now())
    node.wake(clock.now())

    assert "service:judge" == list(queries.audit_entries(reader))[-1].actor


def test_finish_leaves_nothing_unwritten(tmp_path, clock):
    """A stop in order loses nothing."""
    store = RecordStore(tmp_path, 16)
    node = RecordNode(store, ImagePlan(1.0, S), clock, "cell-4", "c0ffee", 42)
    node.receive_envelope("actuation", 9, 0, actuation_of(1), clock.now())
    node.finish(clock.now())
    reader = open_reader(tmp_path / "record.db")
    parts = queries.summary(reader).parts
    reader.close()

    assert 1 == parts
    with pytest.raises(StoreError):
        store.probe()
