"""The fused preprocessing kernel stays within one grey level of its definition."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import build, preprocess, reference
from kernels.k_centre import k_centre
from kernels.preprocess import Preprocessor


@pytest.fixture(scope="session", autouse=True)
def library(tmp_path_factory: pytest.TempPathFactory):
    """Build the kernels from the present sources."""
    return build.build(tmp_path_factory.mktemp("kernels") / "libkernels.so")


def worst_difference(library, frame, pixel_format, roi, size) -> int:
    preprocessor = Preprocessor(frame.shape[:2], pixel_format, roi, size, library)
    out = np.full((*size, 3), 77, np.uint8)
    preprocessor.run(frame, out)
    expected = reference.preprocess(frame, pixel_format, preprocessor.roi, size)
    return int(np.abs(expected.astype(int) - out).max())


@st.composite
def cases(draw):
    pixel_format = draw(st.sampled_from(sorted(preprocess.PIXEL_FORMATS)))
    step = 2 if pixel_format == "BayerRG8" else 1
    rows, cols = draw(st.integers(2, 90)), draw(st.integers(2, 90))
    x, y = (draw(st.integers(0, (limit - step) // step)) * step for limit in (cols, rows))
    width, height = (
        draw(st.integers(1, (limit // step * step - start) // step)) * step for limit, start in ((cols, x), (rows, y))
    )
    size = (draw(st.integers(1, 60)), draw(st.integers(1, 60)))
    kind = draw(st.sampled_from(["noise", "black", "white", "ends"]))
    seed = draw(st.integers(0, 2**32 - 1))
    return pixel_format, (rows, cols), (x, y, width, height), size, kind, seed


@settings(max_examples=300, deadline=None)
@given(cases())
def test_any_geometry_is_within_one_grey_level(library, case) -> None:
    """Odd sizes, regions at edges, shrinking and growing, all formats and extremes: at most 1 grey level off."""
    pixel_format, shape, roi, size, kind, seed = case
    whole = (*shape, 3) if pixel_format == "RGB8" else shape
    random = np.random.default_rng(seed)
    frame = {
        "noise": lambda: random.integers(0, 256, whole, dtype=np.uint8),
        "black": lambda: np.zeros(whole, np.uint8),
        "white": lambda: np.full(whole, 255, np.uint8),
        "ends": lambda: random.choice(np.array([0, 255], np.uint8), whole),
    }[kind]()

    assert 1 >= worst_difference(library, frame, pixel_format, roi, size)


@pytest.mark.parametrize("pixel_format", sorted(preprocess.PIXEL_FORMATS))
@pytest.mark.parametrize("size", [(224, 224), (256, 256), (1, 1), (17, 640)])
def test_camera_sized_frames(library, pixel_format: str, size: tuple[int, int]) -> None:
    """A noisy 1280 x 1024 frame of zeros and 255s, the worst for rounding, is within the bound."""
    shape = (1024, 1280, 3) if pixel_format == "RGB8" else (1024, 1280)
    frame = np.random.default_rng(3).choice(np.array([0, 255], np.uint8), shape)

    assert 1 >= worst_difference(library, frame, pixel_format, None, size)


def test_largest_shrink(library) -> None:
    """Two million white pixels in one value do not overflow."""
    assert 1 >= worst_difference(library, np.full((1000, 2000), 255, np.uint8), "Mono8", None, (1, 1))
    assert 1 >= worst_difference(library, np.full((1000, 2000), 255, np.uint8), "BayerRG8", None, (1, 1))


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("pixel_format", sorted(preprocess.PIXEL_FORMATS))
def test_flat_frames_stay_flat(library, pixel_format: str, value: int) -> None:
    """A frame of one value gives that value everywhere, exactly."""
    shape = (96, 130, 3) if pixel_format == "RGB8" else (96, 130)
    out = np.zeros((37, 41, 3), np.uint8)
    Preprocessor((96, 130), pixel_format, None, (37, 41), library).run(np.full(shape, value, np.uint8), out)

    assert {value} == set(out.ravel().tolist())


def test_red_stays_red(library) -> None:
    """BayerRG8 has red at the first pixel and blue at the diagonal one; the result is RGB."""
    frame = np.zeros((64, 64), np.uint8)
    frame[0::2, 0::2] = 200
    frame[1::2, 1::2] = 50
    out = np.zeros((16, 16, 3), np.uint8)
    Preprocessor((64, 64), "BayerRG8", None, (16, 16), library).run(frame, out)

    assert [200, 0, 50] == out[7, 7].tolist()


@pytest.mark.parametrize("pixel_format", sorted(preprocess.PIXEL_FORMATS))
def test_strided_rows(library, pixel_format: str) -> None:
    """Rows may lie at any distance, also backwards; the frame is not written."""
    channels = (3,) if pixel_format == "RGB8" else ()
    padded = np.random.default_rng(1).integers(0, 256, (80, 140, *channels), dtype=np.uint8)
    padded.flags.writeable = False
    for frame in (padded[:, :100], padded[::2, 20:120], padded[::-1, 3:103]):
        assert 1 >= worst_difference(library, frame, pixel_format, (10, 6, 60, 30), (20, 24))


def test_single_green_sample_counts_half(library) -> None:
    """The two greens of a quad are averaged."""
    frame = np.zeros((2, 2), np.uint8)
    frame[0, 1] = 100
    out = np.zeros((1, 1, 3), np.uint8)
    Preprocessor((2, 2), "BayerRG8", None, (1, 1), library).run(frame, out)

    assert [0, 50, 0] == out[0, 0].tolist()


def test_nothing_outside_the_output_is_written(library) -> None:
    """The bytes before and after the output stay as they were."""
    memory = np.full(10 * 11 * 3 + 128, 99, np.uint8)
    frame = np.zeros((50, 60), np.uint8)
    Preprocessor((50, 60), "Mono8", None, (10, 11), library).run(frame, memory[64:-64])

    assert {99} == set(memory[:64].tolist()) | set(memory[-64:].tolist())
    assert {0} == set(memory[64:-64].tolist())


def test_reference_is_an_area_average() -> None:
    """The definition keeps the mean of the frame and gives plain block means at whole factors."""
    frame = np.random.default_rng(2).integers(0, 256, (60, 60), dtype=np.uint8)
    blocks = frame.reshape(6, 10, 6, 10).mean(axis=(1, 3))
    points = reference.colour_points(frame, "Mono8")
    odd = reference.area_average(reference.area_average(points, 7, 0), 11, 1)

    assert np.array_equal(np.floor(blocks + 0.5), reference.preprocess(frame, "Mono8", (0, 0, 60, 60), (6, 6))[..., 0])
    assert pytest.approx(frame.mean()) == odd.mean()


@pytest.mark.parametrize(
    ("shape", "pixel_format", "roi", "size", "message"),
    [
        ((8, 8), "BayerRG8", (1, 0, 4, 4), (2, 2), "cuts Bayer quads"),
        ((8, 8), "BayerRG8", (0, 0, 4, 3), (2, 2), "cuts Bayer quads"),
        ((8, 8), "Mono8", (4, 4, 5, 4), (2, 2), "leaves the frame"),
        ((8, 8), "Mono8", (-1, 0, 4, 4), (2, 2), "leaves the frame"),
        ((8, 8), "Mono8", (0, 0, 0, 4), (2, 2), "leaves the frame"),
        ((1, 8), "BayerRG8", None, (2, 2), "leaves the frame"),
        ((8, 8), "BayerGB8", None, (2, 2), "not one of"),
        ((8, 8), "Mono8", None, (0, 2), "is empty"),
        ((2000, 2000), "Mono8", None, (1, 1), "choose a larger size"),
    ],
)
def test_impossible_geometry_is_refused(library, shape, pixel_format, roi, size, message) -> None:
    """What cannot be read inside the frame is refused when the preprocessor is made."""
    with pytest.raises(ValueError, match=message):
        Preprocessor(shape, pixel_format, roi, size, library)


@pytest.mark.parametrize(
    ("frame", "out"),
    [
        (np.zeros((8, 9), np.uint8), np.zeros((2, 2, 3), np.uint8)),
        (np.zeros((8, 8), np.uint16), np.zeros((2, 2, 3), np.uint8)),
        (np.zeros((8, 16), np.uint8)[:, ::2], np.zeros((2, 2, 3), np.uint8)),
        (np.zeros((8, 8), np.uint8), np.zeros((2, 3, 3), np.uint8)),
        (np.zeros((8, 8), np.uint8), np.zeros((2, 2, 3), np.float32)),
        (np.zeros((8, 8), np.uint8), np.zeros((2, 2, 6), np.uint8)[:, :, ::2]),
        (np.zeros((8, 8), np.uint8), np.broadcast_to(np.zeros(12, np.uint8), (12,))),
    ],
)
def test_wrong_buffers_are_refused(library, frame, out) -> None:
    """A buffer of another shape, type or order never reaches the kernel."""
    with pytest.raises(ValueError, match=r"frame is|output"):
        Preprocessor((8, 8), "Mono8", None, (2, 2), library).run(frame, out)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 1300), st.integers(1, 40), st.integers(0, 2**32 - 1), st.data())
def test_k_centre_chooses_what_its_definition_chooses(library, points: int, channels: int, seed: int, data) -> None:
    """On whole numbers, where sums are exact, the choice is the same one by one, ties included."""
    values = np.random.default_rng(seed).integers(-9, 10, (points, channels)).astype(np.float32)
    count, first = data.draw(st.integers(1, min(points, 50))), data.draw(st.integers(0, points - 1))

    expected = reference.k_centre(values, count, first)

    assert expected.tolist() == k_centre(values, count, first, library).tolist()


@pytest.mark.parametrize(("count", "first"), [(0, 0), (5, 0), (2, 4), (2, -1)])
def test_impossible_choice_is_refused(library, count: int, first: int) -> None:
    """More choices than points, or a start that is no point, is a caller's mistake."""
    with pytest.raises(ValueError, match="k-centre"):
        k_centre(np.zeros((4, 2), np.float32), count, first, library)


def test_missing_library_names_the_command(tmp_path) -> None:
    """Without the built library, one line says how to build it."""
    with pytest.raises(FileNotFoundError, match=r"run `python -m kernels\.build`"):
        Preprocessor((8, 8), "Mono8", None, (2, 2), tmp_path / "none.so")


def test_zig_builds_the_same_kernel(tmp_path, monkeypatch) -> None:
    """A machine whose only compiler is the ziglang package gets a kernel within the same bound."""
    pytest.importorskip("ziglang")
    monkeypatch.setattr(build, "compiler", lambda: [sys.executable, "-m", "ziglang", "cc"])
    frame = np.random.default_rng(4).integers(0, 256, (130, 170), dtype=np.uint8)

    assert 1 >= worst_difference(build.build(tmp_path / "zig.so"), frame, "BayerRG8", None, (33, 31))
