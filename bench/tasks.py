"""Measure what a part costs with each of the six tasks, from a 5-megapixel Bayer frame in memory to the decision.

    python -m bench.tasks

Ours: fused preprocessing, the machine's best precision, one thread. Beside it, in the same rounds, the usual way:
OpenCV's debayering and area resize, ONNX Runtime in f32, the same interpretation. CPU time; writes
bench/results/tasks.json.
"""

import json
import statistics
import sys
import time
import tomllib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.decision.disposition import judge_score
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import TaskName
from appliance.schema.clocks import CameraNs, HostNs
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.services._inspector import BundleInspector, LoadedBundle, load_bundle
from appliance.sim.parts.objects import true_parts
from appliance.tasks.reading import WholeReader
from bench.fingerprint import fingerprint
from bench.networks import SIZE, fitted
from bench.peaks import load_average

ROUNDS = 40
UNSEEN = range(1001, 1008)
Frame = NDArray[np.uint8]


class UsualPreprocessor:
    """Do what is usually done: debayer the whole frame, then shrink it by area."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = (size[1], size[0])

    def run(self, frame: Frame, out: Frame) -> None:
        """Write the input image of a frame."""
        colour = cv2.cvtColor(frame, cv2.COLOR_BayerRGGB2RGB)
        out[...] = cv2.resize(colour, self._size, interpolation=cv2.INTER_AREA)


def ready(frame: Frame) -> FrameReady:
    """Describe a frame as `acquire` does."""
    at = HostNs(0)
    return FrameReady(
        "top",
        SlotRef(1, 0, 2),
        0,
        CameraNs(0),
        at,
        0,
        None,
        at,
        frame.shape[0],
        frame.shape[1],
        PixelFormat.BAYER_RG8,
        1000.0,
        0.0,
        0,
        FrameCounts(good=1),
    )


def usual(loaded: LoadedBundle, shape: tuple[int, int]) -> Callable[[Frame], object]:
    """Give the usual way for a bundle of one network; for OCR the same reader on ONNX Runtime."""
    reader = loaded.reader(shape)
    if isinstance(reader, WholeReader):
        how = loaded.manifest.preprocessing
        reader._preprocessor = UsualPreprocessor((how.rows, how.columns))  # type: ignore[assignment]  # noqa: SLF001
    return reader.read


def measure(task: TaskName, frames: list[Frame]) -> dict[str, object]:
    """Give the CPU time of a part, by stage, beside the usual way's."""
    runtime = OpenVinoRuntime()
    precision = runtime.choose()
    folder = fitted(task)
    inspector = BundleInspector(load_bundle(folder, runtime, precision, 1))
    f32 = BundleInspector(load_bundle(folder, runtime, "f32", 1, any_precision=True))
    other = usual(load_bundle(folder, OnnxRuntime(), "f32", 1, any_precision=True), SIZE[::-1])
    told = ready(frames[0])

    def decide(by: BundleInspector, frame: Frame) -> object:
        view = by.inspect(told, frame).view
        return judge_score(view.score, by.limits.accept_below, by.limits.reject_above)

    ways: dict[str, Callable[[Frame], object]] = {
        "ours": lambda frame: decide(inspector, frame),
        "ours in f32": lambda frame: decide(f32, frame),
        "usual": other,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    stages: list[tuple[float, float]] = []
    for number in range(-2, ROUNDS):
        frame = frames[number % len(frames)]
        for name, way in ways.items():
            began = time.process_time()
            way(frame)
            if number >= 0:
                times[name].append((time.process_time() - began) * 1e3)
        inspection = inspector.inspect(told, frame)
        stages.append((inspection.preprocess_ms, inspection.inference_ms))
    return {
        "precision": precision,
        **{name: summary(values) for name, values in times.items()},
        "ratio_to_usual": round(
            statistics.median(a / b for a, b in zip(times["ours"], times["usual"], strict=True)), 3
        ),
        "preprocess_wall_ms": round(statistics.median(stage[0] for stage in stages), 2),
        "inference_wall_ms": round(statistics.median(stage[1] for stage in stages), 2),
        "largest_allocation_bytes": largest_allocation(lambda: decide(inspector, frames[0])),
    }


def summary(values: list[float]) -> dict[str, float]:
    """Give percentiles of CPU ms."""
    p50, p90 = np.percentile(values, [50, 90])
    return {
        "p50_cpu_ms": round(float(p50), 2),
        "p90_cpu_ms": round(float(p90), 2),
        "best_cpu_ms": round(min(values), 2),
    }


def largest_allocation(action: Callable[[], object]) -> int:
    """Give the peak of Python's and numpy's memory during one part."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    action()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return peak


def main() -> None:
    budgets = tomllib.loads(Path(__file__).with_name("budgets.toml").read_text("utf-8"))["tasks"]
    before = load_average()
    frames = [part.raw for part in true_parts(UNSEEN, SIZE)]
    told: dict[str, object] = {"frame_bytes": frames[0].nbytes, "rounds": ROUNDS}
    for task in TaskName:
        row = measure(task, frames)
        p50, budget = row["ours"]["p50_cpu_ms"], budgets[task.value]  # type: ignore[index]
        verdict = "met" if p50 <= budget else "MISSED"
        told[task.value] = row | {"budget_ms": budget, "met": p50 <= budget}
        print(
            f"{task.value:15} {p50:7.2f} ms {row['precision']}  budget {budget:5.1f} {verdict:6}"
            f"  f32 {row['ours in f32']['p50_cpu_ms']:7.2f}  usual way {row['usual']['p50_cpu_ms']:7.2f}"  # type: ignore[index]
            f"  ratio {row['ratio_to_usual']}"
        )
        sys.stdout.flush()
    told |= {"load_before": before, "load_after": load_average(), "machine": fingerprint()}
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "tasks.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
