"""Protect the plant's network: the model's runtime talks to nobody."""

import subprocess
import sys

PROGRAM = """
import sys, threading
import appliance.runtimes.openvino
print(threading.active_count(), sorted(name for name in sys.modules if name.startswith("openvino_telemetry.")))
"""


def test_openvino_reports_to_nobody() -> None:
    """Importing the runtime starts no thread and loads nothing that sends reports of use."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)

    assert "1 []" == done.stdout.strip()
