"""Do to an appliance what PLC programs, cables and operators do, one fault a function, and score how it takes it."""

from collections.abc import Callable

from appliance.outputs.plc.registers import ControlBit, ErrorCode, JobAnswer, Status, StatusBit, StatusBit2
from appliance.schema.clocks import MS, HostNs, S
from appliance.sim.plc_player import Player
from appliance.sim.plc_program import Ack
from appliance.sim.plc_rules import RESULTS_HELD, Rule

QUIET_S = 0.25
"""How long something must not happen; the appliance acts within a few ms."""

MARGIN_S = 0.25
"""What a limit may be exceeded by, as a poller sees it."""

_UNSAFE = StatusBit.TRIGGER_READY | StatusBit.RESULT_VALID | StatusBit.PASS
_REQUEST = 4711
_PLC_PART = 0xC0DE_0001
_NO_RECIPE = 65535
_NO_PART = "no part passed in {:g} s"
_STOP_THE_FEED = "parts stayed on the belt; stop the feed and run again"


def without_session(player: Player) -> None:
    """Start without SessionEcho, then with a wrong one, then as it should be."""
    player.program.restart()
    player.cycle()  # zeros, as after a power cut
    for rule, echo in ((Rule.NO_SESSION, 0), (Rule.WRONG_SESSION, None)):
        player.program.echo = player.status.session ^ 0x0001_0001 if echo is None else echo
        player.until(lambda status: not status.bits & _UNSAFE, MARGIN_S)
        held = player.through(QUIET_S, lambda status: not status.bits & _UNSAFE)
        player.score.note(rule, held=held, seen=f"bits {player.status.bits:#06x}")


def join(player: Player) -> None:
    """Take the session over, and clear what an earlier PLC left."""
    player.settle()
    up = player.until(lambda status: status.state != 0)
    player.pulse(ControlBit.CLEAR_QUEUE | ControlBit.ERROR_RESET)
    clean = player.until(lambda status: status.error_code == ErrorCode.NONE)
    seen = f"session {player.status.session}, State {player.status.state}, ErrorCode {player.status.error_code}"
    player.score.note(Rule.JOIN, held=up and clean, seen=seen)


def cycles(player: Player) -> None:
    """Take results over as a good program does; the watch judges each block."""
    end = HostNs(player.wire.now() + int(player.patience_s * S))
    slowest = 0
    while player.wire.now() < end:
        if not player.until(lambda status: bool(status.bits & StatusBit.RESULT_VALID), (end - player.wire.now()) / S):
            break
        player.until(lambda _: bool(player.control.bits & ControlBit.RESULT_ACK))
        asked = player.wire.now()
        taken = player.until(lambda status: not status.bits & StatusBit.RESULT_VALID)
        slowest = max(slowest, (player.wire.now() - asked) // MS)
        player.score.note(Rule.RELEASED, held=taken, seen=f"longest {slowest} ms")
    for rule in _ON_RESULTS:
        player.score.skip(rule, _NO_PART.format(player.patience_s))
    player.score.skip(Rule.LATE, "no result was late")
    player.score.skip(Rule.QUARANTINE, "no part was in review or unknown")
    player.score.skip(Rule.BARRED, "nothing barred parts")


def held_ack(player: Player) -> None:
    """Never take ResultAck back."""
    if not player.await_result():
        return
    player.program.ack = Ack.HELD
    if not player.until(lambda status: not status.bits & StatusBit.RESULT_VALID):
        return
    depth = player.status.queue_depth
    player.until(lambda status: status.queue_depth > 0, player.patience_s)
    waited = player.status.queue_depth or depth
    quiet = player.through(QUIET_S, lambda status: not status.bits & StatusBit.RESULT_VALID)
    late = player.until(lambda status: bool(status.bits & StatusBit.ERROR), player.ack_s + MARGIN_S)
    if waited:
        seen = f"{waited} waited, offered {not quiet:d}, Error {late:d}"
        player.score.note(Rule.ACK_HELD, held=quiet and late, seen=seen)
    else:
        player.score.skip(Rule.ACK_HELD, "no further result waited")
    player.settle()
    player.until(lambda status: not status.bits & StatusBit.ERROR)


def wrong_ack(player: Player) -> None:
    """Acknowledge a number that was never offered, then the one before."""
    for kind in (Ack.WRONG, Ack.OLD):
        if not player.await_result():
            return
        number = player.status.result_sequence
        player.program.ack = kind
        stays = player.through(QUIET_S, _shows(number))
        seen = f"ResultSeq {number}, AckSequence {player.control.ack_sequence}"
        player.score.note(Rule.WRONG_ACK, held=stays, seen=seen)
        player.settle()
        player.until(_left(number))


def cut(player: Player) -> None:
    """Cut the connection while a result is offered, then right after its acknowledgement was written."""
    for answered in (False, True):
        if not player.await_result():
            return
        number = player.status.result_sequence
        if answered:
            player.program.ack = Ack.PROPER
            player.until(lambda _: bool(player.control.bits & ControlBit.RESULT_ACK))
        player.wire.cut()
        player.wire.wait(player.stale_s / 4)
        back = player.read().result_sequence
        held = (back != number or player.until(_left(number))) if answered else back == number
        player.score.note(Rule.CUT, held=held, seen=f"ResultSeq {number}, {back} after the cut")
        player.settle()


def silence(player: Player) -> None:
    """Stop the heartbeat, and every other write, while a result is offered."""
    offered = player.await_result()
    number = player.status.result_sequence
    began = player.wire.now()
    until = HostNs(began + int((player.stale_s + MARGIN_S + QUIET_S) * S))
    player.program.silence(until)
    dropped = player.until(lambda status: not status.bits & _UNSAFE, player.stale_s + MARGIN_S)
    took_ms = (player.wire.now() - began) // MS
    stays = player.through((until - player.wire.now()) / S, lambda status: not status.bits & _UNSAFE)
    back = not offered or player.until(_shows(number))
    seen = f"safe after {took_ms} ms, bits {player.status.bits:#06x}, ResultSeq {number} back {back:d}"
    player.score.note(Rule.SILENT, held=dropped and stays and back, seen=seen)
    player.settle()


def full_queue(player: Player) -> None:
    """Acknowledge nothing until eight results wait and a ninth finds no place, then take all of them."""
    if not player.await_result():
        return
    before, number = player.status.overflowed, player.status.result_sequence
    raised = player.until(lambda status: bool(status.bits & StatusBit.ERROR), player.ack_s + MARGIN_S)
    stays = player.status.result_sequence == number
    seen = f"Error {raised:d}, ErrorCode {player.status.error_code}, ResultSeq {number} stays {stays:d}"
    player.score.note(Rule.UNANSWERED, held=raised and stays, seen=seen)
    if player.until(lambda status: status.queue_depth >= RESULTS_HELD, player.patience_s * 2):
        _ninth(player, before, number)
    else:
        player.score.skip(Rule.FULL, f"{player.status.queue_depth} of {RESULTS_HELD} places were taken in time")
    player.program.ack = Ack.PROPER
    player.until(lambda status: not status.queue_depth or status.result_sequence >= number + RESULTS_HELD)


def _ninth(player: Player, before: int, number: int) -> None:
    barred = player.until(lambda status: not status.bits & StatusBit.TRIGGER_READY, MARGIN_S)
    counted = player.until(lambda status: status.overflowed != before, player.patience_s)
    if not counted and player.status.result_sequence == number:
        player.score.skip(Rule.FULL, f"{RESULTS_HELD} waited, no further part came")
        return
    status = player.status
    kept = status.result_sequence == number and bool(status.bits & StatusBit.ERROR)
    seen = f"Overflowed {before} -> {status.overflowed}, ResultSeq {number} -> {status.result_sequence}"
    player.score.note(Rule.FULL, held=barred and counted and kept, seen=seen)


def latched(player: Player) -> None:
    """Leave an error alone, then reset it."""
    if not player.status.bits & StatusBit.ERROR:
        player.score.skip(Rule.LATCHED, "no error stood")
        return
    stays = player.through(QUIET_S, _barred_by_error)
    player.pulse(ControlBit.ERROR_RESET)
    gone = player.until(lambda status: not status.bits & StatusBit.ERROR)
    player.score.note(Rule.LATCHED, held=stays and gone, seen=f"stayed {stays:d}, reset {gone:d}")
    player.settle()


def cleared(player: Player) -> None:
    """Clear the queue while results wait."""
    if not player.await_result():
        return
    number = player.status.result_sequence
    player.program.pulse = ControlBit.CLEAR_QUEUE
    gone = player.until(_left(number))
    player.program.pulse = ControlBit(0)
    player.score.note(Rule.CLEARED, held=gone, seen=f"ResultSeq {number}, then {player.status.result_sequence}")
    player.settle()


def plc_trigger(player: Player) -> None:
    """Ask for one part in four phases, and wait for its result."""
    if not player.status.bits2 & StatusBit2.PLC_TRIGGERS:
        player.score.skip(Rule.PLC_TRIGGER, "the part sensor triggers")
        return
    program = player.program
    player.stop_feed()
    if not player.until(lambda status: bool(status.bits & StatusBit.TRIGGER_READY), player.patience_s):
        player.score.skip(Rule.PLC_TRIGGER, "TriggerReady stayed 0")
        return
    name = program.request_sequence, program.plc_part = _REQUEST + 3, _PLC_PART
    program.pulse = ControlBit.TRIGGER
    made = player.until(lambda status: bool(status.bits & StatusBit.TRIGGER_ACK), player.patience_s)
    part = (player.status.entered_boot, player.status.entered_number)
    held = made and player.through(MARGIN_S / 5, lambda status: bool(status.bits & StatusBit.TRIGGER_ACK))
    program.pulse = ControlBit(0)
    fell = player.until(lambda status: not status.bits & StatusBit.TRIGGER_ACK)
    player.until(lambda _: part in player.watch.named, player.patience_s)
    named = player.watch.named.get(part)
    seen = f"TriggerAck {made:d}, held {held:d}, fell {fell:d}, RequestSeq and PlcPart {named} of {name}"
    player.score.note(Rule.PLC_TRIGGER, held=held and fell and named in {None, name}, seen=seen)
    player.settle()


def missed_trigger(player: Player) -> None:
    """Take Enable back, then ask for a part all the same."""
    player.stop_feed()
    player.program.enable = False
    down = player.until(lambda status: not status.bits & StatusBit.TRIGGER_READY, MARGIN_S)
    down = down and player.through(QUIET_S, lambda status: not status.bits & StatusBit.TRIGGER_READY)
    player.score.note(Rule.ENABLE, held=down, seen=f"bits {player.status.bits:#06x}")
    before = player.status.missed_triggers
    player.program.request_sequence = _REQUEST
    player.program.pulse = ControlBit.TRIGGER
    told = player.until(lambda status: _refused(status, before))
    player.program.pulse = ControlBit(0)
    status = player.status
    seen = f"MissedTriggers {before} -> {status.missed_triggers}, RequestSeqEcho {status.request_sequence_echo}"
    player.score.note(Rule.TRIGGER, held=told, seen=seen)
    player.settle()


def job_change(player: Player) -> None:
    """Ask for the recipe that is active, so that nothing changes but the answer's way is seen."""
    player.stop_feed()
    status = player.cycle()
    recipe, digest = status.active_recipe, status.recipe_hash
    if not recipe:
        player.score.skip(Rule.JOB, "no recipe is active")
        return
    player.program.recipe_number, player.program.request_sequence = recipe, _REQUEST + 1
    player.program.pulse = ControlBit.JOB_CHANGE
    down = player.until(lambda status: not status.bits & StatusBit.TRIGGER_READY, MARGIN_S)
    idle = player.until(_job_may_begin, player.patience_s)
    answered = idle and player.until(
        lambda status: (
            status.request_sequence_echo == _REQUEST + 1
            and not status.bits & (StatusBit.CHANGEOVER | StatusBit.TRIGGER_READY)
            and status.job_answer == JobAnswer.DONE
            and (status.active_recipe, status.recipe_hash) == (recipe, digest)
        )
    )
    player.program.pulse = ControlBit(0)
    seen = f"recipe {recipe} -> {player.status.active_recipe}, RequestSeqEcho {player.status.request_sequence_echo}"
    if idle or not down:
        player.score.note(Rule.JOB, held=down and answered, seen=seen)
    else:
        player.score.skip(Rule.JOB, _STOP_THE_FEED)
    player.settle()


def refused_job(player: Player) -> None:
    """Ask for a recipe that does not exist."""
    player.stop_feed()
    before = (player.status.active_recipe, player.status.recipe_hash)
    player.program.recipe_number, player.program.request_sequence = _NO_RECIPE, _REQUEST + 2
    player.program.pulse = ControlBit.JOB_CHANGE
    idle = player.until(_job_may_begin, player.patience_s)
    told = idle and player.until(
        lambda status: (
            bool(status.bits2 & StatusBit2.JOB_REFUSED)
            and status.job_answer == JobAnswer.REFUSED
            and status.request_sequence_echo == _REQUEST + 2
        )
    )
    status = player.status
    kept = (status.active_recipe, status.recipe_hash) == before
    seen = f"recipe {_NO_RECIPE}: JobAnswer {status.job_answer}, ActiveRecipe {before[0]} -> {status.active_recipe}"
    player.program.pulse = ControlBit(0)
    fell = player.until(lambda status: not status.bits2 & StatusBit2.JOB_REFUSED)
    if idle:
        player.score.note(Rule.JOB_REFUSED, held=told and kept and fell, seen=seen)
    else:
        player.score.skip(Rule.JOB_REFUSED, _STOP_THE_FEED)
    player.settle()


def restart(player: Player) -> None:
    """Lose all memory while a result waits and parts are on the belt, then go on in the old session, then join."""
    player.await_result()
    player.until(lambda status: bool(status.bits & StatusBit.BUSY), player.patience_s)
    old = player.status.session
    player.program.restart()
    player.program.echo = 0
    renewed = player.until(lambda status: status.session != old)
    empty = not player.status.bits & _UNSAFE
    player.score.note(Rule.RESTART, held=renewed and empty, seen=f"session {old} -> {player.status.session}")
    if renewed:
        player.program.echo = old
        held = player.through(QUIET_S, lambda status: not status.bits & _UNSAFE)
        player.score.note(Rule.WRONG_SESSION, held=held, seen=f"session {old}: bits {player.status.bits:#06x}")
    player.settle()
    player.until(lambda _: False, min(1.0, player.patience_s))
    player.score.skip(Rule.ORPHAN, "no part was on the belt at the restart")


_ON_RESULTS = (
    Rule.ONE_BIT,
    Rule.COMPLETE,
    Rule.WORD_ORDER,
    Rule.SEQUENCE,
    Rule.PART,
    Rule.GOOD,
    Rule.HELD,
    Rule.RELEASED,
    Rule.ACK_HELD,
    Rule.WRONG_ACK,
    Rule.CUT,
    Rule.UNANSWERED,
    Rule.FULL,
    Rule.CLEARED,
)


def _shows(number: int) -> Callable[[Status], bool]:
    return lambda status: status.result_sequence == number


def _left(number: int) -> Callable[[Status], bool]:
    return lambda status: status.result_sequence != number


def _refused(status: Status, before: int) -> bool:
    told = status.missed_triggers != before and status.request_sequence_echo == _REQUEST
    return told and bool(status.bits & StatusBit.MISSED_TRIGGER)


def _barred_by_error(status: Status) -> bool:
    return bool(status.bits & StatusBit.ERROR) and not status.bits & StatusBit.TRIGGER_READY


def _job_may_begin(status: Status) -> bool:
    return not status.bits & (StatusBit.BUSY | StatusBit.RESULT_VALID)
