"""The exported backbone computes what the published network computes."""

import numpy as np
import onnx
import pytest

from appliance.runtimes.onnx import OnnxRuntime
from appliance.training import backbone, weights
from appliance.training.weights import Variant

# Read off the state dicts: (repeats, kernel, stride, channels in, channels out, expansion) of each stage.
PLANS = {
    Variant.LITE0: (
        (1, 3, 1, 32, 16, 1),
        (2, 3, 2, 16, 24, 6),
        (2, 5, 2, 24, 40, 6),
        (3, 3, 2, 40, 80, 6),
        (3, 5, 1, 80, 112, 6),
        (4, 5, 2, 112, 192, 6),
        (1, 3, 1, 192, 320, 6),
    ),
    Variant.LITE1: (
        (1, 3, 1, 32, 16, 1),
        (3, 3, 2, 16, 24, 6),
        (3, 5, 2, 24, 40, 6),
        (4, 3, 2, 40, 80, 6),
        (4, 5, 1, 80, 112, 6),
        (5, 5, 2, 112, 192, 6),
        (1, 3, 1, 192, 320, 6),
    ),
    Variant.LITE2: (
        (1, 3, 1, 32, 16, 1),
        (3, 3, 2, 16, 24, 6),
        (3, 5, 2, 24, 48, 6),
        (4, 3, 2, 48, 88, 6),
        (4, 5, 1, 88, 120, 6),
        (5, 5, 2, 120, 208, 6),
        (1, 3, 1, 208, 352, 6),
    ),
}


@pytest.fixture(scope="module")
def state():
    return weights.efficientnet_lite0()


def images(size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Noise, a flat field, and a smooth scene with edges: (rows, cols, 3) uint8."""
    random = np.random.default_rng(7)
    row, col = np.mgrid[: size[0], : size[1]]
    waves = [127 + 90 * np.sin(row / (9 + 3 * c) + c) * np.cos(col / 13 - c) for c in range(3)]
    scene = np.stack(waves, axis=-1)
    scene[size[0] // 4 : size[0] // 2, size[1] // 3 : size[1] // 2] = (220, 40, 90)
    return {
        "noise": random.integers(0, 256, (*size, 3), dtype=np.uint8),
        "white": np.full((*size, 3), 255, np.uint8),
        "scene": (scene + random.normal(0, 3, scene.shape)).clip(0, 255).astype(np.uint8),
    }


def torch_network(torch, state, plan):  # noqa: C901 (a whole network in one place, to be read against the paper)
    """Build EfficientNet-Lite from a plan, in eager torch with separate batch norms."""
    functional = torch.nn.functional

    def same(x, kernel: int, stride: int):
        pads = []
        for length in (x.shape[3], x.shape[2]):
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            pads += [total // 2, total - total // 2]
        return functional.pad(x, pads)

    class Unit(torch.nn.Module):
        def __init__(self, source: int, target: int, kernel: int, stride: int, groups: int) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(source, target, kernel, stride, groups=groups, bias=False)
            self.norm = torch.nn.BatchNorm2d(target, eps=1e-3)

        def forward(self, x):
            return self.norm(self.conv(same(x, self.conv.kernel_size[0], self.conv.stride[0])))

    def unit(conv: str, norm: str, *shape: int):
        made = Unit(*shape)
        tensors = {f"conv.{key}": state[f"{conv}.{key}"] for key in ("weight",)}
        tensors |= {f"norm.{key}": state[f"{norm}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
        tensors["norm.num_batches_tracked"] = state[f"{norm}.num_batches_tracked"]
        made.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in tensors.items()})
        return made.eval()

    def forward(image):
        with torch.no_grad():
            x = (torch.from_numpy(image).permute(0, 3, 1, 2).float() - 127) / 128
            x = functional.relu6(unit("_conv_stem", "_bn0", 3, 32, 3, 2, 1)(x))
            taps, index = {}, 0
            for stage, (repeats, kernel, stride, source, target, expand) in enumerate(plan):
                for repeat in range(repeats):
                    before, name = x, f"_blocks.{index}."
                    inputs = source if repeat == 0 else target
                    wide = inputs * expand
                    if expand > 1:
                        x = functional.relu6(unit(f"{name}_expand_conv", f"{name}_bn0", inputs, wide, 1, 1, 1)(x))
                    step = stride if repeat == 0 else 1
                    x = functional.relu6(
                        unit(f"{name}_depthwise_conv", f"{name}_bn1", wide, wide, kernel, step, wide)(x)
                    )
                    x = unit(f"{name}_project_conv", f"{name}_bn2", wide, target, 1, 1, 1)(x)
                    if before.shape == x.shape:
                        x = x + before
                    index += 1
                taps[{1: "s4", 2: "s8", 3: "s16_early", 4: "s16", 6: "s32"}.get(stage)] = x.numpy()
            wide = functional.relu6(unit("_conv_head", "_bn1", plan[-1][4], 1280, 1, 1, 1)(x))
            taps["pooled"] = wide.mean(dim=(2, 3)).numpy()
        return taps

    return forward


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        (Variant.LITE0, (256, 256)),
        (Variant.LITE0, (224, 224)),
        (Variant.LITE0, (96, 160)),
        (Variant.LITE1, (96, 160)),
        (Variant.LITE2, (96, 160)),
    ],
)
def test_equal_to_torch(variant: Variant, size: tuple[int, int]) -> None:
    """Every tap equals an independent torch implementation to 1e-4 of the tap's largest value."""
    torch = pytest.importorskip("torch", reason="torch is not installed: parity of the export is not checked here")
    state = weights.efficientnet_lite(variant)
    forward = torch_network(torch, state, PLANS[variant])
    taps = tuple(backbone.TAPS)
    session = OnnxRuntime().load(backbone.efficientnet_lite(state, size, taps), "f32", 1)
    for name, image in images(size).items():
        session.input[0] = image
        results = session.run()
        expected = forward(image[None])
        for tap in taps:
            worst = np.abs(expected[tap] - results[tap]).max() / np.abs(expected[tap]).max()
            assert worst <= 1e-4, (name, tap, worst)


@pytest.mark.parametrize("variant", Variant)
def test_variant_is_read_off_the_state(variant: Variant) -> None:
    """A state says which variant it is; stages and taps have the channels of its tensors."""
    state = weights.efficientnet_lite(variant)
    plan = PLANS[variant]
    deepest = state["_conv_head.weight"].shape[1]

    assert variant == backbone.variant_of(state)
    assert [(s.blocks, s.kernel, s.stride, s.channels) for s in backbone.stages_of(variant)] == [
        (repeats, kernel, stride, target) for repeats, kernel, stride, _, target, _ in plan
    ]
    assert [deepest, 1280] == [backbone.tap_channels(tap, variant) for tap in ("s32", "pooled")]
    assert (2, deepest, 3, 5) == backbone.tap_shape("s32", (96, 160), 2, variant)


def test_unknown_state_is_refused(state) -> None:
    """A state of other blocks is no backbone."""
    short = {name: value for name, value in state.items() if not name.startswith("_blocks.15.")}
    with pytest.raises(ValueError, match="15 blocks of"):
        backbone.efficientnet_lite(short, (64, 64))


def test_contract_of_the_model_file(state) -> None:
    """The file takes uint8 NHWC, gives float32 taps, and holds no batch norm and no activation but Clip."""
    model = onnx.load_model_from_string(backbone.efficientnet_lite0(state, (128, 96)))
    shapes = {
        value.name: (value.type.tensor_type.elem_type, [d.dim_value for d in value.type.tensor_type.shape.dim])
        for value in (*model.graph.input, *model.graph.output)
    }

    assert {
        "image": (onnx.TensorProto.UINT8, [1, 128, 96, 3]),
        "s8": (onnx.TensorProto.FLOAT, [1, 40, 16, 12]),
        "s16": (onnx.TensorProto.FLOAT, [1, 112, 8, 6]),
    } == shapes
    assert {"Cast", "Transpose", "Sub", "Mul", "Conv", "Clip", "Add", "Identity"} == {
        n.op_type for n in model.graph.node
    }


def test_export_is_reproducible(state) -> None:
    """The same weights and size give the same bytes."""
    assert backbone.efficientnet_lite0(state, (64, 64)) == backbone.efficientnet_lite0(state, (64, 64))


@pytest.mark.parametrize(
    ("size", "taps"), [((100, 96), ("s8",)), ((16, 16), ("s8",)), ((64, 64), ("s64",)), ((64, 64), ())]
)
def test_impossible_request_is_refused(state, size: tuple[int, int], taps: tuple[str, ...]) -> None:
    """A size that is no multiple of 16 or an unknown tap is refused with the choices."""
    with pytest.raises(ValueError, match=r"multiples of 16|choose from"):
        backbone.efficientnet_lite0(state, size, taps)


def test_known_picture_is_recognised(state) -> None:
    """The pooled vector carries what ImageNet's classes are read from: a smooth scene keeps its class when mirrored."""
    session = OnnxRuntime().load(backbone.efficientnet_lite0(state, (224, 224), ("pooled",), batch=2), "f32", 1)
    scene = images((224, 224))["scene"]
    session.input[0], session.input[1] = scene, scene[:, ::-1]
    vectors = session.run()["pooled"]
    logits = vectors @ np.asarray(state["_fc.weight"]).T + np.asarray(state["_fc.bias"])
    best, mirrored = (set(np.argsort(row)[-5:].tolist()) for row in logits)

    assert (2, 1280) == vectors.shape
    assert len(best & mirrored) >= 3


def test_batch_gives_what_single_images_give(state) -> None:
    """Each entry of a batch equals the image alone, at every tap, also where a stride does not divide the size."""
    size, taps = (48, 80), tuple(backbone.TAPS)
    single, batched = (
        OnnxRuntime().load(backbone.efficientnet_lite0(state, size, taps, batch), "f32", 1) for batch in (1, 3)
    )
    several = list(images(size).values())
    batched.input[...] = several
    together = {tap: tensor.copy() for tap, tensor in batched.run().items()}
    for index, image in enumerate(several):
        single.input[0] = image
        alone = single.run()
        for tap in taps:
            assert backbone.tap_shape(tap, size, 3) == together[tap].shape
            assert np.allclose(alone[tap][0], together[tap][index], atol=1e-4)


def test_rounded_weights_are_those_of_bf16(state) -> None:
    """Weights of the rounded state have 8 significant bits after folding, and results stay near the original."""
    size = (64, 64)
    content = backbone.efficientnet_lite0(backbone.rounded(state), size, ("pooled",))
    for constant in onnx.load_model_from_string(content).graph.initializer:
        if constant.name.endswith("conv.weight") or constant.name == "_conv_stem.weight":
            bits = onnx.numpy_helper.to_array(constant).view(np.uint32)

            assert not (bits & 0xFFFF).any(), constant.name
    exact, near = (
        OnnxRuntime().load(one, "f32", 1) for one in (backbone.efficientnet_lite0(state, size, ("pooled",)), content)
    )
    exact.input[0] = near.input[0] = images(size)["scene"]
    expected, found = exact.run()["pooled"], near.run()["pooled"]

    assert np.linalg.norm(expected - found) < 0.05 * np.linalg.norm(expected)
