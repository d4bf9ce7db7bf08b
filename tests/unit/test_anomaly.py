"""The anomaly model, fitted from good images alone, tells defects from good parts and states what it promises."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.decision import anomaly_map
from appliance.decision.anomaly_map import MapStatistics, Placement, read_statistics
from appliance.decision.calibration import clopper_pearson
from appliance.ports.task import Interpretation, Window
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import ClassSpec, Head, TaskName
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle, golden
from appliance.tasks.anomaly import AnomalyInterpreter, MapReading, read_settings
from appliance.training import anomaly as training
from appliance.training import coreset
from appliance.training.anomaly import AnomalyOptions, fit_anomaly
from appliance.training.anomaly_graph import CHANNELS
from appliance.training.package import FittedBundle
from kernels import build
from kernels.preprocess import Preprocessor

REAL = Path(__file__).parents[3] / "shared" / "data" / "mt"
SHAPE = (240, 320)
OPTIONS = AnomalyOptions(size=(128, 160), patches=300, threads=1)
CREATED = "2026-11-21T12:00:00Z"


@pytest.fixture(scope="session", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


def part(seed: int, defect: str | None = None) -> np.ndarray:
    """Give a raw BayerRG8 frame of a brushed plate with a hole, slightly moved and lit; optionally with a defect."""
    random = np.random.default_rng(seed)
    brushed = cv2.GaussianBlur(random.normal(0, 30, SHAPE).astype(np.float32), (0, 0), sigmaX=8, sigmaY=0.7)
    plate = 140 + random.uniform(-6, 6) + brushed
    centre = (160 + int(random.integers(-4, 5)), 120 + int(random.integers(-4, 5)))
    cv2.circle(plate, centre, 40, 50.0, -1)
    if defect == "scratch":
        cv2.line(plate, (30, 60), (95, 85), 215.0, 3)
    elif defect == "dent":
        cv2.circle(plate, (255, 170), 12, 85.0, -1)
    elif defect == "stain":
        plate[30:65, 235:280] -= 50
    colour = np.stack([plate * gain for gain in (1.0, 0.9, 0.75)], axis=-1) + random.normal(0, 2, (*SHAPE, 3))
    image = colour.clip(0, 255).astype(np.uint8)
    raw = np.empty(SHAPE, np.uint8)
    raw[0::2, 0::2], raw[1::2, 1::2] = image[0::2, 0::2, 0], image[1::2, 1::2, 2]
    raw[0::2, 1::2], raw[1::2, 0::2] = image[0::2, 1::2, 1], image[1::2, 0::2, 1]
    return raw


@pytest.fixture(scope="module")
def fitted() -> FittedBundle:
    """Give a bundle fitted from 30 good frames."""
    frames = (part(seed) for seed in range(30))
    return fit_anomaly(frames, PixelFormat.BAYER_RG8, OnnxRuntime(), "f32", CREATED, OPTIONS)


class Inspection:
    """Run a fitted bundle the way the judge does."""

    def __init__(self, fitted: FittedBundle, folder: Path) -> None:
        bundle.write(folder, fitted.manifest, fitted.files)
        stored = bundle.read(folder)
        self.manifest = stored.manifest
        (self.head,) = self.manifest.heads
        (model,) = self.manifest.models
        self.settings = read_settings(stored.files[self.head.settings])
        self.known = read_statistics(bundle.arrays(stored, "statistics.npz"))
        self.session = OnnxRuntime().load(stored.files[model.file], "f32", 1)
        golden.verify_session(stored, model, self.session)

    def interpreter(self, frame: np.ndarray) -> AnomalyInterpreter:
        """Inspect a frame and give the interpreter behind it."""
        how = self.manifest.preprocessing
        preprocessor = Preprocessor(
            (frame.shape[0], frame.shape[1]), how.pixel_format, how.roi, (how.rows, how.columns)
        )
        preprocessor.run(frame, self.session.input)
        said = AnomalyInterpreter(self.head, self.settings, self.known, Window(*preprocessor.roi))
        self.last = said.interpret(self.session.run())
        return said

    def result(self, frame: np.ndarray) -> Interpretation:
        self.interpreter(frame)
        return self.last


@pytest.fixture(scope="module")
def inspection(fitted: FittedBundle, tmp_path_factory) -> Inspection:
    return Inspection(fitted, tmp_path_factory.mktemp("bundles") / "one")


def test_defects_stand_out(inspection: Inspection) -> None:
    """Six unseen good parts score under all six defective ones, and no defect is accepted."""
    good = [inspection.result(part(seed)).score for seed in range(1000, 1006)]
    bad = [inspection.result(part(2000 + i, kind)).score for i, kind in enumerate(("scratch", "dent", "stain") * 2)]

    assert max(good) < min(bad)
    assert inspection.manifest.calibration is not None
    assert min(bad) > inspection.manifest.calibration.reject_above


@pytest.mark.parametrize(
    ("kind", "place"), [("scratch", (30, 60, 95, 85)), ("dent", (243, 158, 267, 182)), ("stain", (235, 30, 280, 65))]
)
def test_defect_is_found_where_it_is(inspection: Inspection, kind: str, place: tuple[int, int, int, int]) -> None:
    """The strongest finding overlaps the defect in frame pixels, and the peak lies within a cell of it."""
    peak = inspection.interpreter(part(3000, kind)).peak_px
    result = inspection.last
    box = result.findings[0].box
    assert box is not None
    slack = 17  # one cell of the map
    inside_x = place[0] - slack <= peak[0] <= place[2] + slack
    inside_y = place[1] - slack <= peak[1] <= place[3] + slack

    assert (True, True) == (inside_x, inside_y)
    overlap_x = min(place[2], box.x_px + box.width_px) - max(place[0], box.x_px)
    overlap_y = min(place[3], box.y_px + box.height_px) - max(place[1], box.y_px)

    assert min(overlap_x, overlap_y) > 0


def test_manifest_states_what_was_done(fitted: FittedBundle) -> None:
    """The manifest names task, input, runtime, precision, training data, and the exact overkill bound."""
    manifest = fitted.manifest
    limits = manifest.calibration
    assert limits is not None

    assert ("anomaly", 128, 160, "onnx", "f32", 30) == (
        manifest.task,
        manifest.preprocessing.rows,
        manifest.preprocessing.columns,
        manifest.runtime,
        manifest.precision,
        manifest.data.images,
    )
    assert 30 == limits.images == len(limits.scores)
    assert pytest.approx(1 / 31) == limits.overkill_expected
    assert pytest.approx(1 - 0.05 ** (1 / 30)) == limits.overkill_upper


def test_fit_is_reproducible(fitted: FittedBundle) -> None:
    """The same frames and seed give the same bundle, byte for byte."""
    frames = (part(seed) for seed in range(30))
    again = fit_anomaly(frames, PixelFormat.BAYER_RG8, OnnxRuntime(), "f32", CREATED, OPTIONS)

    assert fitted.manifest == again.manifest
    assert fitted.files["model.onnx"] == again.files["model.onnx"]
    assert fitted.files == again.files


def test_too_few_good_images_are_refused() -> None:
    """Nine good images say too little of what good parts look like."""
    with pytest.raises(ConfigError, match="9 good images, at least 10"):
        fit_anomaly((part(s) for s in range(9)), PixelFormat.BAYER_RG8, OnnxRuntime(), "f32", CREATED, OPTIONS)


def test_few_good_images_make_a_bundle_without_limits() -> None:
    """Twelve show what good parts look like and promise no overkill: without limits every part goes to a person."""
    frames = (part(s) for s in range(12))
    fitted = fit_anomaly(frames, PixelFormat.BAYER_RG8, OnnxRuntime(), "f32", CREATED, OPTIONS)

    assert fitted.manifest.calibration is None


def test_wrong_frames_are_refused() -> None:
    """A frame of another pixel format names its place in the series."""
    frames = [np.zeros((*SHAPE, 3), np.uint8)] * 20
    with pytest.raises(ConfigError, match="frame 1"):
        fit_anomaly(frames, PixelFormat.MONO8, OnnxRuntime(), "f32", CREATED, OPTIONS)


def test_good_scores_come_from_models_that_did_not_see_them() -> None:
    """One odd frame among good ones gets a high out-of-fold score; a model that had seen it would call it normal."""
    frames = [*(part(seed) for seed in range(24)), part(99, "stain")]
    fitted = fit_anomaly(frames, PixelFormat.BAYER_RG8, OnnxRuntime(), "f32", CREATED, OPTIONS)
    assert fitted.manifest.calibration is not None
    scores = fitted.manifest.calibration.scores

    assert scores[-1] > 2 * scores[-2]
    assert (24,) == fitted.suspects


def test_groups_stay_together() -> None:
    """Frames of one part are never on both sides: copies look familiar when they are treated as other parts."""
    parts = [part(seed) for seed in range(12)]
    names = [str(seed) for seed in range(12)]
    arguments = (PixelFormat.BAYER_RG8, OnnxRuntime(), "f32", CREATED, OPTIONS)
    folds = training._folds(names * 2, 24, OPTIONS)

    assert folds[:12].tolist() == folds[12:].tolist()
    with pytest.raises(ConfigError, match="12 groups for 24 images"):
        fit_anomaly(parts * 2, *arguments, groups=names)
    with pytest.raises(ConfigError, match="1 parts"):
        fit_anomaly(parts * 2, *arguments, groups=["one"] * 24)


def test_region_of_interest_is_kept(tmp_path: Path) -> None:
    """With a region, boxes are still in pixels of the full frame, and defects outside it change nothing."""
    roi = (200, 100, 120, 140)
    options = AnomalyOptions(size=(128, 128), patches=200, roi=roi, threads=1)
    fitted = fit_anomaly((part(s) for s in range(20)), PixelFormat.BAYER_RG8, OnnxRuntime(), "f32", CREATED, options)
    inspection = Inspection(fitted, tmp_path / "b")

    assert pytest.approx((255, 170), abs=14) == inspection.interpreter(part(500, "dent")).peak_px
    clean, outside = (inspection.result(part(500, kind)) for kind in (None, "scratch"))

    assert clean.score == outside.score


def interpreter(cells: tuple[int, int], window: Window, top_share: float = 0.01) -> AnomalyInterpreter:
    """Give an interpreter whose maps are already in standard deviations, with findings over 3."""
    known = MapStatistics(np.zeros(cells, np.float32), np.ones(cells, np.float32))
    head = Head(TaskName.ANOMALY, (ClassSpec("anomaly", threshold=3.0),), "settings.json")
    return AnomalyInterpreter(head, MapReading(top_share), known, window)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_map_that_is_no_number_has_no_score(value: float) -> None:
    """A broken model yields nan, which no limit accepts."""
    task = interpreter((4, 4), Window(0, 0, 32, 32))
    broken = np.zeros((1, 4, 4), np.float32)
    broken[0, 2, 2] = value

    assert np.isnan(task.interpret({"map": broken}).score)
    for outputs in ({"logits": broken}, {"map": broken[:, 1:]}, {"map": broken[:0]}):
        with pytest.raises(RuntimeFault, match="hold no `map`"):
            task.interpret(outputs)


def test_regions_are_listed_strongest_first() -> None:
    """Each connected region above the level is one finding, down to half its peak, in frame pixels."""
    task = interpreter((8, 8), Window(10, 20, 80, 160), top_share=0.0)
    distances = np.zeros((2, 8, 8), np.float32)
    distances[1, 1, 1:3] = 5
    distances[1, 5:8, 6] = (9, 5, 4)
    result = task.interpret({"map": distances}, index=1)
    boxes = [
        (f.box.x_px, f.box.y_px, f.box.width_px, f.box.height_px, f.area_px, f.score) for f in result.findings if f.box
    ]

    assert [(70, 120, 10, 40, 400, 9), (20, 40, 20, 20, 400, 5)] == boxes
    assert {(70, 120), (80, 120), (80, 160), (70, 160)} == set(result.findings[0].polygon)
    assert (9.0, (75.0, 130.0)) == (result.score, task.peak_px)
    assert (0.0, ()) == (task.interpret({"map": distances}).score, task.interpret({"map": distances}).findings)


def test_peaks_of_one_region_are_told_apart() -> None:
    """Two defects whose surroundings touch are two findings, each at its own place."""
    task = interpreter((3, 8), Window(0, 0, 80, 30))
    distances = np.full((1, 3, 8), 3.5, np.float32)
    distances[0, 1, 1], distances[0, 1, 6] = 10, 8
    result = task.interpret({"map": distances})

    assert [("anomaly", 10, (10, 10)), ("anomaly", 8, (60, 10))] == [
        (f.kind, f.score, (f.box.x_px, f.box.y_px)) for f in result.findings if f.box
    ]


@pytest.mark.parametrize("placement", list(Placement))
def test_calibrated_good_maps_are_standard(placement: Placement) -> None:
    """Maps with a rising rim come out with mean 0 and deviation near 1 everywhere that statistics are kept."""
    random = np.random.default_rng(1)
    rim = np.zeros((16, 20))
    rim[0] = rim[-1] = rim[:, 0] = rim[:, -1] = 4
    maps = (10 + rim + random.normal(0, 0.5 + rim / 8, (200, 16, 20))).astype(np.float32)
    known = anomaly_map.statistics(maps, placement)
    values = anomaly_map.deviations(maps, known)

    assert pytest.approx(0, abs=0.05 if placement is Placement.BORDER else 0.2) == values.mean()
    assert 0.8 < values.std() < 1.2


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_image_score_is_a_top_mean(rows: int, cols: int, share: float) -> None:
    """The score is the mean over the largest share of cells, one at least."""
    values = np.random.default_rng(rows * 41 + cols).normal(size=(rows, cols)).astype(np.float32)
    cells = max(1, round(share * rows * cols))

    assert pytest.approx(np.sort(values.ravel())[-cells:].mean(), rel=1e-4, abs=1e-5) == anomaly_map.image_score(
        values, share
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 300), st.integers(1, 60), st.integers(0, 1000))
def test_coreset_covers(patches: int, count: int, seed: int) -> None:
    """Chosen patches are distinct unless all are covered, and repeating the choice with the seed repeats the result."""
    points = np.random.default_rng(seed).normal(size=(patches, 6)).astype(np.float32)
    chosen = coreset.choose(points, count, np.random.default_rng(seed))

    assert min(count, patches) == len(set(chosen.tolist()))
    assert np.array_equal(chosen, coreset.choose(points, count, np.random.default_rng(seed)))


def test_coreset_reaches_outliers() -> None:
    """A lone distant patch is among the first chosen, which a random choice would miss."""
    points = np.random.default_rng(0).normal(0, 0.1, (5000, CHANNELS)).astype(np.float32)
    points[4321] += 5

    assert 4321 in coreset.choose(points, 10, np.random.default_rng(0))


def real_sets() -> tuple[list[Path], list[str], list[Path], list[Path]]:
    with (REAL / "groups.csv").open() as file:
        group = {row["name"]: row["group"] for row in csv.DictReader(file)}
    train = sorted((REAL / "train" / "good").glob("*.jpg"))
    assert not {group[p.name] for p in train} & {group[p.name] for p in (REAL / "test").rglob("*.jpg")}
    order = [train[i] for i in np.random.default_rng(0).permutation(len(train))]
    one_each = {group[p.name]: p for p in order}
    fit = sorted(one_each.values())[:60]
    good = sorted((REAL / "test" / "good").glob("*.jpg"))[::3]
    bad = [p for kind in sorted((REAL / "test").iterdir()) if kind.name != "good" for p in sorted(kind.glob("*.jpg"))][
        ::3
    ]
    return fit, [group[p.name] for p in fit], good, bad


@pytest.mark.skipif(not (REAL / "groups.csv").exists(), reason=f"real images are not at {REAL}")
def test_real_tiles_held_out_by_part(tmp_path: Path) -> None:
    """On real tiles of other parts: AUROC of at least 0.78, and overkill within what the bundle promises."""
    fit, groups, good, bad = real_sets()
    read = lambda path: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)  # noqa: E731
    options = AnomalyOptions(patches=500, folds=4)
    fitted = fit_anomaly(map(read, fit), PixelFormat.MONO8, OnnxRuntime(), "f32", CREATED, options, groups=groups)
    inspection = Inspection(fitted, tmp_path / "b")
    good_scores = np.array([inspection.result(read(p)).score for p in good])
    bad_scores = np.array([inspection.result(read(p)).score for p in bad])
    auroc = (bad_scores[:, None] > good_scores).mean()
    limits = fitted.manifest.calibration
    assert limits is not None
    overkill = int((good_scores > limits.accept_below).sum())

    assert auroc >= 0.78
    assert clopper_pearson(overkill, len(good_scores))[0] <= limits.overkill_upper
