"""Make the 8-bit version of a network, and say whether it is good enough to be used.

Only convolutions are turned into 8 bits: distances to a memory, softmax and box arithmetic stay as they are. Weights
per channel, activations per tensor, ranges from calibration images (largest and smallest value seen). It is opt-in:
bench/runtime.py says per network whether it pays, and the gate below whether it may.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from msgspec import Struct
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from appliance.ports.runtime import Session
from appliance.schema.errors import ConfigError

FEWEST_IMAGES = 8
GATE = 0.10
"""Largest mean difference of an output from f32, relative to its largest value, that an 8-bit network may show: about
what bf16 shows at worst (bench/results/runtime.json), and bf16 is known to keep the findings."""


class GateResult(Struct, frozen=True):
    """State how far an 8-bit network is from its origin, per output."""

    images: int
    mean: Mapping[str, float]
    """Mean over the images of the largest difference, relative to the output's largest value; classes: share."""
    worst: Mapping[str, float]
    limit: float

    @property
    def passed(self) -> bool:
        """Whether every output's mean difference is within the limit; nan is not."""
        return all(value <= self.limit for value in self.mean.values())


def quantized(model: bytes, images: NDArray[np.uint8]) -> bytes:
    """Give the network with 8-bit convolutions; blocks for seconds to a minute.

    images: (images, rows, cols, 3) uint8, what the line will see; their ranges are kept. ConfigError with fewer than 8.
    """
    if len(images) < FEWEST_IMAGES:
        raise ConfigError(f"int8: {len(images)} calibration images, at least {FEWEST_IMAGES} are needed; give more")
    batch = onnx.load_model_from_string(model).graph.input[0].type.tensor_type.shape.dim[0].dim_value
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder) / name for name in ("f32.onnx", "prepared.onnx", "int8.onnx"))
        source.write_bytes(model)
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Images(images, batch),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return target.read_bytes()


def gate(origin: Session, candidate: Session, images: NDArray[np.uint8], limit: float = GATE) -> GateResult:
    """Compare an 8-bit session with the f32 session of its origin on images that did not set its ranges."""
    differences: dict[str, list[float]] = {}
    for image in images:
        origin.input[...] = image
        candidate.input[...] = image
        expected, actual = origin.run(), candidate.run()
        for name, tensor in expected.items():
            differences.setdefault(name, []).append(_difference(tensor, actual[name]))
    return GateResult(
        len(images),
        {name: float(np.mean(values)) for name, values in differences.items()},
        {name: float(np.max(values)) for name, values in differences.items()},
        limit,
    )


def _difference(expected: NDArray[np.generic], actual: NDArray[np.generic]) -> float:
    if not np.issubdtype(expected.dtype, np.floating):
        return float(np.mean(expected != actual))
    left, right = expected.astype(np.float64), actual.astype(np.float64)
    return float(np.abs(left - right).max() / max(np.abs(left).max(), 1e-12))


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Hand the calibration images over one by one."""

    def __init__(self, images: NDArray[np.uint8], batch: int) -> None:
        self._left: Iterator[NDArray[np.uint8]] = iter(images)
        self._batch = batch

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Give the next input, None after the last."""
        image = next(self._left, None)
        return None if image is None else {"image": np.repeat(image[None], self._batch, axis=0)}
