"""Measure where a training's time and memory go, what a killed one loses, and what fine-tuning costs and brings.

    python -m bench.training

Generated plates with spots and lines, n and 4 n of them; each fit in a process of its own. Writes
bench/results/training.json. What bundles are worth on real parts is measured in accuracy.py.
"""

import hashlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.fingerprint import fingerprint
from bench.peaks import load_average

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "bench-training"
RESULT = Path(__file__).parent / "results" / "training.json"
SIZES = (48, 192)
"""n and 4 n pictures, half of them good."""
SHAPE = (288, 352)
"""(rows, cols) of a plate; one picture of each."""
TASKS = ("classification", "anomaly")
"""They learn in seconds; the other tasks' fits take minutes and are timed in accuracy.py."""
CREATED = "2026-01-01T00:00:00+00:00"
THREADS = 2
TUNED_PASSES = 1
SAMPLED_S = 0.02
# The last of these steps that a fit tells of ends the features.
FEATURES = re.compile(r"^(frames?|features)\b")
KILLED_AFTER = 0.7
"""Share of the pictures whose features a killed run has seen."""

Found = dict[str, Any]


def plate(number: int, kind: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Give a picture and its mask, both (rows, cols) uint8."""
    random = np.random.default_rng(number)
    texture = random.normal(0, 18, SHAPE).astype(np.float32)
    picture = 120 + cv2.GaussianBlur(texture, (0, 0), 2) + random.normal(0, 2, SHAPE) + random.uniform(-8, 8)
    mask = np.zeros(SHAPE, np.uint8)
    x, y = (int(random.integers(40, side - 40)) for side in (SHAPE[1], SHAPE[0]))
    if kind == "spot":
        cv2.circle(mask, (x, y), 5, 255, -1)
    elif kind == "line":
        cv2.line(mask, (x - 24, y - 12), (x + 24, y + 12), 255, 3)
    picture[mask > 0] -= 18
    return np.clip(picture, 0, 255).astype(np.uint8), mask


def plates(count: int) -> None:
    """Write so many plates, one folder per class, with masks and groups."""
    root = WORK / f"plates-{count}"
    shutil.rmtree(root, ignore_errors=True)
    rows = ["name,group"]
    for number in range(count):
        kind = ("good", "spot", "good", "line")[number % 4]
        picture, mask = plate(number, kind)
        paths = {root / kind / f"{number:04}.png": picture}
        if kind != "good":
            paths[root / "ground_truth" / kind / f"{number:04}_mask.png"] = mask
        for path, image in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
        rows.append(f"{kind}/{number:04}.png,plate{number}")
    (root / "groups.csv").write_text("\n".join(rows) + "\n", "utf-8")


class Memory:
    """Watch this process's own memory, that of mapped files apart."""

    def __init__(self) -> None:
        self.anonymous_kb, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> Found:
        """Give the peaks in MB."""
        self._over.set()
        self._thread.join()
        return {"rss_mb": _status("VmHWM") // 1000, "anonymous_mb": self.anonymous_kb // 1000}

    def _watch(self) -> None:
        while not self._over.wait(SAMPLED_S):
            self.anonymous_kb = max(self.anonymous_kb, _status("RssAnon"))


def one_fit(task: str, data: Path, work: Path) -> Found:
    """Read, fit and prove in this process, saying on stdout which share of the features is done."""
    from appliance.datasets.reading import read_data  # noqa: PLC0415 (the parent process needs none of it)
    from appliance.runtimes.openvino import OpenVinoRuntime  # noqa: PLC0415
    from appliance.schema.bundle import TaskName  # noqa: PLC0415
    from appliance.services._inspector import load_bundle  # noqa: PLC0415
    from appliance.storage import bundle as bundles  # noqa: PLC0415
    from appliance.trainer import fits  # noqa: PLC0415
    from appliance.trainer.partition import is_good  # noqa: PLC0415
    from appliance.training.fit_run import FitRun  # noqa: PLC0415

    runtime = OpenVinoRuntime()
    precision = runtime.choose()
    memory, marks = Memory(), [("start", *_now())]
    before = _status("VmHWM") // 1000
    known = read_data(data, TaskName(task))
    samples = [sample for sample in known.samples if task != "anomaly" or is_good(sample)]
    marks.append(("reading", *_now()))
    seen = 0

    def tell(step: str, share: float) -> None:  # noqa: ARG001  shares are of the whole fit
        nonlocal seen
        if FEATURES.match(step):
            marks[2:] = [("features", *_now())]
            seen += 1
            print(min(1.0, seen / len(samples)), flush=True)

    work.mkdir(parents=True, exist_ok=True)
    run = FitRun(runtime, precision, CREATED, folder=work, tell=tell, threads=THREADS)
    fitted = fits.fit(known, samples, run)
    marks.append(("fit", *_now()))
    place = work / "bundle"
    shutil.rmtree(place, ignore_errors=True)
    bundles.write(place, fitted.manifest, fitted.files)
    load_bundle(place, runtime, precision, 1)
    marks.append(("proof", *_now()))
    stages = {
        name: {"s": round(wall - last[1], 2), "cpu_s": round(cpu - last[2], 2)}
        for last, (name, wall, cpu) in itertools.pairwise(marks)
    }
    whole = marks[-1][1] - marks[0][1], marks[-1][2] - marks[0][2]
    return {
        "pictures": len(samples),
        "stages": stages,
        "s": round(whole[0], 2),
        "cpu_s": round(whole[1], 2),
        "pictures_per_s": round(len(samples) / whole[0], 2),
        "pictures_per_cpu_s": round(len(samples) / whole[1], 2),
        "before_mb": before,
        "peak": memory.end(),
        "model": hashlib.sha256(fitted.files["model.onnx"]).hexdigest()[:12],
    }


def stages(task: str) -> Found:
    """Give the stages at n and 4 n pictures and by how much memory grew."""
    few, many = (child(task, WORK / f"plates-{size}", _fresh(f"{task}-{size}")) for size in SIZES)
    growth = {key: round(many["peak"][key] / few["peak"][key], 3) for key in few["peak"]}
    added = many["pictures"] - few["pictures"]
    each = round(1e3 * (many["peak"]["anonymous_mb"] - few["peak"]["anonymous_mb"]) / added, 1)
    return {"n": few, "4n": many, "peak_ratio": growth, "anonymous_kb_per_further_picture": each}


def resumed(task: str, alone: Found) -> Found:
    """Kill a training while it computes features, let it go on, and hold it against one that was left alone."""
    data, work = WORK / f"plates-{SIZES[1]}", _fresh(f"{task}-killed")
    running = subprocess.Popen(_command(task, data, work), stdout=subprocess.PIPE, text=True, cwd=ROOT)
    reached = 0.0
    for line in running.stdout or ():
        if line.startswith("{"):
            break
        reached = float(line)
        if reached >= KILLED_AFTER:
            running.kill()
    running.wait()
    killed = running.returncode < 0
    again = child(task, data, work)
    return {
        "killed": killed,
        "killed_at_share_of_features": round(reached, 3),
        "whole_cpu_s": alone["cpu_s"],
        "resumed_cpu_s": again["cpu_s"],
        "features_again": round(again["stages"]["features"]["cpu_s"] / alone["stages"]["features"]["cpu_s"], 3),
        "same_model": again["model"] == alone["model"],
    }


def tuned() -> Found:
    """Fit the head on the frozen backbone, then let the last fifth of the layers learn on as well."""
    if importlib.util.find_spec("torch") is None:
        return {"skipped": "torch is not installed; it comes with the extra [train]"}
    from msgspec.structs import replace  # noqa: PLC0415 (as in one_fit)

    from appliance.datasets.reading import read_data  # noqa: PLC0415
    from appliance.runtimes.openvino import OpenVinoRuntime  # noqa: PLC0415
    from appliance.schema.bundle import TaskName  # noqa: PLC0415
    from appliance.trainer.fits import frames_of  # noqa: PLC0415
    from appliance.training.classification import RECORD, fit_classification_bundle  # noqa: PLC0415
    from appliance.training.classification_options import ClassificationOptions  # noqa: PLC0415
    from appliance.training.fit_run import FitRun  # noqa: PLC0415

    known, runtime = read_data(WORK / f"plates-{SIZES[0]}", TaskName.CLASSIFICATION), OpenVinoRuntime()
    labels, groups = [one.label for one in known.samples], [one.group for one in known.samples]
    frozen = ClassificationOptions()
    rows: Found = {"pictures": len(labels), "passes": TUNED_PASSES}
    for name, options in (("frozen", frozen), ("tuned", replace(frozen, finetune=True, passes=TUNED_PASSES))):
        run = FitRun(runtime, runtime.choose(), CREATED, threads=THREADS)
        wall, cpu = _now()
        fitted = fit_classification_bundle(
            frames_of(known, known.samples), labels, known.classes, known.pixel_format, run, options, groups
        )
        record = json.loads(fitted.files[RECORD])
        spent = {"s": round(_now()[0] - wall, 2), "cpu_s": round(_now()[1] - cpu, 2)}
        rows[name] = spent | {key: record[key] for key in ("log_loss", "accuracy", "tuned", "tuned_log_loss")}
    rows["cpu_ratio"] = round(rows["tuned"]["cpu_s"] / rows["frozen"]["cpu_s"], 2)
    return rows


def gpu() -> str:
    """Name the GPU that torch sees, or say that there is none."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    import torch  # noqa: PLC0415 (torch is optional)

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"


def child(task: str, data: Path, work: Path) -> Found:
    """Run one fit in a process of its own."""
    done = subprocess.run(_command(task, data, work), stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    before = load_average()
    for size in SIZES:
        plates(size)
    told: Found = {"shape": SHAPE, "gpu": gpu(), "threads": THREADS, "runtime": "openvino"}
    for task in TASKS:
        told[task] = stages(task)
        _show(task, told[task])
        _write(told | {"load_before": before})
    told["resumed"] = {task: resumed(task, told[task]["4n"]) for task in TASKS}
    _write(told | {"load_before": before})
    for task, found in told["resumed"].items():
        print(f"{task} killed at {found['killed_at_share_of_features']:.0%} of the features: {found}", flush=True)
    told["fine_tuning"] = tuned()
    print(f"fine-tuning: {told['fine_tuning']}", flush=True)
    _write(told | {"load_before": before})


def _show(task: str, found: Found) -> None:
    for name in ("n", "4n"):
        own = found[name]
        parts = ", ".join(f"{stage} {spent['cpu_s']}" for stage, spent in own["stages"].items())
        print(f"{task} {own['pictures']} pictures: {own['cpu_s']} CPU s ({parts}), peak {own['peak']}", flush=True)
    print(f"  memory at 4 n over n: {found['peak_ratio']}", flush=True)


def _write(told: Found) -> None:
    RESULT.parent.mkdir(exist_ok=True)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    content = told | {"date": date, "load_after": load_average(), "machine": fingerprint()}
    RESULT.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _command(task: str, data: Path, work: Path) -> list[str]:
    return [sys.executable, "-m", "bench.training", "one", task, str(data), str(work)]


def _fresh(name: str) -> Path:
    shutil.rmtree(WORK / name, ignore_errors=True)
    return WORK / name


def _now() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _status(name: str) -> int:
    """Give a line of this process's memory in kB."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one_fit(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))))
    else:
        os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
        main()
