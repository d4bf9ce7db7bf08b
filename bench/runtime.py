"""Measure what each network costs on each runtime, and how near that is to what this machine can do at most.

    python -m bench.runtime

One thread; all variants of a network take turns, so that what disturbs one disturbs all. CPU time, median of the
rounds, and its ratio to ONNX Runtime in f32 of the same round. Writes bench/results/runtime.json.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.ports.runtime import Session
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import TaskName
from appliance.storage import bundle
from appliance.training.quantize import gate, quantized
from bench.fingerprint import fingerprint
from bench.networks import fitted
from bench.peaks import arithmetic_peaks, load_average, memory_peaks
from bench.work import work_of

ROUNDS = 25
REFERENCE = "onnx f32"


def networks() -> Iterator[tuple[str, bytes, NDArray[np.uint8]]]:
    """Yield each network of the six bundles with its golden images."""
    for task in TaskName:
        found = bundle.read(fitted(task))
        for spec in found.manifest.models:
            name = task.value if spec.name == "model" else f"{task.value} {spec.name}"
            images = bundle.arrays(found, spec.golden)["images"].astype(np.uint8, copy=False)
            yield f"{name} {spec.input.shape[1]}x{spec.input.shape[2]}", found.files[spec.file], images


def sessions(model: bytes, images: NDArray[np.uint8], *, eight: bool) -> dict[str, Session]:
    """Give every way to run a network here; eight: in 8 bits too."""
    openvino, onnx = OpenVinoRuntime(), OnnxRuntime()
    ways: dict[str, Session] = {
        REFERENCE: onnx.load(model, "f32", 1),
        "openvino f32": openvino.load(model, "f32", 1),
    }
    if openvino.choose() == "bf16":
        ways["openvino bf16"] = openvino.load(model, "bf16", 1)
    if eight:
        small = quantized(model, images[::2])
        ways["openvino int8"] = openvino.load(small, "int8", 1)
        ways["onnx int8"] = onnx.load(small, "int8", 1)
    return ways


def measured(ways: dict[str, Session], image: NDArray[np.uint8]) -> dict[str, list[float]]:
    """Give CPU ms of each round of each way."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for session in ways.values():
        session.input[...] = image
        session.run()
    for _ in range(ROUNDS):
        for name, session in ways.items():
            began = time.process_time()
            session.run()
            times[name].append((time.process_time() - began) * 1e3)
    return times


def row(model: bytes, images: NDArray[np.uint8], peaks: dict[str, float], *, eight: bool) -> dict[str, object]:
    """Give a network's times, ratios, shares of this machine's arithmetic, and distances from the reference."""
    ways = sessions(model, images, eight=eight)
    times = measured(ways, images[0])
    told: dict[str, object] = {"work": work_of(model, "f32")}
    for name, rounds in times.items():
        precision = name.split()[1]
        median = statistics.median(rounds)
        flop = work_of(model, precision)["gflop"]
        peak = peaks.get(precision)
        told[name] = {
            "cpu_ms": round(median, 2),
            "best_cpu_ms": round(min(rounds), 2),
            "ratio": round(statistics.median(a / b for a, b in zip(rounds, times[REFERENCE], strict=True)), 3),
            "gflops": round(flop / min(rounds) * 1e3, 1),
            "share_of_peak": round(flop / min(rounds) * 1e3 / peak, 3) if peak else None,
            "difference": {k: round(v, 4) for k, v in gate(ways[REFERENCE], ways[name], images[1::2]).mean.items()},
        }
    return told


def main() -> None:
    before = load_average()
    peaks, memory = arithmetic_peaks(), memory_peaks()
    print(f"peaks, one thread: {peaks} GFLOP/s, {memory} GB/s")
    told: dict[str, object] = {"arithmetic_peak_gflops": peaks, "memory_peak_gb_s": memory, "rounds": ROUNDS}
    for title, model, images in networks():
        told[title] = one = row(model, images, peaks, eight=not title.startswith("ocr"))
        print(title, one["work"])
        for way, values in one.items():
            if isinstance(values, dict) and "cpu_ms" in values:
                share = values["share_of_peak"]
                shown = f"{share:6.1%} of peak" if share else ""
                print(f"  {way:14} {values['cpu_ms']:8.2f} ms  {values['ratio']:6.3f} of {REFERENCE}  {shown}")
        sys.stdout.flush()
    told |= {"load_before": before, "load_after": load_average(), "machine": fingerprint()}
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "runtime.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
