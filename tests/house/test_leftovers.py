"""Protect the guard of all tests: what a test leaves running is found."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import subprocess, threading
from pathlib import Path

gone = threading.Event()

def test_thread():
    threading.Thread(target=gone.wait, args=(20,), name="forgotten", daemon=True).start()

def test_process():
    global child
    child = subprocess.Popen(["sleep", "20"])
    while b"sleep" not in Path(f"/proc/{child.pid}/cmdline").read_bytes():
        pass  # Popen comes back as soon as the child has a new address space, before its arguments stand in it

def test_tidy():
    gone.set()
    child.kill()
    child.wait()
"""


def test_leftovers_fail(tmp_path: Path) -> None:
    """A thread and a process that outlive their test fail it by name; a test that tidies up passes."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_leaving.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vv", "--seed", "7", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert "seed: 7" in done.stdout
    assert "forgotten" in done.stdout
    assert "sleep 20" in done.stdout
    assert "3 passed, 2 errors" in done.stdout, done.stdout
