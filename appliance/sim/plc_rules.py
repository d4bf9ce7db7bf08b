"""List what a PLC may rely on, with what it means for the line, and keep the score of each rule."""

from enum import StrEnum

from msgspec import Struct

RESULTS_HELD = 8
"""Places of the queue, as the register page promises them."""


class Rule(StrEnum):
    """Name each rule; the name stands in the JSON report."""

    ADDRESSES = "addresses"
    READ_ONLY = "read_only"
    CODES = "codes"
    PARTIAL = "partial"
    NOISE = "noise"
    NO_SESSION = "no_session"
    WRONG_SESSION = "wrong_session"
    JOIN = "join"
    ONLINE = "online"
    BEAT = "beat"
    ONE_BIT = "one_bit"
    EMPTY = "empty"
    COMPLETE = "complete"
    WORD_ORDER = "word_order"
    SEQUENCE = "sequence"
    PART = "part"
    GOOD = "good"
    LATE = "late"
    QUARANTINE = "quarantine"
    HELD = "held"
    RELEASED = "released"
    ACK_HELD = "ack_held"
    WRONG_ACK = "wrong_ack"
    CUT = "cut"
    SILENT = "silent"
    FULL = "full"
    UNANSWERED = "unanswered"
    BARRED = "barred"
    LATCHED = "latched"
    CLEARED = "cleared"
    ENABLE = "enable"
    TRIGGER = "trigger"
    PLC_TRIGGER = "plc_trigger"
    JOB = "job"
    JOB_REFUSED = "job_refused"
    RESTART = "restart"
    ORPHAN = "orphan"


TEXTS = {
    Rule.ADDRESSES: (
        "an address outside the blocks gives exception 2",
        "a mistyped address would read as zeros, and nobody would notice",
    ),
    Rule.READ_ONLY: (
        "the status block cannot be written",
        "any program on the network could show Pass for a bad part",
    ),
    Rule.CODES: (
        "function codes other than 3, 4, 6, 16, 22 and 23 give exception 1",
        "a PLC block set to coils would wait for its time-out instead of saying what is wrong",
    ),
    Rule.PARTIAL: (
        "a read of some registers shows the words that a read of all shows, by code 3 and by code 4",
        "a panel would show another recipe or session than the PLC works with",
    ),
    Rule.NOISE: (
        "broken frames and connections opened and cut harm nobody else",
        "a port scan or a loose cable would stop the line",
    ),
    Rule.NO_SESSION: (
        "nothing is offered before SessionEcho",
        "a PLC that just started would take results of parts it never saw",
    ),
    Rule.WRONG_SESSION: (
        "a SessionEcho of another session is not obeyed",
        "results from before a restart would be taken for parts that pass now",
    ),
    Rule.JOIN: (
        "SessionEcho, Enable and a heartbeat bring the handshake up",
        "the line would not start",
    ),
    Rule.ONLINE: (
        "Online is 1 and Session is not 0 in every block",
        "a dead appliance could not be told from a live one",
    ),
    Rule.BEAT: (
        "the heartbeat toggles at least every 100 ms",
        "a hung appliance would go on showing its last words",
    ),
    Rule.ONE_BIT: (
        "with ResultValid exactly one of Pass and Reject is 1",
        "a PLC that looks at one bit alone would let a bad part through",
    ),
    Rule.EMPTY: (
        "without ResultValid the result bits and words are 0",
        "a PLC that looks at Pass alone would count one part twice",
    ),
    Rule.COMPLETE: (
        "the result words stand in the block that first shows ResultValid, and do not change while it does",
        "Pass of one part would be joined with the number of another",
    ),
    Rule.WORD_ORDER: (
        "values of two registers have the more significant word first",
        "numbers would jump by 65536 and part 1 would never be found",
    ),
    Rule.SEQUENCE: (
        "ResultSeq counts 1, 2, 3 ... in a session; only results that found the queue full leave a gap",
        "a result that is lost or comes twice would go unnoticed, and every later one would hit the wrong part",
    ),
    Rule.PART: (
        "PartIdEcho names a part that has entered, each one once and in order",
        "a result would steer another part than the one it was made from",
    ),
    Rule.GOOD: (
        "Pass stands with Disposition accept and Cause accepted or operator only, never with Late",
        "a part that nobody accepted in time would go to the good lane",
    ),
    Rule.LATE: (
        "Late is 1 for the causes no_verdict, late and host_lost, and for no others",
        "nobody would see that decisions come too late",
    ),
    Rule.QUARANTINE: (
        "Quarantine is 1 for a part in review or unknown that does not pass, and for no others",
        "a part that a person has to look at would go into the scrap, or stay among the good ones",
    ),
    Rule.HELD: (
        "a result stays until its own number is acknowledged",
        "a PLC with a slow cycle would miss results",
    ),
    Rule.RELEASED: (
        "ResultAck with the offered AckSequence takes ResultValid back",
        "the line would stand after its first part",
    ),
    Rule.ACK_HELD: (
        "no further result is offered while ResultAck is 1, and a ResultAck that stays 1 raises Error",
        "one long ResultAck would take over results that the PLC never read",
    ),
    Rule.WRONG_ACK: (
        "an AckSequence that does not name the offered result takes nothing over",
        "a PLC that is one result behind would lose one without a word",
    ),
    Rule.CUT: (
        "a connection cut in the middle of a result neither loses nor doubles it",
        "each loose cable would cost or double a part",
    ),
    Rule.SILENT: (
        "a silent PLC makes ResultValid, Pass and TriggerReady 0 in time; the result waits for its return",
        "a PLC that stopped would find an old Pass and a line that ran on",
    ),
    Rule.FULL: (
        "with 8 results waiting TriggerReady drops; a further one raises Error and is counted, none is overwritten",
        "results would vanish just when the PLC is busiest",
    ),
    Rule.UNANSWERED: (
        "a result that is not acknowledged in time raises Error and stays",
        "a PLC program that hangs would go unnoticed",
    ),
    Rule.BARRED: (
        "TriggerReady is 0 while Error, Changeover or SyncLost is 1, and while 8 results wait",
        "parts would be fed that the station cannot answer for",
    ),
    Rule.LATCHED: (
        "Error stays, and holds TriggerReady down, until ErrorReset rises",
        "a fault that comes and goes would never be looked at",
    ),
    Rule.CLEARED: (
        "ClearQueue drops every waiting result",
        "after a jam results of parts that were taken out by hand would meet other parts",
    ),
    Rule.ENABLE: (
        "TriggerReady is 0 without Enable",
        "parts would be fed to a station whose PLC does not listen",
    ),
    Rule.TRIGGER: (
        "a Trigger while TriggerReady is 0 is answered with MissedTrigger, a count and its RequestSeq",
        "a part would pass uninspected without a word",
    ),
    Rule.PLC_TRIGGER: (
        "Trigger is answered with TriggerAck until it falls, and its part's result echoes RequestSeq and PlcPart",
        "a part would be made twice, or its result would be taken for another one's",
    ),
    Rule.JOB: (
        "JobChange holds TriggerReady down and is answered: JobAnswer, ActiveRecipe, RecipeHash32 and its RequestSeq",
        "parts would be judged by another recipe than the PLC believes",
    ),
    Rule.JOB_REFUSED: (
        "a recipe that does not exist is refused with JobRefused, and the old one stays",
        "the PLC would wait for ever, or parts would be judged by no recipe it knows",
    ),
    Rule.RESTART: (
        "SessionEcho 0 begins a new session with an empty queue",
        "a PLC that restarted would take results of parts it has forgotten",
    ),
    Rule.ORPHAN: (
        "parts that were on the belt when the PLC restarted show Reject",
        "a part whose place the PLC has forgotten would count as good",
    ),
}
"""Of each rule: what holds, and what its breach means for the line."""


class Check(Struct, frozen=True):
    """Report one rule."""

    rule: Rule
    text: str
    result: str
    """`pass`, `FAIL` or `not tried`."""
    tried: int
    failed: int
    seen: str
    """What was seen; of a rule that failed the first time that it did, of one not tried why not."""
    meaning: str

    @property
    def passed(self) -> bool | None:
        """None when nothing happened on which the rule could be tried."""
        return None if self.result == "not tried" else self.result == "pass"


class Score:
    """Count how often each rule was tried and failed."""

    def __init__(self) -> None:
        self._tried = dict.fromkeys(Rule, 0)
        self._failed = dict.fromkeys(Rule, 0)
        self._seen = dict.fromkeys(Rule, "")
        self._breach: dict[Rule, str] = {}

    def note(self, rule: Rule, *, held: bool, seen: str = "") -> bool:
        """Count one trial of a rule and give back whether it held; `seen` of the first breach is kept."""
        self._tried[rule] += 1
        if not held:
            self._failed[rule] += 1
            self._breach.setdefault(rule, seen)
        elif seen:
            self._seen[rule] = seen
        return held

    def skip(self, rule: Rule, why: str) -> None:
        """Say why a rule could not be tried."""
        if not self._tried[rule]:
            self._seen[rule] = why

    def tried(self, rule: Rule) -> int:
        """Say how often a rule was tried."""
        return self._tried[rule]

    def checks(self) -> tuple[Check, ...]:
        """Give the report of every rule, in the order of the list."""
        return tuple(self._check(rule) for rule in Rule)

    def _check(self, rule: Rule) -> Check:
        tried, failed = self._tried[rule], self._failed[rule]
        result = "FAIL" if failed else "pass" if tried else "not tried"
        seen = self._breach.get(rule, self._seen[rule])
        text, meaning = TEXTS[rule]
        return Check(rule, text, result, tried, failed, seen, meaning)
