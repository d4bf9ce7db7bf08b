"""Run `firstshift demo`: a whole station of real processes round a simulated plant, watched, troubled and summed up."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from appliance import config
from appliance.bus.control import ask
from appliance.config import Loaded
from appliance.schema.clocks import HostNs
from appliance.schema.command import Accepted, DecidePart
from appliance.schema.errors import ConfigError, LinkError, Refused
from appliance.schema.frame import PixelFormat
from appliance.schema.policy import Mode
from appliance.schema.topics import SHADOW
from appliance.schema.verdict import Disposition
from appliance.services._wiring import units
from appliance.sim import report, station
from appliance.sim.broker import Broker
from appliance.sim.collector import Collector
from appliance.sim.day_one import Pictures, fit_day_one, install, pictures_for, pictures_of
from appliance.sim.demo_options import DemoOptions, chosen
from appliance.sim.demo_touch import Touch
from appliance.sim.live import Live
from appliance.sim.operator import OPERATOR, Operator, Sight
from appliance.sim.processes import Child, Children
from appliance.sim.scenario import Action, BusFaults, Scenario, Shown, unmet, wish
from appliance.sim.station import Layout
from appliance.sim.summary import MATCH_COUNTS, messages_of, outstanding, summarise, waiting_of

READY_S = 60.0
"""From the first process to a line that may start; generous, since a loaded machine imports slowly."""

FAILED_S = 8.0
"""What has failed for so long while the station starts does not mend itself."""

DRAIN_S = 15.0
"""From the last part past the gate to its last row, acknowledgement and message."""

NEWS_S = 4.0
"""What has not moved for so long never comes: results the PLC had no place for, parts nobody saw."""

WISH_MS = 1000
"""Longest wait for the judge's answer; it answers between two parts."""

DECIDE_MS = 300
"""Longest wait for an answer to the simulated person; one that does not come is asked for again later."""

SAMPLE_SHARE = 0.01
"""Parts to accept that go to the simulated person instead."""


def run_demo(options: DemoOptions) -> int:
    """Run the demo; gives 0 when every promise held, 1 when one did not."""
    scenario = chosen(options)
    state = _state_folder(options.state)
    runtime = Path(tempfile.mkdtemp(prefix="firstshift-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108  tmpfs
    try:
        return _Demo(options, scenario, Layout(state.resolve(), runtime)).run()
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


def _state_folder(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="firstshift-demo-"))
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"demo: folder {wanted} cannot be made: {error.strerror}; give another --state") from error
    return wanted


class _Demo:
    """Hold one run of the demo."""

    def __init__(self, options: DemoOptions, scenario: Scenario, layout: Layout) -> None:
        self._options = options
        self._scenario = scenario
        self._layout = layout
        self._children = Children({"FIRSTSHIFT_PLANT": str(layout.plant)})
        self._thaw: list[tuple[float, Child]] = []
        self._operator = Operator(scenario.seed, Sight(layout.truth, MATCH_COUNTS))
        self._shown = 0
        self._say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: T201
        self._touch = Touch(self._children, layout, self._say)

    def run(self) -> int:
        """Set up, run, drain, sum up."""
        started = time.monotonic()
        broker = Broker(self._layout.state / "broker")
        pictures = pictures_of(
            self._options.images, self._options.width_px, self._options.height_px, self._scenario.seed
        )
        if self._options.bundle is not None:
            pictures = pictures_for(self._options.bundle, pictures)
        loaded = self._configure(broker.port, pictures)
        self._messages = messages_of(loaded)
        broker.start()
        collector = Collector(self._layout.runtime, units(loaded), parallel=self._options.parallel)
        try:
            plant = self._start(loaded, pictures)
            self._await_ready(collector, tuple(unit for unit in units(loaded) if unit != SHADOW))
            if self._scenario.bus != BusFaults():
                self._say("scenario: the `bus` sentence is for the simulated world; real messages are left alone")
            if self._options.touch:
                self._touch.start(self._options.screenshot)
            self._say(f"running {self._scenario.parts} parts at {self._scenario.rate_hz:g} per second")
            begin = HostNs(time.monotonic_ns())
            _tell(plant, "start")
            done = self._watch(plant, collector, begin)
            self._drain(collector, loaded)
            self._touch.watch(collector, self._scenario.parts)
        finally:
            self._children.stop()
            broker.stop()
            collector.close()
        shown = [msgspec.structs.replace(item, at_ns=at - begin) for at, item in collector.shown]
        return self._finish(loaded, collector, done, shown, time.monotonic() - started)

    def _configure(self, mqtt_port: int, pictures: Pictures) -> Loaded:
        layout = self._layout
        layout.state.mkdir(parents=True, exist_ok=True)
        settings = station.Settings(
            rate_hz=self._scenario.rate_hz,
            width_px=pictures.width_px,
            height_px=pictures.height_px,
            pixel_format=pictures.pixel_format,
            precision=pictures.precision,
            mqtt_port=mqtt_port,
            threads=self._options.threads or 1,
            shadow=SHADOW if (layout.state / "bundles" / SHADOW).is_dir() else "",
            mode=Mode.PARALLEL if self._options.parallel else Mode.PRIMARY,
            sample_share=SAMPLE_SHARE,
        )
        if self._options.bundle is not None:
            install(self._options.bundle, layout.bundle)
        elif not layout.bundle.exists():
            fit_day_one(pictures, layout.bundle, self._say)
        station.write_config(layout, settings)
        return config.load(layout.config)

    def _start(self, loaded: Loaded, pictures: Pictures) -> Child:
        """Start the world, then the services with the command lines of their units."""
        layout, start = self._layout, self._children.start
        plant = start("plant", self._plant_command(pictures), layout.log("plant"), service=False)
        _await_line(plant, "ready", layout)
        start("mcu", station.mcu_command(layout), layout.log("mcu"), service=True)
        for unit in units(loaded):
            start(unit, station.service_command(unit, layout.config), layout.log(unit), service=True)
        if self._options.plc:
            start("plc", station.plc_command(layout, loaded.config.plc.port), layout.log("plc"), service=True)
        else:
            self._say(f"no PLC is played; yours finds the station at 127.0.0.1, port {loaded.config.plc.port}")
        return plant

    def _plant_command(self, pictures: Pictures) -> list[str]:
        scenario, layout = self._scenario, self._layout
        # Painting pictures is the world's work, not the appliance's: it runs when nobody else wants the core.
        command = ["nice", "-n", "10", sys.executable, "-m", "appliance.sim.plant_process"]
        command += ["--plant", str(layout.plant)]
        command += ["--parts", str(scenario.parts), "--rate", str(scenario.rate_hz), "--seed", str(scenario.seed)]
        command += ["--truth", str(layout.truth), "--physical", str(layout.physical)]
        command += ["--width", str(pictures.width_px), "--height", str(pictures.height_px)]
        command += ["--camera-counts", str(station.CAMERA_MM * station.COUNTS_PER_MM)]
        command += ["--gate-counts", str(station.GATE_MM * station.COUNTS_PER_MM)]
        command += ["--gate-sensor-counts", str(station.GATE_SENSOR_MM * station.COUNTS_PER_MM)]
        command += ["--pictures", str(self._options.pictures)] if self._options.pictures else []
        command += ["--mirrored"] if self._options.bundle else []
        command += ["--mono"] if pictures.pixel_format is PixelFormat.MONO8 else []
        return command + (["--images", str(self._options.images)] if self._options.images else [])

    def _await_ready(self, collector: Collector, wanted: tuple[str, ...]) -> None:
        deadline = time.monotonic() + READY_S
        give_up = time.monotonic() + FAILED_S
        while missing := collector.waiting_for(wanted):
            collector.poll(100, HostNs(time.monotonic_ns()))
            for ended in [end for end in self._children.tend() if end.name != SHADOW]:
                raise LinkError(f"{ended.name}: ended with {ended.code} while starting: {self._last_words(ended.name)}")
            if not collector.failed():
                give_up = time.monotonic() + FAILED_S
            if time.monotonic() > min(deadline, give_up):
                causes = "; ".join(collector.failed() or missing)
                raise LinkError(f"station: does not get ready: {causes}; see {self._layout.state}/logs")

    def _last_words(self, name: str) -> str:
        lines = self._layout.log(name).read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _watch(self, plant: Child, collector: Collector, begin: HostNs) -> dict[str, object]:
        """Run until the plant is done, doing what the scenario says."""
        actions = list(self._scenario.actions)
        if plant.process.stdout is None:
            raise LinkError("plant: no output to read; start it with a pipe")
        os.set_blocking(plant.process.stdout.fileno(), False)
        text = b""
        with Live(self._options.live, self._scenario.parts) as live:
            while plant.running:
                now = HostNs(time.monotonic_ns())
                collector.poll(50, now)
                self._work(collector, now)
                for ended in self._children.tend():
                    self._say(f"{ended.name} ended with {ended.code}; it is started again")
                    if ended.name == "mcu":
                        _tell(plant, "gate off")
                while actions and now - begin >= actions[0].at_ns:
                    self._act(actions.pop(0), plant)
                self._thaw_due()
                live.show(collector, begin, now)
                self._touch.watch(collector, self._scenario.parts)
                text += plant.process.stdout.read() or b""
        text += plant.process.stdout.read() or b""
        events = [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]
        done = [event for event in events if event["event"] == "done"]
        if not done:
            raise LinkError(f"plant: ended early with {plant.process.returncode}: {self._last_words('plant')}")
        return dict(done[-1])

    def _act(self, action: Action, plant: Child) -> None:
        self._say(f"scenario: {action.verb} {action.target}")
        match action.verb:
            case "lose" | "double" | "incomplete":
                fault = "drop" if action.verb == "lose" else action.verb
                _tell(plant, f"{fault} {action.target} {action.count}")
            case "delay":
                _tell(plant, f"delay {action.target} {action.count} {action.span_ns / 1e6:g}ms")
            case "unplug" | "replug":
                _tell(plant, f"{action.verb} {action.target}")
            case "kill" | "reset":
                self._child(action.target).send(signal.SIGKILL)
            case "freeze":
                self._freeze(self._child(action.target), action.span_ns)
            case "stop" if action.target == "plc":
                self._freeze(self._child("plc"), action.span_ns)
            case "stage" | "activate" | "rollback" | "purge":
                self._wish(action)
            case "take" | "extra" | "pause":
                words = {"take": f" {action.count}", "pause": f" {action.span_ns / 1e6:g}ms"}
                _tell(plant, action.verb + words.get(action.verb, ""))
            case "stop" | "start":
                _tell(plant, f"belt {action.verb}")

    def _wish(self, action: Action) -> None:
        unit = "line" if action.verb == "purge" else "judge"
        with zmq.Context() as context:
            try:
                answer = ask(context, self._layout.runtime, unit, wish(action), WISH_MS)
            except (LinkError, Refused) as error:
                self._say(str(error))
            else:
                detail = answer.detail if isinstance(answer, Accepted) else ""
                self._say(f"{unit}: {detail or 'done'}")

    def _work(self, collector: Collector, now: HostNs) -> None:
        """Let the simulated person look at what came up for review, and decide it."""
        for item in collector.asked[self._shown :]:
            if item.entered is None:  # its place on the belt comes by another wire
                break
            self._shown += 1
            unknown = item.verdict is not None and item.verdict.disposition is Disposition.UNKNOWN
            person = station.PERSON if unknown else OPERATOR
            self._operator.see(item.part, item.entered.at_counts, person, now)
        self._operator.act(self._decide, now)

    def _look_through(self, loaded: Loaded, collector: Collector) -> None:
        """Let a person with nothing at hand look through the list of what waits, as when an answer was lost."""
        if self._operator.waiting or self._shown < len(collector.asked):
            return
        for item in waiting_of(loaded, collector.boots):
            entered = collector.parts[item.part].entered if item.part in collector.parts else None
            if entered is not None:
                person = station.PERSON if item.needs_quality or OPERATOR in item.people else OPERATOR
                self._operator.see(item.part, entered.at_counts, person, HostNs(time.monotonic_ns()))

    def _decide(self, answer: DecidePart) -> None:
        with zmq.Context() as context:
            ask(context, self._layout.runtime, "record", answer, DECIDE_MS)

    def _child(self, name: str) -> Child:
        if name not in self._children.all:
            known = ", ".join(self._children.all)
            raise ConfigError(
                f"scenario {self._scenario.name}: {name!r} is no process of this station; there are {known}"
            )
        return self._children.all[name]

    def _freeze(self, child: Child, span_ns: int) -> None:
        child.send(signal.SIGSTOP)
        self._thaw.append((time.monotonic() + span_ns / 1e9, child))

    def _thaw_due(self) -> None:
        now = time.monotonic()
        for due, child in [item for item in self._thaw if item[0] <= now]:
            child.send(signal.SIGCONT)
            self._thaw.remove((due, child))

    def _drain(self, collector: Collector, loaded: Loaded) -> None:
        """Wait until every part has its row, acknowledgement and message, or nothing new comes, at most DRAIN_S."""
        deadline = time.monotonic() + DRAIN_S
        news_by = time.monotonic() + NEWS_S
        missing = (0, 0, 0, 0)
        while time.monotonic() < min(deadline, news_by):
            self._look_through(loaded, collector)
            waiting = len(collector.asked) - self._shown + self._operator.waiting
            before = missing
            missing = (*outstanding(loaded, collector.boots, self._scenario.parts), waiting)
            if not any(missing):
                return
            if missing != before:
                news_by = time.monotonic() + NEWS_S
            now = HostNs(time.monotonic_ns())
            collector.poll(100, now)
            self._work(collector, now)
            self._children.tend()
            self._thaw_due()

    def _finish(
        self, loaded: Loaded, collector: Collector, done: dict[str, object], shown: list[Shown], seconds: float
    ) -> int:
        summary = summarise(loaded, self._layout, collector, self._messages, self._scenario.parts, seconds)
        broken = [*unmet(self._scenario.expectations, shown), *summary.broken]
        restarts = {name: child.restarts for name, child in self._children.all.items() if child.restarts}
        path = report.write(self._layout, loaded, collector, summary, done, broken, restarts, self._children.exits)
        text = json.dumps(summary.to_json(), indent=None if self._options.json == "-" else 2)
        if self._options.json == "-":
            print(text)  # noqa: T201
        elif self._options.json:
            Path(self._options.json).write_text(text + "\n", "utf-8")
        for line in summary.lines():
            self._say(line)
        for line in broken:
            self._say(f"BROKEN: {line}")
        self._say(f"report: {path}")
        return 1 if broken else 0


def _tell(plant: Child, command: str) -> None:
    if plant.process.stdin is None:
        raise LinkError("plant: no input to write to; start it with a pipe")
    try:
        plant.process.stdin.write(command.encode() + b"\n")
        plant.process.stdin.flush()
    except BrokenPipeError as error:
        raise LinkError(f"plant: gone before `{command}`; see its log") from error


def _await_line(plant: Child, event: str, layout: Layout) -> None:
    stdout = plant.process.stdout
    line = stdout.readline() if stdout is not None else b""
    if not line or json.loads(line).get("event") != event:
        try:
            plant.process.wait(2)
        except subprocess.TimeoutExpired:
            plant.process.kill()
        words = layout.log("plant").read_text("utf-8", "replace").strip().splitlines()
        raise ConfigError(words[-1].removeprefix("plant: ") if words else f"plant: not {event}; see its log")
