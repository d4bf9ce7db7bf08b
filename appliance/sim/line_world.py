"""Put a whole line into the simulated world: firmware core, camera, judge, line, PLC, and the parts on the belt.

After the run `breaches` names every broken promise; an empty list is the proof the safety case asks for.
"""

import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from appliance.config import Camera
from appliance.config_mcu import Mcu
from appliance.governance.approval import Primary
from appliance.outputs.plc.handshake import Handshake
from appliance.ports.device import Device
from appliance.ports.node import Node
from appliance.schema.actuation import Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, S
from appliance.schema.command import Reply
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Mode, Policy
from appliance.services._authority import authority
from appliance.services._bundles import STAGER, Bundles
from appliance.services.acquire import AcquireNode
from appliance.services.judge import JudgeNode
from appliance.services.line import LineNode
from appliance.services.shadow import ShadowNode
from appliance.sim.camera_twin import CameraTwin, RingTwin
from appliance.sim.line_account import LineAccount
from appliance.sim.person_twin import Habits, PersonNode
from appliance.sim.plc_twin import PlcTwin
from appliance.sim.scenario import Action, BusFaults, wish
from appliance.sim.twins import (
    DAY_ONE,
    SHADOWED,
    FramesTwin,
    InspectorTwin,
    Process,
    PromiseTwin,
    StagerTwin,
    WireTwin,
)
from appliance.sim.world import Unit, World
from firmware_bridge.board import CoreBoard
from firmware_bridge.device import McuDevice

COUNTS_PER_MM = 10.0
PITCH_MM = 100.0
PART_MM = 60.0
LISTENERS = frozenset({"record", "publish", "hmi", "sync", "shadow"})
"""Units that only listen; most are not played here, since nothing on the line waits for them. In parallel mode `record`
is played by the person whose words it publishes."""

EXTRA_AHEAD = 200
"""An extra part comes this far before one of the line's own, counts: between two of them."""

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
    unknown: float = 0.0
    """A part that is unlike everything that the model knows."""
    model_ns: int = 6 * MS


CALM = Trouble()
SIGNED = Primary("world", 1, "0" * 64, "simulation")
UNSAMPLED = Policy(sample_share=0.0)
"""As a recipe's default, but no part that would be accepted goes to a person."""


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
        policy: Policy = UNSAMPLED,
        mode: Mode = Mode.PRIMARY,
        habits: Habits = Habits(),  # noqa: B008  frozen
        gate_sensor_mm: float = 0.0,
    ) -> None:
        """Take the firmware core's library; `line` and `judge` may be nodes with a rule turned round.

        `onlooker`: a shadow bundle runs beside. `policy`: what the judge holds views against. `mode`,
        `habits`: in parallel mode a person drives the gate, and decides like that. `gate_sensor_mm`: the gate's own
        sensor, 0: there is none.
        """
        self.mode = mode
        self._primary = SIGNED if mode is Mode.PRIMARY else None
        self.policy, self.promise = policy, PromiseTwin()
        self.random = random.Random(seed)
        self.settings = Mcu(
            link="twin",
            counts_per_mm=COUNTS_PER_MM,
            gate_mm=400.0,
            lead_mm=25.0,
            belt_mm_s=PITCH_MM * rate_hz,
            guard_ms=min(15.0, 60.0 / rate_hz),
            gate_sensor_mm=gate_sensor_mm,
        )
        self.cameras = {
            "top": Camera(producer="twin", serial="T0", width_px=16, height_px=16, distance_mm=30.0, lease_ms=1000)
        }
        self.board = CoreBoard(
            core,
            boot=self.random.getrandbits(32),
            now=HostNs(1_000_000_000),
            tick_offset=12345,
            ppm=35.0,
            gate_sensor=round(gate_sensor_mm * COUNTS_PER_MM) or None,
        )
        self.world = World(self.random.getrandbits(32), self, trouble.bus)
        self.camera = CameraTwin(self.random, self.world.now)
        self._wire = WireTwin(self.board, self.random, trouble.wire)
        self.plc = PlcTwin(self.world.now)
        self.enters: list[int] = []
        """Encoder count at which part i + 1 enters."""
        self.defective: list[bool] = []
        self.replies: list[Reply] = []
        """Answers to the wishes about bundles, in order."""
        self._trouble = trouble
        self._line, self._judge = line, judge
        self._moves: list[tuple[int, int]] = [(-(1 << 62), 0)]
        self._start = HostNs(self.world.now + HEAD_START)
        self._place(parts)
        self._speed = int(PITCH_MM * COUNTS_PER_MM * rate_hz)
        gate = int(self.settings.gate_mm * COUNTS_PER_MM)
        self.account = LineAccount(self.enters, self.defective, gate, mode, self._start)
        """What the units said."""
        self.shown, self.actuations = self.account.shown, self.account.actuations
        self.shadowed, self.judged_by = self.account.shadowed, self.account.judged_by
        self.world.listeners.append(self.account.hear)
        self.world.add(Unit("acquire@top", self._make_acquire))
        process = Process()
        self.world.add(Unit("judge", lambda _: self._make_judge(process), process))
        self.world.add(Unit("line", self._make_line))
        if mode is Mode.PARALLEL:
            mood = random.Random(seed)
            self.world.add(Unit("record", lambda _: (PersonNode(habits, mood, self.account.is_defective), {})))
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
        parts = range(1, len(self.enters) + 1)
        return [
            f"part {part}: {text}" for part in parts for text in self.account.breaches(part, self.physical_lane(part))
        ]

    @property
    def accepted(self) -> int:
        """Parts that really went to the accept lane."""
        return sum(self.physical_lane(part) is Lane.ACCEPT for part in range(1, len(self.enters) + 1))

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
        return self.account.nearest(centre, half)

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
            policy=self.policy,
            promise=self.promise,
            primary=self._primary,
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
            unknown=trouble.unknown,
        )

    def _make_shadow(
        self, onlooker: Onlooker, process: Process, generator: random.Random
    ) -> tuple[Node, Mapping[str, Device]]:
        process.busy_until = HostNs(0)
        trouble = Trouble(slow_model=onlooker.slow_model, wild_model=onlooker.wild_model, model_ns=onlooker.model_ns)
        inspector = self._model(process, SHADOWED, trouble, generator) if onlooker.loaded else None
        frames = FramesTwin(generator, onlooker.overwritten)
        fault = "" if onlooker.loaded else "no such bundle"
        return ShadowNode(("top",), frames, inspector, self.policy, fault), {}

    def _make_line(self, now: HostNs) -> tuple[Node, Mapping[str, Device]]:
        session, by_model = self.random.randrange(1, 1 << 32), self._primary is not None
        node = self._line(
            self.settings,
            self.cameras,
            ("top",),
            Handshake(session, now, late_stops=by_model),
            plc_required=True,
            authority=authority(self._primary),
        )
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
            case "stage" | "activate" | "rollback" | "purge":
                unit = "line" if action.verb == "purge" else "judge"
                self.world.ask(unit, wish(action), self.replies.append)
            case "take" | "extra" | "pause":
                self._trouble_belt(action)
            case "stop" | "start":
                self.board.set_belt(self._speed if action.verb == "start" else 0)

    def _trouble_belt(self, action: Action) -> None:
        if action.verb == "pause":
            raise ConfigError("pause parts: this world lays all its parts at the start; play the scenario with `demo`")
        if action.verb == "take":
            for _ in range(action.count):
                self.board.take()
            return
        place = round(self.settings.gate_sensor_mm * COUNTS_PER_MM)
        after = [at for enter in self.enters if (at := enter + place - EXTRA_AHEAD) > self.board.counts]
        if after:
            self.board.place_at_gate(EncoderCounts(after[0]), EncoderCounts(after[0] + EXTRA_AHEAD // 2))

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
