"""Call a GenTL producer's data stream directly: buffers that lie in the caller's memory, waits that free the GIL.

Names, signatures and numbers follow the GenTL Standard 1.6 (EMVA), chapter 6 and its enumerations.
"""

import ctypes
from ctypes import POINTER, byref, c_int32, c_size_t, c_ssize_t, c_uint64, c_void_p, sizeof
from typing import NamedTuple

from appliance.cameras.chunks import ChunkReader
from appliance.schema.errors import CameraError

_ERRORS = {
    -1001: "ERROR", -1002: "NOT_INITIALIZED", -1003: "NOT_IMPLEMENTED", -1004: "RESOURCE_IN_USE",
    -1005: "ACCESS_DENIED", -1006: "INVALID_HANDLE", -1007: "INVALID_ID", -1008: "NO_DATA", -1009: "INVALID_PARAMETER",
    -1010: "IO", -1011: "TIMEOUT", -1012: "ABORT", -1013: "INVALID_BUFFER", -1014: "NOT_AVAILABLE",
    -1015: "INVALID_ADDRESS", -1016: "BUFFER_TOO_SMALL", -1017: "INVALID_INDEX", -1018: "PARSING_CHUNK_DATA",
    -1019: "INVALID_VALUE", -1020: "RESOURCE_EXHAUSTED", -1021: "OUT_OF_MEMORY", -1022: "BUSY", -1023: "AMBIGUOUS",
}  # fmt: skip
_TIMEOUT, _ABORT, _IO = -1011, -1012, -1010

_BASE, _TIMESTAMP, _IS_INCOMPLETE, _SIZE_FILLED, _WIDTH, _HEIGHT, _X_PADDING = 0, 3, 7, 9, 10, 11, 14
_FRAME_ID, _IMAGE_OFFSET, _PIXEL_FORMAT, _TIMESTAMP_NS, _CONTAINS_CHUNKS = 16, 18, 20, 28, 30
_DELIVERED, _UNDERRUN, _QUEUED = 1, 2, 4
_DISCARD_ALL = 4
_STOP_KILL = 1
_FOR_EVER = 2**64 - 1
_MAX_CHUNKS = 64

PFNC = {"Mono8": 0x01080001, "BayerRG8": 0x01080009, "RGB8": 0x02180014}
"""PFNC 2.4 codes of the formats the data path takes."""


class _NewBuffer(ctypes.Structure):
    _fields_ = (("buffer", c_void_p), ("user", c_void_p))


class _Chunk(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("id", c_uint64), ("offset", c_ssize_t), ("length", c_size_t))


class Filled(NamedTuple):
    """Describe a filled buffer; addresses are this process's."""

    slot: int
    frame_id: int
    timestamp_ns: int | None
    incomplete: bool
    bytes_filled: int
    base: int
    width: int
    height: int
    x_padding: int
    image_offset: int
    pixel_format: int
    chunks: dict[str, float]


class Stream:
    """Run one open data stream. `wait` belongs to one thread; `queue` may be called from another."""

    def __init__(self, producer: str, stream: int, event: int, chunks: ChunkReader) -> None:
        self._lib = _load(producer)
        self._stream = stream
        self._event = event
        self._chunks = chunks
        self._buffers: list[c_void_p] = []
        self._new = _NewBuffer()
        self._size = c_size_t()
        self._kind = c_int32()
        self._value = c_uint64()
        self._list = (_Chunk * _MAX_CHUNKS)()

    def announce(self, address: int, size: int) -> None:
        """Offer memory for the next slot; the producer allocates its own when it refuses ours."""
        buffer = c_void_p()
        user = c_void_p(len(self._buffers) + 1)
        code = self._lib.DSAnnounceBuffer(self._stream, address, size, user, byref(buffer))
        if code:
            self._check("DSAllocAndAnnounceBuffer", self._stream, size, user, byref(buffer))
        self._buffers.append(buffer)

    def queue(self, slot: int) -> None:
        """Let the producer fill a slot; never blocks for long."""
        self._check("DSQueueBuffer", self._stream, self._buffers[slot])

    def start(self) -> None:
        """Start until stopped."""
        self._check("DSStartAcquisition", self._stream, 0, _FOR_EVER)

    def stop(self) -> None:
        """Stop and take every buffer back, as far as a lost camera lets us: errors change nothing here."""
        self._lib.DSStopAcquisition(self._stream, _STOP_KILL)
        self._lib.DSFlushQueue(self._stream, _DISCARD_ALL)
        for buffer in self._buffers:
            self._lib.DSRevokeBuffer(self._stream, buffer, None, None)
        self._buffers.clear()

    def wait(self, timeout_ms: int) -> int | None:
        """Wait for the oldest filled buffer and give its slot; None when there was none. Frees the GIL."""
        self._size.value = sizeof(_NewBuffer)
        code = self._lib.EventGetData(self._event, byref(self._new), byref(self._size), timeout_ms)
        if code in {_TIMEOUT, _ABORT}:
            return None
        if code:
            raise CameraError(_say("EventGetData", code))
        return int(self._new.user) - 1

    def describe(self, slot: int) -> Filled:
        """Describe the buffer that `wait` gave."""
        info = self._info
        buffer = self._buffers[slot]
        timestamp = info(buffer, _TIMESTAMP_NS) or info(buffer, _TIMESTAMP) or None
        return Filled(
            slot,
            self._need(buffer, _FRAME_ID),
            timestamp,
            bool(info(buffer, _IS_INCOMPLETE)),
            self._need(buffer, _SIZE_FILLED),
            self._need(buffer, _BASE),
            self._need(buffer, _WIDTH),
            self._need(buffer, _HEIGHT),
            info(buffer, _X_PADDING) or 0,
            info(buffer, _IMAGE_OFFSET) or 0,
            info(buffer, _PIXEL_FORMAT) or 0,
            self._read_chunks(buffer) if info(buffer, _CONTAINS_CHUNKS) else {},
        )

    def delivered(self) -> int:
        """Count the frames handed over since the start."""
        return self._statistic(_DELIVERED)

    def underruns(self) -> int:
        """Count the frames lost for want of a queued buffer since the start."""
        return self._statistic(_UNDERRUN)

    def queued(self) -> int:
        """Count the buffers that wait to be filled."""
        return self._statistic(_QUEUED)

    def _read_chunks(self, buffer: c_void_p) -> dict[str, float]:
        number = c_size_t(_MAX_CHUNKS)
        values: dict[str, float] = {}
        if self._lib.DSGetBufferChunkData(self._stream, buffer, self._list, byref(number)):
            return values
        base = self._need(buffer, _BASE)
        for chunk in self._list[: number.value]:
            if self._chunks.is_wanted(chunk.id):
                self._chunks.read(chunk.id, ctypes.string_at(base + chunk.offset, chunk.length), values)
        return values

    def _info(self, buffer: c_void_p, command: int) -> int | None:
        """Ask for one fact; None when the producer does not know it. Smaller answers leave the upper bytes 0."""
        self._value.value = 0
        self._size.value = sizeof(c_uint64)
        code = self._lib.DSGetBufferInfo(
            self._stream, buffer, command, byref(self._kind), byref(self._value), byref(self._size)
        )
        if code == _IO:
            raise CameraError(_say("DSGetBufferInfo", code))
        return None if code else self._value.value

    def _need(self, buffer: c_void_p, command: int) -> int:
        value = self._info(buffer, command)
        if value is None:
            raise CameraError(
                f"GenTL producer: BUFFER_INFO {command} is missing, each frame needs it; update its driver"
            )
        return value

    def _statistic(self, command: int) -> int:
        value, size, kind = c_uint64(), c_size_t(sizeof(c_uint64)), c_int32()
        code = self._lib.DSGetInfo(self._stream, command, byref(kind), byref(value), byref(size))
        return 0 if code else value.value

    def _check(self, function: str, *arguments: object) -> None:
        code = getattr(self._lib, function)(*arguments)
        if code:
            raise CameraError(_say(function, code))


def check_loadable(producer: str) -> str:
    """Say why a producer's library cannot be used, or nothing."""
    try:
        _load(producer)
    except (OSError, AttributeError) as error:
        return str(error)
    return ""


def _say(function: str, code: int) -> str:
    return f"GenTL {function} failed with GC_ERR_{_ERRORS.get(code, code)}"


def _load(producer: str) -> ctypes.CDLL:
    lib = ctypes.CDLL(producer)
    size, out = POINTER(c_size_t), POINTER(c_int32)
    for name, *arguments in (
        ("DSAnnounceBuffer", c_void_p, c_void_p, c_size_t, c_void_p, POINTER(c_void_p)),
        ("DSAllocAndAnnounceBuffer", c_void_p, c_size_t, c_void_p, POINTER(c_void_p)),
        ("DSQueueBuffer", c_void_p, c_void_p),
        ("DSRevokeBuffer", c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_void_p)),
        ("DSFlushQueue", c_void_p, c_int32),
        ("DSStartAcquisition", c_void_p, c_int32, c_uint64),
        ("DSStopAcquisition", c_void_p, c_int32),
        ("DSGetInfo", c_void_p, c_int32, out, c_void_p, size),
        ("DSGetBufferInfo", c_void_p, c_void_p, c_int32, out, c_void_p, size),
        ("DSGetBufferChunkData", c_void_p, c_void_p, POINTER(_Chunk), size),
        ("EventGetData", c_void_p, c_void_p, size, c_uint64),
    ):
        function = getattr(lib, str(name))
        function.argtypes = arguments
        function.restype = c_int32
    return lib
