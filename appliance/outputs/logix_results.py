"""Hold the results that a Logix controller has not taken, oldest first, and say what it is shown; pure."""

import math
from collections import OrderedDict, deque
from collections.abc import Mapping

from appliance.outputs.logix_type import LANES, LARGEST, LAYOUT, MEMBERS, MODES
from appliance.outputs.part_report import PartReport
from appliance.outputs.plc.registers import CAUSE_CODES, DISPOSITION_CODES
from appliance.schema.clocks import HostNs, S
from appliance.schema.line import LineState
from appliance.schema.part import PartId

HELD = 8
"""Results that wait for the controller, the one that is shown included."""

REMEMBERED = 8192
"""Parts remembered, so that one told twice is shown once: twice what a topic holds for replay."""

SILENCE = 3 * S
"""The line speaks once a second; silent for so long, nothing of it counts as online."""

PROBE = 1000
"""First of the even numbers by which a new connection proves the members' places; none has the bit of a 1."""

HARMFUL = frozenset({"Good", "Reject", "Online", "Ready", "Sequence"})
"""Members that a probe leaves 0 until all others are proven."""

_U32 = (1 << 32) - 1


class Results:
    """Number results, show one at a time until its number comes back, and drop what is too much."""

    def __init__(self) -> None:
        self.lost = 0
        """Results dropped unseen by the controller."""
        self.taken = 0
        """Results whose number came back."""
        self._waiting: deque[PartReport] = deque()
        self._shown: PartReport | None = None
        self._sequence = 0
        self._names: OrderedDict[PartId, None] = OrderedDict()
        self._last: PartId | None = None
        self._began = False
        self._line: LineState | None = None
        self._line_heard = HostNs(0)
        self._beat = 0

    @property
    def waiting(self) -> int:
        """Results that the controller has not taken."""
        return len(self._waiting) + self.is_shown

    @property
    def is_shown(self) -> bool:
        """Whether a result waits for its number."""
        return self._shown is not None

    def offer(self, told: PartReport) -> None:
        """Take a part's result, once; when too many wait, the oldest that was not shown goes."""
        if told.part in self._names:
            return
        self._names[told.part] = None
        if len(self._names) > REMEMBERED:
            self._names.popitem(last=False)
        self._waiting.append(told)
        while self.waiting > HELD:
            self._waiting.popleft()
            self.lost += 1

    def line(self, state: LineState, now: HostNs) -> None:
        """Take the line's condition."""
        self._line, self._line_heard = state, now

    def begin(self, seen: Mapping[str, float], acknowledged: int) -> None:
        """Go on where a controller stands at the first connection: what it was shown last, and what it took.

        A part that an earlier run of this program has shown and that was taken is not shown again.
        """
        if self._began:
            return  # the numbers of this run go on
        self._began = True
        is_ours = int(seen["Layout"]) == LAYOUT
        shown = int(seen["Sequence"]) if is_ours else 0
        # Not from the number taken: the controller may be about to take the one that is still shown.
        self._sequence = shown if shown > 0 else max(acknowledged, 0)
        if not is_ours or int(seen["PartNumber"]) == 0:
            return
        last = self._last = PartId(int(seen["PartBoot"]) & _U32, int(seen["PartNumber"]) & _U32)
        reached = last.number if self._sequence == acknowledged else last.number - 1
        self._waiting = deque(one for one in self._waiting if one.part.boot != last.boot or one.part.number > reached)

    def acknowledged(self, number: int) -> bool:
        """Take the number that the controller took last; says whether it was the shown result's, which moves on."""
        if self._shown is None or number != self._sequence:
            return False
        self._shown = None
        self.taken += 1
        return True

    def image(self, now: HostNs) -> dict[str, float]:
        """Give the members for the next write; the next result appears when the one before was taken."""
        if self._shown is None and self._waiting:
            self._shown = self._waiting.popleft()
            self._last = self._shown.part
            self._sequence = self._sequence % LARGEST + 1
        self._beat = self._beat % LARGEST + 1
        values: dict[str, float] = {
            "Layout": LAYOUT,
            "Heartbeat": self._beat,
            "Waiting": len(self._waiting),
            "Lost": self.lost & LARGEST,
            "Score": -1.0,
            "LatencyMs": -1.0,
        }
        if self._last is not None:  # also without a result: it tells a later run where this one stood
            values["PartBoot"], values["PartNumber"] = self._last.boot, self._last.number
        if self._line is not None and now < self._line_heard + SILENCE:
            values |= _line_values(self._line)
        if self._shown is not None:
            values |= _part_values(self._shown)
            values["Sequence"] = values["SequenceCheck"] = self._sequence
        return values

    def goodbye(self) -> dict[str, float]:
        """Give the members of the last write: offline, and no result; one that was not taken is told by its part."""
        values = self.image(HostNs(0))
        kept = ("Layout", "Heartbeat", "PartBoot", "PartNumber", "Sequence")
        return {name: values[name] for name in kept if name in values}


def probes() -> tuple[dict[str, float], dict[str, float]]:
    """Give two images with a different number for each member, none of which is good, ready, or a result.

    A program takes a result only where `SequenceCheck` equals `Sequence`. The first image proves where the former is,
    with the members that could do harm at 0; only the second has numbers in these too.
    """
    second = {member.name: float(PROBE + 2 * place) for place, member in enumerate(MEMBERS)}
    return second | dict.fromkeys(HARMFUL, 0.0), second


def _line_values(state: LineState) -> dict[str, float]:
    return {
        "Online": 1,
        "Ready": int(state.ready),
        "Mode": MODES[state.mode],
        "ErrorCode": state.error,
        "Parts": state.parts & LARGEST,
        "Accepted": state.accepted & LARGEST,
        "Rejected": state.rejected & LARGEST,
        "Late": state.late & LARGEST,
    }


def _part_values(told: PartReport) -> dict[str, float]:
    bundle = told.bundle.removeprefix("sha256:")[:8]
    return {
        "PartBoot": told.part.boot,
        "PartNumber": told.part.number,
        "Good": int(told.good),
        "Reject": int(not told.good),
        "Disposition": DISPOSITION_CODES[told.disposition],
        "Lane": LANES[told.lane],
        "Cause": CAUSE_CODES[told.cause],
        "Score": told.score if math.isfinite(told.score) else -1.0,
        "LatencyMs": told.latency_ms if math.isfinite(told.latency_ms) else -1.0,
        "RecipeHash": int(told.recipe_sha256[:8] or "0", 16),
        "BundleHash": int(bundle or "0", 16),
    }
