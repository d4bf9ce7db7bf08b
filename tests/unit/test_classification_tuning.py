"""Learning on in the last layers leaves the others alone, exports what it learned, and is kept only if it pays."""

import sys
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training import weights
from appliance.training.backbone import rounded
from appliance.training.classification import RECORD, FitRecord, class_weights, fit_classification_bundle
from appliance.training.classification_features import Pictures, compute_features
from appliance.training.classification_graph import ClassificationWeights, classification_model
from appliance.training.classification_options import ClassificationOptions
from appliance.training.fit_run import FitRun
from appliance.training.labelled import run_each
from appliance.training.linear import fit_softmax, softmax
from kernels import build

torch = pytest.importorskip("torch", reason="torch is not installed: nothing can be fine-tuned here")

from appliance.training.torch_classification import TailNetwork, fine_tune  # noqa: E402 (needs torch)

RUN = FitRun(OnnxRuntime(), "f32", "2026-11-21T12:00:00Z", threads=1)
OPTIONS = ClassificationOptions(size=(64, 64), folds=2, hidden=8, mirrored=False, finetune=True, passes=2)
COUNT = 48


class Scratches(Sequence):
    """Give noisy frames, every second one with a thin line."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index):
        random = np.random.default_rng(index)
        frame = random.integers(60, 200, (64, 64), dtype=np.uint8)
        if index % 2:
            frame[random.integers(8, 56), 8:56] = 255
        return frame


LABELS = np.array([0, 1] * (COUNT // 2))
FOLDS = np.arange(COUNT) // 2 % 2


@pytest.fixture(scope="module")
def learned():
    """Give state, features, closed-form heads, and what two passes made of them."""
    build.build()
    state = rounded(weights.efficientnet_lite0())
    pictures = Pictures(Scratches(), COUNT, PixelFormat.MONO8, OPTIONS, 0)
    features = compute_features(pictures, LABELS, state, RUN, OPTIONS)
    rows = features.pooled[:, 0].astype(np.float32)
    heads = [fit_softmax(rows[FOLDS != fold], LABELS[FOLDS != fold], 2, 0.1) for fold in (0, 1, 2)]
    importance = class_weights(LABELS, 2, 0.5)
    return state, pictures, features, heads, fine_tune(features, state, LABELS, importance, FOLDS, heads, RUN, OPTIONS)


def test_it_begins_where_closed_form_ended(learned) -> None:
    """Before any step the network gives the logits of the fitted layer."""
    state, _, features, heads, _ = learned
    rows = features.pooled[:, 0].astype(np.float32)
    network = TailNetwork(state, features.first_tuned, heads[2], rows, maxima=True)
    with torch.no_grad():
        found = network(torch.from_numpy(features.body[:, 0].astype(np.float32)), torch.from_numpy(rows)).numpy()

    assert np.abs(heads[2](rows) - found).max() < 0.02 * np.abs(found).max()  # features are kept in 16 bits
    assert np.allclose(heads[2].weight, network.layer().weight, atol=1e-5)


def test_frozen_part_is_bit_identical(learned) -> None:
    """Convolutions of the last fifth of the blocks change; every other tensor is the same to the bit."""
    state, _, features, _, tuned = learned
    (changed, _), *_ = reversed(tuned.models(1))
    different = {name for name in state if not np.array_equal(state[name], changed[name])}
    blocks = {int(name.split(".")[1]) for name in different}

    assert state.keys() == changed.keys()
    assert different
    assert all(name.endswith("_conv.weight") for name in different)
    assert set(range(features.first_tuned, 16)) == blocks == {13, 14, 15}


def test_export_gives_what_was_learned(learned) -> None:
    """The ONNX of the new state and layer gives the probabilities that the torch network gave for parts held out."""
    _, pictures, features, _, tuned = learned
    (state, layer), *_ = tuned.models(1)
    model = classification_model(state, (64, 64), ClassificationWeights(features.hidden, layer, maxima=True))
    held = np.flatnonzero(FOLDS == 0)
    images = np.stack([pictures.image(int(index)) for index in held])
    found = run_each(OnnxRuntime().load(model, "f32", 1), images, "probabilities")

    # Weights are rounded to 8 bits on the way out, and the torch network reads 16-bit features.
    assert np.abs(softmax(tuned.logits[1][held]) - found).max() < 0.03


def test_every_part_is_answered_by_a_model_that_did_not_see_it(learned) -> None:
    """After each pass there is one answer per image, and a snapshot per model."""
    *_, tuned = learned

    assert 2 == len(tuned.logits)
    assert all(np.isfinite(logits).all() for logits in tuned.logits)
    assert [2, 2, 2] == [len(passes) for passes in tuned.snapshots]


@pytest.mark.parametrize(("least_gain", "kept"), [(-10.0, True), (1.0, False)])
def test_it_is_kept_only_if_it_pays(monkeypatch, least_gain: float, kept: bool) -> None:
    """The bundle has the backbone that parts held out speak for, and its record says which."""
    monkeypatch.setattr("appliance.training.classification.LEAST_GAIN", least_gain)
    labels = ["good", "scratch"] * (COUNT // 2)
    options = ClassificationOptions(size=(64, 64), folds=2, hidden=8, mirrored=False, finetune=True, passes=1)
    fitted = fit_classification_bundle(Scratches(), labels, ("good", "scratch"), PixelFormat.MONO8, RUN, options)
    record = msgspec.json.decode(fitted.files[RECORD], type=FitRecord)

    assert kept == record.tuned
    assert 1 == len(record.tuned_log_loss)


def test_missing_torch_is_named(monkeypatch) -> None:
    """Without torch, fine-tuning is refused in one line before minutes are spent on it."""
    monkeypatch.setitem(sys.modules, "appliance.training.torch_classification", None)
    labels = ["good", "scratch"] * (COUNT // 2)
    with pytest.raises(ConfigError, match=r"fine-tuning needs .*install firstshift\[train\]"):
        fit_classification_bundle(Scratches(), labels, ("good", "scratch"), PixelFormat.MONO8, RUN, OPTIONS)
