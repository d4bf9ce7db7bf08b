"""The touchscreen beside a demo is a process of its own that draws what it is asked for and ends when it is told."""

import json
import subprocess
import sys

import cv2

from appliance.sim.hmi_station import sample_station


def test_the_touchscreen_of_a_demo_writes_its_picture_and_ends(tmp_path):
    """Over a station on which nobody speaks it starts all the same, draws, and ends with 0."""
    path = tmp_path / "screen.png"
    with sample_station() as sample:
        command = [sys.executable, "-m", "appliance.sim.demo_screen", "--offscreen", "--config"]
        command.append(str(sample.loaded.path))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as screen:
            drawn = json.loads(screen.stdout.readline())
            screen.stdin.write(f"picture {path}\n")
            screen.stdin.flush()
            told = json.loads(screen.stdout.readline())
            screen.terminate()
            code = screen.wait(30)
    picture = cv2.imread(str(path))

    assert "drawn" == drawn["event"]
    assert {"event": "picture", "path": str(path), "written": True} == told
    assert (0, (800, 1280, 3)) == (code, picture.shape)
    assert picture.std() > 10
