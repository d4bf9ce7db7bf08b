"""Fit bundles through the product's own chain and keep them, so that a stopped measurement goes on where it was."""

import hashlib
import json
import math
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from appliance.datasets.sample import DataSet, Sample
from appliance.datasets.truth import load_frame
from appliance.evaluation.templates import show_template
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.services._inspector import LoadedBundle, load_bundle
from appliance.storage import bundle as bundles
from appliance.trainer import fits, wishes
from appliance.training.fit_run import FitRun

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "bench-accuracy"
THREADS = 2
TIMED = 24
"""Pictures whose reading is timed."""
DIGITS = 5

Cost = dict[str, Any]


class Fits:
    """Fit, keep and load bundles in this machine's best precision."""

    def __init__(self, folder: Path = KEPT, minutes: float | None = None) -> None:
        """Take where bundles are kept and the time budget of each fit; None: no budget."""
        self.folder, self.minutes = folder, minutes
        self._runtime = OpenVinoRuntime()
        self._precision = self._runtime.choose()
        self._code = _code()

    def about(self) -> dict[str, Any]:
        """Say when and how was fitted."""
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "runtime": f"{self._runtime.name} {self._precision}",
            "threads": THREADS,
            "minutes": self.minutes,
            "code": self._code,
        }

    def fit(
        self, name: str, data: DataSet, samples: Sequence[Sample], seed: int, defects: Sequence[Sample] = ()
    ) -> tuple[LoadedBundle, Cost]:
        """Give the bundle fitted to the samples and what that cost; one that is kept already is only loaded."""
        settings = (str(data.root.resolve()), data.task, data.classes, samples, defects)
        place = self.folder / f"{name}-{self._key(*settings, seed, self.minutes, self._precision)}"
        note, made = place / "cost.json", place / "bundle"
        if not note.exists():
            shutil.rmtree(made, ignore_errors=True)
            cost = self._fitted(made, place / "work", data, samples, seed, defects)
            note.write_text(json.dumps(cost), "utf-8")
            shutil.rmtree(place / "work", ignore_errors=True)
        known: Cost = json.loads(note.read_text("utf-8"))
        return load_bundle(made, self._runtime, self._precision, 1), known

    def cpu_ms(self, loaded: LoadedBundle, samples: Sequence[Sample]) -> dict[str, Any]:
        """Give CPU ms from frame to findings of some of the samples, one thread, the second reading of each frame."""
        spent = []
        for sample in samples[:: max(1, len(samples) // TIMED)][:TIMED]:
            frame = load_frame(sample, loaded.manifest.preprocessing.pixel_format)
            shape = (frame.shape[0], frame.shape[1])
            reader = loaded.reader(shape)
            show_template(reader, sample, shape)
            reader.read(frame)
            began = time.process_time()
            reader.read(frame)
            spent.append(1e3 * (time.process_time() - began))
        return {"median": round(statistics.median(spent), 2), "highest": round(max(spent), 2), "n": len(spent)}

    def remembered(self, name: str, about: Sequence[object], ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Give an answer, asked for once; one that says `skipped` is asked for again."""
        place = self.folder / f"{name}-{self._key(*about)}.json"
        if not place.exists():
            answer = ask()
            if "skipped" in answer:
                return answer
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(answer), "utf-8")
        known: dict[str, Any] = json.loads(place.read_text("utf-8"))
        return known

    def _fitted(
        self, made: Path, work: Path, data: DataSet, samples: Sequence[Sample], seed: int, defects: Sequence[Sample]
    ) -> Cost:
        resumed = work.exists()
        work.mkdir(parents=True, exist_ok=True)
        began, cpu = time.monotonic(), time.process_time()
        run = FitRun(
            self._runtime,
            self._precision,
            datetime.now(UTC).isoformat(timespec="seconds"),
            folder=work,
            left_s=lambda: math.inf if self.minutes is None else began + 60 * self.minutes - time.monotonic(),
            seed=seed,
            threads=THREADS,
        )
        fitted = fits.fit(data, samples, run, defects=defects)
        spent = {"fit_s": round(time.monotonic() - began, 1), "fit_cpu_s": round(time.process_time() - cpu, 1)}
        bundles.write(made, fitted.manifest, fitted.files)
        parts = len({sample.group for sample in (*samples, *defects)})
        counts = {"pictures": len(samples), "shown_defects": len(defects), "parts": parts}
        return {**spent, **counts, "resumed": resumed}

    def _key(self, *settings: object) -> str:
        return hashlib.sha256(repr((self._code, *settings)).encode()).hexdigest()[:12]


def plain(found: Any) -> Any:
    """Give plain values for JSON, numbers rounded."""
    return _rounded(msgspec.to_builtins(found, enc_hook=float))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _code() -> str:
    """Name what fits depend on: bundles of other code are not taken up."""
    digest = hashlib.sha256()
    own = (Path(fits.__file__), Path(wishes.__file__))
    for path in (*sorted((ROOT / "appliance" / "training").glob("*.py")), *own):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
