"""Protect what stands round every screen: rail, header, banners, who is signed in, start and end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance.schema.errors import ConfigError
from appliance.schema.policy import Mode
from appliance.sim.hmi_station import Sample, sample_desk, sample_station
from hmi import app
from hmi import settings as screen_settings
from hmi.header import absence
from hmi.settings import Settings
from hmi.watchdog import Lifeline
from tests.hmi.hmi_rig import Rig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


@pytest.fixture
def sample() -> Iterator[Sample]:
    app.application()
    with sample_station() as station:
        yield station


@pytest.fixture
def desk(sample: Sample) -> Iterator[Any]:
    with closing(sample_desk(sample, app.words_of("en"))) as desk:
        yield desk


def test_the_rail_leads_everywhere(rig: Rig, sample: Sample, desk: Any) -> None:
    """Each key of the rail opens its screen for who may see it, and only one shows at a time."""
    sample.sign_in(desk, "lead")
    stage = rig.open("run", desk)
    opened = []
    for entry in stage.shell.property("rail"):
        if entry["enabled"]:
            stage.touch(str(entry["title"]))
            opened.append((entry["name"], stage.shell.property("current")))

    assert opened
    assert all(name == current for name, current in opened)


def test_nobody_sees_more_than_the_run_screen(rig: Rig, sample: Sample, desk: Any) -> None:
    """Without a person signed in a touch on the rail leads to sign-in, and after the PIN to what was asked for."""
    stage = rig.open("run", desk)
    stage.touch("Review")
    asked = stage.shell.property("current")
    sample.sign_in(desk, "operator")
    stage.tick()

    assert "sign_in" == asked
    assert "review" == stage.shell.property("current")


def test_an_idle_session_locks(rig: Rig, sample: Sample, desk: Any) -> None:
    """A screen that nobody touches for minutes shows nobody's work; a touch keeps it open."""
    sample.sign_in(desk, "operator")
    stage = rig.open("review", desk)
    sample.advance(200)
    stage.touch(stage.window.contentItem())
    sample.advance(200)
    stage.tick()
    kept = stage.shell.property("current")
    sample.advance(301)
    stage.tick()

    assert "review" == kept
    assert "sign_in" == stage.shell.property("current")


def test_the_screen_speaks_the_language_of_who_signs_in(rig: Rig, sample: Sample, desk: Any) -> None:
    """The person's language comes with the person and goes with the person."""
    stage = rig.open("run", desk)
    person = sample.sign_in(desk, "lead")
    stage.tick()
    language = next(one.language for one in desk.session.people() if one.person == person)
    spoken = stage.panel.words.property("language")
    desk.session.sign_out()
    stage.tick()

    assert language == spoken
    assert "en" == stage.panel.words.property("language")


def test_a_scanner_reaches_what_is_open(rig: Rig, sample: Sample, desk: Any) -> None:
    """A line from the scanner goes to the screen that takes it; nothing of it is lost or doubled."""
    sample.sign_in(desk, "operator")
    stage = rig.open("review", desk)
    heard: list[str] = []
    stage.view.scanned = heard.append  # type: ignore[attr-defined]
    stage.type("FS60-000123")

    assert ["FS60-000123"] == heard


def test_a_badge_leads_to_sign_in(rig: Rig, sample: Sample, desk: Any) -> None:
    """Whoever holds a badge to the reader is asked for the PIN from any screen; that is the fast change of person."""
    person = sample.sign_in(desk, "operator")
    stage = rig.open("review", desk)
    stage.type(f"BADGE-{next(one.person for one in desk.session.people() if one.person != person)}")

    assert "sign_in" == stage.shell.property("current")


@pytest.mark.parametrize(
    ("units", "parallel", "meaning"),
    [
        (("judge",), False, "every part is rejected"),
        (("publish", "record"), False, "kept here"),
        (("publish",), False, "goes on without it"),
        (("judge",), True, "line runs on"),
        (("judge", "record"), True, "every part is rejected"),
    ],
)
def test_absence_says_what_it_means(units: tuple[str, ...], parallel: bool, meaning: str) -> None:
    """The worst that silent services mean in this mode is said, with all their names."""
    said = absence(units, app.words_of("en"), parallel=parallel)

    assert all(unit in said for unit in units)
    assert meaning in said


@pytest.mark.parametrize(("unit", "meaning"), [("judge", "every part is rejected"), ("record", "kept here")])
def test_a_silent_service_is_named(rig: Rig, sample: Sample, desk: Any, unit: str, meaning: str) -> None:
    """Within three seconds the screen says who is silent and what that means; it says no more once it is back."""
    stage = rig.open("run", desk)
    sample.silent.add(unit)
    sample.advance(4)
    stage.tick()
    said = next(text for text in stage.texts() if unit in text and "No answer" in text)
    sample.silent.clear()
    sample.advance(1)
    stage.tick()

    assert meaning in said
    assert not any("No answer" in text for text in stage.texts())


def test_a_silent_line_is_stale(rig: Rig, sample: Sample, desk: Any) -> None:
    """Counts that `line` no longer backs are marked with their age."""
    stage = rig.open("run", desk)
    sample.silent.add("line")
    sample.advance(8)
    stage.tick()

    assert any(text.startswith("line silent") for text in stage.texts())


def test_parallel_mode_is_on_every_screen() -> None:
    """That people decide stands over every screen while it is so."""
    app.application()
    with (
        sample_station(Mode.PARALLEL) as station,
        closing(sample_desk(station, app.words_of("en"))) as desk,
        Rig() as rig,
    ):
        stage = rig.open("run", desk)
        found = [text for text in stage.texts() if text.startswith("PARALLEL MODE")]

    assert 1 == len(found)


def test_looks_are_kept(rig: Rig, desk: Any) -> None:
    """Theme and language survive a restart; half a file is as none."""
    stage = rig.open("run", desk)
    stage.shell.darken(True)
    stage.shell.speak("es")
    kept = screen_settings.read(desk.loaded.state)
    (desk.loaded.state / screen_settings.FILE).write_bytes(b'{"dark": tr')

    assert Settings(dark=True, language="es") == kept
    assert "Revisión" in stage.texts()
    assert Settings() == screen_settings.read(desk.loaded.state)


def test_a_second_qt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV with a Qt of its own is named at the start, not found as a crash."""
    import cv2

    monkeypatch.setattr(cv2, "qt", object(), raising=False)
    with pytest.raises(ConfigError, match="headless"):
        app.application()


def test_missing_fonts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen of boxes in place of letters never starts."""
    monkeypatch.setattr(app, "FAMILIES", ("Firstshift Serif",))
    with pytest.raises(ConfigError, match="Firstshift Serif missing"):
        app.application()


def test_the_watchdog_is_fed_by_the_screen(tmp_path: Path) -> None:
    """Ready at the first tick, alive once a second of ticks, nothing in between: a hang is silence."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(1)
        lifeline = Lifeline(str(tmp_path / "notify"))
        for _ in range(20):
            lifeline.tick()
        lifeline.close()
        heard = [manager.recv(100).decode() for _ in range(4)]

    assert ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"] == heard


def test_constants_outlive_qt() -> None:
    """A day of calls must not end the process: PySide6 6.12.0 gives back a None that it never got, and is not used."""
    script = (
        "from PySide6.QtCore import QObject\n"
        "thing = QObject()\n"
        "for _ in range(50_000): thing.setObjectName('x'); thing.blockSignals(False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)


def test_it_starts_and_ends_as_a_service(sample: Sample, tmp_path: Path) -> None:
    """The command says that it is ready once it draws, and ends by SIGTERM with 0, as the service manager asks."""
    heard, code, said = run_as_service(sample, tmp_path, QT_QPA_PLATFORM="offscreen")

    assert [b"READY=1", b"WATCHDOG=1"] == heard
    assert (0, "") == (code, said)


def run_as_service(sample: Sample, tmp_path: Path, **variables: str) -> tuple[list[bytes], int, str]:
    """Start the command until it is ready, then end it; gives what the service manager heard, exit code, stderr."""
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), **variables}
    command = [sys.executable, "-m", "appliance.cli", "hmi", "--config", str(sample.loaded.path), "--diagonal", "15.6"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        running = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        heard = [manager.recv(100), manager.recv(100)]
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)
    return heard, running.returncode, said


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("Xvfb"), reason="Xvfb is not installed")
@pytest.mark.parametrize("backend", ["software", "rhi"])
def test_it_runs_on_x11(sample: Sample, tmp_path: Path, backend: str) -> None:
    """A display by X11 shows the touchscreen too, drawn by the processor and by OpenGL."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        display = f":{answer.readline().strip()}"
    try:
        heard, code, said = run_as_service(
            sample, tmp_path, QT_QPA_PLATFORM="xcb", DISPLAY=display, QT_QUICK_BACKEND=backend
        )
    finally:
        server.terminate()
        server.wait(timeout=10)

    assert [b"READY=1", b"WATCHDOG=1"] == heard
    assert (0, "") == (code, said)


def test_a_broken_screen_ends(rig: Rig, desk: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """A fault in our code is no frozen picture: the process ends with 1, and the service manager starts a fresh one."""
    stage = rig.open("run", desk)

    def broken() -> None:
        raise ZeroDivisionError("planted")

    stage.panel.tick = broken  # type: ignore[method-assign]
    code = app.run(stage.panel, full=False)

    assert 1 == code
    assert "planted" in capfd.readouterr().err


def test_sizes_come_from_the_panel() -> None:
    """A panel that lies about its size is corrected by its diagonal; nonsense is refused with the remedy."""
    from hmi.theme import px_per_mm

    application = app.application()
    screen = application.primaryScreen()

    assert 5.56 == round(px_per_mm(screen, 15.6), 2)
    with pytest.raises(ConfigError, match="--diagonal INCH"):
        px_per_mm(screen, 800.0)
