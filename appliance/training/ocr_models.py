"""Wrap the PP-OCR networks of the rapidocr wheel: uint8 RGB image in, named tensors of fixed shape out.

Only the wheel's three model files are used, never its code. Their own input is BGR float32 at v / 127.5 - 1
(config.yaml of the wheel: mean 0.5, std 0.5 after / 255; its loader gives BGR); here the scale is two nodes in front,
and the channel order is turned in the first convolution's weights, which costs nothing.
"""

import hashlib
import importlib.metadata
import math
from functools import cache
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
from msgspec import Struct
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from appliance.schema.bundle import ClassSpec
from appliance.schema.errors import RuntimeFault

DISTRIBUTION = "rapidocr"
# Of the files in version 3.10.0 of the wheel; taken 2026-11-21.
DETECTION = ("PP-OCRv6_det_small.onnx", "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f")
RECOGNITION = ("PP-OCRv6_rec_small.onnx", "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884")
DIRECTION = ("ch_ppocr_mobile_v2.0_cls_mobile.onnx", "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c")

IR_VERSION = 8
LINE_ROWS = 48
DIRECTION_COLUMNS = 192
# What is printed on parts in Latin script. Keeping these of 18,709 characters saves 3.5 ms of 24 per line of 320 px in
# f32 (OpenVINO, Zen 4, 2026-11-21), and no full-width twin of a Latin character can be read.
PRINTED = "".join(map(chr, range(0x20, 0x7F))) + "°±²³µØøÄÖÜäöüßÀÇÈÉàçèéÑñ€™®©Ω"
# A line takes the narrowest that holds it, since time grows with the width: 6 letters, 9, 15 and 27 at usual spacing.
WIDTHS = (192, 256, 384, 640)
GOLDEN_LINES = ("LOT A1234-B", "EXP 2027-03-31", "SN 00417 X9", "(01)09501101530003", "MADE IN EU 24V", "REV C 7/12")


class OcrParts(Struct, frozen=True):
    """Hold what an OCR bundle is made of, before it has a manifest."""

    models: dict[str, bytes]
    """ONNX by model name: `detection_<rows>x<columns>`, `recognition_<columns>`, `direction`."""
    settings: bytes
    """JSON that tasks/ocr.py reads."""
    classes: tuple[ClassSpec, ...]
    golden: dict[str, NDArray[np.uint8]]
    """Images to prove each model on: (images, rows, columns, 3) uint8."""


def ocr_bundle_parts(
    detection: tuple[tuple[int, int], ...] = ((320, 320),),
    widths: tuple[int, ...] = WIDTHS,
    characters: str = PRINTED,
    threshold: float = 0.6,
    golden_images: int = 8,
    *,
    upright: bool = False,
) -> OcrParts:
    """Give models, settings, classes and golden images of an OCR bundle; about two seconds.

    detection: (rows, columns) of the detection inputs, see `detection_size`. characters: what may be read; empty: all
    that the network knows. threshold: least probability of every character of a line. upright: leave the direction
    model out, for parts that cannot lie upside down. Raises RuntimeFault without the wheel, ValueError on sizes that no
    network takes.
    """
    kept = tuple(character for character in known_characters() if not characters or character in characters)
    models = {f"detection_{rows}x{columns}": detection_model((rows, columns)) for rows, columns in detection}
    models |= {f"recognition_{width}": recognition_model(width, kept) for width in widths}
    sizes = {f"detection_{rows}x{columns}": (rows, columns) for rows, columns in detection}
    sizes |= {f"recognition_{width}": (LINE_ROWS, width) for width in widths}
    if not upright:
        models["direction"], sizes["direction"] = direction_model(), (LINE_ROWS, DIRECTION_COLUMNS)
    settings = {
        "characters": kept,
        "detection": [name for name in models if name.startswith("detection")],
        "recognition": [name for name in models if name.startswith("recognition")],
        "direction": "" if upright else "direction",
    }
    return OcrParts(
        models,
        msgspec.json.format(msgspec.json.encode(settings), indent=1),
        (ClassSpec("text", defect=False, threshold=threshold),),
        {name: _golden_images(size, golden_images) for name, size in sizes.items()},
    )


def detection_size(width_px: float, height_px: float, longest: int = 320) -> tuple[int, int]:
    """Give (rows, columns) of the detection input that fits a region best: its shape, and no side over `longest`.

    Multiples of 32, as the network needs. A region 320 wide costs by its height: 96 rows a third of 320.
    """
    scale = min(1.0, longest / max(width_px, height_px))
    # Up to eight rows too few only shrink the region a little more.
    rows, columns = (max(32, 32 * math.ceil((length * scale - 8) / 32)) for length in (height_px, width_px))
    return rows, columns


def known_characters() -> tuple[str, ...]:
    """Give the characters of the recognition network in the order of its classes, from class 1 on; 0 is the blank."""
    listed = {entry.key: entry.value for entry in _network(*RECOGNITION).metadata_props}
    # The space is not in the file's list; the network's last class is it.
    return (*listed["character"].split("\n"), " ")


def detection_model(size: tuple[int, int]) -> bytes:
    """Give the detection network: `image` (1, rows, cols, 3) uint8 RGB in, `text` (1, rows, cols) float32 out.

    The output is the probability that a pixel is of a text line's core. size: (rows, cols), multiples of 32; ValueError
    on another.
    """
    if size[0] % 32 or size[1] % 32 or min(size) < 32:
        raise ValueError(f"detection input {size} (rows, cols): both must be multiples of 32; take the next one")
    model = _network(*DETECTION)
    found = _fold_input(model, size)
    _rename(model, found, "text_planes")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, *size], np.int64), "text_shape"))
    model.graph.node.append(helper.make_node("Reshape", ["text_planes", "text_shape"], ["text"], name="text"))
    return _finish(model, [helper.make_tensor_value_info("text", TensorProto.FLOAT, [1, *size])])


def recognition_model(columns: int, characters: tuple[str, ...]) -> bytes:
    """Give the recognition network for lines of 48 rows: `index` (1, steps) int32, `probability` (1, steps) float32.

    One step per 8 columns. index: 0 for the blank, else 1 + place in `characters`; probability: that of this class
    among the kept ones; `probabilities` (1, steps, classes) float32: of all of these. ValueError on columns that are no
    multiple of 8 or on an unknown character.
    """
    if columns % 8 or columns < 32:
        raise ValueError(
            f"recognition input of {columns} columns: needs a multiple of 8, at least 32; take the next one"
        )
    places = {character: place for place, character in enumerate(known_characters(), 1)}
    unknown = [character for character in characters if character not in places]
    if unknown or not characters:
        raise ValueError(f"recognition: characters {unknown[:5]} are unknown to the network; choose from its list")
    model = _network(*RECOGNITION)
    scores = _fold_input(model, (LINE_ROWS, columns))
    softmax = next(node for node in model.graph.node if scores in node.output)
    _keep_classes(model, [0, *(places[character] for character in characters)])
    steps = columns // 8
    _rename(model, scores, "probabilities")
    model.graph.node.extend(
        [
            helper.make_node("ArgMax", [softmax.input[0]], ["index_wide"], name="argmax", axis=2, keepdims=0),
            helper.make_node("Cast", ["index_wide"], ["index"], name="index", to=TensorProto.INT32),
            helper.make_node("ReduceMax", ["probabilities"], ["probability"], name="probability", axes=[2], keepdims=0),
        ]
    )
    return _finish(
        model,
        [
            helper.make_tensor_value_info("index", TensorProto.INT32, [1, steps]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, [1, steps]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, steps, 1 + len(characters)]),
        ],
    )


def direction_model() -> bytes:
    """Give the direction network: a line (1, 48, 192, 3) uint8 RGB in, `upside_down` (1,) float32 probability out."""
    model = _network(*DIRECTION)
    found = _fold_input(model, (LINE_ROWS, DIRECTION_COLUMNS))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "turned"))
    model.graph.node.append(helper.make_node("Gather", [found, "turned"], ["upside_down"], name="upside_down", axis=1))
    return _finish(model, [helper.make_tensor_value_info("upside_down", TensorProto.FLOAT, [1])])


def _network(name: str, sha256: str) -> onnx.ModelProto:
    """Give one of the wheel's networks; RuntimeFault when the wheel is missing or its file is not the known one."""
    return onnx.load_model_from_string(_content(name, sha256))


@cache
def _content(name: str, sha256: str) -> bytes:
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError as missing:
        raise RuntimeFault(f"OCR models: package {DISTRIBUTION} is not installed; install it") from missing
    found = [Path(str(file.locate())) for file in files if file.name == name]
    if not found:
        raise RuntimeFault(f"OCR models: package {DISTRIBUTION} holds no {name}; install version 3.10.0 of it")
    content = found[0].read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise RuntimeFault(f"OCR models: {name} has SHA-256 {digest}, expected {sha256}; install {DISTRIBUTION} 3.10.0")
    return content


def _fold_input(model: onnx.ModelProto, size: tuple[int, int]) -> str:
    """Put uint8 RGB of a fixed size in front of the network; give the name of its only output, now without a shape."""
    graph = model.graph
    planes, result = graph.input[0].name, graph.output[0].name
    weights = {tensor.name: tensor for tensor in graph.initializer}
    constants = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    for node in graph.node:
        if planes in node.input:  # the first convolution: RGB instead of BGR
            tensor = weights.get(node.input[1]) or constants[node.input[1]]
            turned = np.ascontiguousarray(numpy_helper.to_array(tensor)[:, ::-1])
            tensor.CopyFrom(numpy_helper.from_array(turned, tensor.name))
    scale = numpy_helper.from_array(np.full((1, 1, 1, 1), 1 / 127.5, np.float32), "pixel_scale")
    middle = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "pixel_middle")
    graph.initializer.extend([scale, middle])
    front = [
        helper.make_node("Cast", ["image"], ["image_float"], name="image_float", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["image_float"], ["image_planes"], name="image_planes", perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["image_planes", "pixel_scale"], ["image_scaled"], name="image_scaled"),
        helper.make_node("Sub", ["image_scaled", "pixel_middle"], [planes], name="image_centred"),
    ]
    nodes = [*front, *graph.node]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, [1, *size, 3]))
    return str(result)


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for place, name in enumerate(node.output):
            if name == old:
                node.output[place] = new


def _keep_classes(model: onnx.ModelProto, kept: list[int]) -> None:
    """Cut the last linear layer down to some of its classes."""
    product = [node for node in model.graph.node if node.op_type == "MatMul"][-1]
    total = next(node for node in model.graph.node if product.output[0] in node.input)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in (product.input[1], next(name for name in total.input if name in weights)):
        tensor = weights[name]
        cut = np.ascontiguousarray(numpy_helper.to_array(tensor)[..., kept])
        tensor.CopyFrom(numpy_helper.from_array(cut, name))


def _finish(model: onnx.ModelProto, outputs: list[onnx.ValueInfoProto]) -> bytes:
    model.graph.output.extend(outputs)
    del model.metadata_props[:]
    model.graph.name, model.producer_name, model.ir_version = "firstshift", "firstshift", IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _golden_images(size: tuple[int, int], images: int) -> NDArray[np.uint8]:
    """Draw lines of text on grey, light on dark and dark on light, slightly noisy; the same at every call."""
    rows, columns = size
    noise = np.random.default_rng(rows * 10_000 + columns)
    result = np.zeros((images, rows, columns, 3), np.uint8)
    pitch = 48
    for image, place in zip(result, range(images), strict=True):
        paper, ink = ((200, 20), (40, 230))[place % 2]
        image[...] = paper
        for line, bottom in enumerate(range(36, rows + 1, pitch)):
            text = GOLDEN_LINES[(place + line) % len(GOLDEN_LINES)]
            size_of_letters = min(1.0, columns / (18 * len(text)))
            cv2.putText(image, text, (6, bottom), cv2.FONT_HERSHEY_SIMPLEX, size_of_letters, (ink,) * 3, 2, cv2.LINE_AA)
        image[...] = np.clip(image + noise.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    return result
