"""The check that the maintenance screen runs is a process beside it: it cannot stop the screen, nor be left behind."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.sim.hmi_station import sample_desk, sample_station
from hmi import app
from hmi.desk import FOLDER
from hmi.screens.maintenance.check_run import ASK, FILE, LONGEST, OUT, CheckRun, Found, check_command, last_found
from tests.hmi.hmi_rig import Rig
from tests.hmi.maintenance_rig import Bench

UNITS = Path(__file__).resolve().parents[2] / "systemd"
PLAIN = b'{"ok":true,"components":[{"name":"a","condition":"ok"},{"name":"b","condition":"failed","cause":"c"}]}'


@pytest.fixture
def bench() -> Iterator[Bench]:
    app.application()
    with sample_station() as sample:
        desk = sample_desk(sample, app.words_of("en"))
        try:
            with Rig() as rig:
                yield Bench(rig, sample, desk)
        finally:
            desk.close()


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def ended(run: CheckRun) -> None:
    """Wait for the process, not for the clock."""
    assert run._process is not None
    run._process.wait(30)


def test_the_check_runs_beside_the_screen(bench: Bench) -> None:
    """A check is a process: the screen goes on, says that it runs, and then shows the worst first, with its age."""
    stage = bench.open("check")
    run = CheckRun(bench.desk.loaded.state / "hmi", python(f"import sys; sys.stdin.read(); print({PLAIN.decode()!r})"))
    stage.view._check = run
    bench.touch("Check again")
    assert not stage.find("Check again").isEnabled()
    ended(run)
    bench.settle()
    shown = [(row["name"], row["state"]) for row in stage.view.property("components")]

    assert [("b", "failed"), ("a", "ok")] == shown
    assert "1 of 2 need attention, 0 s ago" in stage.texts()
    assert last_found(bench.desk.loaded.state / "hmi") == stage.view._found


@pytest.mark.parametrize(
    ("code", "why"),
    [("import sys; sys.exit('station.toml: no camera')", "station.toml: no camera"), ("pass", "exit code 0")],
)
def test_a_check_that_fails_says_why(bench: Bench, code: str, why: str) -> None:
    """No result is no good result: the last line of the error is shown, and what was found before stays."""
    stage = bench.open("check")
    before = (bench.desk.loaded.state / "hmi" / FILE).read_bytes()
    stage.view._check = CheckRun(bench.desk.loaded.state / "hmi", python(code))
    bench.touch("Check again")
    ended(stage.view._check)
    bench.settle()

    assert f"check failed: {why}" in stage.texts()
    assert before == (bench.desk.loaded.state / "hmi" / FILE).read_bytes()


def test_a_check_that_hangs_is_ended(bench: Bench) -> None:
    """After a minute it is killed, and a check can be begun again."""
    stage = bench.open("check")
    run = CheckRun(bench.desk.loaded.state / "hmi", python("import time; time.sleep(600)"))
    stage.view._check = run
    bench.touch("Check again")
    process = run._process
    bench.sample.advance(LONGEST / S)
    bench.settle()

    assert process is not None
    assert (-9, False) == (process.returncode, run.running)
    assert any("no answer in 60 s" in text for text in stage.texts())


def test_leaving_ends_a_check(bench: Bench) -> None:
    """No process is left behind by a screen that nobody looks at."""
    stage = bench.open("check")
    run = CheckRun(bench.desk.loaded.state / "hmi", python("import time; time.sleep(600)"))
    stage.view._check = run
    bench.touch("Check again", "Run")

    assert not run.running


@pytest.mark.slow
def test_the_command_is_the_real_check(bench: Bench) -> None:
    """What the key runs is `firstshift check` of this station."""
    run = CheckRun(bench.desk.loaded.state / "hmi", check_command(bench.desk.loaded.path))
    assert run.begin(bench.desk.now(), bench.desk.utc()) is None
    ended(run)
    found = run.poll(bench.desk.now(), bench.desk.utc())

    assert found is not None
    assert "" == found.fault
    assert {"configuration", "bundle", "sqlite"} <= {item.name for item in found.components}


def test_a_check_of_another_version_is_no_result(bench: Bench) -> None:
    """Half a file, or none, is as if no check was ever run."""
    folder = bench.desk.loaded.state / "hmi"
    (folder / FILE).write_bytes(b'{"at": 1')
    broken = last_found(folder)
    (folder / FILE).write_bytes(msgspec.json.encode(Found(bench.desk.utc(), 1.0)))

    assert broken is None
    assert last_found(folder) == Found(bench.desk.utc(), 1.0)


def test_under_systemd_another_unit_checks(tmp_path: Path) -> None:
    """The touchscreen's unit sees neither network nor serial line: it asks by a file, and waits for the answer."""
    run = CheckRun(tmp_path, python("raise SystemExit('must not run')"), by_unit=True)
    (tmp_path / OUT).write_bytes(b"an old answer")
    assert run.begin(HostNs(0), UtcNs(5)) is None
    waits = run.poll(HostNs(S), UtcNs(6))
    (tmp_path / OUT).write_bytes(PLAIN)
    found = run.poll(HostNs(2 * S), UtcNs(7))

    assert (None, "5\n", False) == (waits, (tmp_path / ASK).read_text(), run.running)
    assert found is not None
    assert ("", ["a", "b"]) == (found.fault, [item.name for item in found.components])


def test_a_unit_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """Where nobody enabled the unit, or the station file is broken, the screen says where to look."""
    run = CheckRun(tmp_path, (), by_unit=True)
    run.begin(HostNs(0), UtcNs(0))
    found = run.poll(HostNs(LONGEST), UtcNs(0))

    assert found is not None
    assert "journalctl -u firstshift_check" in found.fault


def test_the_unit_writes_what_the_touchscreen_reads() -> None:
    """Unit, path and screen name the same files; findings are an answer, not a failed unit."""
    folder = f"/var/lib/firstshift/{FOLDER}"
    service, path = ((UNITS / f"firstshift_check.{kind}").read_text() for kind in ("service", "path"))
    command = f"/opt/firstshift/bin/firstshift check --config /etc/firstshift/station.toml --json {folder}/{OUT}"

    assert [command] == re.findall(r"^ExecStart=(.*)$", service, re.MULTILINE)
    assert [f"{folder}/{ASK}"] == re.findall(r"^PathChanged=(.*)$", path, re.MULTILINE)
    assert "SuccessExitStatus=1" in service


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_units_are_valid_and_closed(tmp_path: Path) -> None:
    """Systemd understands every line, and the check reaches little more than `line` does."""
    installed = tmp_path / "etc/systemd/system"
    shutil.copytree(UNITS, installed)
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    (tmp_path / "opt/firstshift/bin").mkdir(parents=True)
    shutil.copy("/bin/true", tmp_path / "opt/firstshift/bin/firstshift")
    analyze = ["systemd-analyze", f"--root={tmp_path}", "--man=no", "verify"]
    said = subprocess.run(
        [*analyze, "firstshift_check.path", "firstshift_check.service"], capture_output=True, text=True, check=False
    )
    closed = subprocess.run(
        [
            "systemd-analyze",
            f"--root={tmp_path}",
            "security",
            "--offline=yes",
            "--threshold=25",
            "firstshift_check.service",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "" == said.stderr
    assert 0 == closed.returncode, closed.stdout.strip().splitlines()[-1]
