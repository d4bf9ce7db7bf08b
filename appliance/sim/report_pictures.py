"""Choose the parts worth looking at and make small pictures of their stored images."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import tifffile
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.finding import Box
from appliance.schema.frame import PixelFormat
from appliance.sim.report_outcomes import CAUGHT, ESCAPE, OVERKILL, Shown
from appliance.storage import queries

MOST = 12
"""Escapes, and overkills, shown; the counts above them are complete."""

LONGEST_PX = 360
"""Longer side of a thumbnail: sharp at twice the size it is shown in."""

QUALITY = 82


class Picture(Struct, frozen=True):
    """Give a thumbnail with what the model found, in pixels of the whole frame."""

    data: str
    """JPEG as a data URI."""
    columns: int
    rows: int
    boxes: tuple[Box, ...]


class Card(Struct, frozen=True):
    """Show one part."""

    part: Shown
    picture: Picture | None
    missing: str
    """Why there is no picture."""


def chosen(parts: Sequence[Shown]) -> dict[str, list[Shown]]:
    """Pick escapes, overkills (scored ones first), and of each defect kind the clearest part that was caught."""
    overkill = sorted((part for part in parts if part.outcome == OVERKILL), key=lambda part: part.score is None)
    best: dict[str, Shown] = {}
    for part in parts:
        if part.outcome == CAUGHT and (part.kind not in best or (part.score or 0) > (best[part.kind].score or 0)):
            best[part.kind] = part
    return {
        ESCAPE: [part for part in parts if part.outcome == ESCAPE][:MOST],
        OVERKILL: overkill[:MOST],
        CAUGHT: [best[kind] for kind in sorted(best)][:MOST],
    }


def card(part: Shown, folder: Path, stored: Sequence[dict[str, object]]) -> Card:
    """Join a part with its first kept image; `stored` are its image rows, `folder` is where their paths begin."""
    for image in stored:
        if image["path"] is None:
            continue
        path = folder / str(image["path"])
        if not path.is_file():
            return Card(part, None, f"the image file {path.name[:12]}... is gone")
        boxes = tuple(_boxes(part, str(image["camera"])))
        return Card(part, thumbnail(path, PixelFormat(str(image["pixel_format"])), boxes), "")
    reasons = [str(image["not_kept"]) for image in stored if image["not_kept"]]
    return Card(part, None, reasons[0] if reasons else "no image was kept of this part")


def thumbnail(path: Path, pixel_format: PixelFormat, boxes: tuple[Box, ...] = ()) -> Picture:
    """Read a stored image and shrink it; blocking, 20-60 ms for 5 MP."""
    rgb = _read(path, pixel_format)
    rows, columns = rgb.shape[:2]
    scale = min(1.0, LONGEST_PX / max(rows, columns))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small = np.ascontiguousarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    jpeg = simplejpeg.encode_jpeg(small, quality=QUALITY, colorspace="RGB")
    return Picture(f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}", columns, rows, boxes)


def _read(path: Path, pixel_format: PixelFormat) -> NDArray[np.uint8]:
    """Give (rows, columns, 3) uint8, RGB; a raw mosaic is demosaiced, a stored JPEG is RGB or grey already."""
    if path.suffix == ".jpg":
        return np.asarray(simplejpeg.decode_jpeg(path.read_bytes(), colorspace="RGB"), np.uint8)
    pixels = np.asarray(tifffile.imread(path), np.uint8)
    if pixel_format is PixelFormat.BAYER_RG8:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BayerRGGB2RGB), np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def _boxes(part: Shown, camera: str) -> Iterator[Box]:
    views = part.row.views if part.row else None
    for view in queries.views_of(views):
        if view.camera == camera:
            yield from (finding.box for finding in view.findings if finding.box is not None)
