"""Play station and PLC against the real handshake on a manual clock, and note every step; pure.

What is noted becomes the timing diagrams and the test vectors; `replay` plays noted steps against a fresh handshake.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.registers import (
    STATUS,
    Control,
    ControlBit,
    Status,
    StatusBit,
    Type,
    pack_control,
    unpack_control,
    unpack_status,
)
from appliance.outputs.plc.result_queue import Detail
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition

BOOT = 0x0000_B007
SESSION = 0x0000_1234
RECIPE = (3, 0x5EED_0003)
BEAT_MS = 100
"""The slowest heartbeat that a PLC may have."""

REACTION_MS = 10
"""One cycle of the PLC of these diagrams."""


class Happening(Struct, frozen=True, omit_defaults=True):
    """State what the station told the handshake; `word` names it, the rest is what it needs."""

    word: str
    part: int = 0
    lane: Lane = Lane.REJECT
    cause: Cause = Cause.NO_VERDICT
    disposition: Disposition = Disposition.NO_VERDICT
    request: int = 0
    recipe: tuple[int, int] = (0, 0)
    ready: bool = True
    sync_lost: bool = False


class Step(Struct, frozen=True, omit_defaults=True):
    """Note one instant: what happened or was written, and the status block right after."""

    at_ms: int
    status: tuple[int, ...]
    says: str = ""
    happening: Happening | None = None
    control: tuple[int, ...] | None = None
    """Control block as it was written; None: nothing was."""


def fresh(*, plc_triggers: bool) -> Handshake:
    """Give the handshake that every scenario begins with."""
    return Handshake(
        SESSION, HostNs(0), recipe=RECIPE[0], recipe_hash=RECIPE[1], plc_triggers=plc_triggers, job_limit_ms=5000
    )


def mask() -> tuple[int, ...]:
    """Give which bits of each status word a replay compares: not the heartbeat, and not the number of a session."""
    words: list[int] = []
    for register in STATUS:
        whole = 0 if register.field == "session" else 0xFFFF
        words += [whole] * register.type.words
        if register.field == "bits":
            words[-1] &= ~StatusBit.HEARTBEAT.value
        if register.type is Type.BITS and register.field == "bits2":
            words[-1] = 0xFFFF
    return tuple(words)


def tell(handshake: Handshake, happening: Happening, now: HostNs) -> None:
    """Let the station tell the handshake what happened. ValueError for an unknown word."""
    part = PartId(BOOT, happening.part)
    match happening.word:
        case "station":
            handshake.machine(now, ready=happening.ready, sync_lost=happening.sync_lost)
        case "enters":
            handshake.part_entered(part, now, happening.request)
        case "exposed":
            handshake.part_exposed(part, now)
        case "gate":
            fact = Actuation(
                part, happening.lane, happening.cause, happening.disposition, 1, now, McuTicks(0), EncoderCounts(0)
            )
            handshake.post(fact, Detail(0.25, 0, 120.0), now)
        case "recipe":
            handshake.recipe(*happening.recipe, now)
        case "refuses":
            handshake.refuse_job(now)
        case word:
            raise ValueError(f"happening {word!r}: unknown; see `tell` for those that are")


class Stage:
    """Play one scenario and keep its steps."""

    def __init__(self, *, plc_triggers: bool = False) -> None:
        self.steps: list[Step] = []
        self.plc_triggers = plc_triggers
        self.beating = True
        """Whether the PLC's heartbeat goes on by itself."""
        self._handshake = fresh(plc_triggers=plc_triggers)
        self._block = Control()
        self._ms = 0
        self._beat_ms = BEAT_MS
        self._compared = mask()
        self.happens("station is ready", Happening("station"))

    @property
    def status(self) -> Status:
        """The status block as the PLC reads it now."""
        return unpack_status(self._handshake.status())

    def wait(self, ms: int) -> None:
        """Let time pass, the PLC's heartbeat going on; what changes by time alone is a step of its own."""
        end = self._ms + ms
        while self._ms < end:
            beat = max(self._beat_ms, self._ms) if self.beating else end
            due = -(-self._handshake.wake_at // MS)
            self._ms = min(end, beat, max(due, self._ms + 1))
            before = self._handshake.status()
            self._handshake.tick(self._now)
            if self._differs(before, self._handshake.status()):
                self._note(Step(self._ms, self._handshake.status(), "time is up"))
            if self.beating and self._ms >= self._beat_ms:
                self._write(self._block, "")

    def writes(self, says: str, up: Iterable[ControlBit] = (), down: Iterable[ControlBit] = (), **words: int) -> None:
        """Let the PLC write its block one cycle later: bits up and down, and words by name."""
        self.wait(REACTION_MS)
        bits = self._block.bits
        for bit in up:
            bits |= bit
        for bit in down:
            bits &= ~bit
        self._write(replace(self._block, bits=bits, **words), says)

    def starts(self) -> None:
        """Let the PLC write zeros, read the session and take it over."""
        self.wait(REACTION_MS)
        self._write(Control(), "PLC starts: the whole block 0", beats=False)
        self.writes("reads Session", session_echo=self.status.session)
        self.writes("enables", [ControlBit.ENABLE])

    def happens(self, says: str, happening: Happening) -> None:
        """Let the station tell something now."""
        tell(self._handshake, happening, self._now)
        self._note(Step(self._ms, self._handshake.status(), says, happening))

    def wish(self) -> int:
        """Take the request that goes to the microcontroller."""
        return self._handshake.trigger_wish() or 0

    @property
    def _now(self) -> HostNs:
        return HostNs(self._ms * MS)

    def _write(self, block: Control, says: str, *, beats: bool = True) -> None:
        self._block = replace(block, bits=block.bits ^ ControlBit.HEARTBEAT) if beats else block
        self._beat_ms = self._ms + BEAT_MS
        words = pack_control(self._block)
        self._handshake.control(words, self._now)
        self._note(Step(self._ms, self._handshake.status(), says, control=words))

    def _note(self, step: Step) -> None:
        self.steps.append(step)

    def _differs(self, one: tuple[int, ...], other: tuple[int, ...]) -> bool:
        return any((a ^ b) & bits for a, b, bits in zip(one, other, self._compared, strict=True))


def replay(
    steps: Iterable[Step], compared: tuple[int, ...], *, plc_triggers: bool, session: int = SESSION
) -> list[str]:
    """Play noted steps against a fresh handshake; name every word that differs, empty when none does."""
    handshake = fresh(plc_triggers=plc_triggers)
    if session != SESSION:
        handshake.restart(session, HostNs(0))
    first, faults = handshake.session, []
    for step in steps:
        now = HostNs(step.at_ms * MS)
        while handshake.wake_at < now:
            handshake.tick(handshake.wake_at)
        handshake.tick(now)
        if step.happening is not None:
            tell(handshake, step.happening, now)
        if step.control is not None:
            block = unpack_control(step.control)
            echo = block.session_echo - SESSION + first if block.session_echo else 0
            handshake.control(pack_control(replace(block, session_echo=echo)), now)
        found = handshake.status()
        for place, (want, is_, bits) in enumerate(zip(step.status, found, compared, strict=True)):
            if (want ^ is_) & bits:
                faults.append(f"{step.at_ms} ms, word {place}: {is_:#06x}, {want:#06x} is expected")
    return faults
