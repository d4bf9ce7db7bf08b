"""Protect the service `opcua`: one result per actuation, wishes to the line, and nothing told twice."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from appliance.outputs.opcua.messages import (
    AcquisitionDone,
    Answered,
    ConditionChanged,
    JobStarted,
    Noted,
    ResultReady,
    Served,
    Snapshot,
    StateChanged,
    Wish,
)
from appliance.outputs.opcua.states import Vision
from appliance.ports.node import Ask, Output, Publish, Replied, Send
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, S, UtcNs
from appliance.schema.command import AbortJob, Accepted, Drain, RefusedReply, StartJob, StopJob
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.line import JobMode
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.topics import (
    ACTUATION,
    ALARM,
    AUDIT,
    LINE_STATE,
    PART_ENTERED,
    PART_EXPOSED,
    SEALED,
    STATUS,
    VERDICT,
)
from appliance.schema.verdict import Disposition, Reason, Verdict
from appliance.services.opcua import GRACE, SILENT, OpcuaNode
from tests.unit.opcua_rig import IDENTITY, UTC_NOW, OpenSecurity, line_state

BEGIN = HostNs(100 * S)
WISHED = StartJob(single=True, actor="opcua:olga", measurement="m", part="blue", product="p7")


class StoppedClock:
    def now(self) -> HostNs:
        return BEGIN

    def utc(self) -> UtcNs:
        return UTC_NOW


class Carrier:
    """Carry what a test put into it."""

    def __init__(self) -> None:
        self.requests: tuple[AuditRequest, ...] = ()

    def due(self, now: HostNs) -> Sequence[AuditRequest]:
        return self.requests


class Rig:
    """Feed a node and collect what it says."""

    def __init__(self) -> None:
        self.carrier, self.security = Carrier(), OpenSecurity()
        self.node = OpcuaNode(IDENTITY, self.security, self.carrier, StoppedClock())  # type: ignore[arg-type]
        self.outputs: list[Output] = list(self.node.start(BEGIN))

    def hear(self, topic: str, message: Struct, ms: float = 0) -> None:
        self.outputs += self.node.receive_envelope(topic, 1, 1, message, HostNs(BEGIN + int(ms * MS)))

    def wake(self, ms: float) -> None:
        self.outputs += self.node.wake(HostNs(BEGIN + int(ms * MS)))

    def sent(self, kind: type[Struct]) -> list[Any]:
        return [entry.message for entry in self.outputs if isinstance(entry, Send) and isinstance(entry.message, kind)]

    def told(self, topic: str) -> list[Any]:
        return [entry.message for entry in self.outputs if isinstance(entry, Publish) and entry.topic == topic]

    def asked(self) -> list[Ask]:
        return [entry for entry in self.outputs if isinstance(entry, Ask)]

    def enter(self, number: int, ms: float = 0, cameras: tuple[str, ...] = ("top", "side")) -> None:
        at = HostNs(BEGIN + int(ms * MS))
        entered = PartEntered(PartId(1, number), at, 0, McuTicks(0), EncoderCounts(0), HostNs(at + S), cameras)
        self.hear(PART_ENTERED, entered, ms)

    def expose(self, number: int, camera: str) -> None:
        self.hear(PART_EXPOSED, PartExposed(PartId(1, number), camera, 0, BEGIN, 0, McuTicks(0), EncoderCounts(0)))

    def actuate(self, number: int, ms: float = 0, verdict: int = 0, heard_ms: float | None = None) -> None:
        at = HostNs(BEGIN + int(ms * MS))
        lane, cause = (Lane.ACCEPT, Cause.ACCEPTED) if verdict else (Lane.REJECT, Cause.NO_VERDICT)
        fact = Actuation(
            PartId(1, number), lane, cause, Disposition.ACCEPT if verdict else Disposition.NO_VERDICT, verdict, at,
            McuTicks(0), EncoderCounts(0),
        )  # fmt: skip
        self.hear(ACTUATION, fact, ms if heard_ms is None else heard_ms)

    def decide(self, number: int, sequence: int) -> None:
        verdict = Verdict(
            PartId(1, number), Disposition.ACCEPT, (Reason.WITHIN_LIMITS,), BEGIN, HostNs(BEGIN + S), sequence
        )
        self.hear(VERDICT, verdict)


def test_one_result_per_actuation_in_order() -> None:
    """Each part is told once, in the order of the gate, a late verdict of the first holding back the second."""
    rig = Rig()
    rig.actuate(1, verdict=5)
    rig.actuate(2)
    held = len(rig.sent(ResultReady))
    rig.decide(1, 5)

    assert 0 == held
    assert [1, 2] == [entry.report.part.number for entry in rig.sent(ResultReady)]
    assert [Disposition.ACCEPT, None] == [entry.report.verdict for entry in rig.sent(ResultReady)]


def test_a_verdict_that_never_comes_holds_nothing_up_for_ever() -> None:
    """After the grace the result is told without it."""
    rig = Rig()
    rig.actuate(1, verdict=5)
    due = rig.node.wake_at
    rig.wake(GRACE / MS)

    assert HostNs(BEGIN + GRACE) == due
    assert [None] == [entry.report.verdict for entry in rig.sent(ResultReady)]


def test_what_was_before_the_start_is_kept_and_not_told() -> None:
    """A restart doubles no result: the replayed ones can be asked for, the new ones are told."""
    rig = Rig()
    rig.actuate(1, ms=-1, heard_ms=5)
    rig.actuate(2, ms=1)

    assert [(1, False), (2, True)] == [(entry.report.part.number, entry.telling) for entry in rig.sent(ResultReady)]
    assert {} == rig.node.positions()


def test_the_sealed_verdict_is_never_heard() -> None:
    """In parallel mode nothing of the model reaches the plant."""
    assert SEALED not in OpcuaNode.topics


def test_a_result_names_its_job_and_what_the_client_called_it() -> None:
    """The next part of a single job is that job's, and no other is."""
    rig = Rig()
    rig.hear("device:opcua", Wish(3, WISHED))
    rig.hear(LINE_STATE, line_state(mode=JobMode.SINGLE, job="j1"))
    rig.hear("reply:line", Replied(3, Accepted("j1")))
    for number in (1, 2):
        rig.enter(number, ms=number)
        rig.actuate(number, ms=10 + number)

    assert [("j1", "m", "blue", "p7"), ("", "", "", "")] == [
        (entry.job, entry.measurement, entry.part_name, entry.product) for entry in rig.sent(ResultReady)
    ]


def test_a_part_that_enters_without_a_job_is_of_none() -> None:
    """The job that ran last is not the job of what comes after it."""
    rig = Rig()
    rig.hear(LINE_STATE, line_state(mode=JobMode.IDLE, job="j1"))
    rig.enter(1)
    rig.actuate(1, ms=1)

    assert [""] == [entry.job for entry in rig.sent(ResultReady)]


def test_acquisition_is_done_with_the_last_image() -> None:
    """A part with two views is acquired when both were exposed, and is told once."""
    rig = Rig()
    rig.hear(LINE_STATE, line_state(job="j1"))
    rig.enter(1)
    rig.expose(1, "top")
    early = len(rig.sent(AcquisitionDone))
    rig.expose(1, "side")
    rig.expose(1, "side")

    assert 0 == early
    assert [AcquisitionDone(PartId(1, 1), "j1", UTC_NOW)] == rig.sent(AcquisitionDone)


def test_a_wish_is_asked_and_its_answer_goes_back() -> None:
    """What a client calls becomes one wish to `line`, and the client hears what `line` said."""
    rig = Rig()
    rig.hear("device:opcua", Wish(3, WISHED))
    rig.hear("reply:line", Replied(3, Accepted("j1")))
    rig.hear("device:opcua", Wish(4, StopJob("opcua:olga")))
    rig.hear("reply:line", Replied(4, RefusedReply("no job runs")))
    rig.hear("reply:line", Replied(9, Accepted()))

    assert [Ask("line", WISHED, 3), Ask("line", StopJob("opcua:olga"), 4)] == rig.asked()
    assert [Answered(3, True, "j1"), Answered(4, False, "no job runs")] == rig.sent(Answered)
    assert ["", "StopJob: no job runs"] == [entry.refusal for entry in rig.sent(Snapshot)[1:]]


def test_a_state_says_which_method_caused_it() -> None:
    """A transition names its cause also where the line's state is heard before its answer; a later one does not."""
    rig = Rig()
    rig.hear(LINE_STATE, line_state(job="j1"))
    rig.hear("device:opcua", Wish(1, AbortJob("opcua:olga")))
    rig.hear(LINE_STATE, line_state(mode=JobMode.IDLE, job="j1"))
    rig.hear("reply:line", Replied(1, Accepted()))
    rig.hear(LINE_STATE, line_state(job="j2"))
    steps = [entry.step.name for entry in rig.sent(StateChanged)]

    assert ["ContinuousExecutionToReadyAbort", "ReadyToContinuousExecutionAuto"] == steps[-2:]
    assert ["j1", "j2"] == [entry.job for entry in rig.sent(JobStarted)]


def test_a_refused_wish_causes_nothing() -> None:
    """What the line does of itself after a refusal is not the client's doing."""
    rig = Rig()
    rig.hear(LINE_STATE, line_state(job="j1"))
    rig.hear("device:opcua", Wish(1, StopJob("opcua:olga")))
    rig.hear("reply:line", Replied(1, RefusedReply("not now")))
    rig.hear(LINE_STATE, line_state(mode=JobMode.IDLE, job="j1"))

    assert "ContinuousExecutionToReadyAuto" == rig.sent(StateChanged)[-1].step.name


def test_a_silent_line_is_told_and_shown_as_unknown() -> None:
    """After 3 s without a word nothing the line said is believed; its next word ends that."""
    rig = Rig()
    rig.hear(LINE_STATE, line_state())
    rig.wake(SILENT / MS - 1)
    early = rig.sent(Snapshot)[-1]
    rig.wake(SILENT / MS)
    silent = rig.sent(Snapshot)[-1]
    rig.hear(LINE_STATE, line_state(), ms=SILENT / MS + 1)

    assert (True, None, Vision.PREOPERATIONAL) == (early.line is not None, silent.line, silent.machine.vision)
    assert [("LineSilent", True), ("LineSilent", False)] == [
        (entry.name, entry.is_active) for entry in rig.sent(ConditionChanged)
    ]
    assert Vision.OPERATIONAL is rig.sent(Snapshot)[-1].machine.vision


def test_a_line_that_never_spoke_is_silent_too() -> None:
    """A service that comes up without `line` says so."""
    rig = Rig()
    rig.wake(SILENT / MS)

    assert ["LineSilent"] == [entry.name for entry in rig.sent(ConditionChanged)]


def test_alarms_are_told_but_not_its_own() -> None:
    """An alarm of a service becomes an event; this service's own would go in circles."""
    rig = Rig()
    rig.hear(ALARM + "judge", Alarm("judge", "promise_expired", "review every part"))
    rig.hear(ALARM + "opcua", Alarm("opcua", "results_lost", "2 results"))

    assert [Noted("judge", "promise_expired", "review every part", UTC_NOW)] == rig.sent(Noted)


def test_lost_results_are_an_alarm_and_degrade() -> None:
    """A gap is never silent."""
    rig = Rig()
    rig.outputs += rig.node.lost(ACTUATION, 3, BEGIN)
    rig.wake(1000)
    health = rig.told(STATUS + "opcua")[-1]

    assert ["results_lost"] == [entry.kind for entry in rig.told(ALARM + "opcua")]
    assert (Condition.DEGRADED, True) == (health.condition, "3 results lost" in health.components[0].cause)


def test_dropped_and_overflowed_events_show_in_health() -> None:
    """What a slow client or a slow thread missed is counted, alarmed once where it is ours, and forgiven after 60 s."""
    rig = Rig()
    rig.hear("device:opcua", Served(1))
    rig.hear("device:opcua", Served(2, events=9, overflowed=4, dropped=2))
    rig.wake(1000)
    rig.hear("device:opcua", Served(3, events=9, overflowed=4, dropped=2), ms=1500)
    rig.wake(2000)
    rig.wake(62_000)
    healths: list[Health] = rig.told(STATUS + "opcua")

    assert ["results_dropped"] == [entry.kind for entry in rig.told(ALARM + "opcua")]
    assert ["ok", "degraded", "degraded", "ok"] == [entry.condition for entry in healths]
    assert "4 missed by slow clients" in healths[-1].components[0].cause


def test_progress_hangs_on_the_servers_thread() -> None:
    """A server that no longer answers makes no progress, so that the watchdog ends the service."""
    rig = Rig()
    rig.hear("device:opcua", Served(1))
    rig.wake(1000)
    rig.wake(2000)

    assert [0, 1, 1] == [entry.progress for entry in rig.told(STATUS + "opcua")]


def test_audit_requests_and_warnings_are_published(monkeypatch: Any) -> None:
    """What people changed and who was refused reaches the chain; a certificate near its end is said once a day."""
    rig = Rig()
    request = AuditRequest("opcua:eve", "opcua_login_refused", "station", "", "")
    rig.carrier.requests = (request,)
    monkeypatch.setattr(rig.security, "warning", lambda _now: "9 days left")
    rig.wake(1000)
    rig.wake(2000)

    assert [request, request] == rig.told(AUDIT + "opcua")
    assert ["opcua_certificate_expiring"] == [entry.kind for entry in rig.told(ALARM + "opcua")]


def test_no_command_is_for_this_service() -> None:
    """It owns nothing."""
    reply, outputs = Rig().node.command(Drain(), BEGIN)

    assert (True, 0) == (isinstance(reply, RefusedReply), len(outputs))
