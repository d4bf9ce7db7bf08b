"""Hold results for the PLC, oldest first, and let go of one only when the PLC names it; pure."""

import math
from collections import deque

from msgspec import Struct, structs

from appliance.outputs.plc.plc_trigger import BY_SENSOR, Asked
from appliance.outputs.plc.registers import CAUSE_CODES, DISPOSITION_CODES, Status, saturated
from appliance.schema.actuation import Actuation, Cause, Lane, PlcAcknowledged
from appliance.schema.clocks import HostNs
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition

DEPTH = 8
"""Results held for the PLC; as many as common smart cameras buffer."""

REMEMBERED = 256
"""Parts whose result was taken and is refused when posted again; four times the microcontroller's part table."""

LAST_SEQUENCE = 0xFFFF_FFFF


KEPT_APART = frozenset({Disposition.REVIEW, Disposition.UNKNOWN})
"""What a person has to look at before the part goes anywhere."""


class Detail(Struct, frozen=True):
    """Hold what the PLC may log about a part; nothing here decides."""

    score: float = math.nan
    """Worst raw score over the views."""
    defect_bits: int = 0
    """Bit n set: class n of the recipe was found; 32 bits."""
    latency_ms: float = math.inf
    """Part sensor to verdict, ms."""


class Result(Struct, frozen=True):
    """Hold one part's result as the PLC will read it."""

    sequence: int
    actuation: Actuation
    cause: Cause
    good: bool
    detail: Detail
    posted: HostNs
    asked: Asked = BY_SENSOR

    @property
    def apart(self) -> bool:
        """Whether the part has to be kept apart for a person."""
        return not self.good and self.actuation.disposition in KEPT_APART


class Counts(Struct, frozen=True):
    """Count what became of results: posted = acknowledged + pending + cleared + overflowed."""

    posted: int
    acknowledged: int
    cleared: int
    overflowed: int
    repeated: int
    """Posts of a part that was posted before; nothing was done."""
    wrong_acks: int
    """ResultAcks that did not name the offered result; nothing was done."""


def is_good(actuation: Actuation) -> bool:
    """Tell whether Pass may be shown: the gate let the part through on an ACCEPT, or a person's, in hand in time."""
    return (
        actuation.lane is Lane.ACCEPT
        and actuation.cause in {Cause.ACCEPTED, Cause.OPERATOR}
        and actuation.disposition is Disposition.ACCEPT
    )


class ResultQueue:
    """Keep at most `DEPTH` results; a new one never takes the place of an old one."""

    def __init__(self) -> None:
        self._held: deque[Result] = deque()
        self._remembered: dict[PartId, None] = {}
        self._sequence = 0
        self._shown = 0
        self._released = False
        self._posted = self._acknowledged = self._cleared = self._overflowed = self._repeated = self._wrong_acks = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def full(self) -> bool:
        """Whether the next result would find no place."""
        return len(self._held) >= DEPTH

    @property
    def released(self) -> bool:
        """Whether an acknowledgement was taken and ResultAck has not gone back to 0 since."""
        return self._released

    @property
    def counts(self) -> Counts:
        """Counts since the queue was made."""
        return Counts(
            self._posted, self._acknowledged, self._cleared, self._overflowed, self._repeated, self._wrong_acks
        )

    def has_seen(self, part: PartId) -> bool:
        """Tell whether a part's result was posted lately."""
        return part in self._remembered

    def post(
        self, actuation: Actuation, detail: Detail, now: HostNs, *, orphan: bool, asked: Asked = BY_SENSOR
    ) -> int | None:
        """Add a part's result and give its number; None when there is no place or the part was posted before.

        An `orphan` was on the belt when the session was renewed: whatever the gate did, the PLC cannot know it as good.
        asked: how the PLC named the part. A result without a place uses up its number, so that the PLC sees the gap.
        """
        if actuation.part in self._remembered:
            self._repeated += 1
            return None
        self._remember(actuation.part)
        self._posted += 1
        self._sequence = self._sequence % LAST_SEQUENCE + 1
        if self.full:
            self._overflowed += 1
            return None
        cause = Cause.OLD_SESSION if orphan else actuation.cause
        good = is_good(actuation) and not orphan
        self._held.append(Result(self._sequence, actuation, cause, good, detail, now, asked))
        return self._sequence

    def offer(self) -> Result | None:
        """Give the oldest result, unless the PLC has still to take ResultAck back."""
        return self._held[0] if self._held and not self._released else None

    def show(self, result: Result) -> None:
        """Note that the PLC could read a result; only such a one can be acknowledged."""
        self._shown = result.sequence

    def acknowledge(self, sequence: int, now: HostNs) -> PlcAcknowledged | None:
        """Let go of the oldest result if the PLC names it and could have read it."""
        oldest = self.offer()
        if oldest is None or not sequence == oldest.sequence == self._shown:
            self._wrong_acks += 1
            return None
        self._held.popleft()
        self._released = True
        self._acknowledged += 1
        return PlcAcknowledged(oldest.actuation.part, sequence, oldest.posted, now)

    def rearm(self) -> None:
        """Note that ResultAck went back to 0; the next result may be offered."""
        self._released = False

    def clear(self) -> None:
        """Drop what is held."""
        self._cleared += len(self._held)
        self._held.clear()

    def renew(self) -> None:
        """Drop what is held and begin a new count of results."""
        self.clear()
        self._sequence = self._shown = 0
        self._released = False

    def _remember(self, part: PartId) -> None:
        self._remembered[part] = None
        if len(self._remembered) > REMEMBERED:
            del self._remembered[next(iter(self._remembered))]


def with_result(status: Status, result: Result) -> Status:
    """Give a status block that offers a result."""
    part = result.actuation.part
    return structs.replace(
        status,
        result_sequence=result.sequence,
        part_boot=part.boot,
        part_number=part.number,
        plc_part=result.asked.part,
        part_request=result.asked.sequence,
        disposition=DISPOSITION_CODES[result.actuation.disposition],
        cause=CAUSE_CODES[result.cause],
        score=saturated(result.detail.score * 1000),
        defect_bits=result.detail.defect_bits & 0xFFFF_FFFF,
        latency_ms=saturated(result.detail.latency_ms),
    )
