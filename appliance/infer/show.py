"""Say in words what a bundle is, what its limits promise, and what it is too coarse to see."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.config import Loaded
from appliance.imaging.tiling import input_pixels_per_mm, tile_grid, too_small
from appliance.schema.bundle import GoodOnlyCalibration, Head, Manifest
from appliance.schema.errors import ConfigError
from appliance.storage import bundle as bundles


class Scale(Struct, frozen=True):
    """Name a view with the size and scale of its frames."""

    view: str
    frame_shape: tuple[int, int]
    mm_per_px: float


def describe(folder: Path, station: Loaded | None = None) -> str:
    """Give the lines that `bundle show` prints; station: its cameras' scales instead of the training data's."""
    found = bundles.read(folder)
    return "\n".join([found.id, *_about(found.manifest), *warnings(found.manifest, scales(found.manifest, station))])


def manifest_json(folder: Path) -> str:
    """Give the manifest as JSON that people can read, with the bundle's id."""
    found = bundles.read(folder)
    return msgspec.json.format(msgspec.json.encode({"id": found.id, "manifest": found.manifest})).decode()


def scales(manifest: Manifest, station: Loaded | None) -> tuple[Scale, ...]:
    """Give the views whose scale is known: those of the station's recipe, else the training data's own."""
    if station is not None:
        cameras = ((view, station.config.camera[view]) for view in station.recipe.views)
        return tuple(Scale(v, (c.height_px, c.width_px), c.mm_per_px) for v, c in cameras if c.mm_per_px > 0)
    how = manifest.preprocessing
    if how.mm_per_px is None or how.frame_shape is None:
        return ()
    return (Scale("training data", how.frame_shape, how.mm_per_px),)


def warnings(manifest: Manifest, known: tuple[Scale, ...]) -> Iterator[str]:
    """Yield a line for everything that a person should know before trusting this bundle."""
    classes = tuple(item for head in manifest.heads for item in head.classes)
    if manifest.calibration is None:
        yield "warning: not calibrated: no part is accepted by this bundle; calibrate it"
    if any(item.min_size_mm is not None for item in classes) and not known:
        yield "warning: no scale is known, so smallest defects cannot be checked; set mm_per_px of the camera"
    for scale in known:
        try:
            if manifest.preprocessing.tiling is not None:
                tile_grid(manifest.preprocessing, scale.frame_shape)
        except ConfigError as cause:
            yield f"warning: {scale.view}: {cause}"
            continue
        density = input_pixels_per_mm(manifest.preprocessing, scale.frame_shape, scale.mm_per_px)
        for line in too_small(classes, density):
            yield f"warning: {scale.view}: {line}"


def _about(manifest: Manifest) -> Iterator[str]:
    how = manifest.preprocessing
    region = "whole frame" if how.roi is None else "region x {}, y {}, {} x {} px".format(*how.roi)
    tiles = (
        f", in tiles overlapping by {how.tiling.overlap_px} px at 1:{how.tiling.shrink:g}"
        if how.tiling is not None
        else ""
    )
    yield f"made       {manifest.created}" + (f" from {manifest.parent}" if manifest.parent else "")
    yield f"runs in    {manifest.runtime} {manifest.precision}"
    for head in manifest.heads:
        yield f"task       {_head(head)}"
    yield f"sees       {how.pixel_format}, {region} as {how.columns} x {how.rows} px{tiles}"
    for model in manifest.models:
        outputs = ", ".join(f"{output.name} {list(output.shape)}" for output in model.outputs)
        yield f"network    {model.file}: {list(model.input.shape)} -> {outputs}"
    data = manifest.data
    rendered = round(data.images * data.synthetic_share)
    yield f"data       {data.images} images, {rendered} of them rendered, {data.sha256[:12]}"
    if manifest.calibration is not None:
        yield f"limits     {_limits(manifest.calibration)}"
    for path in manifest.evidence:
        yield f"evidence   {path}"
    size = sum(file.bytes for file in manifest.files) / 1e6
    yield f"files      {len(manifest.files)}, {size:.1f} MB, every byte verified"


def _head(head: Head) -> str:
    names = ", ".join(item.name + ("" if item.defect else " (no defect)") for item in head.classes)
    return f"{head.task}: {names or 'any text'}"


def _limits(calibration: GoodOnlyCalibration) -> str:
    return (
        f"accept up to {calibration.accept_below:.4g}, reject over {calibration.reject_above:.4g}; overkill expected "
        f"{calibration.overkill_expected:.1%}, at most {calibration.overkill_upper:.1%} (95 %, n={calibration.images})"
    )
