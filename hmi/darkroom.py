"""Make pictures for the screen out of frames and stored images: copied out of the ring, demosaiced, cut and shrunk.

No Qt. A frame is copied out of its slot first (1 ms for 5 MP) and worked on afterwards: the slot is lent for as short a
time as can be, without a lease, so that its writer never waits; torn pixels show as FrameOverwritten and are dropped.
"""

import os
import threading
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import tifffile
from msgspec import Struct
from numpy.typing import NDArray

from appliance.bus.ring import RingReader
from appliance.schema.errors import FrameOverwritten, StoreError
from appliance.schema.frame import FrameName, FrameReady, PixelFormat
from hmi.mapping import FIT, Mapping, fit

Image = NDArray[np.uint8]

KEPT_BYTES = 64_000_000
"""Whole frames held of those shown last, so that a part can be looked at after its slot was used again."""

STORED_BYTES = 96_000_000
"""Decoded stored images held."""

NICE = 10
"""Of the thread that shrinks: whoever inspects goes first."""

READER = "hmi"

Key = FrameName | str
"""Names a frame, or a stored image by its path."""


class Pane(Struct, frozen=True):
    """Say what of a picture is wanted, in device pixels of the item that shows it."""

    width: int
    height: int
    zoom: float = FIT
    pan: tuple[float, float] | None = None
    """Frame pixel at the middle of the item; None: the frame's own middle."""


class Print(Struct, frozen=True):
    """Give a picture ready to be drawn pixel for pixel."""

    image: Image
    """(rows, columns) or (rows, columns, 3) uint8 RGB, contiguous; nobody writes to it any more."""
    x: int
    """Item position of its left edge."""
    y: int
    mapping: Mapping
    rows: int
    """Of the whole frame."""
    columns: int


class Darkroom:
    """Own the rings, the kept frames and the decoded images; belongs to one thread, the worker's."""

    def __init__(self, runtime: Path, images: Path) -> None:
        self._rings = RingReader(runtime, READER, lease=False)
        self._images = images
        self._kept: OrderedDict[FrameName, tuple[Image, PixelFormat]] = OrderedDict()
        self._kept_bytes = 0
        self._free: list[Image] = []
        self._stored: OrderedDict[str, tuple[Image, PixelFormat]] = OrderedDict()
        self._stored_bytes = 0

    def keep(self, frames: tuple[FrameReady, ...]) -> int:
        """Copy frames out of their rings; gives how many were gone already."""
        gone = 0
        for frame in frames:
            name = name_of(frame)
            if name in self._kept:
                continue
            copy = self._blank(frame)
            try:
                with self._rings.borrow(frame) as pixels:
                    np.copyto(copy, pixels)
            except FrameOverwritten:
                self._free.append(copy)
                gone += 1
                continue
            self._kept[name] = (copy, frame.pixel_format)
            self._kept_bytes += copy.nbytes
        return gone

    def develop(self, key: Key, pane: Pane) -> Print | None:
        """Make the picture of a kept frame or a stored image; None when the frame is not held any more.

        StoreError when the file cannot be read.
        """
        found = self._kept.get(key) if isinstance(key, FrameName) else self._decoded(key)
        return developed(*found, pane) if found is not None else None

    def whole(self, path: str) -> Image:
        """Give a whole stored image as people see it, grey or RGB; StoreError when the file cannot be read."""
        return shown(*self._decoded(path))

    def _decoded(self, path: str) -> tuple[Image, PixelFormat]:
        """Decode a stored image; one held already is given at once."""
        found = self._stored.get(path)
        if found is None:
            found = self._stored[path] = read_image(self._images / path)
            self._stored_bytes += found[0].nbytes
            while self._stored_bytes > STORED_BYTES and len(self._stored) > 1:
                _, (old, _) = self._stored.popitem(last=False)
                self._stored_bytes -= old.nbytes
        self._stored.move_to_end(path)
        return found

    def close(self) -> None:
        """Give the rings back."""
        self._rings.close()
        self._kept.clear()
        self._stored.clear()
        self._free.clear()

    def _blank(self, frame: FrameReady) -> Image:
        """Give a buffer of the frame's shape: one of a frame that nobody needs any more, if there is one."""
        channels = frame.pixel_format.channels
        shape = (frame.rows, frame.columns) if channels == 1 else (frame.rows, frame.columns, channels)
        size = frame.rows * frame.columns * channels
        while self._kept and self._kept_bytes + size > KEPT_BYTES:
            _, (old, _) = self._kept.popitem(last=False)
            self._kept_bytes -= old.nbytes
            self._free.append(old)
        fitting = next((item for item in self._free if item.shape == shape), None)
        self._free = [item for item in self._free if item is not fitting and item.shape == shape]
        return fitting if fitting is not None else np.empty(shape, np.uint8)


def developed(pixels: Image, pixel_format: PixelFormat, pane: Pane) -> Print:
    """Cut and scale a frame to a pane; enlarged pixels stay square, shrunk ones are averaged over their area.

    Averaging keeps a scratch of one pixel visible, which nearest neighbours may hide; 8 ms against 2 ms (linear) for
    5 MP to 946 x 791 (reference measurement of 2026-11-21).
    """
    rows, columns = pixels.shape[:2]
    mapping = fit(pane.width, pane.height, rows, columns, pane.zoom, pane.pan)
    left, top, right, bottom = _window(mapping, pane, rows, columns)
    cut = pixels[top:bottom, left:right]
    size = (round((right - left) * mapping.scale), round((bottom - top) * mapping.scale))
    size = (max(size[0], 1), max(size[1], 1))
    quads = pixel_format is PixelFormat.BAYER_RG8 and pixels.ndim == 2 and mapping.scale <= 0.5
    if quads and cut.shape[0] % 2 == cut.shape[1] % 2 == 0:
        image = shrunk_mosaic(cut, size)
    else:
        image = _scaled(shown(cut, pixel_format), size)
    x, y = round(left * mapping.scale + mapping.x), round(top * mapping.scale + mapping.y)
    return Print(image, x, y, mapping, rows, columns)


def shrunk_mosaic(mosaic: Image, size: tuple[int, int]) -> Image:
    """Shrink a BayerRG8 mosaic of even sides to (width, height), at most half: each colour is averaged over its pixels.

    Half the time of demosaicing first (11 against 21 ms for 5 MP to 600 x 502, 2026-11-22), and no colour is guessed.
    """
    rows, columns = mosaic.shape
    quads = np.ascontiguousarray(mosaic).reshape(rows // 2, 2, columns // 2, 2)
    upper = cv2.resize(quads[:, 0], size, interpolation=cv2.INTER_AREA)  # red, green
    lower = cv2.resize(quads[:, 1], size, interpolation=cv2.INTER_AREA)  # green, blue
    green = cv2.addWeighted(upper[:, :, 1], 0.5, lower[:, :, 0], 0.5, 0)
    return np.asarray(cv2.merge((upper[:, :, 0], green, lower[:, :, 1])), np.uint8)


def read_image(path: Path) -> tuple[Image, PixelFormat]:
    """Decode a stored image, and say what its pixels are; StoreError when it cannot be read."""
    try:
        if path.suffix == ".tif":
            with tifffile.TiffFile(path) as file:
                image, said = file.asarray(), file.pages[0].description
            return np.ascontiguousarray(image, np.uint8), PixelFormat(said.removeprefix("pixel_format="))
        data = path.read_bytes()
        if simplejpeg.decode_jpeg_header(data)[2] == "Gray":
            return np.asarray(simplejpeg.decode_jpeg(data, colorspace="GRAY")[:, :, 0], np.uint8), PixelFormat.MONO8
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB"), np.uint8), PixelFormat.RGB8
    except (OSError, ValueError, RuntimeError, tifffile.TiffFileError) as error:
        raise StoreError(f"{path}: cannot be shown: {error}; restore the file from the backup") from error


def name_of(frame: FrameReady) -> FrameName:
    """Name a frame for ever."""
    return FrameName(frame.camera, frame.ref.epoch, frame.frame_id)


def step_aside() -> None:
    """Let the calling thread run when nobody who inspects wants the core; Linux knows a nice value per thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    cv2.setNumThreads(1)


def _window(mapping: Mapping, pane: Pane, rows: int, columns: int) -> tuple[int, int, int, int]:
    """Give the part of the frame that shows: whole pixels, even corners, so that no Bayer quad is cut."""
    left = max(int(-mapping.x / mapping.scale) // 2 * 2, 0)
    top = max(int(-mapping.y / mapping.scale) // 2 * 2, 0)
    right = min(-(-int((pane.width - mapping.x) / mapping.scale + 1) // 2) * 2, columns)
    bottom = min(-(-int((pane.height - mapping.y) / mapping.scale + 1) // 2) * 2, rows)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def shown(pixels: Image, pixel_format: PixelFormat) -> Image:
    """Give pixels as people see them: (rows, cols) grey, or (rows, cols, 3) RGB; Bayer data demosaiced."""
    if pixel_format is PixelFormat.BAYER_RG8 and pixels.ndim == 2 and min(pixels.shape) > 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BayerRGGB2RGB), np.uint8)
    return pixels


def _scaled(image: Image, size: tuple[int, int]) -> Image:
    if size == (image.shape[1], image.shape[0]):
        return np.array(image, order="C")
    way = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_NEAREST
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=way), np.uint8)
