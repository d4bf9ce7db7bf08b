"""Read size and kind of a picture from its first and last bytes, without decoding it."""

import struct
from pathlib import Path
from typing import BinaryIO

import tifffile
from msgspec import Struct

from appliance.schema.errors import ConfigError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
LARGEST_PIXELS = 2**27
"""134 megapixels: the largest area sensors on sale have 151, line scans are cut before that; RGB takes 400 MB."""
PNG, JPEG, BMP, TIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
TAIL = 4096
"""Bytes at the end in which a whole file's end mark is looked for: some programs write a few more after it."""
TURNED = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange rows and columns (CIPA DC-008, tag 0x0112)."""


class Header(Struct, frozen=True):
    """Say what a picture is."""

    rows: int
    """As shown, after its EXIF orientation."""
    cols: int
    channels: int
    """1 or 3; alpha is not counted."""
    alpha: bool = False
    orientation: int = 1
    """EXIF; 1: as stored."""
    lossy: bool = False
    """JPEG."""
    converted: bool = False
    """It holds four printing colours, which become RGB without a colour profile."""


def read_header(path: Path) -> Header:
    """Give what the picture's header says; ConfigError when it is damaged, too large or of another kind."""
    try:
        with path.open("rb") as file:
            start = file.read(32)
            file.seek(0, 2)
            size = file.tell()
            header, bits = _read(path, file, start, size)
    except OSError as cause:
        raise ConfigError(f"{path}: cannot be read ({cause.strerror}); name a picture file") from cause
    if bits > 8:
        raise ConfigError(
            f"{path}: {bits} bits per channel, only 8 bits are read; convert it to 8 bits, as the line's camera does"
        )
    if min(header.rows, header.cols) < 1 or header.rows * header.cols > LARGEST_PIXELS:
        limit = f"1 px to {LARGEST_PIXELS / 1e6:.0f} megapixels"
        raise ConfigError(f"{path}: {header.cols} x {header.rows} px, must have {limit}; cut it into parts")
    return header


def _read(path: Path, file: BinaryIO, start: bytes, size: int) -> tuple[Header, int]:
    """Give the header and the bits per channel."""
    if start.startswith(PNG) and start[12:16] == b"IHDR" and len(start) >= 26:
        return _png(path, file, start, size)
    if start.startswith(JPEG):
        return _jpeg(path, file, size)
    if start.startswith(BMP) and len(start) >= 30:
        return _bmp(path, file, start, size)
    if start.startswith(TIFF):
        return _tiff(path)
    known = ", ".join(sorted(SUFFIXES))
    raise ConfigError(f"{path}: {size} bytes are no picture that can be read; give one of {known}")


def _png(path: Path, file: BinaryIO, start: bytes, size: int) -> tuple[Header, int]:
    cols, rows, bits, kind = struct.unpack(">IIBB", start[16:26])
    if b"IEND" not in _tail(file, size):
        raise _truncated(path, size)
    return Header(rows, cols, 1 if kind in {0, 4} else 3, alpha=kind in {4, 6}), bits


def _bmp(path: Path, file: BinaryIO, start: bytes, size: int) -> tuple[Header, int]:
    pixels_at, header_bytes, cols, rows = struct.unpack("<IIii", start[10:26])
    bits = struct.unpack("<H", start[28:30])[0]
    compressed = header_bytes >= 40 and len(start) >= 32 and _compression(file) not in {0, 3}
    if not compressed and size < pixels_at + (cols * bits + 31) // 32 * 4 * abs(rows):
        raise _truncated(path, size)
    grey = bits <= 8 and _grey_palette(file, 14 + header_bytes, pixels_at)
    return Header(abs(rows), cols, 1 if grey else 3, alpha=bits == 32), 8


def _compression(file: BinaryIO) -> int:
    file.seek(30)
    return int.from_bytes(file.read(4), "little")


def _grey_palette(file: BinaryIO, begin: int, end: int) -> bool:
    file.seek(begin)
    palette = file.read(max(0, min(end - begin, 1024)))
    colours = zip(palette[0::4], palette[1::4], palette[2::4], strict=False)
    return all(blue == green == red for blue, green, red in colours)


def _jpeg(path: Path, file: BinaryIO, size: int) -> tuple[Header, int]:
    """Walk the segments to the frame header (ITU-T T.81, B.2.2)."""
    orientation, place = 1, 2
    while True:
        file.seek(place)
        mark = file.read(4)
        if len(mark) < 4 or mark[0] != 0xFF:
            raise _truncated(path, size)
        if mark[1] == 0xFF:  # fill byte
            place += 1
            continue
        length = struct.unpack(">H", mark[2:4])[0]
        if 0xC0 <= mark[1] <= 0xCF and mark[1] not in {0xC4, 0xC8, 0xCC}:
            break
        if mark[1] == 0xE1:
            orientation = _orientation(file.read(min(length, 65_535))) or orientation
        place += 2 + length
    frame = file.read(6)
    if len(frame) < 6 or b"\xff\xd9" not in _tail(file, size):
        raise _truncated(path, size)
    bits, rows, cols, channels = struct.unpack(">BHHB", frame)
    if orientation in TURNED:
        rows, cols = cols, rows
    converted = channels == 4
    return Header(rows, cols, 1 if channels == 1 else 3, orientation=orientation, lossy=True, converted=converted), bits


def _orientation(segment: bytes) -> int:
    """Give the EXIF orientation of an APP1 segment; 0 when it has none."""
    if not segment.startswith(b"Exif\0\0") or len(segment) < 14:
        return 0
    tiff = segment[6:]
    order = "<" if tiff[:2] == b"II" else ">"
    first = struct.unpack(order + "I", tiff[4:8])[0]
    if first + 2 > len(tiff):
        return 0
    for index in range(struct.unpack(order + "H", tiff[first : first + 2])[0]):
        entry = tiff[first + 2 + 12 * index : first + 14 + 12 * index]
        if len(entry) == 12 and struct.unpack(order + "H", entry[:2])[0] == 0x0112:
            value = int(struct.unpack(order + "H", entry[8:10])[0])
            return value if 1 <= value <= 8 else 0
    return 0


def _tiff(path: Path) -> tuple[Header, int]:
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            shape, bits, samples = page.shape, int(page.dtype.itemsize * 8), page.samplesperpixel
            planar = len(shape) == 3 and shape[0] == samples and shape[2] != samples
    except (tifffile.TiffFileError, ValueError, IndexError, RuntimeError, AttributeError, struct.error) as cause:
        said = next(iter(str(cause).splitlines()), type(cause).__name__)
        raise ConfigError(f"{path}: is a damaged TIFF ({said}); export it again") from cause
    if len(shape) not in {2, 3} or planar:
        raise ConfigError(f"{path}: is a TIFF of shape {shape}, must be rows x columns (x channels); export it again")
    channels = 1 if len(shape) == 2 or samples < 3 else 3
    return Header(shape[0], shape[1], channels, alpha=samples in {2, 4}), bits


def _tail(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, size - TAIL))
    return file.read(TAIL)


def _truncated(path: Path, size: int) -> ConfigError:
    return ConfigError(f"{path}: ends too early after {size} bytes; copy or export it again")
