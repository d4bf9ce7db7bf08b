"""The last layers of the recognition network: the same numbers in torch, and nothing else changes when they do."""

import importlib

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from appliance.tasks.ocr import read_settings
from appliance.training.ocr_models import _golden_images
from appliance.training.ocr_tail import FITTED, feature_model, tail_weights, with_tail
from tests.unit.ocr_rig import parts

COLUMNS = 256


def run(model: bytes, image: np.ndarray, output: str) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run([output], {"image": image[None]})[0][0]


@pytest.fixture(scope="module")
def model() -> bytes:
    return parts().models[f"recognition_{COLUMNS}"]


def test_torch_says_what_the_network_says(model):
    """Features through the torch layers give the network's probabilities to 1e-4, filled up or not."""
    pytest.importorskip("torch")
    torch_ocr = importlib.import_module("appliance.training.torch_ocr")
    characters = read_settings(parts().settings).characters
    tail = torch_ocr.Tail(tail_weights(model)).eval()
    cut = feature_model(COLUMNS, characters)
    for image in _golden_images((48, COLUMNS), 2):
        features = run(cut, image, "features")
        lines = [torch_ocr.Line(features, (1,)), torch_ocr.Line(np.concatenate([features, features]), (1,))]
        alone, filled = torch_ocr.probabilities(tail, lines[:1])[0], torch_ocr.probabilities(tail, lines)[0]
        expected = run(model, image, "probabilities")

        assert alone.shape == (COLUMNS // 8, 1 + len(characters))
        assert np.abs(alone - expected).max() < 1e-4
        assert np.abs(filled - expected).max() < 1e-4


def test_only_fitted_weights_change(model):
    """Weights put back change nothing; changed ones change those tensors alone, every other stays bit by bit."""
    own = {name: value for name, value in tail_weights(model).items() if name in FITTED}
    same = with_tail(model, own)
    moved = with_tail(model, {**own, "linear_8.b_0": own["linear_8.b_0"] + 1})
    tensors = [
        {
            tensor.name: numpy_helper.to_array(tensor).tobytes()
            for tensor in onnx.load_model_from_string(m).graph.initializer
        }
        for m in (model, same, moved)
    ]

    assert tensors[0] == tensors[1]
    assert [name for name in tensors[0] if tensors[0][name] != tensors[2][name]] == ["linear_8.b_0"]
    with pytest.raises(ValueError, match=r"weight linear_8\.b_0 has shape \(3,\)"):
        with_tail(model, {"linear_8.b_0": np.zeros(3, np.float32)})
