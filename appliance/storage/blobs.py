"""Encode images and keep them as files that survive a power cut.

Accepted parts are kept as people look at them: JPEG q95 4:4:4, Bayer frames demosaiced first. All others are kept as
the model saw them: the raw mosaic, lossless, TIFF with zstd and horizontal predictor.
"""

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import tifffile
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.clocks import UtcNs
from appliance.schema.errors import StoreError
from appliance.schema.frame import PixelFormat
from appliance.schema.verdict import Disposition

JPEG_QUALITY = 95
MB = 1_000_000
UNFINISHED = ".tmp"

ORPHAN_LIMIT = 256
"""More files without a row than a crash can leave: the image writer's queue holds far fewer."""


class Encoded(Struct, frozen=True):
    """Give an image as the bytes of a file."""

    data: bytes
    extension: str
    encoding: str


class Blob(Struct, frozen=True):
    """Name a durable file."""

    path: str
    """Relative to the image folder."""
    sha256: str
    size: int


def encode(pixels: NDArray[np.uint8], pixel_format: PixelFormat, disposition: Disposition) -> Encoded:
    """Encode a frame, lossy only for an accepted part; blocking, 15-50 ms for 5 MP.

    `pixels`: (rows, columns) uint8 for Mono8 and BayerRG8, (rows, columns, 3) for RGB8; it is not changed.
    """
    if disposition is Disposition.ACCEPT:
        return _jpeg(pixels, pixel_format)
    return _tiff(pixels, pixel_format)


class Blobs:
    """Keep files under `YYYY-MM-DD/HH/<sha256>.<extension>`, UTC; used by one thread at a time."""

    def __init__(self, folder: Path, min_free_mb: int) -> None:
        self._folder = folder
        self._min_free_mb = min_free_mb
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be made: {error.strerror}; make its parent writable") from error

    @property
    def free_mb(self) -> int:
        """Free space of the disk, MB."""
        return shutil.disk_usage(self._folder).free // MB

    def check_space(self) -> None:
        """StoreError when the disk is too full to keep images."""
        free = self.free_mb
        if free < self._min_free_mb:
            raise StoreError(
                f"{self._folder}: {free} MB free, record.min_free_mb is {self._min_free_mb}; "
                "no image is kept until space is freed"
            )

    def keep(self, data: bytes, extension: str, at: UtcNs) -> Blob:
        """Write a file and make it durable; on any StoreError nothing of it remains. Blocking, about 10 ms."""
        self.check_space()
        digest = hashlib.sha256(data).hexdigest()
        hour = datetime.fromtimestamp(at / 1e9, UTC).strftime("%Y-%m-%d/%H")
        target = self._folder / hour / f"{digest}.{extension}"
        unfinished = target.with_name(target.name + UNFINISHED)
        try:
            self._make_folder(target.parent)
            try:
                _write_durably(unfinished, data)
                unfinished.rename(target)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise
            _sync_folder(target.parent)
        except OSError as error:
            raise StoreError(f"{target}: cannot be written: {error.strerror}; check disk space and owner") from error
        return Blob(f"{hour}/{target.name}", digest, len(data))

    def orphans(self, newest: str, is_named: Callable[[str], bool]) -> list[Path]:
        """Find files that no row names, in the hour of the newest row and later: older ones no crash has left."""
        since = newest[:13]
        found = []
        for folder in sorted(self._folder.glob("*-*-*/*")):
            hour = folder.relative_to(self._folder).as_posix()
            if hour >= since:
                files = (file for file in sorted(folder.iterdir()) if file.suffix != UNFINISHED)
                found += [file for file in files if not is_named(f"{hour}/{file.name}")]
        return found

    def too_many(self, orphans: Sequence[Path]) -> bool:
        """Say whether these are more than a crash can leave."""
        return len(orphans) > ORPHAN_LIMIT

    def remove(self, files: Sequence[Path]) -> int:
        """Delete files; gives their number."""
        try:
            for file in files:
                file.unlink()
        except OSError as error:
            raise StoreError(f"{error.filename}: cannot be removed: {error.strerror}; check its owner") from error
        return len(files)

    def remove_unfinished(self) -> int:
        """Delete files that a crash cut short; gives their number."""
        return self.remove(list(self._folder.glob(f"*-*-*/*/*{UNFINISHED}")))

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)
        _sync_folder(self._folder)


def _jpeg(pixels: NDArray[np.uint8], pixel_format: PixelFormat) -> Encoded:
    if pixel_format is PixelFormat.MONO8:
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels)[..., None], quality=JPEG_QUALITY, colorspace="GRAY")
        return Encoded(data, "jpg", "jpeg_q95_gray")
    if pixel_format is PixelFormat.BAYER_RG8:
        # PFNC names the pattern by its first row, so RG is OpenCV's RGGB (old OpenCV name: BayerBG).
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BayerRGGB2RGB), np.uint8)
    rgb = np.ascontiguousarray(pixels)
    data = simplejpeg.encode_jpeg(rgb, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="444")
    return Encoded(data, "jpg", "jpeg_q95_444")


def _tiff(pixels: NDArray[np.uint8], pixel_format: PixelFormat) -> Encoded:
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels,
        photometric="rgb" if pixel_format is PixelFormat.RGB8 else "minisblack",
        compression="zstd",
        compressionargs={"level": 1},
        predictor=True,
        description=f"pixel_format={pixel_format.value}",
        metadata=None,
        software=False,
    )
    return Encoded(buffer.getvalue(), "tif", "tiff_zstd_raw")


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
