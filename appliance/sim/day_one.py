"""Fit the day-one bundle of a simulated station from good parts, before the first part runs."""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.sim.parts.dayone import good_frames, groups_of
from appliance.sim.parts.photographs import open_photographs
from appliance.sim.parts.renderer import SIZE
from appliance.sim.parts.truth import GOOD
from appliance.storage import bundle
from appliance.training.anomaly import AnomalyOptions, fit_anomaly
from appliance.training.fit_run import FitRun
from appliance.training.novelty import with_novelty

GOOD_FRAMES = 60
"""Enough for a limit whose overkill is at most 5 % with 95 % confidence (59 good images and none over the limit)."""


class Pictures(Struct, frozen=True):
    """Say what the simulated camera will see."""

    images: Path | None
    """Folder of photographs; None: rendered parts."""
    width_px: int
    height_px: int
    pixel_format: PixelFormat
    precision: str
    seed: int


def pictures_of(images: Path | None, width_px: int | None, height_px: int | None, seed: int) -> Pictures:
    """Choose the camera's format for rendered parts or a folder of photographs; ConfigError for an unusable folder."""
    size, pixel_format = SIZE, PixelFormat.BAYER_RG8
    if images is not None:
        folder = open_photographs(images)
        size = folder.size
        pixel_format = PixelFormat.BAYER_RG8 if folder.colour else PixelFormat.MONO8
    return Pictures(
        images=images,
        width_px=width_px or size[0],
        height_px=height_px or size[1],
        pixel_format=pixel_format,
        precision=OpenVinoRuntime().choose("auto"),
        seed=seed,
    )


def pictures_for(folder: Path, pictures: Pictures) -> Pictures:
    """Set the camera as a bundle wants it; ConfigError for one of another runtime, RuntimeFault for a damaged one."""
    manifest = bundle.read(folder).manifest
    if manifest.runtime != OpenVinoRuntime().name:
        raise ConfigError(
            f"demo: bundle {folder} is calibrated in {manifest.runtime}, the demo runs {OpenVinoRuntime().name}; train "
            "one for it"
        )
    how = manifest.preprocessing
    width, height = pictures.width_px, pictures.height_px
    if how.keep_aspect and how.roi is None:  # larger frames have no verdict
        width, height = min(width, int(how.columns * how.shrink) & ~7), min(height, int(how.rows * how.shrink) & ~7)
    return replace(
        pictures,
        pixel_format=how.pixel_format,
        precision=manifest.precision.value,
        width_px=width,
        height_px=height,
    )


def install(source: Path, target: Path) -> None:
    """Copy a bundle to where the station keeps its own; ConfigError when another one is there already."""
    if target.exists():
        if bundle.read(target).id != bundle.read(source).id:
            raise ConfigError(f"demo: {target} is another bundle than {source}; give another --state")
        return
    found = bundle.read(source)
    bundle.write(target, found.manifest, found.files)


def fit_day_one(pictures: Pictures, folder: Path, say: Callable[[str], None]) -> str:
    """Fit and store the bundle; gives its id. Blocks for seconds."""
    begin = time.monotonic()
    say(f"fitting the day-one bundle from {GOOD_FRAMES} good parts ...")
    runtime, created = OpenVinoRuntime(), datetime.now(UTC).isoformat(timespec="seconds")
    groups = groups_of(GOOD_FRAMES, pictures.seed, pictures.images) if pictures.images else None
    frames = list(_frames(pictures))
    fitted = fit_anomaly(
        frames,
        pictures.pixel_format,
        runtime,
        pictures.precision,
        created,
        AnomalyOptions(seed=pictures.seed),
        groups=groups,
        progress=_bar if sys.stderr.isatty() else None,
    )
    run = FitRun(runtime, pictures.precision, created, seed=pictures.seed)
    fitted = with_novelty(fitted, frames, [GOOD] * len(frames), run, groups)
    identity = bundle.write(folder, fitted.manifest, fitted.files)
    calibration = fitted.manifest.calibration
    if calibration is not None:
        say(
            f"fitted in {time.monotonic() - begin:.1f} s: overkill expected {calibration.overkill_expected:.1%}, "
            f"at most {calibration.overkill_upper:.1%} (95 %, n={calibration.images})"
        )
    return identity


def _frames(pictures: Pictures) -> Iterator[NDArray[np.uint8]]:
    return good_frames(
        GOOD_FRAMES,
        pictures.seed,
        size=(pictures.width_px, pictures.height_px),
        mono=pictures.pixel_format is PixelFormat.MONO8,
        images=pictures.images,
    )


def _bar(step: str, share: float) -> None:
    sys.stderr.write(f"\r  {step:<20} {share:4.0%}\x1b[K" + ("\n" if share >= 1 else ""))
    sys.stderr.flush()
