"""Hold a LineNode and what it did, for the tests of `line`."""

from msgspec.structs import replace

from appliance.config import Camera, Mcu
from appliance.governance.approval import Primary
from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.modbus import ControlWritten, StatusBlock
from appliance.outputs.plc.registers import Control, ControlBit, Status, pack_control, unpack_status
from appliance.ports.node import Publish
from appliance.schema.actuation import Actuation
from appliance.schema.clocks import MS, HostNs, S, UtcNs
from appliance.schema.command import Command, Reply
from appliance.schema.health import Component, Condition, Health
from appliance.schema.line import LineState
from appliance.schema.part import PartEntered
from appliance.schema.review import ManualVerdict, Occasion
from appliance.schema.topics import MANUAL, VERDICT
from appliance.schema.verdict import Disposition, Reason, Verdict
from appliance.services._authority import Authority, HandDecides, ModelDecides
from appliance.services._line_recipes import InForce
from appliance.services.line import LineNode
from firmware_bridge import messages as mcu
from firmware_bridge.messages import SCHEMA_HASH

BEGIN = 10 * S
BOOT = 0xABCD
SETTINGS = Mcu(link="none", counts_per_mm=10.0, gate_mm=400.0, lead_mm=25.0, belt_mm_s=1000.0, guard_ms=15.0)
WINDOW = 375 * MS
GUARD = 15 * MS
CAMERAS = {"top": Camera(producer="p", serial="s", width_px=16, height_px=16, distance_mm=30.0)}
SESSION = 77
RECIPE = InForce(3, 0x5EED_0003, "lid", "5eed0003" * 8)
MODEL = ModelDecides(Primary("rig", 1, "", "test"))
HAND = HandDecides()


class Rig:
    """Hold a LineNode and what it did."""

    def __init__(
        self,
        *,
        plc_required: bool = False,
        authority: Authority = MODEL,
        controlled: bool = False,
        plc_triggers: bool = False,
        recipe: InForce = RECIPE,
        line: type[LineNode] = LineNode,
    ) -> None:
        handshake = Handshake(SESSION, HostNs(BEGIN), plc_triggers=plc_triggers)
        self.node = line(
            SETTINGS,
            CAMERAS,
            ("top",),
            handshake,
            plc_required=plc_required,
            authority=authority,
            recipe=recipe,
            controlled=controlled,
        )
        self.now = BEGIN
        self.published: list = []
        self.sent: list = []
        self.words = 0
        self.beat = 0
        self.do(self.node.start(HostNs(BEGIN)))

    def do(self, outputs) -> list:
        told = []
        for one in outputs:
            (self.published if isinstance(one, Publish) else self.sent).append(one.message)
            told.append(one.message)
        return told

    def tell(self, message, now: int | None = None, topic: str = "device:mcu") -> list:
        self.now = self.now if now is None else now
        return self.do(self.node.receive(topic, message, HostNs(self.now)))

    def connect(self, boot: int = BOOT, state: mcu.State = mcu.State.ARMED, *, dated: bool = True) -> "Rig":
        self.tell(mcu.HelloAck(1, boot, 1, SCHEMA_HASH, state, mcu.Fault.NONE, 1, 1, self.node._configure.crc))
        if dated:
            self.tell(mcu.ClockReply(self.now, self.now // 1000, 0))
        return self

    def ask(self, wish: Command) -> Reply:
        """Send a wish, and keep what follows from it."""
        reply, outputs = self.node.command(wish, HostNs(self.now))
        self.do(outputs)
        return reply

    def plc(self, bits: int, **changes: int) -> list:
        """Let the PLC write its block, its heartbeat toggled."""
        self.beat ^= ControlBit.HEARTBEAT
        block = Control(bits=bits | self.beat, **{"session_echo": self.node._handshake.session} | changes)
        return self.tell(ControlWritten(pack_control(block)), topic="device:plc")

    def state(self) -> LineState:
        return self.all(LineState)[-1]

    def status(self) -> Status:
        return unpack_status(self.all(StatusBlock)[-1].words)

    def enter(self, number: int = 1, now: int | None = None, request: int = 0) -> PartEntered:
        self.now = self.now if now is None else now
        self.tell(replace(part_event(number, self.now), request=request))
        return self.all(PartEntered)[-1]

    def verdict(self, entered: PartEntered, now: int | None = None, **changes) -> list:
        made = Verdict(
            entered.part, Disposition.ACCEPT, (Reason.WITHIN_LIMITS,), HostNs(self.now), entered.decide_by, 41
        )
        return self.tell(replace(made, **changes), now, VERDICT)

    def manual(self, entered: PartEntered, now: int | None = None, *, topic: str = MANUAL, **changes) -> list:
        self.words += 1
        made = ManualVerdict(
            f"word-{self.words}",
            entered.part,
            accept=True,
            kind="good",
            person="op-1",
            occasion=Occasion.PARALLEL,
            seconds=1.0,
            prediction_shown=False,
            decided=HostNs(self.now if now is None else now),
            at=UtcNs(0),
        )
        return self.tell(replace(made, **changes), now, topic)

    def belt(self, counts: int, now: int | None = None) -> list:
        self.now = self.now if now is None else now
        return self.tell(mcu.ClockReply(self.now, self.now // 1000, counts))

    def gate(
        self, number: int = 1, lane: mcu.Lane = mcu.Lane.REJECT, cause=mcu.GateCause.NO_DECISION, sequence: int = 0
    ) -> Actuation:
        self.tell(mcu.GateEvent(3, number, lane, cause, sequence, 4000, self.now // 1000))
        return self.all(Actuation)[-1]

    def all(self, kind: type) -> list:
        return [one for one in self.published + self.sent if isinstance(one, kind)]


def part_event(number: int, at: int) -> mcu.PartEvent:
    return mcu.PartEvent(number, number, 1000 * number, at // 1000)


def health_of(unit: str, condition: Condition = Condition.OK, recipe_hash: int = RECIPE.hash32) -> Health:
    return Health(unit, condition, (Component("x", condition),), 1, HostNs(0), recipe_hash=recipe_hash)
