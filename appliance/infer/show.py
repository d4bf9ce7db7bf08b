"""Say in words what a bundle is, what its limits promise, and what it is too coarse to see."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.config import Loaded
from appliance.decision.standing import uncalibrated
from appliance.imaging.tiling import input_pixels_per_mm, tile_grid, too_small
from appliance.schema.bundle import ConfidenceCurve, GoodOnlyCalibration, Head, Manifest
from appliance.schema.errors import ConfigError
from appliance.storage import bundle as bundles


class Scale(Struct, frozen=True):
    """Name a view with the size and scale of its frames."""

    view: str
    frame_shape: tuple[int, int]
    mm_per_px: float


def describe(folder: Path, station: Loaded | None = None) -> str:
    """Give the lines that `bundle show` prints; station: its cameras' scales, and the precision that it runs in."""
    found = bundles.read(folder)
    manifest = found.manifest
    precision = station.config.judge.precision if station is not None else manifest.precision
    standing = f"warning: {uncalibrated(manifest, precision)}" if precision != manifest.precision else ""
    lines = [found.id, *_about(manifest), *warnings(manifest, scales(manifest, station))]
    return "\n".join([*lines, *filter(None, [standing])])


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
        yield "warning: uncalibrated: no limits are set, so by limits no part is accepted; calibrate it on good parts"
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


def limits_line(calibration: GoodOnlyCalibration) -> str:
    """Say what limits are and what they promise."""
    return (
        f"accept up to {calibration.accept_below:.4g}, reject over {calibration.reject_above:.4g}; overkill expected "
        f"{calibration.overkill_expected:.1%}, at most {calibration.overkill_upper:.1%} (95 %, n={calibration.images})"
    )


def curve_line(curve: ConfidenceCurve) -> str:
    """Say how a confidence was fitted and how well it holds."""
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in curve.log_losses.items())
    interval = "" if curve.error_low is None else f" ({curve.error_low:.3f} to {curve.error_high:.3f})"
    return (
        f"{curve.kind or 'image score'}: {curve.method}, expected calibration error {curve.error:.3f}{interval}, "
        f"{curve.right} of {curve.count} right, {curve.parts} parts" + (f"; log loss {losses}" if losses else "")
    )


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
        yield f"limits     {limits_line(manifest.calibration)}"
    for curve in manifest.confidence:
        yield f"confidence {curve_line(curve)}"
    if not any(not curve.kind for curve in manifest.confidence):
        yield "confidence uncalibrated: none of the image score was fitted, so by confidence nothing is accepted"
    for path in manifest.evidence:
        yield f"evidence   {path}"
    size = sum(file.bytes for file in manifest.files) / 1e6
    yield f"files      {len(manifest.files)}, {size:.1f} MB, every byte verified"


def _head(head: Head) -> str:
    names = ", ".join(item.name + ("" if item.defect else " (no defect)") for item in head.classes)
    return f"{head.task}: {names or 'any text'}"
