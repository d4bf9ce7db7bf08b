"""Put a whole line into the simulated world: firmware core, camera, judge, line, PLC, and the parts on the belt.

After the run `breaches` names every broken promise; an empty list is the proof the safety case asks for.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from appliance.config import Camera, Mcu
from appliance.outputs.handshake import Handshake
from appliance.ports.device import Device
from appliance.ports.node import Node
from appliance.schema.actuation import Actuation, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, S
from appliance.schema.command import Reply
from appliance.schema.health import Alarm
from appliance.schema.part import PartEntered
from appliance.schema.verdict import Disposition, InspectionResult, ShadowResult, Verdict
from appliance.services._bundles import STAGER, Bundles
from appliance.services.acquire import AcquireNode
from appliance.services.judge import JudgeNode
from appliance.services.line import LineNode
from appliance.services.shadow import ShadowNode
from appliance.sim.camera_twin import CameraTwin, RingTwin
from appliance.sim.plc_twin import PlcTwin
from appliance.sim.scenario import Action, BusFaults, Shown, wish
from appliance.sim.twins import DAY_ONE, SHADOWED, FramesTwin, InspectorTwin, Process, StagerTwin, WireTwin
from appliance.sim.world import Unit, World
from firmware_bridge.board import CoreBoard
from firmware_bridge.device import McuDevice

COUNTS_PER_MM = 10.0
PITCH_MM = 100.0
PART_MM = 60.0
LISTENERS = frozenset({"record", "publish", "hmi", "sync", "shadow"})
"""Units that only listen; most are not played here, since nothing on the line waits for them."""

TOLERANCE = 4 * MS
HEAD_START = 1500 * MS
"""Time for links, clocks and two rounds of health reports before the first part."""


class Trouble(Struct, frozen=True):
    """Say how bad the neighbours are; probabilities per event."""

    bus: BusFaults = BusFaults()
    wire: float = 0.0
    overwritten: float = 0.0
    slow_model: float = 0.0
    wild_model: float = 0.0
    """A score that is no finite number."""
    model_ns: int = 6 * MS


CALM = Trouble()


class Onlooker(Struct, frozen=True):
    """Say how bad a shadow bundle's process is; nothing on the line may depend on it."""

    model_ns: int = 15 * MS
    overwritten: float = 0.0
    slow_model: float = 0.0
    wild_model: float = 0.0
    loaded: bool = True
    """False: its bundle cannot be loaded."""


class LineWorld:
    """Run a line with `parts` parts at `rate_hz` and remember what really happened to each."""

    def __init__(
        self,
        core: Path,
        parts: int,
        rate_hz: float = 10.0,
        seed: int = 1,
        trouble: Trouble = CALM,
        line: type[LineNode] = LineNode,
        judge: type[JudgeNode] = JudgeNode,
        onlooker: Onlooker | None = None,
    ) -> None:
        """Take the firmware core's library; `line` and `judge` may be nodes with a rule turned round.

        `onlooker`: a shadow bundle runs beside.
        """
        self.random = random.Random(seed)
        self.settings = Mcu(
            link="twin",
            counts_per_mm=COUNTS_PER_MM,
            gate_mm=400.0,
            lead_mm=25.0,
            belt_mm_s=PITCH_MM * rate_hz,
            guard_ms=min(15.0, 60.0 / rate_hz),
        )
        self.cameras = {
            "top": Camera(producer="twin", serial="T0", width_px=16, height_px=16, distance_mm=30.0, lease_ms=1000)
        }
        self.board = CoreBoard(
            core, boot=self.random.getrandbits(32), now=HostNs(1_000_000_000), tick_offset=12345, ppm=35.0
        )
        self.world = World(self.random.getrandbits(32), self, trouble.bus)
        self.camera = CameraTwin(self.random, self.world.now)
        self._wire = WireTwin(self.board, self.random, trouble.wire)
        self.plc = PlcTwin(self.world.now)
        self.enters: list[int] = []
        """Encoder count at which part i + 1 enters."""
        self.defective: list[bool] = []
        self.shown: list[Shown] = []
        self.actuations: dict[int, list[Actuation]] = {}
        self.shadowed: list[ShadowResult] = []
        self.replies: list[Reply] = []
        """Answers to the wishes about bundles, in order."""
        self.judged_by: dict[int, list[str]] = {}
        """Bundle that each result of a part names."""
        self._trouble = trouble
        self._line, self._judge = line, judge
        self._moves: list[tuple[int, int]] = [(-(1 << 62), 0)]
        self._accepts: dict[int, Verdict] = {}
        self._entered: dict[int, PartEntered] = {}
        self._judged_on: dict[int, list[int]] = {}
        self._looked: dict[int, set[str]] = {}
        self._numbers: dict[object, int] = {}
        self._start = HostNs(self.world.now + HEAD_START)
        self._place(parts)
        self._speed = int(PITCH_MM * COUNTS_PER_MM * rate_hz)
        self.world.listeners.append(self._hear)
        self.world.add(Unit("acquire@top", self._make_acquire))
        process = Process()
        self.world.add(Unit("judge", lambda _: self._make_judge(process), process))
        self.world.add(Unit("line", self._make_line))
        if onlooker is not None:
            idle, fate = Process(), random.Random(seed)
            self.world.add(Unit("shadow", lambda _: self._make_shadow(onlooker, idle, fate), idle, fate))
        self.world.at(self._start, lambda: self.board.set_belt(self._speed))

    # ---- physics ----

    def due_at(self) -> HostNs:
        """Next instant at which belt, sensor, camera, gate or wire has something to do."""
        answer = self._wire.answer_at
        return self.board.due_at if answer is None else min(self.board.due_at, answer)

    def run_until(self, now: HostNs) -> None:
        """Let belt, firmware and camera advance."""
        self.board.run_until(now)
        if self._wire.listen():
            self.world.units["line"].touch()
        if self.board.camera_edges:
            for edge in self.board.camera_edges:
                self.camera.edge(edge.at, edge.counts, self._under_camera(edge.counts))
            self.world.units["acquire@top"].touch()
            self.board.camera_edges.clear()
        if self.board.gate_moves:
            self._moves += [(move.counts, int(move.lane)) for move in self.board.gate_moves]
            self.board.gate_moves.clear()

    # ---- the run ----

    def play(self, actions: Sequence[Action] = ()) -> None:
        """Run the belt until the last part is past the gate and everything said has arrived."""
        for action in actions:
            self.world.at(HostNs(self._start + action.at_ns), lambda action=action: self._act(action))  # type: ignore[misc]
        last = self.enters[-1] + int(1000 * COUNTS_PER_MM)
        while self.board.counts < last:
            self.world.run_until(HostNs(self.world.now + 200 * MS))
        self.world.run_until(HostNs(self.world.now + 2 * S))

    def physical_lane(self, part: int) -> Lane:
        """Give the lane in which the gate stood when a part met it, from the gate's own moves."""
        at = self.enters[part - 1] + int(self.settings.gate_mm * COUNTS_PER_MM)
        _, lane = self._moves[bisect_right(self._moves, (at, 2)) - 1]
        return Lane.ACCEPT if lane else Lane.REJECT

    def breaches(self) -> list[str]:
        """Name every broken promise of the run; empty when all held."""
        return [text for part in range(1, len(self.enters) + 1) for text in self._breaches_of(part)]

    @property
    def accepted(self) -> int:
        """Parts that really went to the accept lane."""
        return sum(self.physical_lane(part) is Lane.ACCEPT for part in range(1, len(self.enters) + 1))

    def _breaches_of(self, part: int) -> list[str]:
        lane = self.physical_lane(part)
        reported = self.actuations.get(part, [])
        found = []
        if not reported:
            found.append(f"part {part}: no actuation")
        if len({item.lane for item in reported}) > 1 or len([item for item in reported if not item.replayed]) > 1:
            found.append(f"part {part}: {len(reported)} actuations that differ")
        if reported and reported[0].lane is not lane:
            found.append(f"part {part}: reported {reported[0].lane}, was {lane}")
        if lane is Lane.ACCEPT:
            verdict, entered = self._accepts.get(part), self._entered.get(part)
            if verdict is None:
                found.append(f"part {part}: accepted without an ACCEPT")
            elif entered is None or verdict.decided > entered.decide_by:
                found.append(f"part {part}: accepted on a late ACCEPT")
            if self.defective[part - 1]:
                found.append(f"part {part}: defective and accepted")
        named, looked = set(self.judged_by.get(part, ())), self._looked.get(part, set())
        if len(named) > 1 or not looked <= named:
            found.append(f"part {part}: judged by {', '.join(sorted(looked))}, its result names {', '.join(named)}")
        wrong = [other for other in self._judged_on.get(part, ()) if other != part]
        if wrong:
            found.append(f"part {part}: judged on the frame of part {wrong[0]}")
        return found

    # ---- the pieces ----

    def _place(self, parts: int) -> None:
        position = 2000
        for _ in range(parts):
            self.enters.append(position)
            self.defective.append(self.random.random() < 0.2)
            self.board.place_part(EncoderCounts(position), EncoderCounts(position + int(PART_MM * COUNTS_PER_MM)))
            position += int(PITCH_MM * COUNTS_PER_MM * self.random.uniform(0.9, 1.1))

    def _under_camera(self, counts: int) -> int:
        half = int(PART_MM * COUNTS_PER_MM / 2)
        centre = counts - int(self.cameras["top"].distance_mm * COUNTS_PER_MM)
        return self._nearest(centre, half)

    def _nearest(self, counts: int, within: int) -> int:
        place = bisect_left(self.enters, counts)
        near = [item for item in (place - 1, place) if 0 <= item < len(self.enters)]
        best = min(near, key=lambda item: abs(self.enters[item] - counts), default=-1)
        return best + 1 if best >= 0 and abs(self.enters[best] - counts) <= within else 0

    def _make_acquire(self, now: HostNs) -> tuple[Node, Mapping[str, Device]]:
        ring = RingTwin(self.random)
        self.camera.attach(ring, now)
        return AcquireNode("top", self.cameras["top"], ring), {"camera": self.camera}

    def _make_judge(self, process: Process) -> tuple[Node, Mapping[str, Device]]:
        process.busy_until = HostNs(0)
        frames = FramesTwin(self.random, self._trouble.overwritten)
        node = self._judge(
            tuple(self.cameras),
            frames,
            Bundles(self._model(process, DAY_ONE, self._trouble, self.random)),
            tolerance_ns=TOLERANCE,
            tolerance_counts=int(TOLERANCE * self._speed / S) + 1,
            margin_ns=2 * MS,
        )
        return node, {
            STAGER: StagerTwin(lambda path: self._model(process, f"sha256:{path}", self._trouble, self.random))
        }

    def _model(self, process: Process, bundle: str, trouble: Trouble, generator: random.Random) -> InspectorTwin:
        return InspectorTwin(
            self.camera,
            lambda part: self.defective[part - 1],
            lambda: self.world.now,
            generator,
            process,
            bundle,
            typical_ns=trouble.model_ns,
            slow=trouble.slow_model,
            wild=trouble.wild_model,
        )

    def _make_shadow(
        self, onlooker: Onlooker, process: Process, generator: random.Random
    ) -> tuple[Node, Mapping[str, Device]]:
        process.busy_until = HostNs(0)
        trouble = Trouble(slow_model=onlooker.slow_model, wild_model=onlooker.wild_model, model_ns=onlooker.model_ns)
        inspector = self._model(process, SHADOWED, trouble, generator) if onlooker.loaded else None
        frames = FramesTwin(generator, onlooker.overwritten)
        return ShadowNode(("top",), frames, inspector, "" if onlooker.loaded else "no such bundle"), {}

    def _make_line(self, now: HostNs) -> tuple[Node, Mapping[str, Device]]:
        handshake = Handshake(self.random.randrange(1, 1 << 32), now)
        node = self._line(self.settings, self.cameras, ("top",), handshake, plc_required=True)
        return node, {"mcu": McuDevice(lambda: self._wire, lambda: self.random.getrandbits(32), now), "plc": self.plc}

    def _act(self, action: Action) -> None:
        match action.verb:
            case "lose" | "double" | "incomplete" | "delay" | "unplug" | "replug":
                self._trouble_camera(action)
            case "kill" | "freeze" if action.target in LISTENERS - self.world.units.keys():
                return
            case "kill":
                self.world.kill(action.target)
            case "freeze":
                self.world.freeze(action.target, action.span_ns)
            case "reset":
                self.board.reset(self.random.getrandbits(32))
            case "stop" if action.target == "plc":
                self.plc.silence(HostNs(self.world.now + action.span_ns))
            case "stage" | "activate" | "rollback":
                self.world.ask("judge", wish(action), self.replies.append)
            case "stop" | "start":
                self.board.set_belt(self._speed if action.verb == "start" else 0)

    def _trouble_camera(self, action: Action) -> None:
        faults = self.camera.faults
        match action.verb:
            case "unplug":
                self.camera.unplug(self.world.now)
                self.world.units["acquire@top"].touch()
            case "replug":
                self.camera.replug()
            case "delay":
                faults.delay, faults.delay_ns = faults.delay + action.count, action.span_ns
            case verb:
                setattr(faults, verb, getattr(faults, verb) + action.count)

    def _hear(self, now: HostNs, topic: str, message: object) -> None:
        at = now - self._start
        if isinstance(message, PartEntered):
            self._numbers[message.part] = number = self._nearest(message.at_counts, 5)
            self._entered.setdefault(number, message)
        elif isinstance(message, Verdict):
            number = self._numbers.get(message.part, 0)
            if message.disposition is Disposition.ACCEPT:
                self._accepts[number] = message
            self.shown.append(Shown(at, "verdict", message.disposition, tuple(message.reasons)))
        elif isinstance(message, InspectionResult):
            number = self._numbers.get(message.part, 0)
            findings = [finding for view in message.views for finding in view.findings]
            self._judged_on.setdefault(number, []).extend(int(finding.score) for finding in findings)
            self._looked.setdefault(number, set()).update(finding.text for finding in findings)
            self.judged_by.setdefault(number, []).append(message.bundle)
        elif isinstance(message, Actuation):
            number = self._nearest(message.at_counts - int(self.settings.gate_mm * COUNTS_PER_MM), 5)
            number = self._numbers.get(message.part, number)
            self.actuations.setdefault(number, []).append(message)
            self.shown.append(Shown(at, "actuation", message.lane, (message.cause,)))
        elif isinstance(message, ShadowResult):
            self.shadowed.append(message)
        elif isinstance(message, Alarm):
            self.shown.append(Shown(at, "alarm", message.kind))
