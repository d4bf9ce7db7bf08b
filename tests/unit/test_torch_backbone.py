"""The network that learns computes what the network on the line computes."""

import numpy as np
import pytest

from appliance.runtimes.onnx import OnnxRuntime
from appliance.training import backbone, weights
from appliance.training.weights import Variant

torch = pytest.importorskip("torch", reason="torch is not installed: nothing can be fine-tuned here")

from appliance.training import torch_backbone  # noqa: E402 (needs torch)

SIZE = (96, 64)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Give one image with smooth and sharp parts, (1, rows, cols, 3) uint8."""
    image = np.random.default_rng(3).integers(0, 256, (1, 12, 8, 3), dtype=np.uint8)
    return image.repeat(8, axis=1).repeat(8, axis=2)


def taps_on_the_line(state, image: np.ndarray) -> dict[str, np.ndarray]:
    session = OnnxRuntime().load(backbone.efficientnet_lite(state, SIZE, tuple(backbone.TAPS)), "f32", 1)
    session.input[...] = image
    return {name: tensor.copy() for name, tensor in session.run().items()}


@pytest.mark.parametrize("variant", Variant)
def test_network_equals_the_export(variant: Variant, picture: np.ndarray) -> None:
    """Every tap of the torch network equals the exported graph to 1e-5 of its largest value."""
    state = weights.efficientnet_lite(variant)
    with torch.no_grad():
        found = torch_backbone.network_of(state)(torch.from_numpy(picture))
    expected = taps_on_the_line(state, picture)

    assert set(expected) == set(found)
    for tap, values in expected.items():
        assert np.abs(values - found[tap].numpy()).max() <= 1e-5 * np.abs(values).max(), tap


def test_state_goes_in_and_out_unchanged() -> None:
    """A state dict comes back from the network bit for bit, all but the ImageNet classes and counters."""
    state = weights.efficientnet_lite0()
    back = torch_backbone.state_of(torch_backbone.network_of(state))
    left_out = set(state) - set(back)

    assert all(name.startswith("_fc.") or name.endswith("num_batches_tracked") for name in left_out)
    assert all(np.array_equal(state[name], values) for name, values in back.items())


@pytest.mark.parametrize("variant", Variant)
def test_tail_continues_the_export(variant: Variant, picture: np.ndarray) -> None:
    """The last blocks alone, fed with what the exported graph gives before them, end at its deepest tap."""
    state = backbone.rounded(weights.efficientnet_lite(variant))
    graph = backbone.Graph()
    taps = backbone.add_backbone(graph, state, SIZE, ("s32",))
    first = sum(stage.blocks for stage in backbone.stages_of(variant)) - 3
    before = backbone.block_result(graph, first - 1)
    graph.add("Identity", [before], "before")
    graph.add("Identity", [taps["s32"]], "s32")
    channels = backbone.stages_of(variant)[5].channels
    session = OnnxRuntime().load(
        graph.model(SIZE, {"before": (1, channels, 3, 2), "s32": graph.shapes[taps["s32"]]}), "f32", 1
    )
    session.input[...] = picture
    results = session.run()
    tail = torch_backbone.tail_of(state, first)
    with torch.no_grad():
        found = tail(torch.from_numpy(results["before"].copy())).numpy()
    back = torch_backbone.tail_state(tail, first)

    assert np.abs(results["s32"] - found).max() <= 1e-5 * np.abs(found).max()
    assert {name.split(".")[1] for name in back} == {str(first + place) for place in range(3)}
    assert all(np.array_equal(np.asarray(state[name], np.float32), values) for name, values in back.items())


def test_graph_that_ends_early_is_named() -> None:
    """A block that was not written cannot be read."""
    graph = backbone.Graph()
    backbone.add_backbone(graph, weights.efficientnet_lite0(), SIZE, ("s8",))
    with pytest.raises(ValueError, match="block 9: the graph ends before it"):
        backbone.block_result(graph, 9)
