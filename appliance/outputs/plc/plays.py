"""Play what happens between station and PLC, one function for each scenario of the interface page; pure."""

from appliance.outputs.plc.registers import ControlBit
from appliance.outputs.plc.stage import Happening, Stage
from appliance.schema.actuation import Cause, Lane
from appliance.schema.verdict import Disposition

ACK, JOB = ControlBit.RESULT_ACK, ControlBit.JOB_CHANGE


def normal(stage: Stage) -> None:
    """Join, and hand one result over."""
    stage.starts()
    stage.wait(20)
    _passes(stage, 1)
    _takes(stage)
    stage.wait(20)


def queue(stage: Stage) -> None:
    """Let three results wait."""
    stage.starts()
    for part in (1, 2, 3):
        stage.wait(20)
        _enters(stage, part)
        _accepted(stage, part)
    for _ in range(3):
        stage.wait(10)
        _takes(stage)
    stage.wait(20)


def overflow(stage: Stage) -> None:
    """Let nine results come while nobody takes one."""
    stage.starts()
    for part in range(1, 10):
        stage.wait(10)
        _accepted(stage, part)
    stage.wait(10)
    _takes(stage)
    stage.writes("resets", [ControlBit.ERROR_RESET])
    stage.writes("", down=[ControlBit.ERROR_RESET])
    stage.wait(20)


def missed(stage: Stage) -> None:
    """Let a part enter while the PLC is disabled."""
    stage.starts()
    stage.wait(20)
    stage.writes("disables", down=[ControlBit.ENABLE])
    stage.wait(20)
    _enters(stage, 1)
    stage.wait(30)
    _rejected(stage, 1, Cause.PLC_NOT_READY, Disposition.ACCEPT)
    stage.writes("enables again", [ControlBit.ENABLE])
    _takes(stage)
    stage.wait(20)
    _enters(stage, 2)
    stage.wait(20)


def late(stage: Stage) -> None:
    """Reject a part that had no verdict in time, and accept the next one."""
    stage.starts()
    stage.wait(20)
    _enters(stage, 1)
    stage.wait(60)
    _rejected(stage, 1, Cause.LATE, Disposition.ACCEPT)
    _takes(stage)
    stage.wait(20)
    _passes(stage, 2)
    _takes(stage)
    stage.wait(20)


def ack_timeout(stage: Stage) -> None:
    """Leave a result for longer than its time."""
    stage.starts()
    stage.wait(20)
    _passes(stage, 1)
    stage.wait(2020)
    stage.writes("acknowledges at last", [ACK], ack_sequence=1)
    stage.writes("takes it back", down=[ACK])
    stage.writes("resets", [ControlBit.ERROR_RESET])
    stage.writes("", down=[ControlBit.ERROR_RESET])
    stage.wait(20)


def stale(stage: Stage) -> None:
    """Stop the PLC's heartbeat while a result is offered."""
    stage.starts()
    stage.wait(70)
    _passes(stage, 1)
    stage.beating = False
    stage.wait(540)
    stage.beating = True
    stage.writes("its heartbeat is back")
    stage.wait(30)
    _takes(stage)
    stage.wait(20)


def restart(stage: Stage) -> None:
    """Restart the PLC while a result waits and a part is on the belt."""
    stage.starts()
    stage.wait(20)
    _passes(stage, 1)
    stage.wait(10)
    _enters(stage, 2)
    stage.wait(20)
    stage.starts()
    stage.wait(20)
    _accepted(stage, 2)
    _takes(stage)
    stage.wait(20)


def recipe(stage: Stage) -> None:
    """Change the recipe while a part is on the belt."""
    stage.starts()
    stage.wait(20)
    _enters(stage, 1)
    stage.writes("asks for recipe 8", [JOB], request_sequence=21, recipe_number=8)
    stage.wait(20)
    _accepted(stage, 1)
    _takes(stage)
    stage.wait(80)
    stage.happens("recipe 8 is warm", Happening("recipe", recipe=(8, 0x5EED_0008)))
    stage.writes("compares hash", down=[JOB])
    stage.wait(20)


def refused(stage: Stage) -> None:
    """Ask for a recipe that is not there."""
    stage.starts()
    stage.wait(20)
    stage.writes("asks for recipe 99", [JOB], request_sequence=22, recipe_number=99)
    stage.wait(30)
    stage.happens("no such recipe", Happening("refuses"))
    stage.writes("takes it back", down=[JOB])
    stage.wait(20)


def plc_trigger(stage: Stage) -> None:
    """Let the PLC make a part."""
    stage.starts()
    stage.wait(20)
    stage.writes("asks for a part", [ControlBit.TRIGGER], request_sequence=7, plc_part=4711)
    stage.wait(10)
    _enters(stage, 1, stage.wish())
    stage.writes("takes it back", down=[ControlBit.TRIGGER])
    stage.wait(20)
    _accepted(stage, 1)
    _takes(stage)
    stage.wait(20)


def plc_trigger_missed(stage: Stage) -> None:
    """Let the PLC ask for a part that is not made, and once more while nothing is ready."""
    stage.starts()
    stage.wait(20)
    stage.writes("asks for a part", [ControlBit.TRIGGER], request_sequence=8, plc_part=4712)
    stage.wish()
    stage.wait(230)
    stage.writes("takes it back", down=[ControlBit.TRIGGER])
    stage.wait(20)
    stage.happens("station is not ready", Happening("station", ready=False))
    stage.writes("asks all the same", [ControlBit.TRIGGER], request_sequence=9, plc_part=4713)
    stage.writes("takes it back", down=[ControlBit.TRIGGER])
    stage.wait(20)


def purge(stage: Stage) -> None:
    """Keep a part apart; then lose step, and purge the belt."""
    stage.starts()
    stage.wait(20)
    _enters(stage, 1)
    _rejected(stage, 1, Cause.DECIDED_REJECT, Disposition.REVIEW)
    _takes(stage)
    stage.wait(20)
    stage.happens("a part is missing", Happening("station", ready=False, sync_lost=True))
    stage.wait(30)
    stage.writes("resets in vain", [ControlBit.ERROR_RESET])
    stage.writes("", down=[ControlBit.ERROR_RESET])
    stage.writes("belt is empty", [ControlBit.PURGED])
    stage.wait(20)
    stage.happens("released", Happening("station"))
    stage.writes("", down=[ControlBit.PURGED])
    stage.wait(20)


def _passes(stage: Stage, part: int, request: int = 0) -> None:
    _enters(stage, part, request)
    stage.wait(40)
    _accepted(stage, part)


def _enters(stage: Stage, part: int, request: int = 0) -> None:
    stage.happens(
        f"part {part} made" if request else f"part {part} at the sensor", Happening("enters", part, request=request)
    )
    stage.wait(20)
    stage.happens("images taken", Happening("exposed", part))


def _accepted(stage: Stage, part: int) -> None:
    told = Happening("gate", part, Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT)
    stage.happens(f"part {part} at the gate", told)


def _rejected(stage: Stage, part: int, cause: Cause, disposition: Disposition) -> None:
    stage.happens(f"part {part} at the gate", Happening("gate", part, Lane.REJECT, cause, disposition))


def _takes(stage: Stage) -> None:
    stage.writes("acknowledges", [ACK], ack_sequence=stage.status.result_sequence)
    stage.writes("takes it back", down=[ACK])
