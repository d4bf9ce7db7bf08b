"""Protect the technician at 3 a.m.: each fault is found, named, and comes with what to do about it."""

import os
import shutil
import socket
import struct
import sys
import threading
from pathlib import Path

import msgspec
import pytest
import zmq

from appliance.bus.channel import Publisher
from appliance.check import exit_code, main, render, run_check, to_json
from appliance.check.machine import file_system, processor, producer, runtime_folder, state_folder, wal_reset_bug
from appliance.check.report import findings, write
from appliance.check.units import describe, service_reports
from appliance.check.wires import broker, listening_ports, microcontroller, plc_port
from appliance.config import Camera, Config, Judge, Loaded, Mcu, Station
from appliance.config_plant import Mqtt, Plc
from appliance.schema.clocks import HostNs
from appliance.schema.errors import ConfigError
from appliance.schema.health import Component, Condition, Health
from appliance.schema.recipe import Recipe

OK = Component("lamp", Condition.OK, "lit")
BROKEN = Component("belt", Condition.FAILED, "stands still", "press start")


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Configure a station that has nothing yet."""
    station = Station("st1", str(tmp_path / "state"), str(tmp_path / "run"))
    mcu = Mcu(link=str(tmp_path / "mcu"), counts_per_mm=10, gate_mm=500, lead_mm=50, belt_mm_s=200)
    camera = Camera(producer=str(tmp_path / "none.cti"), serial="1", width_px=640, height_px=480)
    return Loaded(Config(station, mcu, {"top": camera}), Recipe("r", 1, ("top",), "b"), tmp_path / "s.toml", "0" * 64)


def test_an_empty_station_is_all_findings(loaded: Loaded) -> None:
    """On a computer where nothing is installed no look fails by itself, and every finding has a remedy."""
    components = run_check(loaded, listen_s=0.01)
    failed = {item.name for item in components if item.condition is Condition.FAILED}

    assert {"runtime folder", "state folder", "producer of top", "bundle", "microcontroller link"} <= failed
    assert {"acquire@top", "judge", "line", "record", "publish"} <= failed
    assert [item.name for item in findings(components) if not (item.cause and item.remedy)] == []
    assert exit_code(components) == 1


def test_services_are_heard(loaded: Loaded) -> None:
    """A service that speaks shows what it says, one that only left its socket is silent, the others do not run."""
    loaded.runtime.mkdir()
    silent = loaded.runtime / "line.pub"
    silent.touch()
    part = Component("model", Condition.DEGRADED, "warm-up", "wait")
    with zmq.Context() as context:
        publisher = Publisher(context, loaded.runtime, "judge")
        reports = _report_until_heard(
            publisher, loaded, Health("judge", Condition.OK, (part,), 1, HostNs(1), os.getpid())
        )
        publisher.close()
    rows = {item.name: item for item in reports.components}

    assert reports.alive == {"judge"}
    assert rows["judge"].condition is Condition.OK
    assert rows["judge / model"] == Component("judge / model", Condition.DEGRADED, "warm-up", "wait")
    assert rows["line"].cause.startswith("silent")
    assert rows["record"].cause == "not running"


def _report_until_heard(publisher: Publisher, loaded: Loaded, health: Health) -> object:
    """Publish again and again beside the listener, as a service does once a second."""
    done = threading.Event()

    def speak() -> None:
        while not done.wait(0.02):
            publisher.publish("status.judge", health)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        return service_reports(loaded, listen_s=1.0)
    finally:
        done.set()
        speaker.join()


def test_the_worst_stands_last() -> None:
    """What needs attention stands next to the prompt, with its remedy."""
    lines = render([BROKEN, OK]).splitlines()

    assert lines[0].split() == ["ok", "lamp", "lit"]
    assert lines[1].split()[0] == "FAILED"
    assert lines[2].strip() == "-> press start"
    assert lines[3] == "1 of 2 components need attention"


def test_json_and_exit_code_agree() -> None:
    """A script reads the same as a person."""
    for components, good in (([OK], True), ([OK, BROKEN], False)):
        found = msgspec.json.decode(to_json(components))

        assert found["ok"] is good
        assert len(found["components"]) == len(components)
        assert exit_code(components) == (0 if good else 1)


@pytest.mark.parametrize(
    ("taken", "lives", "condition"),
    [(True, True, "ok"), (True, False, "failed"), (False, True, "failed"), (False, False, "ok")],
)
def test_plc_port_belongs_to_line(taken: bool, lives: bool, condition: str) -> None:
    """The port is good when line listens on it, or nobody does before line starts."""

    assert plc_port(Plc(), taken=taken, line_lives=lives).condition == condition


def test_listening_port_is_seen_without_a_connection() -> None:
    """The PLC's port is looked up, so that the check never counts as a PLC."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        assert port in listening_ports()


def test_broker(unused_tcp_port: int) -> None:
    """A broker that does not answer is a finding; none configured is not."""

    assert broker(Mqtt()).condition is Condition.OK
    assert broker(Mqtt(host="127.0.0.1", port=unused_tcp_port)).condition is Condition.FAILED


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_microcontroller_is_a_device(tmp_path: Path) -> None:
    """A missing link and a plain file are found; a terminal device is good."""
    plain = tmp_path / "plain"
    plain.touch()
    master, slave = os.openpty()
    try:
        conditions = [microcontroller(path).condition for path in (tmp_path / "no", plain, Path(os.ttyname(slave)))]
    finally:
        os.close(master)
        os.close(slave)

    assert conditions == [Condition.FAILED, Condition.FAILED, Condition.OK]


def test_producer_for_another_processor_is_found(tmp_path: Path) -> None:
    """The commonest installation fault on ARM is a vendor's x86 producer."""
    own = Path(sys.executable).resolve().read_bytes()[:20]
    foreign, text = tmp_path / "foreign.cti", tmp_path / "text.cti"
    foreign.write_bytes(own[:18] + struct.pack("<H", 8))
    text.write_text("not a library")

    assert producer("top", Path(sys.executable).resolve()).condition is Condition.OK
    assert "another processor" in producer("top", foreign).cause
    assert "no library" in producer("top", text).cause
    assert "No such file" in producer("top", tmp_path / "none").cause


@pytest.mark.parametrize(
    ("version", "bad"),
    [
        ((3, 6, 23), False), ((3, 7, 0), True), ((3, 40, 1), True), ((3, 44, 5), True), ((3, 44, 6), False),
        ((3, 45, 0), True), ((3, 50, 6), True), ((3, 50, 7), False), ((3, 51, 2), True), ((3, 51, 3), False),
    ],
)  # fmt: skip
def test_wal_reset_range(version: tuple[int, ...], bad: bool) -> None:
    """The releases that can lose commits are told from the mended ones of each line."""

    assert wal_reset_bug(version) is bad


@pytest.mark.parametrize(
    ("precision", "flags", "good"), [("f32", "", True), ("bf16", "avx2", False), ("bf16", "amx_bf16", True)]
)
def test_precision_needs_its_instructions(loaded: Loaded, precision: str, flags: str, good: bool) -> None:
    """A bundle calibrated in bf16 is not run on a processor that has none."""
    config = msgspec.structs.replace(loaded.config, judge=Judge(precision=precision))

    assert (processor(config, set(flags.split())).condition is Condition.OK) is good


def test_folders(tmp_path: Path) -> None:
    """Disk below the limit is a failure, close to it a warning; rings that do not fit are found."""
    free_mb = shutil.disk_usage(tmp_path).free // 1_000_000

    assert state_folder(tmp_path, 1).condition is Condition.OK
    assert state_folder(tmp_path, free_mb // 2).condition is Condition.DEGRADED
    assert state_folder(tmp_path, free_mb * 2).condition is Condition.FAILED
    assert runtime_folder(Path("/dev/shm"), 1 << 50).condition is Condition.FAILED  # noqa: S108  a tmpfs on every Linux


def test_file_system_of_a_folder() -> None:
    """The innermost mount counts, and of two on one place the later one."""
    mounts = "a / ext4 rw\nb /run tmpfs rw\nc /runner xfs rw\nd /run btrfs rw\n"

    assert [file_system(Path(path), mounts) for path in ("/run/firstshift", "/runner/x", "/x")] == [
        "btrfs",
        "xfs",
        "ext4",
    ]


def test_a_silent_service_has_a_remedy() -> None:
    """A socket without a voice is told apart from a service that was never started."""

    assert "journalctl -u firstshift-judge" in describe("judge", present=True, health=None)[0].remedy
    assert describe("judge", present=False, health=None)[0].remedy == "systemctl start firstshift-judge"


STATION = """
[station]
name = "st1"
state = "{0}/state"
runtime = "{0}/run"
[mcu]
link = "{0}/mcu"
counts_per_mm = 10.0
gate_mm = 500.0
lead_mm = 50.0
belt_mm_s = 200.0
[plc]
port = 15020
[camera.top]
producer = "{0}/none.cti"
serial = "1"
width_px = 640
height_px = 480
"""
RECIPE = 'name = "r"\nnumber = 1\nviews = ["top"]\nbundle = "b"\n'


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json -` prints one object and nothing else; a file gets the object beside the table; findings exit with 1."""
    station = tmp_path / "station.toml"
    station.write_text(STATION.format(tmp_path))
    tmp_path.joinpath("recipe.toml").write_text(RECIPE)
    out = tmp_path / "check.json"
    codes = [main(station, "-")]
    printed = capsys.readouterr().out
    codes.append(main(station, str(out)))
    table = capsys.readouterr().out

    assert codes == [1, 1]
    assert msgspec.json.decode(printed)["components"] == msgspec.json.decode(out.read_bytes())["components"]
    assert "components need attention" in table
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check.json", "recipe.toml", "station.toml"]


def test_bad_input_is_told(tmp_path: Path) -> None:
    """A station file that is missing and a JSON file that cannot be written are errors of the one who asked."""
    with pytest.raises(ConfigError, match=r"none\.toml"):
        main(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be written"):
        write(tmp_path / "no" / "check.json", b"{}")
