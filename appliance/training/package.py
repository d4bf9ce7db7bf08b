"""Pack fitted models into a bundle: manifest, settings, golden tensors that the line proves itself on at every load."""

import importlib.metadata
import io
import platform
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.ports.runtime import Runtime, Session
from appliance.schema.bundle import (
    DataSnapshot,
    GoodOnlyCalibration,
    Head,
    Manifest,
    ModelSpec,
    Precision,
    Preprocessing,
    TensorSpec,
)
from appliance.schema.errors import ConfigError
from appliance.training.novelty_graph import with_features
from kernels.canvas import CanvasPreprocessor, scaled
from kernels.preprocess import Preprocessor

BUNDLE_FORMAT = 3
GOLDEN_IMAGES = 32
# A crop of a frame shows as well as the whole what preprocessing does to it, and keeps bundles small.
GOLDEN_FRAME_PX = 512
GOLDEN_INPUT_PX = 256
PREPROCESSING_GOLDEN = "golden_preprocessing.npz"
# Their versions are recorded: they can change a result in its last digits.
PACKAGES = ("numpy", "onnx", "onnxruntime", "openvino")


class Network(Struct, frozen=True):
    """Hold one network with the input images that it is proven on."""

    model: bytes
    """ONNX; input (batch, rows, cols, 3) uint8."""
    images: NDArray[np.uint8]
    """(images, rows, cols, 3) uint8, at least one; `GOLDEN_IMAGES` of them are kept."""
    unordered: tuple[str, ...] = ()
    """Outputs whose rows the network itself chooses by score and orders, `scores` among them."""
    derived: tuple[str, ...] = ()
    """Outputs of which others are made inside the network: those are compared, these are not."""
    limits: Mapping[str, float] = {}
    """Bounds of golden outputs that differ from their precision's (storage/golden.py)."""


class FittedBundle(Struct, frozen=True):
    """Hold a fitted model as its manifest (files not yet listed) and the content of each file, ready to be stored."""

    manifest: Manifest
    files: dict[str, bytes]
    suspects: tuple[int, ...] = ()
    """Places in the series of frames that look unlike the other good ones; a defect among them raises the limits."""


class Contents(Struct, frozen=True):
    """Give everything that a bundle holds beside what is computed here."""

    heads: tuple[Head, ...]
    networks: Mapping[str, Network]
    settings: Mapping[str, bytes]
    """File name -> content: settings of the heads, statistics, reports named in `evidence`."""
    preprocessing: Preprocessing
    frame: NDArray[np.uint8]
    """A raw frame of the training data; a crop of it proves preprocessing."""
    data: DataSnapshot
    created: str
    """UTC, ISO 8601."""
    calibration: GoodOnlyCalibration | None = None
    parent: str = ""
    evidence: tuple[str, ...] = ()
    suspects: tuple[int, ...] = ()


def pack(contents: Contents, runtime: Runtime, precision: str, threads: int = 2) -> FittedBundle:
    """Run every network on its golden images, in the runtime and precision of the line, and give the bundle.

    Networks with our backbone get one output more, for the detector of unknown parts (training/novelty_graph.py).
    Blocks for a second. RuntimeFault when a network does not compile or run, ConfigError without golden images.
    """
    files = dict(contents.settings)
    models = []
    for name, network in contents.networks.items():
        model = with_features(network.model)
        session = runtime.load(model, precision, threads)
        every = golden_outputs(session, golden_images(network.images))
        golden = {output: results for output, results in every.items() if output not in network.derived}
        spec = _model_spec(name, session, golden, network)
        models.append(spec)
        files |= {spec.file: model, spec.golden: npz(golden)}
    files[PREPROCESSING_GOLDEN] = npz(golden_preprocessing(contents.frame, contents.preprocessing))
    manifest = Manifest(
        format=BUNDLE_FORMAT,
        created=contents.created,
        heads=contents.heads,
        models=tuple(models),
        preprocessing=replace(
            contents.preprocessing,
            golden=PREPROCESSING_GOLDEN,
            frame_shape=(contents.frame.shape[0], contents.frame.shape[1]),
        ),
        runtime=runtime.name,
        precision=Precision(precision),
        data=contents.data,
        calibration=contents.calibration,
        versions={name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()},
        parent=contents.parent,
        evidence=contents.evidence,
    )
    return FittedBundle(manifest, files, contents.suspects)


def golden_images(images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give `GOLDEN_IMAGES` images spread over those given; mirrored ones follow where there are fewer."""
    if not len(images):
        raise ConfigError("bundle: 0 golden images, at least 1 is needed; give images of the training data")
    stack = np.asarray(images)
    if len(stack) < GOLDEN_IMAGES:
        mirrored = [stack, stack[:, :, ::-1], stack[:, ::-1], stack[:, ::-1, ::-1]]
        stack = np.concatenate(mirrored * -(-GOLDEN_IMAGES // (4 * len(stack))))[:GOLDEN_IMAGES]
    chosen = np.linspace(0, len(stack) - 1, GOLDEN_IMAGES).round().astype(int)
    return np.ascontiguousarray(stack[chosen])


def golden_outputs(session: Session, images: NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
    """Give `images` and, of each output of the session, its results image by image (batch entry 0)."""
    results: dict[str, list[NDArray[np.generic]]] = {}
    for image in images:
        session.input[...] = image
        for name, tensor in session.run().items():
            results.setdefault(name, []).append(tensor[0].copy())  # the session reuses its memory
    golden: dict[str, NDArray[np.generic]] = {"images": images}
    return golden | {name: np.stack(tensors) for name, tensors in results.items()}


def golden_preprocessing(frame: NDArray[np.uint8], how: Preprocessing) -> dict[str, NDArray[np.generic]]:
    """Give a crop of a raw frame and the image that preprocessing makes of it."""
    rows, cols = (min(GOLDEN_FRAME_PX, length) & ~1 for length in frame.shape[:2])
    top, left = ((length - size) // 2 & ~1 for length, size in zip(frame.shape[:2], (rows, cols), strict=True))
    crop = np.ascontiguousarray(frame[top : top + rows, left : left + cols])
    return {"frame": crop, "image": golden_image(crop, how)}


def golden_image(frame: NDArray[np.uint8], how: Preprocessing) -> NDArray[np.uint8]:
    """Give the image that preprocessing makes of a whole frame, no larger than need be to prove it."""
    rows, cols = frame.shape[:2]
    if how.keep_aspect:
        # A crop beside a small region of interest may be larger than what the input image holds.
        least = scaled((cols, rows), how.shrink)
        image = np.empty((max(how.rows, least[0]), max(how.columns, least[1]), 3), np.uint8)
        CanvasPreprocessor((rows, cols), how.pixel_format, None, image.shape[:2], how.shrink).run(frame, image)
        return image
    image = np.empty((min(GOLDEN_INPUT_PX, how.rows), min(GOLDEN_INPUT_PX, how.columns), 3), np.uint8)
    Preprocessor((rows, cols), how.pixel_format, None, image.shape[:2]).run(frame, image)
    return image


def npz(content: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Give arrays as a compressed npz file that needs no pickle."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **content)
    return file.getvalue()


def _model_spec(name: str, session: Session, golden: Mapping[str, NDArray[np.generic]], network: Network) -> ModelSpec:
    outputs = tuple(
        TensorSpec(
            name=output,
            dtype=tensor.dtype.name,
            shape=tensor.shape,
            compare=_comparison(output, tensor, network.unordered),
            limit=network.limits.get(output),
        )
        for output, tensor in sorted(session.run().items())
        if output in golden
    )
    taken = TensorSpec("image", "uint8", session.input.shape)
    return ModelSpec(name, f"{name}.onnx", taken, outputs, f"golden_{name}.npz")


def _comparison(
    output: str, tensor: NDArray[np.generic], unordered: Sequence[str]
) -> Literal["values", "share", "rows"]:
    if output in unordered:
        return "rows"
    return "values" if np.issubdtype(tensor.dtype, np.floating) else "share"
