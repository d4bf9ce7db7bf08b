"""The kernels build with any of the compilers, call no allocator, and an old or missing library says what to do."""

import ctypes
import sys

import numpy as np
import pytest

from kernels import build, reference
from kernels.anomaly_map import MapFinisher
from kernels.boxes import BoxDecoder
from kernels.library import same_layout
from kernels.preprocess import Preprocessor
from tests.unit.kernel_library import built


def test_no_kernel_can_allocate() -> None:
    """The library names no allocator, so no call of it can take memory."""
    library = built().read_bytes()

    assert [] == [name for name in (b"malloc", b"calloc", b"realloc", b"aligned_alloc", b"mmap") if name in library]


def test_missing_library_names_the_command(tmp_path) -> None:
    """Without the built library, one line says how to build it."""
    with pytest.raises(FileNotFoundError, match=r"run `python -m kernels\.build`"):
        Preprocessor((8, 8), "Mono8", None, (2, 2), tmp_path / "none.so")


def test_old_library_names_the_command() -> None:
    """A library whose structures have another size is refused before it reads memory wrongly."""

    class Longer(ctypes.Structure):
        _fields_ = (("much", ctypes.c_int64 * 100),)

    with pytest.raises(FileNotFoundError, match=r"built from other sources .* run `python -m kernels\.build`"):
        same_layout(built(), "firstshift_preprocess_plan_bytes", Longer)


def test_failed_build_leaves_the_old_library(tmp_path, monkeypatch) -> None:
    """A compiler that fails changes nothing and leaves nothing behind."""
    library = tmp_path / "lib.so"
    library.write_bytes(b"old")
    monkeypatch.setattr(build, "compiler", lambda: ["false"])

    with pytest.raises(build.subprocess.CalledProcessError):
        build.build(library)
    assert b"old" == library.read_bytes()
    assert ["lib.so"] == [path.name for path in tmp_path.iterdir()]


def test_zig_builds_the_same_kernels(rng, tmp_path, monkeypatch) -> None:
    """A machine whose only compiler is the ziglang package gets kernels within the same bounds, boxes equal."""
    pytest.importorskip("ziglang")
    monkeypatch.setattr(build, "compiler", lambda: [sys.executable, "-m", "ziglang", "cc"])
    library = build.build(tmp_path / "zig.so")
    frame = rng.integers(0, 256, (130, 170), dtype=np.uint8)
    for size in ((33, 31), (100, 111), (130, 170)):
        out = np.zeros((*size, 3), np.uint8)
        Preprocessor((130, 170), "BayerRG8", None, size, library).run(frame, out)
        assert 1 >= np.abs(reference.preprocess(frame, "BayerRG8", (0, 0, 170, 130), size).astype(int) - out).max()

    corner = rng.uniform(0, 50, (500, 2))
    boxes = np.hstack([corner, corner + rng.uniform(0, 30, (500, 2))]).astype(np.float32)
    scores, thresholds = rng.random((500, 3)).astype(np.float32), np.full(3, 0.2, np.float32)
    decoder = BoxDecoder(500, 3, 200, library)
    count = decoder.run(boxes, scores, thresholds, 0.4)
    assert decoder.index[:count].tolist() == reference.decode_boxes(boxes, scores, thresholds, 0.4, 200)[0].tolist()

    distances, finished = rng.random((9, 7)).astype(np.float32), np.zeros((70, 60), np.float32)
    MapFinisher((9, 7), (70, 60), 2.0, library).run(distances, finished)
    assert 2e-6 >= np.abs(reference.finish_map(distances, (70, 60), 2.0)[0] - finished).max()
