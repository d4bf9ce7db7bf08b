"""Measure what the PLC costs: a turn of the handshake, a read of the status block, and a station with a polling PLC.

    python -m bench.handshake

Prints three tables and writes bench/results/handshake.json. Station and PLC are processes of their own; CPU times are
the station's alone. Our server and one of plain pymodbus are read in turn, block by block, so that their ratio holds
on a busy machine.
"""

import asyncio
import json
import select
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.modbus import ControlWritten, ModbusServer, StatusBlock
from appliance.outputs.plc.registers import (
    CONTROL_ADDRESS,
    STATUS_ADDRESS,
    STATUS_COUNT,
    Control,
    ControlBit,
    pack_control,
)
from appliance.outputs.plc.result_queue import Detail
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks, S
from appliance.schema.errors import LinkError
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from appliance.sim.plc_program import PlcProgram
from appliance.sim.plc_wire import TcpWire, read_request, words_of, write_request
from bench.fingerprint import fingerprint
from bench.peaks import load_average

HERE = "127.0.0.1"
TURNS, ROUNDS = 2_000, 9
READS, BLOCKS = 1_000, 10
"""Reads of each server in one block, and blocks; the servers take turns."""
POLL_S = 0.010
"""Cycle of a common PLC."""
RATES = (10.0, 50.0)
"""Parts per second: a usual line, and a fast one."""
STATION_S = 12.0
BOOT = 9
READ = read_request(STATUS_ADDRESS, STATUS_COUNT)


def now() -> HostNs:
    return HostNs(time.monotonic_ns())


def fact(number: int) -> Actuation:
    """Give a part that passed the gate."""
    clocks = (now(), McuTicks(0), EncoderCounts(0))
    return Actuation(PartId(BOOT, number), Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT, number, *clocks)


class Turning:
    """Turn a handshake alone, no wire: an idle turn, and a part from sensor to its acknowledgement taken back."""

    def __init__(self) -> None:
        self._handshake = Handshake(1, now())
        self._handshake.machine(now(), ready=True)
        self._number = 0
        self._beat = ControlBit(0)
        self._write()

    def idle(self) -> None:
        """Do what the loop does each 50 ms: learn the station's state, move time on, give the block."""
        self._handshake.machine(now(), ready=True)
        self._handshake.tick(now())
        self._handshake.status()

    def part(self) -> None:
        """Take a part through: five events, a block after each."""
        self._number += 1
        part = fact(self._number)
        steps: tuple[Callable[[], object], ...] = (
            lambda: self._handshake.part_entered(part.part, now()),
            lambda: self._handshake.part_exposed(part.part, now()),
            lambda: self._handshake.post(part, Detail(0.3, 1, 30.0), now()),
            lambda: self._write(ControlBit.RESULT_ACK),
            self._write,
        )
        for step in steps:
            step()
            self._handshake.status()
        self._handshake.acknowledged()

    def _write(self, bits: ControlBit = ControlBit.ENABLE) -> None:
        self._beat ^= ControlBit.HEARTBEAT
        control = Control(bits=bits | ControlBit.ENABLE | self._beat, session_echo=1, ack_sequence=self._number)
        self._handshake.control(pack_control(control), now())


def turns() -> dict[str, dict[str, float]]:
    """Time both kinds of turn in rounds that take turns; median and range of CPU time over the rounds."""
    told: dict[str, list[float]] = {"idle_turn": [], "part": []}
    for _ in range(ROUNDS):
        turning = Turning()
        for name, action in (("idle_turn", turning.idle), ("part", turning.part)):
            cpu = time.process_time()
            for _ in range(TURNS):
                action()
            told[name].append((time.process_time() - cpu) / TURNS * 1e6)
    return {name: spread(times) for name, times in told.items()}


def spread(values: list[float]) -> dict[str, float]:
    """Give median, least and most."""
    return {"p50": round(float(np.median(values)), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


class Served:
    """A server in a process of its own; asks it for the CPU time it has spent."""

    def __init__(self, *role: str) -> None:
        command = [sys.executable, "-m", "bench.handshake", *role]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.line())

    def line(self) -> str:
        """Give the next line it prints."""
        if self._process.stdout is None:
            raise OSError("no pipe to the server's process")
        return self._process.stdout.readline()

    def cpu_s(self) -> float:
        """Give the CPU time it has spent, s."""
        if self._process.stdin is None:
            raise OSError("no pipe to the server's process")
        self._process.stdin.write("cpu\n")
        self._process.stdin.flush()
        return float(self.line())

    def end(self) -> str:
        """Let it end, and give what it still had to say."""
        return self._process.communicate(timeout=30)[0]


def reads() -> dict[str, Any]:
    """Read whole status blocks from our server and from plain pymodbus in turn, one client, then from ours four."""
    servers = {"ours": Served("--serve"), "plain_pymodbus": Served("--plain")}
    wires = {name: TcpWire(HERE, server.port) for name, server in servers.items()}
    cpu: dict[str, list[float]] = {name: [] for name in servers}
    wall: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(BLOCKS):
        for name, server in servers.items():
            took, spent = timed_reads([wires[name]], server)
            wall[name].append(READS / took)
            cpu[name].append(spent / READS * 1e6)
    ratios = [ours / plain for ours, plain in zip(cpu["ours"], cpu["plain_pymodbus"], strict=True)]
    told: dict[str, Any] = {
        name: {"reads_per_s": spread(wall[name]), "cpu_us_per_read": spread(cpu[name])} for name in servers
    }
    told["cpu_of_plain_pymodbus"] = spread(ratios)
    four = [TcpWire(HERE, servers["ours"].port) for _ in range(4)]
    took, spent = timed_reads(four, servers["ours"])
    told["ours_four_clients"] = {
        "reads_per_s": round(4 * READS / took),
        "cpu_us_per_read": round(spent / READS / 4 * 1e6, 1),
    }
    for wire in (*wires.values(), *four):
        wire.cut()
    for server in servers.values():
        server.end()
    return told


def timed_reads(wires: list[TcpWire], server: Served) -> tuple[float, float]:
    """Give wall and the server's CPU time, s, in which each wire reads READS blocks."""

    def read(wire: TcpWire) -> None:
        for _ in range(READS):
            if len(words_of(wire.ask(READ))) != STATUS_COUNT:
                raise ValueError("a read was refused")

    threads = [threading.Thread(target=read, args=(wire,)) for wire in wires]
    cpu, began = server.cpu_s(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began, server.cpu_s() - cpu


def answer_cpu() -> None:
    """Answer each line of standard input with the CPU time of this process, until it is closed."""
    for _ in sys.stdin:
        sys.stdout.write(f"{time.process_time()}\n")
        sys.stdout.flush()


def serve() -> None:
    """Be our server with nobody behind it."""
    server = ModbusServer(HERE, 0)
    server.write(StatusBlock(tuple(range(STATUS_COUNT))), now())
    say(server.port)
    answer_cpu()
    server.close()


def plain() -> None:
    """Be a server of pymodbus as its documentation sets one up, with the same registers."""

    async def run(stop: threading.Event) -> None:
        block = SimData(STATUS_ADDRESS, values=list(range(STATUS_COUNT)), datatype=DataType.REGISTERS)
        server = ModbusTcpServer(SimDevice(0, simdata=[block]), address=(HERE, 0))
        await server.serve_forever(background=True)
        say(server.transport.sockets[0].getsockname()[1])
        while not stop.is_set():
            await asyncio.sleep(0.1)
        await server.shutdown()

    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(run(stop)))
    thread.start()
    answer_cpu()
    stop.set()
    thread.join()


def say(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def station(rate_hz: float) -> dict[str, Any]:
    """Run a station and a PLC that polls it; rate_hz 0: no parts, what polling alone costs."""
    served = Served("--station", str(rate_hz))
    plc = subprocess.Popen(
        [sys.executable, "-m", "bench.handshake", "--plc", str(served.port)], stdout=subprocess.PIPE, text=True
    )
    told: dict[str, Any] = json.loads(served.line())
    told["plc"] = json.loads(plc.communicate(timeout=60)[0])
    served.end()
    return told


def run_station(rate_hz: float) -> None:
    """Turn handshake and server as `line` does, and feed parts; prints the port, then figures of its session."""
    server, handshake = ModbusServer(HERE, 0), Handshake(1, now())
    say(server.port)
    waits: list[float] = []
    number, feed_at, cpu, began = 0, HostNs(0), 0.0, HostNs(0)
    block: tuple[int, ...] = ()
    while not began or now() < began + STATION_S * S:
        due = min(handshake.wake_at, feed_at) if began and rate_hz else handshake.wake_at
        select.select([server.fileno()], [], [], max(0, due - now()) / S)
        for message in server.read(now()):
            if isinstance(message, ControlWritten):
                handshake.control(message.words, now())
        handshake.machine(now(), ready=True)
        handshake.tick(now())
        if not began and handshake.ready:
            began, feed_at, cpu = now(), now(), time.process_time()
        if began and rate_hz and now() >= feed_at:
            feed_at, number = HostNs(feed_at + int(S / rate_hz)), number + 1
            handshake.part_entered(PartId(BOOT, number), now())
            handshake.post(fact(number), Detail(0.3, 1, 30.0), now())
        waits += [(event.acknowledged - event.posted) / 1e6 for event in handshake.acknowledged()]
        words = handshake.status()
        if words != block:
            block = words
            server.write(StatusBlock(words), now())
    spent, took = time.process_time() - cpu, (now() - began) / S
    p50, p99 = np.percentile(waits, [50, 99]) if waits else (0.0, 0.0)
    counts = handshake.counts
    told = {
        "parts_per_s": rate_hz,
        "seconds": round(took, 1),
        "results": counts.posted,
        "acknowledged": counts.acknowledged,
        "overflowed": counts.overflowed,
        "core_percent": round(100 * spent / took, 2),
        "posted_to_acknowledged_ms": {"p50": round(float(p50), 1), "p99": round(float(p99), 1)},
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    server.close()


def run_plc(port: int) -> None:
    """Poll as a PLC does, until the station is gone; prints what was polled."""
    wire, program, written = TcpWire(HERE, port), PlcProgram(), None
    polls = results = 0
    due = time.monotonic()
    try:
        while True:
            words = program.scan(words_of(wire.ask(READ)), now())
            polls += 1
            results += len(program.judged())
            if words is not None and words != written:
                wire.ask(write_request(CONTROL_ADDRESS, words))
                written = words
            due += POLL_S
            time.sleep(max(0.0, due - time.monotonic()))
    except LinkError:  # the station is done
        sys.stdout.write(json.dumps({"polls": polls, "results": results, "gaps": program.gaps}) + "\n")


def _met(row: dict[str, Any], budgets: dict[str, float]) -> dict[str, Any]:
    budget = budgets[f"{row['parts_per_s']:.0f}"]
    return {"budget_percent": budget, "met": row["core_percent"] <= budget}


def main() -> None:
    before = load_average()
    told: dict[str, Any] = {"handshake_cpu_us": turns(), "status_reads": reads()}
    budgets = tomllib.loads(Path(__file__).with_name("budgets.toml").read_text("utf-8"))["plc"]
    rows = [station(rate) for rate in (0.0, *RATES)]
    told["station_with_a_10_ms_plc"] = [row | _met(row, budgets) for row in rows]
    told |= {"load_before": before, "load_after": load_average(), "machine": fingerprint()}
    for name, times in told["handshake_cpu_us"].items():
        print(f"{name:16} {times['p50']:8.1f} us CPU  ({times['min']:.1f} to {times['max']:.1f})")
    for name in ("ours", "plain_pymodbus"):
        rate, cpu = told["status_reads"][name]["reads_per_s"], told["status_reads"][name]["cpu_us_per_read"]
        print(f"{name:16} {rate['p50']:8.0f} reads/s {cpu['p50']:8.1f} us CPU a read")
    ratio = told["status_reads"]["cpu_of_plain_pymodbus"]
    print(f"{'ours : plain':16} {ratio['p50']:8.2f}          ({ratio['min']:.2f} to {ratio['max']:.2f})")
    for row in told["station_with_a_10_ms_plc"]:
        wait, verdict = row["posted_to_acknowledged_ms"], "met" if row["met"] else "MISSED"
        print(
            f"{row['parts_per_s']:4.0f} parts/s {row['core_percent']:6.2f} % of a core"
            f"  budget {row['budget_percent']:5.1f} {verdict:6}"
            f"  {row['acknowledged']} of {row['results']} taken over"
            f" after {wait['p50']:.1f} ms p50 {wait['p99']:.1f} ms p99"
        )
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "handshake.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve"]:
            serve()
        case ["--plain"]:
            plain()
        case ["--station", rate]:
            run_station(float(rate))
        case ["--plc", port]:
            run_plc(int(port))
        case _:
            main()
