"""Work out the PLC's status bits and state from what holds now; pure."""

from msgspec import Struct

from appliance.outputs.plc.lateness import LATE_CAUSES
from appliance.outputs.plc.registers import PROBLEMS, ErrorCode, JobAnswer, State, StatusBit, StatusBit2
from appliance.outputs.plc.result_queue import DEPTH, Result


class Station(Struct, frozen=True):
    """Say how the station stands apart from the PLC; nothing is ready until told otherwise."""

    ready: bool = False
    """It could inspect a part that enters now."""
    no_job: bool = False
    """It is not ready since no client's job covers a part."""
    sync_lost: bool = False
    """Parts and gate no longer agree."""
    changing: bool = False
    """A recipe change runs, whoever asked for it."""
    degraded: bool = False
    maintenance: bool = False


class Shown(Struct, frozen=True):
    """Hold all that bits and state tell."""

    alive: bool
    """The PLC's heartbeat moves."""
    partner: bool
    """A live PLC works in this session."""
    enabled: bool
    ready: bool
    trigger_ack: bool
    missed: bool
    exposing: bool
    busy: bool
    changing: bool
    overload: bool
    beat: bool
    error: ErrorCode
    job: JobAnswer
    result: Result | None
    """Offered now; None too without a partner."""
    waiting: int
    """Results that wait, the offered one included."""
    station: Station
    plc_triggers: bool


def state(shown: Shown) -> State:
    """Say where the handshake stands, most pressing first."""
    ranked = (
        (not shown.alive, State.OFFLINE),
        (shown.error is not ErrorCode.NONE, State.ERROR),
        (shown.changing, State.CHANGEOVER),
        (shown.result is not None, State.RESULT),
        (shown.exposing, State.ACQUIRING),
        (shown.busy, State.BUSY),
        (shown.ready, State.READY),
    )
    return next((one for holds, one in ranked if holds), State.NOT_READY)


def bits(shown: Shown) -> int:
    """Give the first status word."""
    result = shown.result
    pairs = (
        (True, StatusBit.ONLINE),
        (shown.ready, StatusBit.TRIGGER_READY),
        (shown.trigger_ack, StatusBit.TRIGGER_ACK),
        (shown.exposing, StatusBit.EXPOSING),
        (shown.busy, StatusBit.BUSY),
        (result is not None, StatusBit.RESULT_VALID),
        (result is not None and result.good, StatusBit.PASS),
        (result is not None and not result.good, StatusBit.REJECT),
        (result is not None and result.cause in LATE_CAUSES, StatusBit.LATE),
        (shown.missed, StatusBit.MISSED_TRIGGER),
        (shown.error is not ErrorCode.NONE, StatusBit.ERROR),
        (shown.changing, StatusBit.CHANGEOVER),
        (shown.overload, StatusBit.OVERLOAD),
        (shown.station.degraded, StatusBit.DEGRADED_SENSOR),
        (shown.station.maintenance, StatusBit.MAINTENANCE_DUE),
        (shown.beat, StatusBit.HEARTBEAT),
    )
    return sum(bit.value for holds, bit in pairs if holds)


def bits2(shown: Shown) -> int:
    """Give the second status word."""
    pairs = (
        (shown.result is not None and shown.result.apart, StatusBit2.QUARANTINE),
        (shown.station.sync_lost, StatusBit2.SYNC_LOST),
        (shown.job > JobAnswer.DONE, StatusBit2.JOB_REFUSED),
        (shown.station.no_job, StatusBit2.NO_JOB),
        (shown.plc_triggers, StatusBit2.PLC_TRIGGERS),
    )
    return sum(bit.value for holds, bit in pairs if holds)


def problem(shown: Shown) -> tuple[str, str]:
    """Give cause and remedy for a technician; two empty strings when nothing is wrong."""
    cause, remedy = "", ""
    if shown.error is not ErrorCode.NONE:
        cause, remedy = PROBLEMS[shown.error]
    elif not shown.alive:
        cause, remedy = "the PLC's heartbeat is stale", "check the PLC, its network and its program's heartbeat"
    elif not shown.partner:
        cause, remedy = "the PLC has not taken the session over", "let its program copy Session to SessionEcho"
    elif not shown.enabled:
        cause, remedy = "the PLC has not set Enable", "enable the station in the PLC"
    waiting = f"; {shown.waiting} of {DEPTH} results wait" if cause and shown.waiting else ""
    return cause + waiting, remedy
