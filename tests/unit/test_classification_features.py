"""What classification learns from: folds by part, weights, copies, and features that are computed once."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.storage.bundle import arrays
from appliance.tasks.opening import Parts, open_reader
from appliance.training import weights
from appliance.training.augmentation import Augmentation
from appliance.training.backbone import rounded
from appliance.training.classification import (
    RECORD,
    FitRecord,
    class_folds,
    class_weights,
    fit_classification_bundle,
    fit_temperature,
    log_loss,
)
from appliance.training.classification_features import Pictures, compute_features
from appliance.training.classification_options import ClassificationOptions
from appliance.training.fit_run import FitRun
from appliance.training.labelled import run_each
from appliance.training.weights import Variant
from kernels import build
from tests.unit.labelled_parts import stored

CREATED = "2026-11-21T12:00:00Z"
RUN = FitRun(OnnxRuntime(), "f32", CREATED, threads=1)
SMALL = ClassificationOptions(size=(32, 32), folds=2, hidden=8)


@pytest.fixture(scope="session", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


class Shelf(Sequence):
    """Give frames one at a time and count how often."""

    def __init__(self, shapes: list[tuple[int, int]], seed: int = 0) -> None:
        self.shapes, self.seed, self.asked = shapes, seed, 0

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index):
        self.asked += 1
        random = np.random.default_rng((self.seed, index))
        frame = random.integers(90, 110, self.shapes[index], dtype=np.uint8)
        if index % 2:
            frame[10:22, 8:20] = 240
        return frame


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=4, max_size=60), st.integers(0, 99))
def test_parts_stay_in_one_fold(images: list[tuple[int, int]], seed: int) -> None:
    """Images of one part share a fold, folds are numbered from 0 without a gap, and each is the same every time."""
    groups, labels = [str(part) for part, _ in images], np.array([label for _, label in images])
    if len(set(groups)) < 2:
        return
    folds = class_folds(groups, labels, 4, seed)

    assert all(len({fold for fold, own in zip(folds, groups, strict=True) if own == group}) == 1 for group in groups)
    assert sorted(set(folds.tolist())) == list(range(folds.max() + 1))
    assert np.array_equal(folds, class_folds(groups, labels, 4, seed))


def test_parts_of_each_class_are_spread() -> None:
    """Of a class with as many parts as folds, each fold has one, however rare the class is."""
    groups = [f"good{part}" for part in range(40) for _ in range(3)] + [f"crack{part}" for part in range(4)]
    labels = np.array([0] * 120 + [1] * 4)

    assert [0, 1, 2, 3] == sorted(class_folds(groups, labels, 4, 7)[120:].tolist())


@pytest.mark.parametrize(("groups", "message"), [(["a"] * 4, "1 parts"), (["a", "b"], "2 groups for 4 images")])
def test_folds_need_parts(groups: list[str], message: str) -> None:
    """One part cannot be held out from itself."""
    with pytest.raises(ConfigError, match=message):
        class_folds(groups, np.array([0, 0, 1, 1]), 2, 0)


def test_balance_goes_from_images_to_classes() -> None:
    """0 weighs each image the same, 1 each class, and the mean over images stays 1."""
    labels = np.array([0] * 90 + [1] * 10)
    none, half, full = (class_weights(labels, 2, balance) for balance in (0.0, 0.5, 1.0))

    assert [1.0, 1.0] == none.tolist()
    assert pytest.approx(3.0) == half[1] / half[0]
    assert pytest.approx(9.0) == full[1] / full[0]
    assert all(pytest.approx(1.0) == float(one[labels].mean()) for one in (none, half, full))


@settings(deadline=None, max_examples=30)
@given(st.floats(0.4, 6.0), st.integers(0, 1000))
def test_temperature_undoes_overconfidence(factor: float, seed: int) -> None:
    """Logits that are too large by a factor are divided by it, to what sampling allows."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (4000, 3)).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((4000, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    found = fit_temperature(logits * np.float32(factor), labels)

    assert pytest.approx(factor, rel=0.15) == found
    assert log_loss(logits * np.float32(factor), labels, found) <= log_loss(logits, labels, 1.0) + 1e-6


def test_features_are_computed_once(tmp_path) -> None:
    """A second run on the same pictures reads the kept features, and other pictures get their own."""
    labels, run = np.array([0, 1] * 4), replace(RUN, folder=tmp_path)
    state = rounded(weights.efficientnet_lite0())
    shelf, other = Shelf([(32, 32)] * 8), Shelf([(32, 32)] * 8, seed=1)
    first, again, third = (
        compute_features(Pictures(one, 8, PixelFormat.MONO8, SMALL, 0), labels, state, run, SMALL)
        for one in (shelf, shelf, other)
    )

    assert (8, 4, 2 * (8 + 112 + 320)) == first.pooled.shape
    assert np.array_equal(first.pooled, again.pooled)
    assert 8 + 8 + 8 == shelf.asked  # a sample of each run, and once each for the features
    assert first.data == again.data != third.data
    assert not np.array_equal(first.pooled, third.pooled)


def test_copies_are_the_same_each_time_and_differ() -> None:
    """Copy 0 is what the line sees; the others are mirrored and, on demand, changed within the options."""
    options = replace(SMALL, augmentation=Augmentation())
    pictures, plain = (Pictures(Shelf([(40, 36)] * 3), 3, PixelFormat.MONO8, one, 5) for one in (options, SMALL))
    copies = [pictures.image(1, copy=copy) for copy in range(4)]

    assert np.array_equal(copies[0], plain.image(1))
    assert np.array_equal(copies[3], pictures.image(1, copy=3))
    assert np.array_equal(plain.image(1)[::-1, ::-1], plain.image(1, copy=3))
    assert 4 == len({copy.tobytes() for copy in copies})


def test_frames_of_several_shapes_keep_their_aspect() -> None:
    """Where frames differ in shape, the input image holds each of them at one scale, and the bundle says so."""
    shelf = Shelf([(64, 96), (96, 64), (80, 80), (48, 120)])
    pictures = Pictures(shelf, 4, PixelFormat.MONO8, ClassificationOptions(most_px=128 * 128), 0)

    assert pictures.how.keep_aspect
    assert pictures.how.shrink >= 1
    assert pictures.size[0] * pictures.size[1] <= 128 * 128
    assert all((*pictures.size, 3) == pictures.image(index).shape for index in range(4))
    assert not Pictures(Shelf([(64, 96)] * 3), 3, PixelFormat.MONO8, ClassificationOptions(), 0).how.keep_aspect


def test_line_sees_what_was_learned_from(tmp_path) -> None:
    """A bundle made from frames of several shapes reads each of them as the fit did."""
    shelf = Shelf([(64, 96), (80, 72)] * 20)
    options = ClassificationOptions(most_px=128 * 128, folds=2, hidden=8, mirrored=False)
    labels = ["good", "dent"] * 20
    fitted = fit_classification_bundle(shelf, labels, ("good", "dent"), PixelFormat.MONO8, RUN, options)
    bundle = stored(fitted, tmp_path / "bundle")
    (network,) = bundle.manifest.models
    session = OnnxRuntime().load(bundle.files[network.file], "f32", 1)
    pictures = Pictures(shelf, 40, PixelFormat.MONO8, options, 0)
    for index in (0, 1):
        shape = shelf.shapes[index]
        read = opened(bundle, shape).read(shelf[index])

        assert bundle.manifest.preprocessing.keep_aspect
        expected = run_each(session, pictures.image(index)[None], "probabilities")[0, 1]
        assert pytest.approx(float(expected), abs=1e-5) == read.score


def opened(bundle, shape: tuple[int, int]):
    """Open a stored bundle for frames of a shape."""
    sessions = {one.name: OnnxRuntime().load(bundle.files[one.file], "f32", 1) for one in bundle.manifest.models}
    return open_reader(Parts(bundle.manifest, bundle.files, lambda path: arrays(bundle, path), sessions), shape)


def test_any_backbone_and_the_record() -> None:
    """Each variant gives a bundle; its record names the backbone, the parts and what was found on parts held out."""
    labels = ["good", "dent"] * 20
    options = replace(SMALL, variant=Variant.LITE2, mirrored=False)
    groups = [str(index // 2) for index in range(40)]
    fitted = fit_classification_bundle(
        Shelf([(32, 32)] * 40), labels, ("good", "dent"), PixelFormat.MONO8, RUN, options, groups
    )
    record = msgspec.json.decode(fitted.files[RECORD], type=FitRecord)

    assert ("lite2", 20, 1, False, ()) == (
        record.variant,
        record.parts,
        record.rows,
        record.tuned,
        record.tuned_log_loss,
    )
    assert record.accuracy > 0.9
    assert (RECORD,) == fitted.manifest.evidence


def test_small_budget_means_fewer_copies() -> None:
    """Where time is short each picture is looked at once."""
    run = replace(RUN, left_s=lambda: 1e-3)
    pictures = Pictures(Shelf([(32, 32)] * 4), 4, PixelFormat.MONO8, SMALL, 0)
    found = compute_features(pictures, np.array([0, 1] * 2), rounded(weights.efficientnet_lite0()), run, SMALL)

    assert 1 == found.pooled.shape[1]
