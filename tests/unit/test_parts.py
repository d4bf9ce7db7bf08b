"""Hold rendered parts and photographs to their truth: same seed, same pixels; the mask is where the defect is."""

import itertools
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.schema.errors import ConfigError
from appliance.sim.parts.dayone import code_bayer_rg8, code_mono8, good_frames, groups_of
from appliance.sim.parts.photographs import choose, open_photographs, place, show, stream, training_images
from appliance.sim.parts.renderer import Renderer, part_generator, render
from appliance.sim.parts.truth import DAY_ONE_PARTS, DEFECTS, PartTruth, part_seed, truth_sequence

SIZE = (640, 512)
MAGNETIC_TILES = Path(__file__).parents[2] / ".." / "shared" / "data" / "mt"


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(SIZE)


def test_same_truth_same_pixels(renderer: Renderer):
    """A part is its truth: another renderer, in another order, gives the very same image and mask."""
    truth = PartTruth(3, "scratch", 1234)
    first = renderer.render(truth, part_generator(truth))
    renderer.render(PartTruth(4, "chip", 99), np.random.default_rng(99))
    second = render(truth, SIZE, part_generator(truth))

    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.mask, second.mask)
    assert ((512, 640, 3), np.uint8, (512, 640), np.bool_) == (
        first.image.shape,
        first.image.dtype,
        first.mask.shape,
        first.mask.dtype,
    )


def test_parts_differ(renderer: Renderer):
    """Good parts vary: no two seeds give one image."""
    images = [renderer.render(PartTruth(1, None, seed), np.random.default_rng(seed)).image for seed in range(6)]

    assert all(np.abs(a.astype(int) - b).mean() > 1.0 for a, b in itertools.combinations(images, 2))


@pytest.mark.parametrize("kind", DEFECTS)
def test_mask_is_where_the_defect_is(renderer: Renderer, kind: str):
    """Against the same part without its defect, what changed lies in the mask, and the mask holds what changed most."""
    for seed in range(12):
        bad, good = _twins(renderer, kind, seed)
        change = np.abs(bad.image.astype(int) - good).max(2)
        near = cv2.dilate(bad.mask.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0

        assert bad.mask.any(), f"seed {seed}"
        assert change[~near].max(initial=0) <= 6, f"seed {seed}"
        assert change[bad.mask].mean() > 5, f"seed {seed}"


def test_good_parts_have_an_empty_mask(renderer: Renderer):
    """A good part has no truth to find, harmless marks included."""
    assert not any(renderer.render(PartTruth(1, None, s), np.random.default_rng(s)).mask.any() for s in range(8))


def test_most_defects_survive_the_models_small_image(renderer: Renderer):
    """At 256 x 256, nine of ten defects of each kind change some pixel by more than eight levels: hard ones are few."""
    for kind in DEFECTS:
        seen = 0
        for seed in range(30):
            bad, good = _twins(renderer, kind, seed)
            small = (cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA) for image in (bad.image, good))
            first, second = (image.astype(int) for image in small)
            seen += int(np.abs(first - second).max() > 8)

        assert seen >= 27, kind


def test_a_frame_too_small_to_show_a_part_is_refused():
    """The limit is named before anything is drawn."""
    with pytest.raises(ConfigError, match="128"):
        Renderer((100, 100))


@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.15, 0.33, 1.0]))
def test_every_defect_comes_in_two_hundred_parts(seed: int, rate: float):
    """A run of 200 parts shows all six kinds at any seed, and the rate asked for."""
    truths = list(itertools.islice(truth_sequence(seed, rate), 240))
    kinds = [truth.defect for truth in truths[:200] if truth.defect]

    assert set(DEFECTS) == set(kinds) or rate < 0.06
    assert abs(len([t for t in truths if t.defect]) - 240 * rate) <= 6
    assert list(range(1, 241)) == [truth.number for truth in truths]
    assert truths == list(itertools.islice(truth_sequence(seed, rate), 240))


def test_no_defects_at_rate_zero_and_no_rate_beyond_one():
    """The ends of the range are what they say."""
    assert {None} == {truth.defect for truth in itertools.islice(truth_sequence(1, 0.0), 100)}
    for rate in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="defect rate"):
            truth_sequence(1, rate)


@given(st.integers(0, 1000))
def test_day_one_never_shows_a_part_of_the_line(seed: int):
    """The day-one model has not seen the parts that it will judge."""
    line = {truth.seed for truth in itertools.islice(truth_sequence(seed), 100)}
    day_one = {part_seed(seed, number, DAY_ONE_PARTS) for number in range(1, 101)}

    assert set() == line & day_one


@given(st.integers(1, 8), st.integers(1, 8))
def test_mosaic_is_rggb(half_rows: int, half_cols: int):
    """BayerRG8 means R G in even rows and G B in odd ones; a wrong phase swaps the colours of every part."""
    rows, cols = 2 * half_rows, 2 * half_cols
    image = np.zeros((rows, cols, 3), np.uint8)
    image[:] = (1, 2, 3)
    expected = np.tile([[1, 2], [2, 3]], (half_rows, half_cols))

    assert expected.tolist() == code_bayer_rg8(image).tolist()


def test_good_frames_are_raw_frames():
    """Day-one frames come as the camera gives them: one byte a pixel, one seed one set."""
    frames = list(good_frames(2, 7, size=(256, 256)))
    truth = PartTruth(1, None, part_seed(7, 1, DAY_ONE_PARTS))
    part = Renderer((256, 256)).render(truth, part_generator(truth))

    assert (2, (256, 256), np.uint8) == (len(frames), frames[0].shape, frames[0].dtype)
    assert np.array_equal(code_bayer_rg8(part.image), frames[0])
    assert np.array_equal(code_mono8(part.image), next(good_frames(1, 7, size=(256, 256), mono=True)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for split, kind, names in (
        ("train", "good", ("a", "b", "c")),
        ("test", "good", ("d", "e")),
        ("test", "crack", ("f",)),
    ):
        target = tmp_path / split / kind
        target.mkdir(parents=True)
        for index, name in enumerate(names):
            _write(target / f"{name}.png", rng.integers(0, 256, (40 + 5 * index, 57)).astype(np.uint8))
    (tmp_path / "ground_truth" / "crack").mkdir(parents=True)
    mask = np.zeros((40, 57), np.uint8)
    mask[10:20, 30:40] = 255
    _write(tmp_path / "ground_truth" / "crack" / "f_mask.png", mask)
    return tmp_path


def test_photographs_keep_their_truth(folder: Path):
    """Every test photograph comes with its class and its mask, unscaled in the middle of the frame."""
    opened = open_photographs(folder)
    parts = list(stream(opened, 3, 5))
    crack = show(opened, next(truth for truth in parts if truth.defect == "crack"))
    rows, cols = np.nonzero(crack.mask)

    assert ((64, 64), False, 0) == (opened.size, opened.colour, opened.dropped_for_groups)
    assert ["test/crack/f.png", "test/good/d.png", "test/good/e.png"] == sorted(str(t.source) for t in parts)
    assert [1, 2, 3] == [truth.number for truth in parts]
    assert (22, 31, 33, 42) == (rows.min(), rows.max(), cols.min(), cols.max())
    assert cv2.imread(str(folder / "test/crack/f.png"), 0).tolist() == crack.image[12:52, 3:60, 0].tolist()
    assert {128} == set(np.unique(crack.image[:12]).tolist())
    assert [(64, 64, 3)] * 3 == [image.shape for image in training_images(opened, opened.training)]


@pytest.mark.parametrize("seed", range(8))
def test_day_one_takes_as_many_parts_as_there_are(folder: Path, seed: int):
    """Two photographs of one part tell less than one of each of two; what shows one part is named alike."""
    (folder / "groups.csv").write_text("name,group\na.png,p1\nb.png,p1\nc.png,p2\n")
    opened = open_photographs(folder)

    assert ["p1", "p2"] == sorted(photograph.group for photograph in choose(opened, 2, seed))
    assert ["p1", "p1", "p2"] == sorted(groups_of(9, seed, folder))
    assert groups_of(9, seed, folder) == [photograph.group for photograph in choose(opened, 9, seed)]


def test_stream_is_the_seeds_and_goes_on_past_the_folder(folder: Path):
    """The same seed gives the same order; each pass through the folder shows every photograph once."""
    opened = open_photographs(folder)
    parts = list(stream(opened, 30, 5))
    passes = [{truth.source for truth in parts[i : i + 3]} for i in range(0, 30, 3)]

    assert parts == list(stream(opened, 30, 5))
    assert parts != list(stream(opened, 30, 6))
    assert [{"test/crack/f.png", "test/good/d.png", "test/good/e.png"}] * 10 == passes


def test_no_part_is_in_training_and_on_the_line(folder: Path):
    """Photographs of one part never stand on both sides: those in training are left out and counted."""
    (folder / "groups.csv").write_text("name,group\na.png,p1\nb.png,p2\nc.png,p3\nd.png,p1\ntest/crack/f.png,p3\n")
    opened = open_photographs(folder)

    assert (["train/good/b.png"], 2) == ([p.path for p in opened.training], opened.dropped_for_groups)


def test_day_one_from_photographs(folder: Path):
    """The day-one frames of a folder are its good training images, in the frame of the folder."""
    frames = list(good_frames(10, 1, mono=True, images=folder))

    assert [(64, 64)] * 3 == [frame.shape for frame in frames]
    (folder / "groups.csv").write_text("name,group\n" + "".join(f"{n}.png,p\n" for n in "abcd"))
    with pytest.raises(ConfigError, match="0 usable images in train/good \\(3 left out"):
        good_frames(1, 1, images=folder)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
def test_a_broken_photograph_is_named(folder: Path, suffix: str, damage: str):
    """One line names the file; told to go on, it leaves the file out and lists it."""
    broken = folder / "test" / "crack" / f"broken{suffix}"
    _write(broken, np.random.default_rng(2).integers(0, 256, (64, 64)).astype(np.uint8))
    whole = broken.read_bytes()
    broken.write_bytes({"empty": b"", "text": b"not a picture" * 200, "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(ConfigError, match=f"crack/broken{suffix} .*(replace or remove|convert) it$") as caught:
        open_photographs(folder)

    assert 1 == len(str(caught.value).splitlines())
    assert (f"test/crack/broken{suffix}",) == open_photographs(folder, skip_unreadable=True).unreadable


def test_a_folder_without_parts_is_refused(tmp_path: Path):
    """The message says how to lay the folder out."""
    with pytest.raises(ConfigError, match="test/good"):
        open_photographs(tmp_path)


@settings(max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.booleans())
def test_a_photograph_lies_whole_in_its_frame(rows: int, cols: int, colour: bool):
    """Smaller images keep their pixels; larger ones are scaled to fit, never cut."""
    image = np.full((rows, cols, 3) if colour else (rows, cols), 250, np.uint8)
    frame = place(image, (48, 32))
    covered = int((frame[..., 0] == 250).sum())
    shrink = min(1.0, 48 / cols, 32 / rows)

    assert (32, 48, 3) == frame.shape
    assert max(1, int(rows * shrink)) * max(1, int(cols * shrink)) == covered


def test_sixteen_bit_and_alpha_photographs_are_read(folder: Path):
    """Other depths become 8 bit; transparency is dropped; colour makes the folder a colour one."""
    deep = np.full((30, 30), 65535, np.uint16)
    clear = np.zeros((30, 30, 4), np.uint8)
    clear[..., 2] = 200  # red in OpenCV's order
    _write(folder / "test" / "good" / "deep.png", deep)
    _write(folder / "test" / "good" / "clear.png", clear)
    opened = open_photographs(folder)
    parts = {truth.source: show(opened, truth).image for truth in stream(opened, 5, 1)}

    assert opened.colour
    assert [255, 255, 255] == parts["test/good/deep.png"][32, 32].tolist()
    assert [200, 0, 0] == parts["test/good/clear.png"][32, 32].tolist()


def test_truth_survives_its_file():
    """A truth written and read back renders the same part."""
    truth = PartTruth(9, "dent", 77)

    assert truth == msgspec.json.decode(msgspec.json.encode(truth), type=PartTruth)


@pytest.mark.skipif(not MAGNETIC_TILES.is_dir(), reason="magnetic tile photographs are not beside the repository")
def test_magnetic_tiles_stream():
    """A real folder with groups reads whole: day-one and line share no tile."""
    opened = open_photographs(MAGNETIC_TILES)
    trained = {photograph.group for photograph in opened.training}
    tested = {photograph.group for photograph in opened.test}
    truth = next(t for t in stream(opened, 100, 1) if t.defect == "blowhole")
    part = show(opened, truth)

    assert (set(), False, ()) == (trained & tested, opened.colour, opened.unreadable)
    assert (0, 0) == (opened.size[0] % 16, opened.size[1] % 16)
    assert part.mask.any()
    assert opened.training


def _twins(renderer: Renderer, kind: str, seed: int) -> tuple:
    bad = renderer.render(PartTruth(1, kind, seed), np.random.default_rng(seed))
    return bad, renderer.render(PartTruth(1, None, seed), np.random.default_rng(seed)).image


def _write(path: Path, image: np.ndarray) -> None:
    assert cv2.imwrite(str(path), image)
