"""Show the touchscreen of a simulated station until it is told to end; a process of its own, as in service.

    picture PATH    writes what the screen shows, as PNG
    end             closes the window

One command a line on standard input; one JSON line on standard output for each thing that happened.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from PySide6.QtCore import QTimer

from appliance import config
from hmi import app, settings
from hmi.desk import open_desk
from hmi.theme import INCH_MM, Theme

SIZE = (1280, 800)
PX_PER_MM = math.hypot(*SIZE) / (12.1 * INCH_MM)
"""The window stands for a panel of 12.1 inch, whatever screen it is on."""

ASK_MS = 100
"""Time between two looks at standard input."""


class Remote:
    """Do what standard input says to a panel."""

    def __init__(self, panel: app.Panel, begin: float) -> None:
        self._panel, self._begin = panel, begin
        self._text = b""
        self._drawn = False
        os.set_blocking(sys.stdin.fileno(), False)
        panel.window.frameSwapped.connect(self._swapped)
        self._timer = QTimer()
        self._timer.timeout.connect(self._look)
        self._timer.start(ASK_MS)

    def _swapped(self) -> None:
        if not self._drawn:
            self._drawn = True
            _tell(event="drawn", seconds=round(time.monotonic() - self._begin, 3))

    def _look(self) -> None:
        for line in self._lines():
            verb, _, rest = line.partition(" ")
            if verb == "picture":
                _tell(event="picture", path=rest, written=self._panel.window.grabWindow().save(rest))
            elif verb == "end":
                self._panel.window.close()

    def _lines(self) -> Iterator[str]:
        self._text += _said()
        *lines, self._text = self._text.split(b"\n")
        yield from (line.decode() for line in lines)


def main(arguments: list[str] | None = None) -> int:
    """Show it; gives the exit code."""
    begin = time.monotonic()
    parser = argparse.ArgumentParser(prog="demo_screen", description="Show the touchscreen of a simulated station.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--offscreen", action="store_true", help="draw by the processor, into memory")
    options = parser.parse_args(arguments)
    if options.offscreen:
        os.environ |= {"QT_QPA_PLATFORM": "offscreen", "QT_QUICK_BACKEND": "software"}
    app.application()
    loaded = config.load(options.config)
    with closing(open_desk(loaded, app.words_of("en"))) as desk:
        panel = app.Panel(desk, Theme(PX_PER_MM), settings.read(loaded.state), "run")
        remote = Remote(panel, begin)
        try:
            return app.run(panel, full=False, size=SIZE)
        finally:
            del remote
            panel.close()


def _said() -> bytes:
    """Take what standard input holds; never blocks."""
    try:
        return os.read(sys.stdin.fileno(), 4096)
    except BlockingIOError:
        return b""


def _tell(**event: object) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
