"""Hand each part's result to the PLC in four phases and never show one as good that is not; pure, no clock, no wire.

    part sensor -> part_entered [ACQUIRING, BUSY] -> post -> queue of 8 -> offered -> ResultAck 1 -> ResultAck 0 -> next

The state is worked out from facts (heartbeat, session, queue, parts under way), so that no order of events can leave it
in a corner. A PLC that reads a block of zeros, a stale heartbeat, an old session or a part it does not expect has to
take the part as rejected; this side shows Pass only while all of that holds.
"""

from appliance.outputs.plc.ack_watch import RELEASED, AckWatch
from appliance.outputs.plc.heartbeat import Heartbeat
from appliance.outputs.plc.job_change import JobChange
from appliance.outputs.plc.lateness import Lateness
from appliance.outputs.plc.plc_trigger import BY_SENSOR, Asked, MissedTrigger, PlcTrigger
from appliance.outputs.plc.registers import Control, ControlBit, ErrorCode, State, Status, pack_status, unpack_control
from appliance.outputs.plc.result_queue import Counts, Detail, Result, ResultQueue, with_result
from appliance.outputs.plc.status_view import Shown, Station, bits, bits2, problem, state
from appliance.outputs.plc.under_way import UnderWay
from appliance.schema.actuation import Actuation, PlcAcknowledged
from appliance.schema.clocks import MS, HostNs
from appliance.schema.part import PartId

LAST_SESSION = 0xFFFF_FFFF
"""Largest session number; 1 follows."""


class Handshake:
    """Keep one PLC's view of the station. Instants passed in never decrease; nothing blocks; one thread."""

    def __init__(
        self,
        session: int,
        now: HostNs,
        *,
        ack_timeout_ms: int = 2000,
        stale_ms: int = 500,
        job_limit_ms: int = 60_000,
        recipe: int = 0,
        recipe_hash: int = 0,
        late_stops: bool = True,
        plc_triggers: bool = False,
    ) -> None:
        """Begin a session (1 to 2**32 - 1, random per start of the process) with nothing known about the PLC.

        job_limit_ms: a recipe change that is not done by then is refused. late_stops: whether parts in a row without
        a decision in time ask for a line stop. plc_triggers: parts are made by the PLC's Trigger, not by the sensor.
        """
        self._session = _checked_session(session)
        self._now = now
        self._heart = Heartbeat(now, stale_ms * MS)
        self._recipe, self._recipe_hash = recipe, recipe_hash
        self._control = Control()
        self._queue = ResultQueue()
        self._under_way = UnderWay()
        self._entered = PartId(0, 0)
        self._watch = AckWatch(ack_timeout_ms * MS)
        self._station = Station()
        self._trigger = PlcTrigger(session, enabled=plc_triggers)
        self._job = JobChange(job_limit_ms * MS)
        self._purged = False
        self._error = ErrorCode.NONE
        self._unready_part = False
        self._lateness = Lateness(stops=late_stops)
        self._missed = 0
        self._request_echo = 0
        self._refused: list[MissedTrigger] = []
        self._taken: list[PlcAcknowledged] = []

    def machine(
        self,
        now: HostNs,
        *,
        ready: bool,
        no_job: bool = False,
        sync_lost: bool = False,
        changing: bool = False,
        degraded: bool = False,
        maintenance: bool = False,
    ) -> None:
        """Learn how the station stands; not ready until told otherwise."""
        self._advance(now)
        self._station = Station(ready, no_job, sync_lost, changing, degraded, maintenance)

    def part_entered(self, part: PartId, now: HostNs, request: int = 0) -> bool:
        """Learn that a part was made; False when it may not be inspected, which counts as a missed trigger.

        request: the `trigger_wish` that made it; 0: the part sensor.
        """
        self._advance(now)
        asked = self._trigger.made(request, ready=self._open)
        ready = self._open and asked is not None
        self._unready_part = not ready
        self._missed += not ready
        self._entered = part
        if not self._queue.has_seen(part):
            self._under_way.enter(part, asked or BY_SENSOR)
        return ready

    def part_exposed(self, part: PartId, now: HostNs) -> None:
        """Learn that all images of a part are taken; without it Exposing stays up until the result is posted."""
        self._advance(now)
        self._under_way.exposed(part)

    def post(self, actuation: Actuation, detail: Detail, now: HostNs) -> int | None:
        """Queue a part's result and give its ResultSeq; None when the queue is full or the part was posted before."""
        self._advance(now)
        if not self._queue.has_seen(actuation.part):
            self._lateness.add(actuation.cause)
            if self._lateness.stop:
                self._latch(ErrorCode.LATE_IN_A_ROW)
            if self._queue.full:
                self._latch(ErrorCode.QUEUE_OVERFLOW)
        way = self._under_way.leave(actuation.part)
        sequence = self._queue.post(actuation, detail, now, orphan=way.orphan, asked=way.asked)
        self._settle()
        return sequence

    def forget(self, part: PartId, now: HostNs) -> None:
        """Learn that a part left before this session began; the PLC gets no result of it in this one."""
        self._advance(now)
        self._under_way.leave(part)
        self._settle()

    def recipe(self, number: int, hash32: int, now: HostNs) -> None:
        """Learn which recipe is active and warm; ends a changeover."""
        self._advance(now)
        self._recipe, self._recipe_hash = number, hash32
        self._job.done(number)

    def refuse_job(self, now: HostNs) -> None:
        """Answer a `job_change` that is not granted; the old recipe stays."""
        self._advance(now)
        self._job.refuse()

    def restart(self, session: int, now: HostNs) -> None:
        """Begin a new session: pending results are cleared, parts on the belt will show Reject."""
        self._advance(now)
        self._renew(_checked_session(session))

    def reset(self, now: HostNs) -> None:
        """Clear the latched error, as ErrorReset of the PLC does."""
        self._advance(now)
        self._error = ErrorCode.NONE
        self._unready_part = False
        self._lateness.reset()
        self._watch.again()
        self._settle()

    def control(self, words: tuple[int, ...], now: HostNs) -> None:
        """Take the whole control block as it stands after a write of the PLC; ValueError when its length is wrong."""
        old, new = self._control, unpack_control(words)
        self._advance(now)
        ready, self._control = self.ready, new
        if (old.bits ^ new.bits) & ControlBit.HEARTBEAT.value or old.heartbeat != new.heartbeat:
            self._heart.heard(now)
        if old.session_echo == self._session:
            if new.session_echo == self._session:
                self._edges(new, new.bits & ~old.bits, old.bits & ~new.bits, ready=ready)
            else:
                self._renew(self._session % LAST_SESSION + 1)
        self._settle()

    def tick(self, now: HostNs) -> None:
        """Do what was due at `wake_at`; early calls do nothing."""
        self._advance(now)

    def status(self) -> tuple[int, ...]:
        """Give the whole status block; result words are zero unless ResultValid is up."""
        shown = self._shown
        status = Status(
            bits=bits(shown),
            bits2=bits2(shown),
            state=state(shown),
            session=self._session,
            error_code=self.error,
            queue_depth=len(self._queue),
            entered_boot=self._entered.boot,
            entered_number=self._entered.number,
            request_sequence_echo=self._request_echo,
            active_recipe=self._recipe,
            recipe_hash=self._recipe_hash,
            job_answer=self._job.answer,
            missed_triggers=self._missed,
            late_results=self._lateness.total,
            overflowed=self._queue.counts.overflowed,
        )
        return pack_status(status if shown.result is None else with_result(status, shown.result))

    def acknowledged(self) -> tuple[PlcAcknowledged, ...]:
        """Take the results acknowledged since the last call, oldest first."""
        taken, self._taken = tuple(self._taken), []
        return taken

    def trigger_wish(self) -> int | None:
        """Take the request that the microcontroller has to make a part for, once."""
        return self._trigger.wish()

    def missed(self) -> tuple[MissedTrigger, ...]:
        """Take the Triggers refused since the last call, oldest first; their parts were not inspected."""
        refused, self._refused = tuple(self._refused), []
        return refused

    def purged(self) -> bool:
        """Take the PLC's word that every part was taken off the belt, once."""
        purged, self._purged = self._purged, False
        return purged

    @property
    def wake_at(self) -> HostNs:
        """Next instant at which `tick` must be called; at most 50 ms away."""
        gone = self._heart.stale_at(self._now)
        steps = (self._heart.due, self._watch.due, gone, self._trigger.due, self._job.due)
        return min(step for step in steps if step is not None)

    @property
    def plc_triggers(self) -> bool:
        """Whether parts are made by the PLC's Trigger."""
        return self._trigger.enabled

    @property
    def session(self) -> int:
        """Session as the PLC reads it; it changes when the PLC restarts."""
        return self._session

    @property
    def alive(self) -> bool:
        """Whether the PLC's heartbeat moved lately."""
        return self._heart.stale_at(self._now) is not None

    @property
    def ready(self) -> bool:
        """TriggerReady: a part that enters now is inspected and its result has a place."""
        return self._open and self._trigger.idle

    @property
    def error(self) -> ErrorCode:
        """First latched error since the last reset; lost step outranks it, and no reset clears it."""
        return ErrorCode.SYNC_LOST if self._station.sync_lost else self._error

    @property
    def line_stop(self) -> bool:
        """Overload: the line is asked to stop, since verdicts do not arrive in time; latched."""
        return self._lateness.stop

    @property
    def pending(self) -> int:
        """Results the PLC has not acknowledged."""
        return len(self._queue)

    @property
    def counts(self) -> Counts:
        """What became of the results posted so far."""
        return self._queue.counts

    @property
    def late(self) -> int:
        """Results so far for which no verdict was in hand in time."""
        return self._lateness.total

    @property
    def job_change(self) -> int | None:
        """Recipe number the PLC asked for, once the station is idle; answer with `recipe` or `refuse_job`."""
        return self._job.number if self._job.changing else None

    @property
    def state(self) -> State:
        """Where the handshake stands, most pressing first."""
        return state(self._shown)

    @property
    def problem(self) -> tuple[str, str]:
        """Give cause and remedy for a technician; two empty strings when nothing is wrong."""
        return problem(self._shown)

    @property
    def _partner(self) -> bool:
        """Whether a live PLC works in this session."""
        return self.alive and self._control.session_echo == self._session

    @property
    def _open(self) -> bool:
        """Whether a part that was made now would be inspected."""
        return (
            self._partner
            and self._enabled
            and self._station.ready
            and self.error is ErrorCode.NONE
            and not self._queue.full
            and not self._changing
            and not self._control.bits & ControlBit.JOB_CHANGE.value
        )

    @property
    def _enabled(self) -> bool:
        return bool(self._control.bits & ControlBit.ENABLE.value)

    @property
    def _changing(self) -> bool:
        return self._station.changing or self._job.changing

    @property
    def _offered(self) -> Result | None:
        return self._queue.offer() if self._partner else None

    @property
    def _shown(self) -> Shown:
        return Shown(
            alive=self.alive,
            partner=self._partner,
            enabled=self._enabled,
            ready=self.ready,
            trigger_ack=self._trigger.ack and self._partner,
            missed=(self._trigger.refused and self._partner) or self._unready_part,
            exposing=self._under_way.exposing,
            busy=len(self._under_way) > 0,
            changing=self._changing,
            overload=self._lateness.stop,
            beat=self._heart.bit,
            error=self.error,
            job=self._job.answer,
            result=self._offered,
            waiting=len(self._queue),
            station=self._station,
            plc_triggers=self.plc_triggers,
        )

    def _advance(self, now: HostNs) -> None:
        """Do what time alone does: our heartbeat, the PLC's going stale, the answer that did not come."""
        self._now = now
        self._heart.advance(now)
        self._settle()
        if self._watch.expired(now):
            self._latch(ErrorCode.ACK_STUCK if self._queue.released else ErrorCode.ACK_TIMEOUT)
        self._job.expire(now)
        self._miss(self._trigger.expire(now), "the microcontroller made no part in time")

    def _settle(self) -> None:
        """Note what is offered now, time the PLC's next answer, and begin a changeover once nothing is pending."""
        offered = self._offered
        if offered is not None:
            self._queue.show(offered)
            self._watch.follow(offered.sequence, self._now)
        else:
            self._watch.follow(RELEASED if self._queue.released and self._partner else None, self._now)
        pending = len(self._under_way) or len(self._queue) or self._queue.released or self._trigger.due is not None
        self._job.begin(idle=not pending)

    def _edges(self, new: Control, rising: int, falling: int, *, ready: bool) -> None:
        """Take what rose and fell. ready: TriggerReady as the PLC could last read it."""
        if falling & ControlBit.RESULT_ACK.value:
            self._queue.rearm()
        if rising & ControlBit.RESULT_ACK.value:
            event = self._queue.acknowledge(new.ack_sequence, self._now)
            self._taken += () if event is None else (event,)
        if rising & ControlBit.CLEAR_QUEUE.value:
            self._queue.clear()
        if falling & ControlBit.TRIGGER.value:
            self._trigger.fall()
        if falling & ControlBit.JOB_CHANGE.value:
            self._job.fall()
        if rising & (ControlBit.TRIGGER.value | ControlBit.JOB_CHANGE.value):
            self._request(new, rising, ready=ready and self._open)
        if rising & ControlBit.ERROR_RESET.value:
            self.reset(self._now)
        self._purged = self._purged or bool(rising & ControlBit.PURGED.value and self._station.sync_lost)

    def _request(self, new: Control, rising: int, *, ready: bool) -> None:
        """Take the PLC's wish for a part or for another recipe."""
        self._request_echo = new.request_sequence
        if rising & ControlBit.TRIGGER.value:
            asked = Asked(new.request_sequence, new.plc_part)
            refused = None if self._trigger.rise(asked, self._now, ready=ready) else asked
            why = self.problem[0] or "TriggerReady was 0"
            self._miss(refused, why if self.plc_triggers else "the part sensor triggers here")
        if rising & ControlBit.JOB_CHANGE.value:
            self._job.rise(new.recipe_number, self._now)

    def _miss(self, asked: Asked | None, reason: str) -> None:
        """Count a Trigger whose part was not inspected."""
        if asked is not None:
            self._missed += 1
            self._refused.append(MissedTrigger(asked, reason))

    def _renew(self, session: int) -> None:
        self._session = session
        self._queue.renew()
        self._job.renew()
        self._miss(self._trigger.renew(), "the session ended before the part was made")
        self._under_way.orphan()
        self._settle()

    def _latch(self, error: ErrorCode) -> None:
        if self._error is ErrorCode.NONE:
            self._error = error


def _checked_session(session: int) -> int:
    if not 1 <= session <= LAST_SESSION:
        raise ValueError(f"handshake: session {session} is outside 1 to {LAST_SESSION}; draw it from that range")
    return session
