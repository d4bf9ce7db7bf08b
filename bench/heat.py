"""Measure what the heat map for people costs: time of a part, bytes of its result, with it and without.

    python -m bench.heat

One bundle of each task that has a map, 5-megapixel Bayer frames in memory, one thread; the ways take turns on the same
frames, so that a busy machine meets them alike. Writes bench/results/heat.json.
"""

import json
import time
from pathlib import Path

import msgspec
import numpy as np

from appliance.imaging.heat import shrink
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import TaskName
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameReady
from appliance.schema.policy import Policy
from appliance.services._inspector import BundleInspector, RecipeView, load_bundle
from appliance.sim.parts.objects import true_parts
from bench.fingerprint import fingerprint
from bench.networks import SIZE, fitted
from bench.peaks import load_average
from bench.tasks import Frame, ready, summary

ROUNDS = 15
UNSEEN = range(1001, 1015)
TRUSTING = RecipeView(policy=Policy(novelty="off"))


class ColdInspector(BundleInspector):
    """Inspect without asking where a view is suspicious."""

    def _clearly_good(self, view: ViewResult) -> bool:
        return True


def measure(task: TaskName, parts: list[tuple[bool, Frame]]) -> dict[str, object]:
    """Give CPU ms of a part and bytes of its view; parts: whether each is good, and its frame."""
    runtime = OpenVinoRuntime()
    loaded = load_bundle(fitted(task), runtime, runtime.choose(), 1)
    ways = {"without": ColdInspector(loaded, TRUSTING), "with": BundleInspector(loaded, TRUSTING)}
    told = ready(parts[0][1])
    times: dict[tuple[str, bool], list[float]] = {(way, hot): [] for way in ways for hot in (False, True)}
    sizes: dict[tuple[str, bool], list[int]] = {key: [] for key in times}
    stages: list[float] = []
    for number in range(-1, ROUNDS):
        for turn, (_, frame) in enumerate(parts):
            seen: dict[str, tuple[float, ViewResult]] = {}
            for name in list(ways)[:: 1 if (number + turn) % 2 else -1]:
                began = time.process_time()
                view = ways[name].inspect(told, frame).view
                seen[name] = ((time.process_time() - began) * 1e3, view)
            if number < 0:
                continue
            hot = seen["with"][1].heat is not None
            for name, (spent, view) in seen.items():
                times[name, hot].append(spent)
                sizes[name, hot].append(len(msgspec.json.encode(view)))
            stages.append(seen["with"][0] - seen["without"][0])
    return {
        "parts": len(parts),
        "good": sum(good for good, _ in parts),
        **{
            f"{name}, {'map made' if hot else 'accepted'}": summary(values) | {"n": len(values)}
            for (name, hot), values in times.items()
            if values
        },
        "bytes_json": {
            f"{name}, {'map made' if hot else 'accepted'}": round(float(np.mean(values)))
            for (name, hot), values in sizes.items()
            if values
        },
        "difference_p50_cpu_ms": round(float(np.median(stages)), 3),
        "making": making(ways["with"], told, parts),
    }


def making(inspector: BundleInspector, told: FrameReady, parts: list[tuple[bool, Frame]]) -> dict[str, float]:
    """Give CPU ms of shrinking the map of a part alone; the whole part's time hides so small a share."""
    reader = inspector._view(told).reader  # noqa: SLF001
    times = []
    for _, frame in parts:
        surfaces = reader.read(frame).surfaces
        for _ in range(20):
            began = time.process_time()
            shrink(surfaces)
            times.append((time.process_time() - began) * 1e3)
    return summary(times)


def main() -> None:
    """Print a line per task and write the results."""
    before = load_average()
    parts = [(part.defect is None, part.raw) for part in true_parts(UNSEEN, SIZE)]
    told: dict[str, object] = {"rounds": ROUNDS}
    for task in (TaskName.ANOMALY, TaskName.SEMANTIC):
        row = measure(task, parts)
        told[task.value] = row
        print(task.value, json.dumps(row))
    told |= {"load_before": before, "load_after": load_average(), "machine": fingerprint()}
    (Path(__file__).parent / "results" / "heat.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
