"""Numbers that were checked once against an independent implementation stay what they were.

`model_golden.json` holds results for images that arithmetic alone defines. The backbone values were recorded while the
export equalled an eager torch implementation to 1e-4 (tests/unit/test_backbone.py); record again with
`python tests/golden/test_model_golden.py` only after that test has run with torch.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from appliance.runtimes.onnx import OnnxRuntime
from appliance.training import backbone, weights
from kernels import reference

FILE = Path(__file__).with_name("model_golden.json")
SIZE = (64, 96)


def frame() -> np.ndarray:
    """Give a raw frame, (150, 202) uint8 BayerRG8, made of integer arithmetic only."""
    row, col = np.mgrid[:150, :202]
    return ((row * row + 3 * col * row + 7 * col) % 251).astype(np.uint8)


def preprocessed() -> list[list[list[int]]]:
    """Give a coarse preprocessing result, (3, 4, 3)."""
    return reference.preprocess(frame(), "BayerRG8", (2, 4, 190, 140), (3, 4)).tolist()


def features() -> dict[str, list[float]]:
    """Give 12 values of each tap, spread over the tensor."""
    session = OnnxRuntime().load(
        backbone.efficientnet_lite0(weights.efficientnet_lite0(), SIZE, ("s4", "s8", "s16")), "f32", 1
    )
    session.input[0] = reference.preprocess(frame(), "BayerRG8", (0, 0, 202, 150), SIZE)
    return {
        name: values.ravel()[np.linspace(0, values.size - 1, 12).astype(int)].astype(float).round(5).tolist()
        for name, values in session.run().items()
    }


def test_preprocessing_is_unchanged() -> None:
    """The definition of preprocessing gives the recorded pixels; a change breaks every stored calibration."""
    expected = np.array(json.loads(FILE.read_text())["preprocessed"])

    assert 0 == np.abs(expected - np.array(preprocessed())).max()


def test_backbone_is_unchanged() -> None:
    """Weights, folding and padding give the recorded features."""
    expected = json.loads(FILE.read_text())["features"]
    actual = features()

    assert expected.keys() == actual.keys()
    for name, values in expected.items():
        assert pytest.approx(values, rel=1e-3, abs=1e-3) == actual[name]


if __name__ == "__main__":
    FILE.write_text(json.dumps({"preprocessed": preprocessed(), "features": features()}, indent=1) + "\n")
