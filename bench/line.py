"""Measure a whole station at full size: trigger to verdict, and the CPU time each process spends per part.

    python -m bench.line [--state DIR]

Runs `firstshift demo` with the 5 MB colour frame of a common line camera at 10 parts/s and watches it from the outside:
the stages come from the station's records, CPU times from /proc between the first part's entry and the last part's
verdict. Prints two tables and writes bench/results/line.json. `--state` keeps the station's folder, so that a second
run takes its bundle.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from appliance.storage import database, queries
from appliance.storage.queries import Inspection
from appliance.storage.record_store import DATABASE
from bench.fingerprint import fingerprint

ROWS, COLUMNS = 2048, 2448
"""BayerRG8 of an IMX264 class sensor, 5 013 504 bytes."""
PARTS, RATE_HZ = 150, 10.0
THREADS = 2
"""Inference threads: with one, inference takes 1.5 ms longer on two quiet cores, and less of the second core."""
PICTURES = 24
"""Painted before the start and shown in turn: painting takes 60 ms a part of a core that is not the appliance's."""
WARM_PARTS = 5
"""Left out of the figures: first touches of memory and the first ticks of the clock fit."""
SAMPLE_S = 0.1
STAGES = ("transfer", "queue", "preprocess", "inference", "decide", "latency")
PROCESSES = {
    "run acquire@": "acquire@top",
    "run judge": "judge",
    "run line": "line",
    "run record": "record",
    "run publish": "publish",
    "fs-mcu": "microcontroller (simulated board)",
    "appliance.sim.plc": "PLC (simulated)",
    "appliance.sim.plant_process": "plant, camera's pictures (simulated)",
    "appliance.sim.broker": "MQTT broker",
    "mosquitto": "MQTT broker",
}
"""A word of the command line names each process; the first that fits counts."""
ELSEWHERE = "not of this station (and this bench)"
"""What other work took of the cores meanwhile; the less, the more the wall times are worth."""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

Sample = tuple[int, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.line")
    parser.add_argument("--state", type=Path, help="keep the station's folder here")
    options, _ = parser.parse_known_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="firstshift-bench-") as scratch:
        state = options.state or Path(scratch)
        known = boots(state)
        summary, samples = run(state, Path(scratch) / "summary.json")
        rows = [row for row in recorded(state) if row.boot not in known][WARM_PARTS:]
    told = {
        "frame": {"rows": ROWS, "columns": COLUMNS, "pixel_format": "BayerRG8", "bytes": ROWS * COLUMNS},
        "parts": len(rows),
        "rate_hz": RATE_HZ,
        "inference_threads": THREADS,
        "ms": stages(rows),
        "cpu_ms_per_part": cpu(samples, rows),
        "copies_per_frame": summary["copies_per_frame"],
        "frames": summary["frames"],
        "unaccounted": summary["unaccounted"],
        "accepted_without_verdict": summary["accepted_without_verdict"],
        "runtime": summary["runtime"],
        "precision": summary["precision"],
        "load_average": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)},
        "machine": fingerprint(),
    }
    show(told)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "line.json").write_text(json.dumps(told, indent=2) + "\n")


def run(state: Path, summary: Path) -> tuple[dict[str, Any], list[Sample]]:
    """Run the station as its own process and watch the CPU time of all of it."""
    command = [sys.executable, "-m", "appliance.cli", "demo", "--no-hmi", "--parts", str(PARTS), "--rate", str(RATE_HZ)]
    command += ["--width", str(COLUMNS), "--height", str(ROWS), "--state", str(state), "--json", str(summary)]
    command += ["--pictures", str(PICTURES), "--threads", str(THREADS)]
    samples = []
    with subprocess.Popen(command) as station:
        while station.poll() is None:
            samples.append((time.monotonic_ns(), cpu_seconds(station.pid)))
            time.sleep(SAMPLE_S)
    if station.returncode not in {0, 1}:
        sys.exit(f"bench.line: the station ended with {station.returncode}; its words are above")
    return json.loads(summary.read_text()), samples


def cpu_seconds(root: int) -> dict[str, float]:
    """Give the CPU time of each process of the station so far, user and system, threads included."""
    parents, spent = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
            spent[int(folder.name)] = (words, (int(fields[11]) + int(fields[12])) * TICK_S)
    total = {ELSEWHERE: busy_seconds()}
    for pid, (words, seconds) in spent.items():
        if descends(pid, root, parents):
            name = "the demo's own watching" if pid == root else name_of(words)
            total[name] = total.get(name, 0.0) + seconds
            total[ELSEWHERE] -= seconds
    return total


def busy_seconds() -> float:
    """Give the CPU time of everything on the machine since its start: user, nice, system, both interrupts, steal."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK_S


def descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != root:
        pid = parents[pid]
    return pid == root


def name_of(words: str) -> str:
    return next((name for word, name in PROCESSES.items() if word in words), "others")


def boots(state: Path) -> set[int]:
    return {row.boot for row in recorded(state)} if (state / DATABASE).exists() else set()


def recorded(state: Path) -> list[Inspection]:
    with closing(database.open_reader(state / DATABASE)) as connection:
        return queries.newest(connection, 1_000_000)[::-1]


def stages(rows: list[Inspection]) -> dict[str, dict[str, float]]:
    """Give p50, p99 and max of each stage; `latency` is camera trigger to verdict."""
    told = {}
    for stage in STAGES:
        found = [value for row in rows if (value := getattr(row, f"{stage}_ms")) is not None]
        p50, p99 = np.percentile(found, [50, 99])
        told[stage] = {"p50": round(p50, 2), "p99": round(p99, 2), "max": round(max(found), 2), "n": len(found)}
    return told


def cpu(samples: list[Sample], rows: list[Inspection]) -> dict[str, float]:
    """Give ms of CPU time per part and process, between the first entry and the last verdict of these parts."""
    entered = [row.entered_ns for row in rows if row.entered_ns is not None]
    decided = [
        row.entered_ns + row.entered_to_verdict_ms * 1e6 for row in rows if row.entered_ns and row.entered_to_verdict_ms
    ]
    times = [at for at, _ in samples]
    told = {}
    for name in sorted({name for _, spent in samples for name in spent}):
        seconds = [spent.get(name, 0.0) for _, spent in samples]
        begin, end = np.interp([min(entered), max(decided)], times, seconds)
        told[name] = round((end - begin) / len(rows) * 1e3, 2)
    return dict(sorted(told.items(), key=lambda item: -item[1]))


def show(told: dict[str, Any]) -> None:
    frame, load, cores = told["frame"], told["load_average"], told["machine"]["cores"]
    size = f"{frame['columns']} x {frame['rows']} {frame['pixel_format']}"
    print(f"\n{size}, {told['parts']} parts at {told['rate_hz']:g}/s,")
    print(f"{told['runtime']} {told['precision']}, {told['copies_per_frame']:g} copies per frame; load average")
    print(
        f"{load['before']} before, {load['after']} after, on {cores} cores that also simulate and may do other things\n"
    )
    print(f"{'stage':<40} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'n':>5}")
    for name, found in told["ms"].items():
        label = {"latency": "whole: trigger to verdict", "transfer": "transfer, with 1 ms exposure"}.get(name, name)
        print(f"{label:<40} {found['p50']:8.2f} {found['p99']:8.2f} {found['max']:8.2f} {found['n']:5}")
    print(f"\n{'process':<40} {'CPU ms per part':>17}")
    for name, spent in told["cpu_ms_per_part"].items():
        print(f"{name:<40} {spent:17.2f}")


if __name__ == "__main__":
    main()
