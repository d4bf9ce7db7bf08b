"""Answer `firstshift bundle quantize`: an 8-bit sibling of a bundle, if it is good enough."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.datasets.header import SUFFIXES
from appliance.datasets.pictures import as_frame, read_picture
from appliance.schema.bundle import Manifest, Precision, TaskName
from appliance.schema.errors import ConfigError
from appliance.services._runtimes import open_runtime
from appliance.storage import bundle as bundles
from appliance.training.input_images import InputImages
from appliance.training.package import Contents, Network, pack
from appliance.training.quantize import FEWEST_IMAGES, GateResult, gate, quantized

EVIDENCE = "evidence/int8.json"
FINDING = 1


class QuantizeOptions(Struct, frozen=True):
    """Take what the command line says."""

    bundle: Path
    images: Path
    """Folder of pictures as the line sees them: one half sets the ranges, the other half is the gate."""
    out: Path
    runtime: str = "openvino"
    threads: int = 2


def run_quantize(options: QuantizeOptions) -> int:
    """Make the sibling and prove it; 1 and no bundle when the gate is not met. The sibling is not calibrated."""
    origin = bundles.read(options.bundle)
    manifest = origin.manifest
    if manifest.task is TaskName.OCR or len(manifest.models) != 1:
        raise ConfigError(
            f"bundle {options.bundle}: {manifest.task} of {len(manifest.models)} networks cannot be int8, 1 network "
            "of another task can; reading letters does not survive 8 bits"
        )
    if manifest.preprocessing.template is not None:
        raise ConfigError(
            f"bundle {options.bundle}: compares with a template, and its small network is no faster in int8; keep it"
        )
    if options.out.exists():
        raise ConfigError(f"{options.out}: exists already and bundles are never overwritten; choose another folder")
    frames = _frames(options.images, manifest)
    images = np.concatenate([*map(InputImages(manifest.preprocessing).of, frames)])
    spec, runtime = manifest.models[0], open_runtime(options.runtime)
    model = quantized(origin.files[spec.file], images[0::2])
    result = gate(
        runtime.load(origin.files[spec.file], Precision.F32, options.threads),
        runtime.load(model, Precision.INT8, options.threads),
        images[1::2],
    )
    sys.stdout.write(_told(result))
    if not result.passed:
        return FINDING
    kept = {head.settings for head in manifest.heads} | set(manifest.evidence)
    others = {file.path for file in manifest.files} - {spec.file, spec.golden, manifest.preprocessing.golden}
    others -= {manifest.novelty.file} if manifest.novelty else set()
    contents = Contents(
        heads=manifest.heads,
        networks={spec.name: Network(model, images[1::2])},
        settings={path: origin.files[path] for path in sorted(kept | others)}
        | {EVIDENCE: msgspec.json.format(msgspec.json.encode(result))},
        preprocessing=replace(manifest.preprocessing, golden=""),
        frame=frames[0],
        data=manifest.data,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        parent=origin.id,
        evidence=tuple(sorted({*manifest.evidence, EVIDENCE})),
    )
    fitted = pack(contents, runtime, Precision.INT8, options.threads)
    identity = bundles.write(options.out, fitted.manifest, fitted.files)
    sys.stdout.write(f"{identity}: not calibrated, so nothing is accepted by it yet; calibrate it\n")
    return 0


def _frames(folder: Path, manifest: Manifest) -> list[NDArray[np.uint8]]:
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if len(paths) < 2 * FEWEST_IMAGES:
        raise ConfigError(
            f"{folder}: {len(paths)} pictures, at least {2 * FEWEST_IMAGES} are needed: half set the ranges, half "
            "are the gate; add pictures as the line sees them"
        )
    return [as_frame(read_picture(path), manifest.preprocessing.pixel_format) for path in paths]


def _told(result: GateResult) -> str:
    lines = [
        f"{'ok  ' if value <= result.limit else 'FAIL'} {name}: mean difference from f32 {value:.3f}, limit "
        f"{result.limit:g}, worst {result.worst[name]:.3f}, {result.images} images\n"
        for name, value in result.mean.items()
    ]
    return "".join(lines) + ("" if result.passed else "int8 gate not met: no bundle is written; keep bf16 or f32\n")
