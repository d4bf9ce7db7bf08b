"""Protect the start: set up once, heal after an interruption, never disturb the command's own output."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASH_FREE = shutil.which("dash") or "/bin/sh"
TIMEOUT_S = 60

FAKE_PYTHON = """#!/bin/sh
# Play the interpreter: keep a diary, make an environment, install the command, build.
echo "$*" >> "$DIARY"
case "$*" in
*_base_executable*) echo "$0" ;;
*ensurepip*) ;;
-V) echo "Python 3.11.7" ;;
"-m venv "*) mkdir -p "$3/bin" && ln -s "$0" "$3/bin/python" ;;
*"pip install"*"-e "*)
    printf '#!/bin/sh\\nprintf "%%s\\\\n" "$@"\\nexit 7\\n' > "$ENVIRONMENT/bin/firstshift"
    chmod +x "$ENVIRONMENT/bin/firstshift" ;;
*"pip install"*) echo "Collecting things"
    if [ -e "$SLOW" ]; then touch "$SLOW.reached"; exec sleep 60; fi
    [ ! -e "$BROKEN" ] || { echo "ERROR: no such version" >&2; exit 1; } ;;
"-m appliance.build_all") mkdir -p build && touch build/part && echo "$PWD/build/part" ;;
esac
"""


class Station:
    """Hold a small copy of the tree and an interpreter that only plays."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "a tree"
        self.diary = folder / "diary"
        self.slow, self.broken = folder / "slow", folder / "broken"
        self.tree.mkdir()
        for name in ("firstshift", "requirements.txt", "requirements-train.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, self.tree)
        for name in ("appliance", "firmware_bridge", "kernels"):
            (self.tree / name).mkdir()
        (self.tree / "kernels/part.c").write_text("int part;\n")
        programs = folder / "bin"
        programs.mkdir()
        fake = programs / "python3.11"
        fake.write_text(FAKE_PYTHON)
        fake.chmod(0o755)
        for name in ("cc", "mosquitto", "mbpoll", "systemd-analyze"):
            (programs / name).symlink_to("/bin/true")
        self.environment = {
            "PATH": f"{programs}:/usr/bin:/bin", "DIARY": str(self.diary), "ENVIRONMENT": str(self.tree / ".venv"),
            "SLOW": str(self.slow), "BROKEN": str(self.broken),
        }  # fmt: skip

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        command = [BASH_FREE, str(self.tree / "firstshift"), *arguments]
        return subprocess.Popen(
            command, cwd="/", env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def start(self, *arguments: str) -> tuple[int, str, str]:
        with self.begin(*arguments) as process:
            out, err = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, out, err

    def done(self, what: str) -> int:
        """Count the interpreter's calls that hold `what`."""
        return self.diary.read_text().count(what) if self.diary.exists() else 0


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    return Station(tmp_path)


def test_first_start_sets_up_and_second_only_runs(station: Station) -> None:
    """The command gets its arguments, its stdout and its exit code unchanged; a second start calls no interpreter."""
    first = station.start("demo", "--json", "-", "a b")
    calls = len(station.diary.read_text().splitlines())
    second = station.start("demo", "--json", "-", "a b")

    assert first[:2] == (7, "demo\n--json\n-\na b\n")
    assert "Python packages are ready" in first[2]
    assert second == (7, "demo\n--json\n-\na b\n", "")
    assert len(station.diary.read_text().splitlines()) == calls


def test_changed_requirements_are_installed(station: Station) -> None:
    """A pulled change of a version reaches the environment at the next start, without making it anew."""
    station.start()
    with (station.tree / "requirements.txt").open("a") as file:
        file.write("new==1.0\n")
    station.start()

    assert (station.done("-m venv"), station.done("-r ")) == (1, 2)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (("train", "detection"), True), (("train", "semantic", "--data", "x"), True), (("bench", "all"), True),
        (("train", "anomaly"), False), (("demo",), False), (("run", "judge"), False), ((), False),
    ],
)  # fmt: skip
def test_training_packages_come_with_the_command_that_needs_them(
    station: Station, command: tuple[str, ...], wanted: bool
) -> None:
    """A line never installs what only training needs; training installs it once."""
    station.start(*command)
    code, _, err = station.start(*command)

    assert (code, err) == (7, "")
    assert station.done("-r ") - station.done("requirements-train.txt") == 1
    assert station.done("requirements-train.txt") == int(wanted)


def test_training_that_cannot_be_installed_is_told(station: Station) -> None:
    """The command runs and says itself what it cannot do; the installation is tried again the next time."""
    station.start()
    station.broken.touch()
    code, out, err = station.start("train", "detection")
    station.broken.unlink()
    station.start("train", "detection")

    assert (code, out) == (7, "train\ndetection\n")
    assert "training of convolutional heads is missing" in err
    assert station.done("requirements-train.txt") == 2


def test_changed_source_is_built(station: Station) -> None:
    """A changed C file is built at the next start, and so is a product that somebody deleted."""
    station.start()
    (station.tree / "kernels/part.c").write_text("int part = 1;\n")
    station.start()
    (station.tree / "build/part").unlink()
    station.start()
    station.start()

    assert station.done("appliance.build_all") == 3


def test_killed_set_up_heals(station: Station) -> None:
    """What an interrupted set-up left is thrown away, since half a package looks like a whole one."""
    station.slow.touch()
    with station.begin() as process:
        wait_for(station.slow.with_name("slow.reached"))
        os.killpg(process.pid, signal.SIGKILL)
    (station.tree / ".venv/rest").touch()
    station.slow.unlink()

    assert station.start()[0] == 7
    assert not (station.tree / ".venv/rest").exists()
    assert station.done("-m venv") == 2


def test_two_starts_at_once(station: Station) -> None:
    """The second start waits for the first one's set-up and then only runs."""
    station.slow.touch()
    with station.begin("one") as one:
        wait_for(station.slow.with_name("slow.reached"))
        with station.begin("two") as two:
            told = (two.stderr or pytest.fail("no stderr")).readline()
            station.slow.unlink()
            os.killpg(one.pid, signal.SIGKILL)
            out, _ = two.communicate(timeout=TIMEOUT_S)

    assert told == "firstshift: another start is setting up; waiting for it\n"
    assert (two.returncode, out) == (7, "two\n")


def test_failed_installation_is_told(station: Station) -> None:
    """A failed installation ends with what pip said and where the log is; it is tried again the next time."""
    station.broken.touch()
    code, out, err = station.start()
    station.broken.unlink()

    assert (code, out) == (2, "")
    assert "ERROR: no such version" in err
    assert "build/setup.log" in err.splitlines()[-1]
    assert station.start()[0] == 7


def test_moved_tree_is_set_up_again(station: Station) -> None:
    """An environment knows its own place, so a moved tree gets a new one."""
    station.start()
    moved = station.tree.with_name("moved")
    station.tree.rename(moved)
    station.tree = moved
    station.environment["ENVIRONMENT"] = str(moved / ".venv")

    assert station.start()[0] == 7
    assert station.done("-m venv") == 2


def test_old_python_is_named(station: Station) -> None:
    """Without a Python that is new enough one line says what is needed."""
    for name in ("python3.11", "python3", "python3.12", "python3.13", "python3.14", "apt-get"):
        program = Path(station.environment["PATH"].partition(":")[0]) / name
        program.write_text('#!/bin/sh\n[ "$1" != -V ] || echo Python 3.9.2\nexit 1\n')
        program.chmod(0o755)
    code, _, err = station.start()

    assert code == 2
    assert "found Python 3.9.2, 3.11 or newer is needed" in err.splitlines()[-1]


def test_script_is_plain_shell() -> None:
    """The script runs in the smallest shell that Debian has."""
    done = subprocess.run([BASH_FREE, "-n", str(ROOT / "firstshift")], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def wait_for(path: Path) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert time.monotonic() < until, f"{path} never appeared"
        time.sleep(0.01)
