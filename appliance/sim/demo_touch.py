"""Run the touchscreen beside a demo: in a window where there is a display, else only for its picture."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from appliance.config import environment
from appliance.sim.collector import Collector
from appliance.sim.processes import Child, Children
from appliance.sim.station import Layout

NAME = "hmi"

SHARE = 0.9
"""Parts judged when the picture is taken: the belt still runs, and there is something to see."""


class Touch:
    """Own the touchscreen's process; without one every method does nothing."""

    def __init__(self, children: Children, layout: Layout, say: Callable[[str], None]) -> None:
        self._children, self._layout, self._say = children, layout, say
        self._child: Child | None = None
        self._picture: Path | None = None
        self._text = b""
        self._told = False

    def start(self, picture: Path | None) -> None:
        """Start it; `picture`: where the screen is to be kept as PNG."""
        command = ["nice", "-n", "5", sys.executable, "-m", "appliance.sim.demo_screen"]
        command += ["--config", str(self._layout.config)]
        command += [] if has_display() else ["--offscreen"]
        self._picture = picture
        self._child = self._children.start(NAME, command, self._layout.log(NAME), service=False)
        if self._child.process.stdout is not None:
            os.set_blocking(self._child.process.stdout.fileno(), False)

    def watch(self, collector: Collector, parts: int) -> None:
        """Ask for the picture when its time has come, and tell what came of it."""
        child = self._child
        if child is None or child.process.stdout is None:
            return
        judged = sum(item.verdict is not None or item.sealed is not None for item in collector.parts.values())
        if self._picture is not None and judged >= SHARE * parts and child.running and child.process.stdin is not None:
            child.process.stdin.write(f"picture {self._picture.absolute()}\n".encode())
            child.process.stdin.flush()
            self._picture = None
        self._text += child.process.stdout.read() or b""
        *lines, self._text = self._text.split(b"\n")
        for event in map(json.loads, lines):
            if event["event"] == "picture":
                self._say(
                    f"touchscreen: {event['path']}" if event["written"] else f"{event['path']}: cannot be written"
                )
        if not child.running and not self._told:
            self._told = True
            self._say(f"touchscreen: is closed; its log is {self._layout.log(NAME)}")


def has_display() -> bool:
    """Tell whether a window can be shown here."""
    return bool(environment("DISPLAY") or environment("WAYLAND_DISPLAY"))
