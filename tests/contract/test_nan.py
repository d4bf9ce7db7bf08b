"""A network whose numbers are no numbers is refused, and where one slips through its score is no number either."""

import types

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from appliance.runtimes import model_file
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.errors import RuntimeFault
from appliance.training import weights
from appliance.training.anomaly_graph import CHANNELS, Memory, anomaly_model

RUNTIMES = [OpenVinoRuntime, OnnxRuntime]


def poisoned(name: str, value: float) -> bytes:
    """Give an anomaly model with one constant turned into nan or infinity."""
    bank = np.random.default_rng(0).normal(size=(50, CHANNELS)).astype(np.float32)
    memory = Memory(np.zeros(CHANNELS, np.float32), np.ones(CHANNELS, np.float32), bank)
    model = onnx.load_model_from_string(anomaly_model(weights.efficientnet_lite0(), (64, 64), memory))
    (constant,) = (item for item in model.graph.initializer if item.name == name)
    constant.CopyFrom(numpy_helper.from_array(np.full(constant.dims, value, np.float32), name))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("make", RUNTIMES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["bank", "feature_mean", "_conv_stem.weight"])
def test_constants_must_be_numbers(make, name: str, value: float) -> None:
    """OpenVINO's Relu and Clip turn nan into 0, the best score there is: such a file never gets as far."""
    with pytest.raises(RuntimeFault, match=f"constant {name} holds nan or infinity"):
        make().load(poisoned(name, value), "f32", 1)


@pytest.mark.parametrize("make", RUNTIMES)
@pytest.mark.parametrize("name", ["bank", "bank_square", "feature_mean"])
def test_nan_at_the_memory_reaches_the_score(make, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where nothing checks the constants, nan at the distances is nan in the map, in every runtime."""
    blind = types.SimpleNamespace(**{key: getattr(np, key) for key in dir(np) if not key.startswith("__")})
    blind.isfinite = np.ones_like
    monkeypatch.setattr(model_file, "np", blind)
    session = make().load(poisoned(name, float("nan")), "f32", 1)
    session.input[...] = 100

    assert np.isnan(session.run()["map"]).all()


def test_a_name_over_two_lines_is_told_in_one() -> None:
    """A damaged name does not break the message that names it."""
    model = onnx.load_model_from_string(poisoned("bank", float("nan")))
    for item in (*model.graph.initializer, *model.graph.node):
        if isinstance(item, onnx.NodeProto):
            item.input[:] = ["ba\nnk" if name == "bank" else name for name in item.input]
        elif item.name == "bank":
            item.name = "ba\nnk"
    with pytest.raises(RuntimeFault, match=r"^[^\n]*constant ba nk holds nan or infinity[^\n]*$"):
        OnnxRuntime().load(bytes(model.SerializeToString()), "f32", 1)
