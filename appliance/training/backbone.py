"""Write EfficientNet-Lite as ONNX nodes: uint8 images in, feature maps at strides 4 to 32 and the pooled vector out.

Architecture: Tan and Le, "EfficientNet" (2019), table 1, in its Lite variants (no squeeze-and-excitation, ReLU6; stem,
head and the repeats of the first and last stage are not scaled). The state dict says which variant it is. Batch norms
are folded into the convolutions and the normalisation is part of the graph, so that every runtime gets the same bytes.
Padding follows TensorFlow's SAME rule, which for stride 2 pads bottom and right first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from appliance.training.linear import round_to_bf16
from appliance.training.weights import Variant

# Opset 17 and IR 8 are read by OpenVINO 2026.4, ONNX Runtime 1.31 and TensorRT 10.3 alike.
OPSET = 17
IR_VERSION = 8
BATCH_NORM_EPSILON = 1e-3
# The batch norm behind each convolution of a block.
NORMS = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
PIXEL_MEAN = 127.0
PIXEL_SCALE = 128.0


class Stage(Struct, frozen=True):
    """Describe a run of equal inverted-residual blocks."""

    blocks: int
    kernel: int
    stride: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 16),
    Stage(2, 3, 2, 24),
    Stage(2, 5, 2, 40),
    Stage(3, 3, 2, 80),
    Stage(3, 5, 1, 112),
    Stage(4, 5, 2, 192),
    Stage(1, 3, 1, 320),
)
"""Of Lite0."""
# Width and depth by which the stages of Lite0 are scaled: Tan and Le, "EfficientNet" (2019); the published Lite models.
SCALES = {Variant.LITE0: (1.0, 1.0), Variant.LITE1: (1.0, 1.1), Variant.LITE2: (1.1, 1.2)}
CHANNELS_MULTIPLE = 8
# Tap name: (index of the stage whose result it is, channels in Lite0; `tap_channels` knows all variants). Stages after
# the deepest tap are left out of the graph. `s16_early` is the stage before `s16`: 10 % cheaper, and as good for
# segmentation of defects (training/semantic.py).
TAPS = {"s4": (1, 24), "s8": (2, 40), "s16_early": (3, 80), "s16": (4, 112), "s32": (6, 320), "pooled": (6, 1280)}
POOLED = "pooled"
"""The convolution behind the last stage, averaged over the image: the vector that ImageNet's classes are read from."""


@dataclass
class Graph:
    """Collect nodes and constants of a graph under construction."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Of the tensors that `add_backbone` gave, by tensor name; what heads read rows, columns and batch from."""

    def add(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Append a node with one result and give the result's name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Append a constant and give its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def model(
        self,
        size: tuple[int, int],
        outputs: Mapping[str, tuple[int, ...]],
        batch: int = 1,
        bytes_out: tuple[str, ...] = (),
    ) -> bytes:
        """Give the checked model file: `image` (batch, rows, cols, 3) uint8 in, outputs by name and shape.

        Outputs are float32, those named in `bytes_out` uint8.
        """
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, *size, 3])
        results = [
            helper.make_tensor_value_info(
                name, TensorProto.UINT8 if name in bytes_out else TensorProto.FLOAT, list(shape)
            )
            for name, shape in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, "firstshift", [image], results, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="firstshift")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def efficientnet_lite(
    state: Mapping[str, NDArray[np.generic]],
    size: tuple[int, int],
    taps: tuple[str, ...] = ("s8", "s16"),
    batch: int = 1,
) -> bytes:
    """Give a model file with the backbone alone; outputs are the taps, float32, of `tap_shape`.

    state: of any variant. size: (rows, cols) of the input image, multiples of 16. Raises ValueError on another size,
    tap or state.
    """
    graph = Graph()
    names = add_backbone(graph, state, size, taps, batch)
    for tap in taps:
        graph.add("Identity", [names[tap]], tap)
    return graph.model(size, {tap: graph.shapes[names[tap]] for tap in taps}, batch)


efficientnet_lite0 = efficientnet_lite


def stages_of(variant: Variant) -> tuple[Stage, ...]:
    """Give the stages of a variant."""
    width, depth = SCALES[variant]
    last = len(STAGES) - 1
    return tuple(
        replace(
            stage,
            blocks=stage.blocks if index in {0, last} else math.ceil(depth * stage.blocks),
            channels=_scaled(stage.channels, width),
        )
        for index, stage in enumerate(STAGES)
    )


def variant_of(state: Mapping[str, NDArray[np.generic]]) -> Variant:
    """Name the variant whose blocks a state dict holds; ValueError when it is none of them."""
    found: list[int] = []
    while (weight := state.get(f"_blocks.{len(found)}._project_conv.weight")) is not None:
        found.append(weight.shape[0])
    for variant in Variant:
        if found == [stage.channels for stage in stages_of(variant) for _ in range(stage.blocks)]:
            return variant
    raise ValueError(f"backbone: {len(found)} blocks of {found} channels; give the state of {', '.join(Variant)}")


def tap_channels(tap: str, variant: Variant = Variant.LITE0) -> int:
    """Give the channels of a tap."""
    return TAPS[tap][1] if tap == POOLED else stages_of(variant)[TAPS[tap][0]].channels


def tap_shape(tap: str, size: tuple[int, int], batch: int = 1, variant: Variant = Variant.LITE0) -> tuple[int, ...]:
    """Give the shape of a tap: (batch, channels, rows / s, cols / s), or (batch, 1280) of `pooled`."""
    channels = tap_channels(tap, variant)
    if tap == POOLED:
        return (batch, channels)
    stride = int(tap.removeprefix("s").removesuffix("_early"))
    return (batch, channels, -(-size[0] // stride), -(-size[1] // stride))


def add_backbone(
    graph: Graph, state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], taps: tuple[str, ...], batch: int = 1
) -> dict[str, str]:
    """Append the backbone up to the deepest tap and give each tap's tensor name; its shape is in `graph.shapes`.

    Raises ValueError on a size or tap that it does not have, or a state of no known variant.
    """
    if size[0] % 16 or size[1] % 16 or min(size) < 32:
        raise ValueError(f"backbone input {size} (rows, cols): both must be multiples of 16 and at least 32")
    if not taps or not set(taps) <= set(TAPS):
        raise ValueError(f"backbone taps {taps}: choose from {', '.join(TAPS)}")
    variant = variant_of(state)
    builder = _Lite(graph, state, size)
    current = builder.stem()
    wanted = {TAPS[tap][0]: tap for tap in taps if tap != POOLED}
    found: dict[str, str] = {}
    block, channels = 0, 32
    for index, stage in enumerate(stages_of(variant)[: max(TAPS[tap][0] for tap in taps) + 1]):
        for repeat in range(stage.blocks):
            stride = stage.stride if repeat == 0 else 1
            current = builder.block(block, current, stage, stride, channels)
            block, channels = block + 1, stage.channels
        if index in wanted:
            found[wanted[index]] = current
    if POOLED in taps:
        found[POOLED] = builder.pool(current)
    graph.shapes |= {name: tap_shape(tap, size, batch, variant) for tap, name in found.items()}
    return found


def block_result(graph: Graph, block: int) -> str:
    """Give the tensor name of what a block gives; `add_backbone` must have written it."""
    written = {node.name for node in graph.nodes}
    found = [name for name in (f"_blocks.{block}.sum", f"_blocks.{block}._project_conv") if name in written]
    if not found:
        raise ValueError(f"backbone block {block}: the graph ends before it; take a deeper tap")
    return found[0]


def rounded(state: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Give a state whose convolutions, batch norms folded in, have weights that bf16 holds exactly.

    A runtime in f32 then computes with the same weights as one in bf16, which halves the drift between them; heads
    fitted on these features lose nothing. Measured 2026-11-21: training/README.md.
    """
    result = dict(state)
    pairs = [(name, f"{name.rpartition('.')[0]}") for name in state if name.endswith("_conv.weight")]
    for weight_name, conv in [*pairs, ("_conv_stem.weight", "_conv_stem"), ("_conv_head.weight", "_conv_head")]:
        norm = _norm_of(conv)
        weight, bias = _folded(state, conv, norm)
        result[weight_name] = round_to_bf16(weight)
        ones = np.ones(len(weight))
        result |= {f"{norm}.weight": ones, f"{norm}.running_var": ones - BATCH_NORM_EPSILON}
        result |= {f"{norm}.bias": bias, f"{norm}.running_mean": np.zeros(len(weight))}
    return result


def _scaled(channels: int, width: float) -> int:
    """Give the multiple of 8 nearest to the scaled channels, never over a tenth less."""
    wanted = channels * width
    nearest = max(CHANNELS_MULTIPLE, int(wanted + CHANNELS_MULTIPLE / 2) // CHANNELS_MULTIPLE * CHANNELS_MULTIPLE)
    return nearest if nearest >= 0.9 * wanted else nearest + CHANNELS_MULTIPLE


def _norm_of(conv: str) -> str:
    """Name the batch norm behind a convolution."""
    if conv in {"_conv_stem", "_conv_head"}:
        return "_bn0" if conv == "_conv_stem" else "_bn1"
    block, _, kind = conv.rpartition(".")
    return f"{block}.{NORMS[kind]}"


class _Lite:
    """Append layers of the network, keeping track of the map size for SAME padding."""

    def __init__(self, graph: Graph, state: Mapping[str, NDArray[np.generic]], size: tuple[int, int]) -> None:
        self.graph, self.state, self.size = graph, state, size
        graph.constant("relu6_low", np.array(0, np.float32))
        graph.constant("relu6_high", np.array(6, np.float32))

    def stem(self) -> str:
        graph = self.graph
        floats = graph.add("Cast", ["image"], "image_float", to=TensorProto.FLOAT)
        mean = graph.constant("pixel_mean", np.full((1, 1, 1, 1), PIXEL_MEAN, np.float32))
        scale = graph.constant("pixel_scale", np.full((1, 1, 1, 1), 1 / PIXEL_SCALE, np.float32))
        centred = graph.add("Sub", [floats, mean], "image_centred")
        # Kept apart from the weights: the zero padding of the stem must mean grey 127, not black.
        scaled = graph.add("Mul", [centred, scale], "image_scaled")
        # Last, so that OpenVINO, which convolves channels-last, drops it: 0.4 ms less at 512 x 512.
        planes = graph.add("Transpose", [scaled], "image_planes", perm=[0, 3, 1, 2])
        return self._relu6(self._convolve(planes, "_conv_stem", "_bn0", 2, depthwise=False))

    def block(self, index: int, source: str, stage: Stage, stride: int, channels: int) -> str:
        """Append one inverted residual: expand 1x1, depthwise, project 1x1, and the shortcut where shapes allow."""
        prefix = f"_blocks.{index}."
        current = source
        if f"{prefix}_expand_conv.weight" in self.state:
            expanded = self._convolve(current, f"{prefix}_expand_conv", f"{prefix}_bn0", 1, depthwise=False)
            current = self._relu6(expanded)
        spread = self._convolve(current, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride, depthwise=True)
        projected = self._convolve(self._relu6(spread), f"{prefix}_project_conv", f"{prefix}_bn2", 1, depthwise=False)
        if stride == 1 and channels == stage.channels:
            return self.graph.add("Add", [projected, source], f"{prefix}sum")
        return projected

    def pool(self, source: str) -> str:
        """Append the last convolution and its mean over the image."""
        wide = self._relu6(self._convolve(source, "_conv_head", "_bn1", 1, depthwise=False))
        return self.graph.add("Flatten", [self.graph.add("GlobalAveragePool", [wide], "wide_mean")], "wide_vector")

    def _relu6(self, source: str) -> str:
        return self.graph.add("Clip", [source, "relu6_low", "relu6_high"], f"{source}.relu6")

    def _convolve(self, source: str, conv: str, norm: str, stride: int, *, depthwise: bool) -> str:
        weight, bias = _folded(self.state, conv, norm)
        kernel = weight.shape[2]
        pads = [_same_padding(length, kernel, stride) for length in self.size]
        self.size = (-(-self.size[0] // stride), -(-self.size[1] // stride))
        inputs = [
            source,
            self.graph.constant(f"{conv}.weight", weight),
            self.graph.constant(f"{conv}.bias", bias),
        ]
        return self.graph.add(
            "Conv",
            inputs,
            conv,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
            group=weight.shape[0] if depthwise else 1,
        )


def _folded(
    state: Mapping[str, NDArray[np.generic]], conv: str, norm: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give weight and bias of a convolution with the batch norm behind it folded in (computed in float64)."""
    gain = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"].astype(np.float64) + BATCH_NORM_EPSILON)
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"].astype(np.float64) * gain
    weight = state[f"{conv}.weight"] * gain[:, None, None, None]
    return weight.astype(np.float32), bias.astype(np.float32)


def _same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2
