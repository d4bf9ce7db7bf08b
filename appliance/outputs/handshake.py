"""Hand each part's result to the PLC in four phases and never show one as good that is not; pure, no clock, no wire.

    part sensor -> part_entered [ACQUIRING, BUSY] -> post -> queue of 8 -> offered -> ResultAck 1 -> ResultAck 0 -> next

The state is worked out from facts (heartbeat, session, queue, parts under way), so that no order of events can leave it
in a corner. A PLC that reads a block of zeros, a stale heartbeat, an old session or a part it does not expect has to
take the part as rejected; this side shows Pass only while all of that holds.
"""

from msgspec import Struct

from appliance.outputs.lateness import LATE_CAUSES, Lateness
from appliance.outputs.registers import (
    PROBLEMS,
    Control,
    ControlBit,
    ErrorCode,
    State,
    Status,
    StatusBit,
    pack_status,
    unpack_control,
)
from appliance.outputs.result_queue import DEPTH, Counts, Detail, Result, ResultQueue, with_result
from appliance.schema.actuation import Actuation, PlcAcknowledged
from appliance.schema.clocks import MS, HostNs
from appliance.schema.part import PartId

HEARTBEAT_NS = 50 * MS
"""Half the 100 ms the PLC is promised, so that one late turn of the loop does not break the promise."""

PARTS_UNDER_WAY = 64
"""Size of the microcontroller's part table; more cannot be between sensor and gate."""

LAST_SESSION = 0xFFFF_FFFF
"""Largest session number; 1 follows."""


class _UnderWay(Struct):
    exposed: bool = False
    orphan: bool = False
    """The session was renewed while the part was on the belt."""


class Handshake:
    """Keep one PLC's view of the station. Instants passed in never decrease; nothing blocks; one thread."""

    def __init__(
        self,
        session: int,
        now: HostNs,
        *,
        ack_timeout_ms: int = 2000,
        stale_ms: int = 500,
        recipe: int = 0,
        recipe_hash: int = 0,
        late_stops: bool = True,
    ) -> None:
        """Begin a session (1 to 2**32 - 1, random per start of the process) with nothing known about the PLC.

        late_stops: whether parts in a row without a decision in time ask for a line stop.
        """
        self._session = _checked_session(session)
        self._now = now
        self._ack_timeout = ack_timeout_ms * MS
        self._stale = stale_ms * MS
        self._recipe, self._recipe_hash = recipe, recipe_hash
        self._control = Control()
        self._queue = ResultQueue()
        self._under_way: dict[PartId, _UnderWay] = {}
        self._entered = PartId(0, 0)
        self._phase: int | None = None
        self._ack_due: HostNs | None = None
        self._alive_until: HostNs | None = None
        self._beat = False
        self._beat_due = now
        self._machine_ready = self._degraded = self._maintenance = False
        self._error = ErrorCode.NONE
        self._unready_part = False
        self._lateness = Lateness(stops=late_stops)
        self._missed = 0
        self._request_echo = 0
        self._job: int | None = None
        self._changing = False
        self._taken: list[PlcAcknowledged] = []

    # what the station tells

    def machine(self, now: HostNs, *, ready: bool, degraded: bool = False, maintenance: bool = False) -> None:
        """Learn whether the station could inspect a part that enters now; false until told otherwise."""
        self._advance(now)
        self._machine_ready, self._degraded, self._maintenance = ready, degraded, maintenance

    def part_entered(self, part: PartId, now: HostNs) -> bool:
        """Learn that a part passed the sensor; False when TriggerReady was down, which counts as a missed trigger."""
        self._advance(now)
        ready = self.ready
        self._unready_part = not ready
        self._missed += not ready
        self._entered = part
        if not self._queue.has_seen(part):
            self._under_way[part] = _UnderWay()
        if len(self._under_way) > PARTS_UNDER_WAY:
            del self._under_way[next(iter(self._under_way))]
        return ready

    def part_exposed(self, part: PartId, now: HostNs) -> None:
        """Learn that all images of a part are taken; without it Exposing stays up until the result is posted."""
        self._advance(now)
        if part in self._under_way:
            self._under_way[part].exposed = True

    def post(self, actuation: Actuation, detail: Detail, now: HostNs) -> int | None:
        """Queue a part's result and give its ResultSeq; None when the queue is full or the part was posted before."""
        self._advance(now)
        if not self._queue.has_seen(actuation.part):
            self._lateness.add(actuation.cause)
            if self._lateness.stop:
                self._latch(ErrorCode.LATE_IN_A_ROW)
            if self._queue.full:
                self._latch(ErrorCode.QUEUE_OVERFLOW)
        under_way = self._under_way.pop(actuation.part, _UnderWay())
        sequence = self._queue.post(actuation, detail, now, orphan=under_way.orphan)
        self._settle()
        return sequence

    def forget(self, part: PartId, now: HostNs) -> None:
        """Learn that a part left before this session began; the PLC gets no result of it in this one."""
        self._advance(now)
        self._under_way.pop(part, None)
        self._settle()

    def recipe(self, number: int, hash32: int, now: HostNs) -> None:
        """Learn which recipe is active and warm; ends a changeover."""
        self._advance(now)
        self._recipe, self._recipe_hash = number, hash32
        self._job, self._changing = None, False

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
        self._phase = None
        self._settle()

    # what the PLC tells

    def control(self, words: tuple[int, ...], now: HostNs) -> None:
        """Take the whole control block as it stands after a write of the PLC; ValueError when its length is wrong."""
        old, new = self._control, unpack_control(words)
        self._advance(now)
        self._control = new
        if (old.bits ^ new.bits) & ControlBit.HEARTBEAT.value or old.heartbeat != new.heartbeat:
            self._alive_until = HostNs(now + self._stale)
        if old.session_echo == self._session:
            if new.session_echo == self._session:
                self._edges(new, new.bits & ~old.bits, old.bits & ~new.bits)
            else:
                self._renew(self._session % LAST_SESSION + 1)
        self._settle()

    def tick(self, now: HostNs) -> None:
        """Do what was due at `wake_at`; early calls do nothing."""
        self._advance(now)

    # what both may ask

    def status(self) -> tuple[int, ...]:
        """Give the whole status block; result words are zero unless ResultValid is up."""
        result = self._offered
        status = Status(
            bits=self._bits(result),
            state=self.state,
            session=self._session,
            error_code=self._error,
            queue_depth=len(self._queue),
            entered_boot=self._entered.boot,
            entered_number=self._entered.number,
            request_sequence_echo=self._request_echo,
            active_recipe=self._recipe,
            recipe_hash=self._recipe_hash,
            missed_triggers=self._missed,
            late_results=self._lateness.total,
            overflowed=self._queue.counts.overflowed,
        )
        return pack_status(status if result is None else with_result(status, result))

    def acknowledged(self) -> tuple[PlcAcknowledged, ...]:
        """Take the results acknowledged since the last call, oldest first."""
        taken, self._taken = tuple(self._taken), []
        return taken

    @property
    def wake_at(self) -> HostNs:
        """Next instant at which `tick` must be called; at most 50 ms away."""
        ack_due = self._beat_due if self._ack_due is None else self._ack_due
        stale_at = self._alive_until if self._alive_until is not None and self.alive else self._beat_due
        return min(self._beat_due, ack_due, stale_at)

    @property
    def session(self) -> int:
        """Session as the PLC reads it; it changes when the PLC restarts."""
        return self._session

    @property
    def alive(self) -> bool:
        """Whether the PLC's heartbeat moved lately."""
        return self._alive_until is not None and self._now < self._alive_until

    @property
    def ready(self) -> bool:
        """TriggerReady: a part that enters now is inspected and its result has a place."""
        return (
            self._partner
            and bool(self._control.bits & ControlBit.ENABLE.value)
            and self._machine_ready
            and self._error is ErrorCode.NONE
            and not self._queue.full
            and self._job is None
            and not self._control.bits & ControlBit.JOB_CHANGE.value
        )

    @property
    def error(self) -> ErrorCode:
        """First latched error since the last reset."""
        return self._error

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
    def missed_triggers(self) -> int:
        """Triggers refused so far: of the PLC, and of parts that entered while TriggerReady was down."""
        return self._missed

    @property
    def late(self) -> int:
        """Results so far for which no verdict was in hand in time."""
        return self._lateness.total

    @property
    def job_change(self) -> int | None:
        """Recipe number the PLC asked for, once the station is idle; answer with `recipe`, changed or not."""
        return self._job if self._changing else None

    @property
    def state(self) -> State:
        """Where the handshake stands, most pressing first."""
        ranked = (
            (not self.alive, State.OFFLINE),
            (self._error is not ErrorCode.NONE, State.ERROR),
            (self._changing, State.CHANGEOVER),
            (self._offered is not None, State.RESULT),
            (self._exposing, State.ACQUIRING),
            (bool(self._under_way), State.BUSY),
            (self.ready, State.READY),
        )
        return next((state for holds, state in ranked if holds), State.NOT_READY)

    @property
    def problem(self) -> tuple[str, str]:
        """Give cause and remedy for a technician; two empty strings when nothing is wrong."""
        cause, remedy = "", ""
        if self._error is not ErrorCode.NONE:
            cause, remedy = PROBLEMS[self._error]
        elif not self.alive:
            cause, remedy = "the PLC's heartbeat is stale", "check the PLC, its network and its program's heartbeat"
        elif not self._partner:
            cause, remedy = "the PLC has not taken the session over", "let its program copy Session to SessionEcho"
        elif not self._control.bits & ControlBit.ENABLE.value:
            cause, remedy = "the PLC has not set Enable", "enable the station in the PLC"
        waiting = f"; {len(self._queue)} of {DEPTH} results wait" if cause and len(self._queue) else ""
        return cause + waiting, remedy

    # below the surface

    @property
    def _partner(self) -> bool:
        """Whether a live PLC works in this session."""
        return self.alive and self._control.session_echo == self._session

    @property
    def _offered(self) -> Result | None:
        return self._queue.offer() if self._partner else None

    @property
    def _exposing(self) -> bool:
        return any(not part.exposed for part in self._under_way.values())

    def _bits(self, result: Result | None) -> int:
        trigger_held = self._partner and bool(self._control.bits & ControlBit.TRIGGER.value)
        shown = (
            (True, StatusBit.ONLINE),
            (self.ready, StatusBit.TRIGGER_READY),
            (self._exposing, StatusBit.EXPOSING),
            (bool(self._under_way), StatusBit.BUSY),
            (result is not None, StatusBit.RESULT_VALID),
            (result is not None and result.good, StatusBit.PASS),
            (result is not None and not result.good, StatusBit.REJECT),
            (result is not None and result.cause in LATE_CAUSES, StatusBit.LATE),
            (trigger_held or self._unready_part, StatusBit.MISSED_TRIGGER),
            (self._error is not ErrorCode.NONE, StatusBit.ERROR),
            (self._changing, StatusBit.CHANGEOVER),
            (self._lateness.stop, StatusBit.OVERLOAD),
            (self._degraded, StatusBit.DEGRADED_SENSOR),
            (self._maintenance, StatusBit.MAINTENANCE_DUE),
            (self._beat, StatusBit.HEARTBEAT),
        )
        return sum(bit.value for holds, bit in shown if holds)

    def _advance(self, now: HostNs) -> None:
        """Do what time alone does: our heartbeat, the PLC's going stale, the answer that did not come."""
        self._now = now
        if now >= self._beat_due:
            self._beat = not self._beat
            self._beat_due = HostNs(now + HEARTBEAT_NS)
        self._settle()
        if self._ack_due is not None and now >= self._ack_due:
            self._ack_due = None
            self._latch(ErrorCode.ACK_STUCK if self._queue.released else ErrorCode.ACK_TIMEOUT)

    def _settle(self) -> None:
        """Note what is offered now, time the PLC's next answer, and begin a changeover once nothing is pending."""
        offered = self._offered
        phase = None
        if offered is not None:
            self._queue.show(offered)
            phase = offered.sequence
        elif self._queue.released and self._partner:
            phase = 0
        if phase != self._phase:
            self._phase = phase
            self._ack_due = None if phase is None else HostNs(self._now + self._ack_timeout)
        if self._job is not None and not (self._under_way or len(self._queue) or self._queue.released):
            self._changing = True

    def _edges(self, new: Control, rising: int, falling: int) -> None:
        if falling & ControlBit.RESULT_ACK.value:
            self._queue.rearm()
        if rising & ControlBit.RESULT_ACK.value:
            event = self._queue.acknowledge(new.ack_sequence, self._now)
            self._taken += () if event is None else (event,)
        if rising & ControlBit.CLEAR_QUEUE.value:
            self._queue.clear()
        if rising & ControlBit.TRIGGER.value:
            self._missed += 1
            self._request_echo = new.request_sequence
        if rising & ControlBit.JOB_CHANGE.value and self._job is None:
            self._job = new.recipe_number
            self._request_echo = new.request_sequence
        if falling & ControlBit.JOB_CHANGE.value and not self._changing:
            self._job = None
        if rising & ControlBit.ERROR_RESET.value:
            self.reset(self._now)

    def _renew(self, session: int) -> None:
        self._session = session
        self._queue.renew()
        if not self._changing:
            self._job = None
        for part in self._under_way.values():
            part.orphan = True
        self._settle()

    def _latch(self, error: ErrorCode) -> None:
        if self._error is ErrorCode.NONE:
            self._error = error


def _checked_session(session: int) -> int:
    if not 1 <= session <= LAST_SESSION:
        raise ValueError(f"handshake: session {session} is outside 1 to {LAST_SESSION}; draw it from that range")
    return session
