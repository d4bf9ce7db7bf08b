"""Write each part's result to a tag of a Logix controller over EtherNet/IP, and read back which it took.

A thread of its own writes the whole structure in one request, every CYCLE: state, a changing heartbeat, and one
result until its number comes back. A controller that is away costs nothing but the results it misses; whatever is
missing or stale is a reject there.
"""

import os
import random
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from appliance.config_plant import Logix
from appliance.outputs.backoff import Backoff
from appliance.outputs.channels import Channel
from appliance.outputs.logix_results import Results
from appliance.outputs.part_report import PartReport
from appliance.ports.clock import Clock
from appliance.ports.device import Device
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.errors import LinkError
from appliance.schema.health import Component, Condition
from appliance.schema.line import LineState

if TYPE_CHECKING:
    from appliance.outputs.logix_controller import Controller

NAME = "logix"
"""Name of the channel, its device and its component."""

CYCLE = 100 * MS
"""Time between writes without a new result: a heartbeat is stale after ten of them."""

POLL_S = 0.01
"""Time between looks for the number of the result that is shown: one scan of a usual program."""

RECONNECT_S = (0.5, 30.0)
TURN = 1 * S

log = structlog.get_logger()


class LogixWriter:
    """Own the thread that talks to the controller; a Device: called from the loop's thread, only `close` waits."""

    def __init__(self, logix: Logix, clock: Clock, chance: random.Random) -> None:
        """`chance` spreads the attempts to connect."""
        self._settings = logix
        self._clock = clock
        self._backoff = Backoff(*RECONNECT_S, chance)
        self._results = Results()
        self._lock = threading.Lock()  # over the results and the words below
        self._fault = ""
        self._connected = False
        self._told: Component | None = None
        self._turn_at = HostNs(0)
        self._news = threading.Event()
        self._stop = threading.Event()
        self._ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Descriptor that is readable when the condition may have changed."""
        return self._ready

    @property
    def wake_at(self) -> HostNs | None:
        """Next look whether the thread lives."""
        return self._turn_at

    def read(self, now: HostNs) -> Sequence[Component]:
        """Give the component when it changed."""
        if self._ready < 0:
            return ()
        self._turn_at = HostNs(now + TURN)
        with suppress(BlockingIOError):
            os.eventfd_read(self._ready)
        component = self._describe()
        if component == self._told:
            return ()
        self._told = component
        return (component,)

    def write(self, message: Struct, now: HostNs) -> None:
        """Take a part's result or the line's condition; the thread writes it at once."""
        with self._lock:
            match message:
                case PartReport():
                    self._results.offer(message)
                case LineState():
                    self._results.line(message, now)
                case _:
                    return
        self._news.set()

    def close(self) -> None:
        """Tell the controller that nobody speaks any more, and end the thread; waits for a request in progress."""
        if self._ready < 0:
            return
        self._stop.set()
        self._news.set()
        self._thread.join()
        os.close(self._ready)
        self._ready = -1

    # all below runs in the writer's thread, but `_describe`

    def _run(self) -> None:
        try:
            from appliance.outputs.logix_controller import Controller  # noqa: PLC0415  pycomm3 is an extra
        except ModuleNotFoundError as error:
            self._change(connected=False, fault=f"{error.name} is not installed; install firstshift[logix]")
            return
        while not self._stop.is_set():
            controller: Controller | None = None
            try:
                controller = Controller(self._settings.host, self._settings.tag, self._settings.timeout_ms / 1000)
                self._serve(controller)
            except LinkError as error:
                self._change(connected=False, fault=str(error))
            finally:
                if controller is not None:
                    controller.close()
            self._stop.wait(self._backoff.next())

    def _serve(self, controller: "Controller") -> None:
        seen, number = controller.read(), controller.read_number()
        with self._lock:
            self._results.begin(seen, number)
        controller.prove()
        self._backoff.reset()
        while not self._stop.is_set():
            self._cycle(controller)
            self._change(connected=True, fault="")
        with self._lock:
            image = self._results.goodbye()
        controller.write(image)

    def _cycle(self, controller: "Controller") -> None:
        """Write once, then look for the number of the result that is shown; ends when there is something to write."""
        self._news.clear()
        now = self._clock.now()
        until = now + CYCLE
        with self._lock:
            image = self._results.image(now)
        controller.write(image)
        while not self._stop.is_set():
            number = controller.read_number()
            with self._lock:
                is_taken = self._results.acknowledged(number)
                is_shown = self._results.is_shown
            left_s = (until - self._clock.now()) / S
            if is_taken or left_s <= 0:
                return
            if not is_shown:
                self._news.wait(left_s)
                return
            self._stop.wait(min(POLL_S, left_s))

    def _change(self, *, connected: bool, fault: str) -> None:
        with self._lock:
            if (connected, fault) == (self._connected, self._fault):
                return
            self._connected, self._fault = connected, fault
        log.info("controller_connected" if connected else "controller_lost", host=self._settings.host, why=fault)
        os.eventfd_write(self._ready, 1)

    def _describe(self) -> Component:
        with self._lock:
            results, fault, connected = self._results, self._fault, self._connected
            counts = f"{results.waiting} results wait, {results.lost} lost"
        if not self._thread.is_alive() and not fault:
            return Component(NAME, Condition.FAILED, f"its thread has ended; {counts}", "restart the service")
        if not connected:
            condition = Condition.DEGRADED if fault else Condition.STARTING
            cause, _, remedy = fault.rpartition("; ")
            return Component(NAME, condition, f"{cause or 'not connected yet'}; {counts}", remedy)
        place = f"{self._settings.host}, tag {self._settings.tag}"
        if results.lost:
            remedy = f"let the controller's program write Sequence to {self._settings.tag}Ack for each result"
            return Component(NAME, Condition.DEGRADED, f"{place}: {results.lost} results lost unseen", remedy)
        return Component(NAME, Condition.OK, f"writes to {place}")


def logix_writer(logix: Logix, clock: Clock) -> tuple[Channel, Device]:
    """Put the writer together; results are told live only, a controller has no use for yesterday's."""
    return Channel(NAME, live=(PartReport, LineState)), LogixWriter(logix, clock, random.Random(os.getpid()))
