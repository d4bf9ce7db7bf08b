"""Protect the installed station: its units are valid, as closed as their work allows, and start what exists."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.schema.frame import PixelFormat
from appliance.services import SERVICES
from appliance.sim.station import Layout, Settings, service_command, write_config

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
INSTANCE = {"acquire": "acquire@top"}
UNIT_NAMES = (*SERVICES, "hmi")
"""The touchscreen is no service of the line: it has a unit and a command of its own."""
EXPOSURE_LIMIT = {
    "acquire": 20,
    "judge": 8,
    "line": 20,
    "record": 8,
    "publish": 15,
    "opcua": 15,
    "shadow": 8,
    "hmi": 20,
}
"""Tenths of systemd's exposure level: at most 2.0 with devices or a network, far less without."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files to another user needs root")


def unit_name(service: str) -> str:
    return f"firstshift-{INSTANCE.get(service, service)}.service"


def unit_file(service: str) -> Path:
    return UNITS / f"firstshift-{service}{'@' if service in INSTANCE else ''}.service"


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out a computer on which the units are installed as the README says."""
    root = tmp_path_factory.mktemp("station")
    installed = root / "etc/systemd/system"
    shutil.copytree(UNITS, installed)
    shutil.copytree("/usr/lib/systemd/system", root / "usr/lib/systemd/system", symlinks=True)
    for program in ("opt/firstshift/bin/firstshift", "opt/firstshift/bin/python", "usr/bin/logger", "usr/bin/cage"):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", root / program)
    return root


def analyze(station: Path, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", verb, f"--root={station}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=station, timeout=60)


def complaints(station: Path) -> str:
    units = ("firstshift.target", "firstshift_failed@x.service", *(unit_name(service) for service in UNIT_NAMES))
    return analyze(station, "verify", "--man=no", *units).stderr


@needs_systemd
def test_units_are_valid(station: Path) -> None:
    """Systemd understands every line; it starts a unit with a misspelt one too, so a warning is an error here."""
    assert complaints(station) == ""


@needs_systemd
def test_a_misspelt_setting_is_seen(station: Path, tmp_path: Path) -> None:
    """The test above can fail: one wrong key in the shared file is reported."""
    broken = tmp_path / "broken"
    shutil.copytree(station, broken, symlinks=True)
    common = broken / "etc/systemd/system/firstshift-.service.d/common.conf"
    common.write_text(common.read_text().replace("ProtectHome=", "ProtectHouse="))

    assert "ProtectHouse" in complaints(broken)


@needs_systemd
@pytest.mark.parametrize("service", UNIT_NAMES)
def test_units_are_closed(station: Path, service: str) -> None:
    """A service that is broken into reaches nothing that its work does not need."""
    limit = EXPOSURE_LIMIT[service]
    done = analyze(station, "security", "--offline=yes", f"--threshold={limit}", "--no-pager", unit_name(service))

    assert done.returncode == 0, done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("service", SERVICES)
def test_unit_starts_its_service(service: str) -> None:
    """A unit runs the service it is named after, by the command that everybody else uses."""
    instance = "acquire@%i" if service == "acquire" else service
    command = f"/opt/firstshift/bin/firstshift run {instance} --config /etc/firstshift/station.toml"

    assert re.findall(r"^ExecStart=(.*)$", unit_file(service).read_text(), re.MULTILINE) == [command]


@pytest.mark.parametrize("service", SERVICES)
def test_demo_starts_the_same_command(service: str) -> None:
    """What the demo proves is what the station runs: the same words after the program's name."""
    unit = INSTANCE.get(service, service)
    command = re.findall(r"^ExecStart=(.*)$", unit_file(service).read_text(), re.MULTILINE)[0].replace("%i", "top")

    assert service_command(unit, Path("/etc/firstshift/station.toml"))[1:] == command.split()[1:]


def test_every_service_has_a_unit() -> None:
    """No service is forgotten, and no unit starts one that does not exist."""
    expected = {unit_file(service).name for service in UNIT_NAMES}

    assert expected == {path.name for path in UNITS.glob("firstshift-*.service")}


def test_target_wants_every_unit() -> None:
    """Starting the target starts every service; cameras are enabled one by one, since only the station knows them."""
    wanted = re.findall(r"firstshift-\S+\.service", (UNITS / "firstshift.target").read_text())

    assert sorted(wanted) == sorted(unit_name(service) for service in UNIT_NAMES if service not in INSTANCE)


def test_common_settings_are_not_repeated() -> None:
    """Systemd reads the shared file last, so a setting in both places would silently be the shared one."""
    lists = {"RestrictAddressFamilies", "SystemCallFilter"}
    common = settings(UNITS / "firstshift-.service.d/common.conf") - lists
    repeated = {service: settings(unit_file(service)) & common for service in UNIT_NAMES}

    assert repeated == {service: set() for service in UNIT_NAMES}


def settings(path: Path) -> set[str]:
    return set(re.findall(r"^(\w+)=", path.read_text(), re.MULTILINE))


def test_line_is_watched_closest() -> None:
    """A stuck `line` is restarted within 2 s; nothing else acts on parts."""
    watchdogs = {
        service: int(re.findall(r"^WatchdogSec=(\d+)$", unit_file(service).read_text(), re.MULTILINE)[0])
        for service in UNIT_NAMES
    }

    assert watchdogs["line"] == 2
    assert all(5 <= seconds <= 10 for service, seconds in watchdogs.items() if service not in {"line", "shadow"})


def test_the_touchscreen_is_a_kiosk() -> None:
    """The unit shows our program alone; its child may feed the watchdog, and no login prompt shares the screen."""
    unit = unit_file("hmi").read_text()
    command = "/usr/bin/cage -s -- /opt/firstshift/bin/firstshift hmi --config /etc/firstshift/station.toml"

    assert re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE) == [command]
    assert "NotifyAccess=all" in (UNITS / "firstshift-hmi.service.d/kiosk.conf").read_text()
    assert "Conflicts=getty@tty1.service" in unit


def test_a_shadow_takes_only_what_nobody_wants() -> None:
    """The shadow bundle gets idle time, the last of the disk, and is the first to die when memory runs out."""
    expected = {
        "CPUSchedulingPolicy": "idle",
        "CPUWeight": "idle",
        "IOSchedulingClass": "idle",
        "OOMScoreAdjust": "1000",
    }
    found = dict(re.findall(r"^(\w+)=(.*)$", unit_file("shadow").read_text(), re.MULTILINE))

    assert expected == {key: found.get(key) for key in expected}


@pytest.mark.parametrize(("shadow", "code"), [("", 1), ('shadow = "next"', 0), ('shadow = "next', 255)])
def test_a_shadow_starts_only_where_the_recipe_names_one(tmp_path: Path, shadow: str, code: int) -> None:
    """A unit that is not needed is skipped; one whose files cannot be read says so."""
    place = Layout(tmp_path, tmp_path / "run")
    write_config(place, Settings(10.0, 64, 64, PixelFormat.MONO8, "f32", None))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(re.sub("shadow = .*", shadow, recipe.read_text()))
    condition = re.findall(r"^ExecCondition=\S+ (.*)$", unit_file("shadow").read_text(), re.MULTILINE)[0].split()
    arguments = [str(place.config) if word.endswith("station.toml") else word for word in condition]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)

    assert (code, code == 255) == (done.returncode, bool(done.stderr))


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="systemd-sysusers is not installed")
@needs_root
def test_users_and_folders(tmp_path: Path) -> None:
    """The user and the folders appear as the units expect them, in an empty system."""
    tmp_path.joinpath("etc").mkdir()
    tmp_path.joinpath("etc/group").write_text("root:x:0:\ndialout:x:20:\n")
    tmp_path.joinpath("etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    for tool, file in (("systemd-sysusers", "sysusers.conf"), ("systemd-tmpfiles", "tmpfiles.conf")):
        verb = ["--create"] if tool == "systemd-tmpfiles" else []
        done = subprocess.run(
            [tool, f"--root={tmp_path}", *verb, str(UNITS / file)], capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stderr

    user = next(line for line in tmp_path.joinpath("etc/passwd").read_text().splitlines() if "firstshift" in line)
    bundles = tmp_path / "var/lib/firstshift/bundles"

    assert bundles.stat().st_uid == int(user.split(":")[2])
    assert bundles.stat().st_mode & 0o777 == 0o750
