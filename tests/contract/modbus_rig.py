"""A station that serves a PLC over Modbus TCP, and our PLC as a process, for the tests of both."""

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.modbus import ControlWritten, ModbusServer, StatusBlock
from appliance.outputs.plc.result_queue import Detail
from appliance.schema.actuation import Actuation, Cause, Lane, PlcAcknowledged
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks, S
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition

HERE = "127.0.0.1"
AT_ONCE = HostNs(0)
CLOCKS = (HostNs(0), McuTicks(0), EncoderCounts(0))


def now() -> HostNs:
    return HostNs(time.monotonic_ns())


class Station:
    """Turn a handshake and a server as `line` does, in a thread; feeds parts, every third a reject, at a rate."""

    def __init__(
        self,
        parts_hz: float = 0.0,
        parts: int = 0,
        posted: Sequence[Actuation] = (),
        session: int = 1234,
        stale_ms: int = 500,
    ) -> None:
        self.server = ModbusServer(HERE, 0)
        self.handshake = Handshake(session, now(), stale_ms=stale_ms)
        for fact in posted:
            self.handshake.post(fact, Detail(), now())
        self.acknowledged: list[PlcAcknowledged] = []
        self.good: set[str] = set()
        self._parts_hz, self._parts, self._fed = parts_hz, parts, 0
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="station")
        self._thread.start()

    def close(self) -> None:
        self._halt.set()
        self._thread.join()
        self.server.close()

    def _run(self) -> None:
        self.handshake.machine(now(), ready=True)
        due = None
        while not self._halt.is_set():
            wait = max(0, self.handshake.wake_at - now())
            if due is not None:
                wait = min(wait, max(0, due - now()))
            select.select([self.server.fileno()], [], [], wait / S)
            for message in self.server.read(now()):
                if isinstance(message, ControlWritten):
                    self.handshake.control(message.words, now())
            self.handshake.tick(now())
            if due is None and self._parts and self.handshake.ready:
                due = now()
            if due is not None and now() >= due and self._fed < self._parts:
                due = HostNs(due + int(S / self._parts_hz))
                self._feed()
            self.acknowledged += self.handshake.acknowledged()
            self.server.write(StatusBlock(self.handshake.status()), now())

    def _feed(self) -> None:
        self._fed += 1
        part = PartId(9, self._fed)
        good = self._fed % 3 > 0
        lane, cause, disposition = (
            (Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT)
            if good
            else (Lane.REJECT, Cause.DECIDED_REJECT, Disposition.REJECT)
        )
        fact = Actuation(part, lane, cause, disposition, 1, *CLOCKS)
        self.good |= {str(part)} if good else set()
        self.handshake.part_entered(part, now())
        self.handshake.post(fact, Detail(0.3, 1, 30.0), now())


class PlcProcess:
    """Start `python -m appliance.sim.plc` and read what it wrote."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.process: subprocess.Popen[str] | None = None

    def start(self, port: int, *options: str) -> None:
        command = [
            sys.executable,
            "-m",
            "appliance.sim.plc",
            "--host",
            HERE,
            "--port",
            str(port),
            "--out",
            str(self.out),
        ]
        self.process = subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line: str) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process is not None
        self.process.terminate()

    def totals(self) -> dict[str, int]:
        assert self.process is not None
        totals: dict[str, int] = json.loads(self.process.communicate(timeout=20)[0])
        return totals

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.read_text("utf-8").splitlines()] if self.out.exists() else []

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=10)


def eventually(holds: object, seconds: float = 10.0) -> bool:
    """Wait for something another thread or process brings about."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():  # type: ignore[operator]
            return True
        threading.Event().wait(0.005)
    return False
