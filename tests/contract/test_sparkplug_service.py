"""One publish service tells a part to broker, edge node and controller, each in its own words."""

import shutil
import socket
import time
from contextlib import closing
from functools import partial

import pytest

from appliance.check.plant_outputs import plant_outputs
from appliance.config import Config, Loaded, Mcu, Recipe, Station
from appliance.config_plant import Logix, Mqtt, Sparkplug
from appliance.ports.node import Send
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import S
from appliance.schema.health import Condition, Health
from appliance.schema.line import JobMode, LineState
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from appliance.services import publish
from appliance.sim.broker import MOSQUITTO, Broker, mosquitto_path
from tests.contract.sparkplug_rig import LIMIT_S, Clock
from tests.contract.test_logix import PYTHON, controller_with
from tests.contract.test_sparkplug import FOREIGN, host_at

needs_all = pytest.mark.skipif(
    not mosquitto_path() or shutil.which("node") is None or not FOREIGN.is_dir() or not PYTHON.exists(),
    reason="mosquitto, node, build/foreign/node_modules or build/foreign/python is not there",
)


def loaded(folder, **fields):
    station = Station("cell-4", str(folder / "state"), str(folder / "run"), site="site", line="line")
    (folder / "state").mkdir(parents=True, exist_ok=True)
    mcu = Mcu("/dev/null", counts_per_mm=10, gate_mm=500, lead_mm=50, belt_mm_s=200)
    config = Config(station, mcu, {}, **fields)
    return Loaded(config, Recipe("caps", 1, ("top",), "b"), folder / "station.toml", "0" * 64)


class Service:
    """The node with its devices, without the loop's sockets."""

    def __init__(self, settings):
        self.clock = Clock()
        self.node, self.devices = publish.build(settings, self.clock)
        self.health = {}
        self._count = 0
        self._act(self.node.start(self.clock.now()))

    def tell(self, topic, message):
        self._count += 1
        self._act(self.node.receive_envelope(topic, 1, self._count, message, self.clock.now()))

    def run_until(self, condition, what):
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s; {self.health}"
            now = self.clock.now()
            for name, device in self.devices.items():
                for message in device.read(now):
                    self._act(self.node.receive(f"device:{name}", message, now))
            if self.node.wake_at is not None and now >= self.node.wake_at:
                self._act(self.node.wake(now))
            time.sleep(0.005)

    def close(self):
        for device in self.devices.values():
            device.close()
        self.node.finish(self.clock.now())

    def _act(self, outputs):
        for output in outputs:
            if isinstance(output, Send):
                self.devices[output.device].write(output.message, self.clock.now())
            elif isinstance(getattr(output, "message", None), Health):
                self.health = {part.name: part for part in output.message.components}


@needs_all
def test_every_output_tells_every_part(tmp_path):
    """What one output cannot take delays no other, and each is a row of `firstshift check`."""
    broker = Broker(tmp_path / "broker", MOSQUITTO)
    broker.start()
    try:
        with controller_with() as controller, host_at(broker.port) as host:
            settings = loaded(
                tmp_path,
                mqtt=Mqtt("127.0.0.1", broker.port, 5),
                sparkplug=Sparkplug("factory", primary_host="scada"),
                logix=Logix(f"127.0.0.1:{controller.port}/0"),
            )
            service = Service(settings)
            try:
                run = partial(lead, service, host, controller)
                run()
                checked = {part.name: part for part in plant_outputs(settings)}
            finally:
                service.close()
            summary = host.summary()
    finally:
        broker.stop()

    assert [(number, number % 2 == 0) for number in range(1, 13)] == controller.taken
    assert [(number, number <= 6) for number in range(1, 13)] == host.results
    assert {} == summary["broken"]
    assert {"mqtt": Condition.OK, "sparkplug": Condition.OK, "logix": Condition.OK} == {
        name: service.health[name].condition for name in ("mqtt", "sparkplug", "logix")
    }
    assert {"sparkplug store": Condition.OK, "logix controller": Condition.OK} == {
        name: part.condition for name, part in checked.items()
    }


def lead(service, host, controller):
    state = LineState(at=0, mode=JobMode.CONTINUOUS, handshake="ready", ready=True)
    for number in range(1, 13):
        if number == 7:
            service.run_until(lambda: len(controller.taken) == 6, "taken while the host is away")
            host.wish("online")
            service.run_until(lambda: len(host.results) == 6, "history")
        service.tell("line.state", state)
        good = number % 2 == 0
        lane, cause = (Lane.ACCEPT, Cause.ACCEPTED) if good else (Lane.REJECT, Cause.NO_VERDICT)
        disposition = Disposition.ACCEPT if good else Disposition.NO_VERDICT
        at = service.clock.now()
        service.tell("actuation", Actuation(PartId(7, number), lane, cause, disposition, 0, at, 1, 1))
        service.run_until(lambda upto=number: len(controller.taken) >= upto, "taken")
    service.run_until(lambda: len(host.results) == 12, "live values")
    until = service.clock.now() + int(1.2 * S)
    service.run_until(lambda: service.clock.now() > until, "health")


def test_what_is_not_configured_is_not_there(tmp_path):
    """Without names there is neither an edge node nor a writer, nor a row about them."""
    settings = loaded(tmp_path)
    service = Service(settings)
    service.close()

    assert ({}, []) == (service.devices, plant_outputs(settings))


def test_a_controller_that_is_away_is_named_before_the_start(tmp_path):
    """`firstshift check` finds a wrong address without the services, and counts what a store gave up."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings = loaded(tmp_path, logix=Logix(f"127.0.0.1:{port}/0"), mqtt=Mqtt("h"), sparkplug=Sparkplug("g"))
        store, controller = plant_outputs(settings)

    assert (Condition.OK, "0 of at most 100000 values wait, 0 were dropped") == (store.condition, store.cause)
    assert (Condition.FAILED, True) == (controller.condition, controller.cause.startswith(f"127.0.0.1:{port}: "))
    assert "switch the controller on, or correct logix.host" == controller.remedy
