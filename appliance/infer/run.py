"""Answer `firstshift infer`: findings of each picture, as JSON and drawn."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.datasets.pictures import as_colour, as_frame, read_picture
from appliance.decision.bands import UNCALIBRATED
from appliance.decision.disposition import is_fault, judge_score
from appliance.decision.novelty import is_unknown, p_value
from appliance.decision.standing import uncalibrated
from appliance.imaging.geometry import in_mm
from appliance.infer.overlay import draw
from appliance.ports.runtime import Runtime
from appliance.ports.task import FrameReader, Reading
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.policy import Policy
from appliance.schema.verdict import Disposition, Reason
from appliance.services._inspector import LoadedBundle, load_bundle
from appliance.services._runtimes import open_runtime
from appliance.storage import bundle as bundles
from appliance.storage.whole_file import write_whole


class InferOptions(Struct, frozen=True):
    """Take what the command line says."""

    bundle: Path
    pictures: tuple[Path, ...]
    runtime: str | None = None
    """None: the one the bundle was calibrated with."""
    precision: str | None = None
    """None: the one the bundle was calibrated in."""
    json: str | None = None
    """File for the JSON, `-` for standard output alone."""
    overlay: Path | None = None
    """Folder for the pictures with findings drawn on them."""
    mm_per_px: float | None = None
    threads: int = 1


def run_infer(options: InferOptions) -> int:
    """Look at every picture and report; all are read before the first is judged, so that bad input loses nothing."""
    if options.mm_per_px is not None and not 0 < options.mm_per_px < math.inf:
        raise ConfigError(f"--mm-per-px: {options.mm_per_px:g} mm per pixel, must be over 0; give the camera's scale")
    if options.threads < 1:
        raise ConfigError(f"--threads: {options.threads}, at least 1 is needed; give the number of cores to use")
    pictures = [read_picture(path) for path in options.pictures]
    manifest = bundles.read(options.bundle).manifest
    runtime = open_runtime(options.runtime or manifest.runtime)
    precision = options.precision or (
        manifest.precision if runtime.name == manifest.runtime else _nearest(runtime, manifest.precision)
    )
    loaded = load_bundle(options.bundle, runtime, precision, options.threads, any_precision=True)
    scale = options.mm_per_px or manifest.preprocessing.mm_per_px
    readers: dict[tuple[int, ...], FrameReader] = {}
    entries = []
    for path, picture in zip(options.pictures, pictures, strict=True):
        frame = as_frame(picture, manifest.preprocessing.pixel_format)
        if frame.shape not in readers:
            readers[frame.shape] = loaded.reader((frame.shape[0], frame.shape[1]))
        reading = readers[frame.shape].read(frame)
        reading = msgspec.structs.replace(reading, findings=in_mm(reading.findings, scale))
        entries.append(_entry(path, reading, loaded))
        if options.overlay is not None:
            shown = as_colour(frame, manifest.preprocessing.pixel_format)
            _store(_drawn(shown, reading, entries[-1], loaded), _place(options.overlay, path, options.pictures))
    _report(options, loaded, entries)
    return 0


def _nearest(runtime: Runtime, calibrated: str) -> str:
    """Give the calibrated precision where the runtime has it, else its own choice."""
    try:
        return runtime.choose(calibrated)
    except RuntimeFault:
        return runtime.choose("auto")


def _entry(path: Path, reading: Reading, loaded: LoadedBundle) -> dict[str, Any]:
    calibration = loaded.manifest.calibration
    limits = (calibration.accept_below, calibration.reject_above) if calibration else (None, None)
    disposition, reason = judge_score(reading.score, *limits)
    known = loaded.manifest.novelty
    p = p_value(reading.novelty, known.scores) if known else None
    if not loaded.calibration_holds and not is_fault(reading.score):
        disposition, reason = UNCALIBRATED
    # As a recipe that says nothing of it would have the line do.
    if known and not is_fault(reading.score) and is_unknown(p, len(known.scores), Policy().unknown_rate):
        disposition, reason = Disposition.UNKNOWN, Reason.UNKNOWN_DEFECT
    return {
        "image": str(path),
        "score": _finite(reading.score),
        "disposition": disposition.value,
        "reason": reason.value,
        "novelty": _finite(reading.novelty),
        "novelty_p": p,
        "findings": [msgspec.to_builtins(finding) for finding in reading.findings],
        "preprocess_ms": round(reading.preprocess_ms, 3),
        "inference_ms": round(reading.inference_ms, 3),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _drawn(
    picture: NDArray[np.uint8], reading: Reading, entry: dict[str, Any], loaded: LoadedBundle
) -> NDArray[np.uint8]:
    features = {item.name for head in loaded.manifest.heads for item in head.classes if not item.defect}
    said = entry["disposition"].upper()
    if entry["reason"] == Reason.UNCALIBRATED:
        said += f" ({entry['reason']})"
    count = len(reading.findings)
    headline = (
        f"{said}   score {reading.score:.3g}   {count} finding{'' if count == 1 else 's'}   {Path(entry['image']).name}"
    )
    return draw(picture, reading.findings, frozenset(features), headline)


def _place(folder: Path, picture: Path, all_pictures: Sequence[Path]) -> Path:
    """Name an overlay after its picture, with its folder where two would share a name."""
    shared = [other for other in all_pictures if other.stem == picture.stem]
    if len({other.resolve() for other in shared}) == 1:
        return folder / f"{picture.stem}.png"
    return folder / f"{picture.stem}-{shared.index(picture) + 1}.png"


def _store(picture: NDArray[np.uint8], place: Path) -> None:
    _, content = cv2.imencode(".png", picture[:, :, ::-1])
    write_whole(place, content.tobytes())


def _report(options: InferOptions, loaded: LoadedBundle, entries: list[dict[str, Any]]) -> None:
    answer = {
        "bundle": loaded.bundle.id,
        "task": loaded.manifest.task.value,
        "runtime": loaded.runtime,
        "precision": loaded.precision,
        "limits_hold": loaded.calibration_holds,
        "uncalibrated": uncalibrated(loaded.manifest, loaded.precision),
        "images": entries,
    }
    text = json.dumps(answer, indent=1, allow_nan=False) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
        return
    if options.json is not None:
        write_whole(Path(options.json), text.encode())
    sys.stdout.write("".join(f"{_line(entry)}\n" for entry in entries))
    if answer["uncalibrated"]:
        sys.stdout.write(f"{answer['uncalibrated']}\n")


def _line(entry: dict[str, Any]) -> str:
    score = "nan" if entry["score"] is None else f"{entry['score']:.3g}"
    return f"{entry['disposition']:<10} {score:>8}  {entry['image']}: {_summed(entry['findings'])}"


def _summed(findings: list[dict[str, Any]]) -> str:
    """Say each text, and of each other kind how many there are and the best score."""
    said = []
    for kind in dict.fromkeys(finding["kind"] for finding in findings):
        own = [finding for finding in findings if finding["kind"] == kind]
        if kind in {"text", "code"}:
            said += [finding["text"] or f"{kind} unreadable" for finding in own]
        else:
            count = f"{len(own)} x " if len(own) > 1 else ""
            said.append(f"{count}{kind} {max(finding['score'] for finding in own):.2f}")
    return ", ".join(said) or "nothing found"
