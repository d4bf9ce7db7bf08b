"""Give the commands what users give them by mistake: exit code 2, one line that names thing, value, limit and remedy.

A service that cannot begin at all (configuration, bundle, PLC port) ends with 2; systemd tries it again and its journal
holds the line. One whose world is absent (camera, microcontroller, broker) stays up, names the fault in its status and
leaves its outputs safe.
"""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import zmq

from appliance import config
from appliance.bus.channel import Publisher
from appliance.check.units import listen
from appliance.outputs import outbox
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks
from appliance.schema.frame import PixelFormat
from appliance.schema.health import Condition, Health
from appliance.schema.part import PartId
from appliance.schema.topics import ACTUATION
from appliance.schema.verdict import Disposition
from appliance.sim import station
from tests.faults.station_rig import PROGRAM, firstshift

PATIENCE_S = 30.0


@pytest.fixture
def layout(tmp_path: Path) -> station.Layout:
    """Write a station's files; none of its processes runs, and nothing answers where its broker should be."""
    place = station.Layout(tmp_path / "state", tmp_path / "runtime")
    size = {"width_px": 640, "height_px": 512, "pixel_format": PixelFormat.BAYER_RG8}
    station.write_config(place, station.Settings(10.0, **size, precision="f32", mqtt_port=station.free_port()))
    place.runtime.mkdir()
    return place


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("slots = 8", "slotz = 8", ["camera.top.slotz", "unknown key", "CONFIG.md"]),
        ("slots = 8", "slots = 2", ["camera.top.slots", "is 2", ">= 4", "correct it"]),
        ("slots = 8", 'slots = "many"', ["camera.top.slots", "many", "expected `int`"]),
        ('serial = "SIM0"\n', "", ["camera.top.serial", "missing", "add it"]),
        ("lead_mm = 25", "lead_mm = 900", ["mcu.lead_mm", "900", "400", "lower it"]),
        ("[camera.top]", "[camera.top", ["station.toml", "not TOML", "correct the line"]),
        ("[camera.top]", "[camera.side]", ["recipe.toml", "'top'", "cameras are side"]),
    ],
)
def test_a_wrong_configuration_is_one_line(layout: station.Layout, old: str, new: str, words: list[str]) -> None:
    """A mistake in a file is told with its key, its value, its limit and what to do."""
    text = layout.config.read_text("utf-8")
    layout.config.write_text(text.replace(old, new, 1), "utf-8")

    assert text.count(old) >= 1
    _assert_one_line(firstshift("run", "judge", "--config", layout.config), words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--parts", "0"], ["0 parts", "at least 1", "--parts"]),
        (["demo", "--rate", "1000"], ["1000", "50", "--rate"]),
        (["demo", "--rate", "fast"], ["--rate", "'fast'", "--help"]),
        (["demo", "--seed", "-1"], ["seed -1", "0 or more", "--seed"]),
        (["demo", "--scenario", "absent.txt"], ["absent.txt", "cannot be read", "give a scenario file"]),
        (["demo", "--images", "absent"], ["absent", "test/<class>"]),
        (["demo", "--state", "pyproject.toml"], ["pyproject.toml", "cannot be made", "--state"]),
        (["run", "judge", "--config", "absent.toml"], ["absent.toml", "cannot be read", "--config"]),
        (["check", "--config", "absent.toml"], ["absent.toml", "cannot be read", "--config"]),
        (["audit", "verify", "--state", "absent"], ["absent", "cannot be read"]),
        (["bundle", "verify", "absent"], ["absent", "manifest.json", "cannot be read"]),
        (["shine"], ["'shine'", "demo", "--help"]),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_one_line(arguments: list[str], words: list[str]) -> None:
    """A mistake on the command line is told without a page of usage, and before anything was started."""
    _assert_one_line(firstshift(*arguments), words)


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("polish", ["'polish'", "unknown", "acquire@top, judge, line, record, publish"]),
        ("acquire@side", ["'acquire@side'", "no such camera", "acquire@top"]),
    ],
)
def test_an_unknown_service_is_told_which_there_are(layout: station.Layout, unit: str, words: list[str]) -> None:
    """A unit with a wrong name ends at once and lists the right ones."""
    _assert_one_line(firstshift("run", unit, "--config", layout.config), words)


def test_a_broken_photograph_is_named_before_anything_runs(tmp_path: Path, rng: np.random.Generator) -> None:
    """One picture that is cut short ends the demo with the file's name."""
    for folder in ("train/good", "test/good", "test/scratch"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(2):
            cv2.imwrite(str(tmp_path / folder / f"{number}.png"), rng.integers(0, 255, (64, 80, 3), np.uint8))
    broken = tmp_path / "test" / "good" / "1.png"
    broken.write_bytes(broken.read_bytes()[:300])

    _assert_one_line(firstshift("demo", "--images", tmp_path, "--no-hmi"), [str(broken), "300 bytes", "remove it"])


@pytest.mark.parametrize(("content", "words"), [(None, ["not exist", "install"]), (b"text", ["cannot be loaded"])])
def test_a_camera_without_its_producer_is_a_named_fault(
    layout: station.Layout, content: bytes | None, words: list[str]
) -> None:
    """The service stays up and says why, the check finds it with a remedy, the list of cameras is no empty table."""
    path = layout.state / "vendor.cti"
    if content is not None:
        path.write_bytes(content)
    text = layout.config.read_text("utf-8").replace(str(station.build_product("sim.cti")), str(path))
    layout.config.write_text(text, "utf-8")
    with _service(layout, "acquire@top"):
        health = _await_health(layout, "acquire@top", lambda health: health.condition is Condition.FAILED)
        check = firstshift("check", "--config", layout.config, "--json", "-")
    found = {item["name"]: item for item in json.loads(check.stdout)["components"]}
    (component,) = (item for item in health.components if item.condition is Condition.FAILED)

    assert [] == [word for word in [str(path), *words] if word not in f"{component.cause}; {component.remedy}"]
    assert check.returncode == 1
    assert str(path) in found["producer of top"]["cause"]
    assert found["acquire@top"]["condition"] == "failed"
    _assert_one_line(firstshift("camera", "list", "--config", layout.config), [str(path), *words])


def test_a_judge_without_a_whole_bundle_ends_at_once(layout: station.Layout) -> None:
    """Neither an absent nor a changed bundle is ever loaded: without `judge` there is no ACCEPT."""
    folder = layout.state / "bundles" / "day-one"
    absent = firstshift("run", "judge", "--config", layout.config)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}", "utf-8")
    changed = firstshift("run", "judge", "--config", layout.config)

    _assert_one_line(absent, [str(folder), "manifest.json", "install the bundle again"])
    _assert_one_line(changed, [str(folder), "manifest.json"])


def test_a_taken_plc_port_is_one_line(layout: station.Layout) -> None:
    """`line` that cannot listen ends with a line that names the port, so that systemd shows it and tries again."""
    port = config.load(layout.config).config.plc.port
    with socket.create_server(("127.0.0.1", port)):
        done = firstshift("run", "line", "--config", layout.config)

    _assert_one_line(done, [f"127.0.0.1:{port}", "Address already in use", "plc.port"])


def test_messages_wait_for_an_absent_broker(layout: station.Layout) -> None:
    """Without a broker the outbox grows by one message per part, the status names the broker, and nobody waits."""
    port = config.load(layout.config).config.mqtt.port
    with zmq.Context() as context, _service(layout, "publish"):
        line = Publisher(context, layout.runtime, "line")
        try:
            health = _await_health(layout, "publish", lambda health: health.condition is not Condition.STARTING)
            for number in range(1, 6):
                line.publish(ACTUATION, _rejected(number))
            file = layout.state / outbox.FILE
            _await(lambda: file.exists() and outbox.read_counts(file).put == 5)
            counts = outbox.read_counts(file)
        finally:
            line.close()
    told = "; ".join(f"{item.condition} {item.cause} {item.remedy}" for item in health.components)

    assert (5, 0) == (counts.pending, counts.acked)
    assert f"127.0.0.1:{port}" in told


def _assert_one_line(done: subprocess.CompletedProcess[str], words: list[str]) -> None:
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, ""), done.stderr
    assert [] == [word for word in words if word not in done.stderr], done.stderr


@contextmanager
def _service(layout: station.Layout, unit: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(PROGRAM), "run", unit, "--config", str(layout.config)]
    with layout.runtime.joinpath("log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process
            assert process.poll() is None, layout.runtime.joinpath("log").read_text()
        finally:
            process.terminate()


def _await_health(layout: station.Layout, unit: str, holds: Callable[[Health], bool]) -> Health:
    found: list[Health] = []

    def heard() -> bool:
        found[:] = filter(holds, listen(layout.runtime, (unit,), 1.5).values())
        return bool(found)

    _await(heard)
    return found[0]


def _await(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)


def _rejected(number: int) -> Actuation:
    clocks = HostNs(time.monotonic_ns()), McuTicks(number), EncoderCounts(number)
    return Actuation(PartId(1, number), Lane.REJECT, Cause.NO_VERDICT, Disposition.NO_VERDICT, 0, *clocks)
