"""Play the PLC as a real Modbus TCP client in its own process.

`python -m appliance.sim.plc --host H --port P --out FILE.jsonl [--ack-delay-ms D] [--poll-ms C] [--feed-ms F]`
reads the status block, runs `PlcProgram` on it, writes the control block when it changed, and appends one JSON line per
result. SIGTERM and SIGINT end it with one JSON line of totals on stdout. Lines on stdin set faults while it runs:

    ack on | off | wrong | glitch     what is done with results
    heartbeat stop SECONDS            silence
    enable on | off
    restart                           lose all memory
    reset | clear | trigger           one pulse of ErrorReset, ClearQueue, Trigger
    job NUMBER                        one pulse of JobChange
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import msgspec
from msgspec import Struct
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from appliance.outputs.plc.registers import (
    CONTROL_ADDRESS,
    STATUS_ADDRESS,
    STATUS_COUNT,
    UNIT_HINT,
    ControlBit,
)
from appliance.schema.clocks import MS, HostNs, S
from appliance.sim.plc_program import Ack, PlcProgram

PULSE_NS = 60 * MS
"""How long a command bit is held: longer than a cycle, so that the appliance sees it."""

RECONNECT_S = 0.2
_PULSES = {"reset": ControlBit.ERROR_RESET, "clear": ControlBit.CLEAR_QUEUE, "trigger": ControlBit.TRIGGER}


class Totals(Struct):
    """Sum a run up; the line printed at the end."""

    results: int = 0
    good: int = 0
    not_good: int = 0
    late: int = 0
    gaps: int = 0
    unexpected: int = 0
    """Results whose part was not one to expect; judged not good."""
    stale: int = 0
    """Results read while the appliance's heartbeat was stale; judged not good."""
    sessions: int = 0
    connects: int = 0
    reads: int = 0
    refused: int = 0
    """Requests answered with a Modbus exception."""


class Plc:
    """Run the program's cycle over one connection, and connect again for ever."""

    def __init__(
        self,
        host: str,
        port: int,
        out: TextIO,
        *,
        ack_delay_ms: float,
        reset_after_ms: float,
        poll_ms: float,
        stop_after: int,
        feed_ms: float = 0.0,
    ) -> None:
        self.totals = Totals()
        self.program = PlcProgram(ack_delay_ms, reset_after_ms)
        self.program.feed_ns = int(feed_ms * MS) if feed_ms else None
        self._client: Any = AsyncModbusTcpClient(host, port=port, timeout=1.0, retries=0, reconnect_delay=0)
        self._out = out
        self._poll_s = poll_ms / 1000
        self._stop_after = stop_after
        self._written: tuple[int, ...] | None = None
        self._pulse_until = HostNs(0)

    async def run(self, stop: asyncio.Event) -> None:
        """Cycle until `stop` is set or enough results were seen."""
        while not stop.is_set():
            try:
                if not self._client.connected:
                    await self._connect()
                await self._cycle()
            except (ModbusException, OSError):
                self._client.close()
                await asyncio.sleep(RECONNECT_S)
                continue
            if self._stop_after and self.totals.results >= self._stop_after and not self._owes_answer():
                break
            await asyncio.sleep(self._poll_s)
        self._client.close()
        program = self.program
        self.totals.gaps, self.totals.sessions = program.gaps, program.sessions
        self.totals.unexpected, self.totals.stale = program.repeats, program.stale

    def obey(self, line: str, now: HostNs) -> None:
        """Set a fault; ValueError when the line is none of the known ones."""
        match line.split():
            case ["ack", kind]:
                self.program.ack = Ack(kind)
            case ["heartbeat", "stop", seconds]:
                self.program.silence(HostNs(now + int(float(seconds) * S)))
            case ["enable", ("on" | "off") as way]:
                self.program.enable = way == "on"
            case ["restart"]:
                self.program.restart()
            case ["job", number]:
                self.program.recipe_number = int(number)
                self._pulse(ControlBit.JOB_CHANGE, now)
            case [word] if word in _PULSES:
                self._pulse(_PULSES[word], now)
            case _:
                raise ValueError(f"plc: line {line.strip()!r} is no command; see --help for all")

    async def _connect(self) -> None:
        if not await self._client.connect():
            raise ConnectionRefusedError
        self.totals.connects += 1
        self._written = None

    async def _cycle(self) -> None:
        answer = await self._client.read_holding_registers(STATUS_ADDRESS, count=STATUS_COUNT, device_id=UNIT_HINT)
        self.totals.reads += 1
        if answer.isError():
            self.totals.refused += 1
            return
        now = HostNs(time.monotonic_ns())
        if now >= self._pulse_until:
            self.program.pulse = ControlBit(0)
        words = self.program.scan(answer.registers, now)
        self._keep()
        if words is not None and words != self._written:
            done = await self._client.write_registers(CONTROL_ADDRESS, list(words), device_id=UNIT_HINT)
            self.totals.refused += done.isError()
            self._written = None if done.isError() else words

    def _keep(self) -> None:
        for judged in self.program.judged():
            self.totals.results += 1
            self.totals.good += judged.good
            self.totals.not_good += not judged.good
            self.totals.late += judged.late
            self._out.write(msgspec.json.encode(judged).decode() + "\n")
            self._out.flush()

    def _owes_answer(self) -> bool:
        return self.program.ack is Ack.PROPER and self.program.busy

    def _pulse(self, bit: ControlBit, now: HostNs) -> None:
        self.program.pulse = bit
        self._pulse_until = HostNs(now + PULSE_NS)


async def _run(options: argparse.Namespace) -> Totals:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with options.out.open("a", encoding="utf-8") as out:
        plc = Plc(
            options.host,
            options.port,
            out,
            ack_delay_ms=options.ack_delay_ms,
            reset_after_ms=options.reset_after_ms,
            poll_ms=options.poll_ms,
            stop_after=options.stop_after,
            feed_ms=options.feed_ms,
        )
        with contextlib.suppress(PermissionError):  # a file or /dev/null cannot be waited for and brings no faults
            loop.add_reader(sys.stdin.fileno(), _command, plc, loop)
        await plc.run(stop)
        loop.remove_reader(sys.stdin.fileno())
    return plc.totals


def _command(plc: Plc, loop: asyncio.AbstractEventLoop) -> None:
    text = os.read(sys.stdin.fileno(), 4096).decode()
    if not text:
        loop.remove_reader(sys.stdin.fileno())
    for line in text.splitlines():
        try:
            plc.obey(line, HostNs(time.monotonic_ns()))
        except ValueError as error:
            sys.stderr.write(f"{error}\n")


def main() -> None:
    """Play a PLC until told to stop."""
    parser = argparse.ArgumentParser(
        prog="plc", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="address of the appliance")
    parser.add_argument("--port", type=int, default=502, help="TCP port of the appliance")
    parser.add_argument("--out", type=Path, required=True, help="file that gets one JSON line per result")
    parser.add_argument("--ack-delay-ms", type=float, default=0.0, help="wait before ResultAck, ms")
    parser.add_argument("--reset-after-ms", type=float, default=0.0, help="ErrorReset after this long, ms; 0 = never")
    parser.add_argument("--poll-ms", type=float, default=10.0, help="cycle time, ms")
    parser.add_argument(
        "--feed-ms", type=float, default=0.0, help="Trigger this often where the PLC triggers; 0 = never"
    )
    parser.add_argument("--stop-after", type=int, default=0, help="end after this many results; 0 = never")
    totals = asyncio.run(_run(parser.parse_args()))
    sys.stdout.write(msgspec.json.encode(totals).decode() + "\n")


if __name__ == "__main__":
    main()
