"""Run one Node on real sockets and the system clock."""

import gc
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

import msgspec
import structlog
import zmq
from msgspec import Struct
from msgspec.structs import replace

from appliance.bus.channel import Gap, Publisher, Subscriber
from appliance.bus.channel import Sequence as Places
from appliance.bus.control import ControlServer, PendingAnswers, ask
from appliance.ports.clock import Clock
from appliance.ports.device import Device
from appliance.ports.node import Ask, Keeper, Node, Output, Publish, Replied, Restart
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import MS, HostNs, UtcNs
from appliance.schema.codec import Envelope, unpack
from appliance.schema.command import RefusedReply, Replay, Replayed
from appliance.schema.errors import ApplianceError, LinkError, Refused
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.line import LineState
from appliance.schema.topics import AUDIT, LINE_STATE, TOPICS, Loss, topic_of
from appliance.services._notify import Notifier, Watchdog

BATCH = 64
"""Messages taken from the bus before devices and timers get their turn."""

REPLAY_TIMEOUT_MS = 500
"""A writer answers a replay within one turn of its loop; longer means that it is busy or gone."""

ANSWER_LIMIT = 1000 * MS
"""A unit answers a wish within one turn of its loop; then the wish counts as refused."""

IDLE_MS = 500
"""Longest sleep, so that a stop signal or the watchdog is never waited for."""

log = structlog.get_logger()


class SystemClock:
    """Tell the computer's time."""

    def now(self) -> HostNs:
        """CLOCK_MONOTONIC, ns."""
        return HostNs(time.monotonic_ns())

    def utc(self) -> UtcNs:
        """Wall clock in UTC, ns."""
        return UtcNs(time.time_ns())


class RecipeWatch(Struct, frozen=True):
    """Let a service that was built for one recipe notice that `line` has changed to another."""

    own: int
    """Hash of the recipe that the service runs, as in `LineState.recipe_hash`."""
    in_force: Callable[[], int]
    """Gives the hash of the recipe that a start now would load."""
    restarts: bool
    """False: the service follows `LineState` by itself."""

    def is_left(self, state: LineState) -> bool:
        """Tell whether a restart would bring the recipe that `line` runs; else restarting would help nobody."""
        return self.restarts and state.recipe_hash not in {0, self.own} and self.in_force() == state.recipe_hash


class Loop:
    """Join one Node with its sockets and devices; the process does nothing else."""

    def __init__(
        self,
        node: Node,
        devices: Mapping[str, Device],
        runtime: Path,
        units: tuple[str, ...],
        digest: str = "",
        recipe: RecipeWatch | None = None,
    ) -> None:
        """Open the unit's sockets; `units` are all of the station, `digest` is the effective configuration's.

        recipe: what the service was built for; None: it depends on no recipe.
        """
        self._node = node
        self._devices = dict(devices)
        self._runtime = runtime
        self._clock: Clock = SystemClock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._publisher = Publisher(self._context, runtime, node.name)
        self._recipe = recipe
        own = (LINE_STATE,) if recipe is not None and recipe.restarts else ()
        self._subscriber = Subscriber(self._context, runtime, units, (*dict.fromkeys((*node.topics, *own)),))
        self._control = ControlServer(self._context, runtime, node.name)
        self._asked = PendingAnswers(self._context, runtime)
        self._units = units
        self._digest = digest
        self._keeper = node if isinstance(node, Keeper) else None
        self._places = Places(self._keeper.positions() if self._keeper else None, from_origin=self._keeper is not None)
        self._notifier = Notifier()
        self._watchdog = Watchdog(self._notifier)
        self._ready = False
        self._condition: Condition | None = None
        self._stopping = False

    def run(self) -> int:
        """Run until a stop signal; gives the exit code. An error of the node or a device ends the process."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        try:
            self._serve()
        except ApplianceError as error:
            log.error("service_failed", unit=self._node.name, error=str(error), kind=type(error).__name__)
            return 1
        except Exception:
            log.exception("service_broken", unit=self._node.name)
            return 70
        finally:
            self._notifier.stopping()
            self._close()
        return 0

    def _serve(self) -> None:
        self._act(self._node.start(self._clock.now()))
        if self._digest:
            name = self._node.name
            started = AuditRequest(f"service:{name}", "service_started", name, "", f"config {self._digest}")
            self._publisher.publish(AUDIT + name, started)
        if self._keeper:
            self._recover_all()
        gc.collect()
        gc.freeze()
        log.info("service_started", unit=self._node.name, pid=os.getpid())
        while not self._stopping:
            ready = self._wait()
            self._take_topics()
            self._take_control()
            self._take_answers()
            self._take_devices(ready)
            due = self._node.wake_at
            now = self._clock.now()
            if due is not None and now >= due:
                self._act(self._node.wake(now))

    def _wait(self) -> set[int]:
        poller = zmq.Poller()
        poller.register(self._subscriber.socket, zmq.POLLIN)
        poller.register(self._control.socket, zmq.POLLIN)
        for socket in self._asked.sockets:
            poller.register(socket, zmq.POLLIN)
        for device in self._devices.values():
            if device.fileno() >= 0:
                poller.register(device.fileno(), zmq.POLLIN)
        return {item for item, _ in poller.poll(self._sleep_ms()) if isinstance(item, int)}

    def _sleep_ms(self) -> int:
        """Sleep to the next wake time, rounded up: a wake before its time does nothing and would spin."""
        times = [self._node.wake_at, self._asked.due, *(device.wake_at for device in self._devices.values())]
        earliest = min((time for time in times if time is not None), default=None)
        if earliest is None:
            return IDLE_MS
        return max(0, min(IDLE_MS, -((self._clock.now() - earliest) // MS)))

    def _take_topics(self) -> None:
        for envelope, message in self._subscriber.drain(BATCH):
            new, gap = self._places.follow(envelope)
            if gap is not None:
                self._recover(gap)
            if new:
                self._deliver(envelope, message)

    def _deliver(self, envelope: Envelope, message: Struct) -> None:
        now = self._clock.now()
        if isinstance(message, LineState):
            if self._recipe is not None and self._recipe.is_left(message):
                self._act([Restart(f"the line changed to recipe {message.recipe_number} {message.recipe}")])
            if LINE_STATE not in self._node.topics:
                return
        if self._keeper:
            self._act(self._keeper.receive_envelope(envelope.topic, envelope.epoch, envelope.sequence, message, now))
        else:
            self._act(self._node.receive(envelope.topic, message, now))

    def _recover(self, gap: Gap) -> None:
        """Fetch what was missed from its writer where the topic allows it; tell the node what is gone for good."""
        missing = gap.until - gap.first
        if self._keeper and topic_of(gap.topic).loss is Loss.REPLAY:
            missing -= self._replay(self._writer(gap.topic), gap.topic, gap.first, gap.until, gap.epoch)
        if missing:
            self._act(self._node.lost(gap.topic, missing, self._clock.now()))

    def _recover_all(self) -> None:
        """Fetch what the writers hold beyond this node's stored positions: what was said while it was down."""
        for topic in TOPICS:
            if topic.loss is not Loss.REPLAY or topic.name.endswith(".") or topic.name not in self._node.topics:
                continue
            position = self._places.position(topic.name)
            epoch, first = position if position is not None else (None, 0)
            self._replay(self._writer(topic.name), topic.name, first, None, epoch)

    def _replay(self, unit: str, topic: str, first: int, until: int | None, epoch: int | None) -> int:
        if unit == self._node.name or unit not in self._units:
            return 0
        try:
            reply = ask(self._context, self._runtime, unit, Replay(topic, first), REPLAY_TIMEOUT_MS)
            if isinstance(reply, Replayed) and epoch is not None and reply.epoch != epoch and first > 0:
                reply = ask(self._context, self._runtime, unit, Replay(topic, 0), REPLAY_TIMEOUT_MS)
        except (LinkError, Refused):
            return 0
        count = 0
        for raw in reply.messages if isinstance(reply, Replayed) else ():
            envelope, message = unpack(bytes(raw))
            if until is None:
                new, _ = self._places.follow(envelope)
            else:
                new = envelope.sequence < until
            if new:
                self._deliver(envelope, message)
                count += 1
        log.info("messages_replayed", unit=self._node.name, topic=topic, count=count)
        return count

    def _writer(self, topic: str) -> str:
        entry = topic_of(topic)
        return topic.removeprefix(entry.name) if entry.name.endswith(".") else entry.writer

    def _take_control(self) -> None:
        try:
            command = self._control.receive()
        except msgspec.MsgspecError as error:
            self._control.answer(RefusedReply(f"not a command of this version: {error}"))
            return
        if command is None:
            return
        if isinstance(command, Replay):
            self._control.answer(self._publisher.replay(command.topic, command.first))
            return
        reply, outputs = self._node.command(command, self._clock.now())
        self._control.answer(reply)
        self._act(outputs)

    def _take_answers(self) -> None:
        for unit, ticket, reply in self._asked.take(self._clock.now()):
            self._act(self._node.receive(f"reply:{unit}", Replied(ticket, reply), self._clock.now()))

    def _take_devices(self, ready: set[int]) -> None:
        for name, device in self._devices.items():
            now = self._clock.now()
            due = device.wake_at
            if device.fileno() in ready or (due is not None and now >= due):
                for message in device.read(now):
                    self._act(self._node.receive(f"device:{name}", message, now))

    def _act(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            if isinstance(output, Publish):
                message = output.message
                if isinstance(message, Health) and self._recipe is not None:
                    message = replace(message, recipe_hash=self._recipe.own)
                self._publisher.publish(output.topic, message)
                if isinstance(output.message, Health):
                    self._report(output.message)
                elif isinstance(output.message, Alarm):
                    log.warning(
                        "alarm_raised", unit=self._node.name, kind=output.message.kind, text=output.message.text
                    )
            elif isinstance(output, Restart):
                log.warning("service_restarts", unit=self._node.name, why=output.why)
                self._stopping = True
            elif isinstance(output, Ask):
                self._asked.send(output.unit, output.command, output.ticket, self._clock.now() + ANSWER_LIMIT)
            else:
                self._devices[output.device].write(output.message, self._clock.now())

    def _report(self, health: Health) -> None:
        if not self._ready and health.condition is not Condition.STARTING:
            self._ready = True
            self._notifier.ready()
        worst = max(health.components, key=lambda item: list(Condition).index(item.condition), default=None)
        self._notifier.status(f"{health.condition}: {worst.name} {worst.cause}" if worst else str(health.condition))
        if health.condition is not self._condition:
            self._condition = health.condition
            name, cause = (worst.name, worst.cause) if worst else ("", "")
            log.info("condition_changed", unit=self._node.name, condition=health.condition, component=name, cause=cause)
        self._watchdog.progress(health.progress)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _close(self) -> None:
        """Close the devices, take their last words, and let a keeper write what waits."""
        now = self._clock.now()
        for name, device in self._devices.items():
            device.close()
            for message in device.read(now) if self._keeper else ():
                self._node.receive(f"device:{name}", message, now)
        if self._keeper:
            self._keeper.finish(now)
        self._subscriber.close()
        self._control.close()
        self._asked.close()
        self._publisher.close()
        self._context.term()
