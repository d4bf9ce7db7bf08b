"""Keep what TensorRT says: its calls answer with False, None or -1, and only the log tells why.

The first logger of a process is registered with the library for good, and the library writes to it after its owner
dropped it: a process died of that (TensorRT-RTX 1.7.1). So there is one logger per library, and it is never dropped.
"""

import threading
from collections import deque
from types import ModuleType
from typing import Any

from appliance.schema.errors import RuntimeFault

LINES_KEPT = 200
LINES_SHOWN = 3
_LOCK = threading.Lock()
_KEPT: dict[str, Any] = {}


def process_logger(trt: ModuleType) -> Any:
    """Give the one logger of this process for a TensorRT module."""
    with _LOCK:
        if trt.__name__ not in _KEPT:
            _KEPT[trt.__name__] = _recorder(trt)
        return _KEPT[trt.__name__]


class Listener:
    """Turn what was logged since it was made, or since `listen`, into the reason of a fault."""

    def __init__(self, trt: ModuleType) -> None:
        self.logger = process_logger(trt)
        self.name = f"{trt.__name__} {trt.__version__}"
        self._from = 0
        self.listen()

    def listen(self) -> None:
        """Forget what was said so far."""
        self._from = self.logger.count

    def fault(self, what: str, remedy: str) -> RuntimeFault:
        """Give a fault of one line: what failed, what the library said about it, and what to do."""
        lines = list(self.logger.lines)
        new = lines[len(lines) - min(self.logger.count - self._from, len(lines)) :]
        errors = [text for is_error, text in new if is_error] or [text for _, text in new]
        said = " / ".join(errors[-LINES_SHOWN:]) or "nothing"
        return RuntimeFault(f"{self.name}: {what}; it said {' '.join(said.split())[:600]}; {remedy}")


def _recorder(trt: ModuleType) -> Any:
    errors = (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)

    class Recorder(trt.ILogger):  # type: ignore[misc, name-defined]
        """Record warnings and errors; called by the library from any of its threads."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: deque[tuple[bool, str]] = deque(maxlen=LINES_KEPT)
            self.count = 0

        def log(self, severity: Any, msg: str) -> None:
            if severity in errors or severity == trt.ILogger.WARNING:
                self.lines.append((severity in errors, msg))
                self.count += 1

    return Recorder()
