"""Tell what happens between a PLC and the appliance, scenario by scenario; the handshake itself gives the answers.

Each scenario names the signals that its diagram shows, and the pairs of edges that hang together as cause and effect;
an edge that the run did not show is an error, so no diagram can claim what the code does not do.
"""

from collections.abc import Callable

from msgspec import Struct

from appliance.outputs.plc import plays
from appliance.outputs.plc.stage import Stage, Step


class Arrow(Struct, frozen=True):
    """Join two edges, the n-th of their kind, from 1.

    A signal is spelled as in the register page, with + or - for its edge or = for a new value; `@` takes what the
    station told.
    """

    cause: str
    effect: str
    says: str
    nth: tuple[int, int] = (1, 1)


class Scenario(Struct, frozen=True):
    """Hold one scenario: what it shows, how it goes, and how it is drawn."""

    name: str
    title: str
    text: str
    play: Callable[[Stage], None]
    signals: tuple[str, ...]
    arrows: tuple[Arrow, ...]
    plc_triggers: bool = False
    begins: int = 1
    """The diagram begins at this step: how a PLC joins is drawn once."""

    def steps(self) -> list[Step]:
        """Run it."""
        stage = Stage(plc_triggers=self.plc_triggers)
        self.play(stage)
        return stage.steps


JOINED = 4
"""Steps until the PLC has joined and enabled."""


_RESULT = ("ResultValid", "Pass", "Reject", "ResultSeq", "PartIdEcho.Number")

SCENARIOS = (
    Scenario(
        "normal_cycle",
        "One part, four phases",
        "The PLC joins, a part passes sensor, camera and gate, and its result is handed over.",
        plays.normal,
        ("SessionEcho", "Enable", "ResultAck", "AckSequence", "TriggerReady", "Exposing", "Busy", *_RESULT),
        (
            Arrow("Enable+", "TriggerReady+", "a live PLC works in this session: a part may enter"),
            Arrow("@part 1 at the sensor", "Busy+", "the part is followed from the sensor on"),
            Arrow("@images taken", "Exposing-", "all its images are taken"),
            Arrow("@part 1 at the gate", "ResultValid+", "result words, Pass and ResultValid change in one read"),
            Arrow("ResultValid+", "ResultAck+", "the PLC judges, stores, and names the result in AckSequence"),
            Arrow("ResultAck+", "ResultValid-", "taken over: the result words are 0 again"),
            Arrow("ResultValid-", "ResultAck-", "the PLC takes ResultAck back; the next result may come"),
        ),
    ),
    Scenario(
        "queue_of_results",
        "Three results wait, oldest first",
        "The PLC is slow; results wait in their order, and ResultAck has to fall before the next one is shown.",
        plays.queue,
        ("ResultAck", "AckSequence", "TriggerReady", "QueueDepth", *_RESULT),
        (
            Arrow("@part 1 at the gate", "ResultValid+", "the oldest result is offered"),
            Arrow("@part 3 at the gate", "QueueDepth=3", "newer ones wait; nothing is overwritten"),
            Arrow("ResultAck+", "ResultValid-", "the first is taken"),
            Arrow("ResultAck-", "ResultValid+", "only now the second is shown", (1, 2)),
            Arrow("ResultAck-", "ResultValid+", "and the third", (2, 3)),
        ),
        begins=JOINED,
    ),
    Scenario(
        "queue_overflow",
        "The ninth result finds no place",
        "Eight results fill the queue: TriggerReady drops. A ninth part that was on its way raises Error.",
        plays.overflow,
        (
            "ResultAck",
            "ErrorReset",
            "TriggerReady",
            "QueueDepth",
            "ResultValid",
            "ResultSeq",
            "Overflowed",
            "Error",
            "ErrorCode",
        ),
        (
            Arrow("QueueDepth=8", "TriggerReady-", "all places are taken: no further part may enter"),
            Arrow("@part 9 at the gate", "Error+", "no place: counted, never written over an older result"),
            Arrow("ResultAck-", "ResultSeq=2", "the eight are still handed over in their order"),
            Arrow("ErrorReset+", "TriggerReady+", "a place is free and the error is reset"),
        ),
        begins=JOINED,
    ),
    Scenario(
        "missed_trigger",
        "A part enters while TriggerReady is 0",
        "It is not inspected: MissedTrigger and its counter say so, and its result is a reject.",
        plays.missed,
        ("Enable", "ResultAck", "TriggerReady", "Busy", "MissedTrigger", "MissedTriggers", *_RESULT[:3], "Cause"),
        (
            Arrow("Enable-", "TriggerReady-", "without Enable no part may enter"),
            Arrow("@part 1 at the sensor", "MissedTrigger+", "counted: this part is not inspected"),
            Arrow("@part 1 at the gate", "Reject+", "its result says plc_not_ready (11), whatever the model said"),
            Arrow("@part 2 at the sensor", "MissedTrigger-", "shown until a part enters that is inspected"),
        ),
        begins=JOINED,
    ),
    Scenario(
        "late_result",
        "A verdict comes too late",
        "Late goes with Reject and with this part alone; the next part is not touched by it.",
        plays.late,
        ("ResultAck", "TriggerReady", "Busy", *_RESULT[:3], "Late", *_RESULT[3:], "LateResults"),
        (
            Arrow("@part 1 at the gate", "Reject+", "no verdict was in hand: the gate stayed at reject"),
            Arrow("Reject+", "ResultAck+", "handed over like any result"),
            Arrow("@part 2 at the gate", "Pass+", "the next part has its own result"),
        ),
        begins=JOINED,
    ),
    Scenario(
        "ack_timeout",
        "ResultAck does not come",
        "After 2 s Error is latched and TriggerReady drops; the result stays until it is acknowledged.",
        plays.ack_timeout,
        ("ResultAck", "ErrorReset", "TriggerReady", "ResultValid", "Pass", "ResultSeq", "Error", "ErrorCode"),
        (
            Arrow("ResultValid+", "Error+", "2,000 ms without ResultAck: latched, and no part may enter"),
            Arrow("ResultAck+", "ResultValid-", "the result was kept and is handed over once"),
            Arrow("ErrorReset+", "TriggerReady+", "ready again"),
        ),
        begins=JOINED,
    ),
    Scenario(
        "stale_heartbeat",
        "The PLC's heartbeat stops",
        "After 500 ms the outputs are safe: no result, no TriggerReady. What waits comes back with the heartbeat.",
        plays.stale,
        ("Heartbeat", "ResultAck", "TriggerReady", *_RESULT, "QueueDepth", "State"),
        (
            Arrow("Heartbeat*", "Pass-", "500 ms without a change: outputs go safe", (1, 1)),
            Arrow("Heartbeat*", "Pass+", "alive again: the result was only withdrawn", (2, 2)),
            Arrow("ResultAck+", "ResultValid-", "taken over once", (1, 2)),
        ),
        begins=JOINED,
    ),
    Scenario(
        "plc_restart",
        "The PLC restarts",
        "SessionEcho 0 tells of it. The queue is cleared, and a part that it never saw enter is a reject.",
        plays.restart,
        ("SessionEcho", "Enable", "ResultAck", "Session", "TriggerReady", "Busy", "QueueDepth", *_RESULT, "Cause"),
        (
            Arrow("SessionEcho=0", "Session=4661", "a new session begins; pending results are dropped"),
            Arrow("Session=4661", "SessionEcho=4661", "the PLC takes it over"),
            Arrow("Enable+", "TriggerReady+", "ready for parts of the new session"),
            Arrow("@part 2 at the gate", "Reject+", "on the belt at the restart: old_session (6), never Pass"),
        ),
        begins=JOINED,
    ),
    Scenario(
        "recipe_change",
        "Another recipe",
        "It begins once no part and no result is pending, and ends with the hash of what is active.",
        plays.recipe,
        (
            "JobChange",
            "RecipeNumber",
            "ResultAck",
            "TriggerReady",
            "Busy",
            "ResultValid",
            "Changeover",
            "ActiveRecipe",
            "RecipeHash32",
            "JobAnswer",
        ),
        (
            Arrow("JobChange+", "TriggerReady-", "no further part may enter"),
            Arrow("ResultAck-", "Changeover+", "nothing is pending any more: the change begins"),
            Arrow("@recipe 8 is warm", "JobAnswer=1", "done: ActiveRecipe and RecipeHash32 name the new one"),
            Arrow("JobAnswer=1", "JobChange-", "the PLC compares the hash with what it expects"),
            Arrow("JobChange-", "TriggerReady+", "ready for the new product"),
        ),
        begins=JOINED,
    ),
    Scenario(
        "recipe_refused",
        "A recipe that is not there",
        "The old recipe stays; JobRefused and JobAnswer say so while JobChange is held.",
        plays.refused,
        (
            "JobChange",
            "RecipeNumber",
            "TriggerReady",
            "Changeover",
            "JobRefused",
            "JobAnswer",
            "ActiveRecipe",
            "RecipeHash32",
        ),
        (
            Arrow("JobChange+", "Changeover+", "nothing is pending: the change begins at once"),
            Arrow("@no such recipe", "JobRefused+", "refused: JobAnswer 2, recipe 3 stays"),
            Arrow("JobRefused+", "JobChange-", "the PLC takes its wish back"),
            Arrow("JobChange-", "TriggerReady+", "ready with the old recipe"),
        ),
        begins=JOINED,
    ),
    Scenario(
        "plc_trigger",
        "The PLC makes the part",
        'With plc.trigger = "plc": Trigger is held until TriggerAck; the result carries the PLC\'s own names.',
        plays.plc_trigger,
        (
            "Trigger",
            "RequestSeq",
            "PlcPart",
            "ResultAck",
            "TriggerReady",
            "TriggerAck",
            "Exposing",
            "Busy",
            *_RESULT[:3],
            "PlcPartEcho",
            "PartRequestSeq",
        ),
        (
            Arrow("Trigger+", "TriggerReady-", "one at a time: the microcontroller is asked for a part"),
            Arrow("@part 1 made", "TriggerAck+", "the part is made"),
            Arrow("TriggerAck+", "Trigger-", "the PLC takes Trigger back"),
            Arrow("Trigger-", "TriggerAck-", "ready for the next one"),
            Arrow("@part 1 at the gate", "PlcPartEcho=4711", "the result names part and request as the PLC did"),
        ),
        plc_triggers=True,
        begins=JOINED,
    ),
    Scenario(
        "plc_trigger_missed",
        "A Trigger that makes no part",
        "No part within 200 ms, or TriggerReady was 0: MissedTrigger stays while Trigger is held. Never silent.",
        plays.plc_trigger_missed,
        (
            "Trigger",
            "RequestSeq",
            "PlcPart",
            "TriggerReady",
            "TriggerAck",
            "MissedTrigger",
            "MissedTriggers",
            "RequestSeqEcho",
        ),
        (
            Arrow("Trigger+", "MissedTrigger+", "200 ms without a part: this one was not inspected"),
            Arrow("Trigger-", "MissedTrigger-", "taken note of"),
            Arrow("@station is not ready", "TriggerReady-", "no part may be asked for", (1, 2)),
            Arrow("Trigger+", "MissedTrigger+", "refused at once, and counted", (2, 2)),
        ),
        plc_triggers=True,
        begins=JOINED,
    ),
    Scenario(
        "quarantine_and_purge",
        "A part for a person, and a lost part",
        "Quarantine: keep that part apart. SyncLost: parts and gate no longer agree; only a purge releases it.",
        plays.purge,
        (
            "ResultAck",
            "ErrorReset",
            "Purged",
            "TriggerReady",
            *_RESULT[:3],
            "Quarantine",
            "SyncLost",
            "Error",
            "ErrorCode",
        ),
        (
            Arrow("@part 1 at the gate", "Quarantine+", "rejected, and a person has to look at it"),
            Arrow("@a part is missing", "SyncLost+", "every part rejects from now on"),
            Arrow("SyncLost+", "Purged+", "every part was taken off the belt; ErrorReset does not help"),
            Arrow("@released", "TriggerReady+", "the belt ran empty: ready again"),
        ),
        begins=JOINED,
    ),
)
