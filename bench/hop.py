"""Measure what a message costs on its way from one process to another, and a wish with its answer.

    python -m bench.hop

Prints a table and writes bench/results/hop.json. The other process echoes nothing: both read the same monotonic clock,
so a hop is one way. Paced hops are what a line sees at 200 parts/s; the burst says what the bus can carry.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from appliance.bus.channel import Publisher, Subscriber
from appliance.bus.control import ControlServer, ask
from appliance.schema.clocks import HostNs
from appliance.schema.command import Accepted, Drain
from appliance.schema.health import Alarm
from appliance.schema.part import PartId
from appliance.schema.topics import VERDICT
from appliance.schema.verdict import Disposition, Reason, Verdict
from bench.fingerprint import fingerprint

PACED = 2_000
PACE_S = 0.005
BURST = 5_000
"""Under HIGH_WATER, so that nothing may be dropped."""
WISHES = 1_000
LAST = 0
"""Sequence of the verdict that ends a run."""
TIMEOUT_MS = 10_000


def verdict_of(sequence: int) -> Verdict:
    """Give a verdict that carries the instant it was published."""
    now = HostNs(time.monotonic_ns())
    return Verdict(PartId(1, max(1, sequence)), Disposition.ACCEPT, (Reason.WITHIN_LIMITS,), now, now, sequence)


def start(role: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.hop", role, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def topics(folder: Path) -> dict[str, Any]:
    """Publish to another process, paced and then as fast as it goes."""
    context = zmq.Context()
    publisher = Publisher(context, folder, "judge")
    reader = start("--reader", folder)
    if reader.stdout is None:
        raise OSError("no pipe to the reader's process")
    while reader.poll() is None:  # until its subscription has arrived
        publisher.publish("alarm.judge", Alarm("judge", "hello", "are you there"))
        if (folder / "ready").exists():
            break
        time.sleep(0.01)
    told: dict[str, Any] = {}
    for name, count, pause in (("paced", PACED, PACE_S), ("burst", BURST, 0.0)):
        cpu = time.process_time()
        for number in range(1, count + 1):
            publisher.publish(VERDICT, verdict_of(number))
            if pause:
                time.sleep(pause)
        publisher.publish(VERDICT, verdict_of(LAST))
        told[name] = json.loads(reader.stdout.readline())
        told[name]["writer_cpu_us"] = round((time.process_time() - cpu) / count * 1e6, 1)
        told[name]["lost"] = count - told[name]["messages"]
    reader.communicate(timeout=TIMEOUT_MS / 1000)
    publisher.close()
    context.term()
    return told


def read(folder: Path) -> None:
    """Be the reader: two runs, each ended by LAST."""
    context = zmq.Context()
    subscriber = Subscriber(context, folder, ("judge",), (VERDICT, "alarm."))
    if not subscriber.socket.poll(TIMEOUT_MS):
        raise TimeoutError("the writer says nothing")
    (folder / "ready").touch()
    for _ in range(2):
        sys.stdout.write(json.dumps(_run(subscriber)) + "\n")
        sys.stdout.flush()
    subscriber.close()
    context.term()


def _run(subscriber: Subscriber) -> dict[str, Any]:
    hops: list[int] = []
    cpu = time.process_time()
    while subscriber.socket.poll(TIMEOUT_MS):
        for _, message in subscriber.drain(64):
            if not isinstance(message, Verdict):
                continue
            if message.sequence == LAST:
                p50, p99, worst = np.percentile(hops, [50, 99, 100]) / 1000
                return {
                    "messages": len(hops),
                    "p50_us": round(p50, 1),
                    "p99_us": round(p99, 1),
                    "max_us": round(worst, 1),
                    "reader_cpu_us": round((time.process_time() - cpu) / len(hops) * 1e6, 1),
                }
            hops.append(time.monotonic_ns() - message.decided)
    raise TimeoutError("the writer stopped without a word")


def wishes(folder: Path) -> dict[str, float]:
    """Ask another process and wait for its answer, a fresh socket for each wish as services do."""
    server = start("--server", folder)
    context = zmq.Context()
    ask(context, folder, "line", Drain(), TIMEOUT_MS)
    times, cpu = [], time.process_time()
    for _ in range(WISHES):
        began = time.monotonic_ns()
        ask(context, folder, "line", Drain(), TIMEOUT_MS)
        times.append(time.monotonic_ns() - began)
    cpu_us = (time.process_time() - cpu) / WISHES * 1e6
    server.communicate(timeout=TIMEOUT_MS / 1000)
    context.term()
    p50, p99, worst = np.percentile(times, [50, 99, 100]) / 1000
    return {
        "wishes": WISHES,
        "p50_us": round(p50, 1),
        "p99_us": round(p99, 1),
        "max_us": round(worst, 1),
        "asker_cpu_us": round(cpu_us, 1),
    }


def serve(folder: Path) -> None:
    """Be the owner that answers."""
    context = zmq.Context()
    server = ControlServer(context, folder, "line")
    for _ in range(WISHES + 1):
        if not server.socket.poll(TIMEOUT_MS):
            break
        server.receive()
        server.answer(Accepted())
    server.close()
    context.term()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = {"topic_hop": topics(folder), "control_round_trip": wishes(folder), "machine": fingerprint()}
    rows = {**told["topic_hop"], "control": told["control_round_trip"]}
    for step, figures in rows.items():
        print(f"{step:10} {figures['p50_us']:9.1f} us p50 {figures['p99_us']:9.1f} us p99")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "hop.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    roles = {"--reader": read, "--server": serve}
    if sys.argv[1:2] and sys.argv[1] in roles:
        roles[sys.argv[1]](Path(sys.argv[2]))
    else:
        main()
