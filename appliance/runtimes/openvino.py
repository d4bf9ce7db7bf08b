"""Run models with OpenVINO on the CPU: one stream, explicit precision, buffers bound once."""

import importlib.metadata
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.runtimes.model_file import ModelFile, check_precision, one_line, read_model
from appliance.schema.errors import RuntimeFault

# With this package OpenVINO reports every import to its maker, over the network and by a thread of its own, unless the
# user has opted out; without it OpenVINO takes a stub that it brings along.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402  after the line above

DEVICE = "CPU"
# What is not 8-bit in an int8 model is computed in f32, so that machines with and without bf16 agree.
HINTS = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16, "int8": openvino.Type.f32}
NEEDS = {"f32": "FP32", "bf16": "BF16", "int8": "INT8"}
EIGHT_BIT = {"i8", "u8"}
COMPUTING = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}
ERRORS = (RuntimeError, ValueError, TypeError, MemoryError)


class OpenVinoRuntime:
    """Compile models with OpenVINO."""

    name = "openvino"

    def __init__(self) -> None:
        self.version = importlib.metadata.version("openvino")
        self._core = openvino.Core()

    def choose(self, precision: str = "auto") -> str:
        """Give the precision to run in: `auto` is bf16 where the CPU computes in it, else f32.

        Raises RuntimeFault for a precision this CPU does not have: OpenVINO would fall back without a word.
        """
        capabilities = self._core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
        if precision == "auto":
            return "bf16" if "BF16" in capabilities else "f32"
        if precision not in HINTS:
            raise RuntimeFault(f"openvino: precision {precision} is not one of {', '.join(HINTS)}; choose one")
        if NEEDS[precision] not in capabilities:
            raise RuntimeFault(
                f"openvino: this CPU computes in {', '.join(sorted(capabilities))}, not {precision}; "
                "use a bundle calibrated in f32"
            )
        return precision

    def load(self, model: Path | bytes, precision: str, threads: int) -> "OpenVinoSession":
        """Compile an ONNX model; blocks for about 0.3 s. Raises RuntimeFault when it cannot run in `precision`."""
        chosen = self.choose(precision)
        file = read_model("openvino", model)
        check_precision("openvino", file, chosen)
        config = {
            "INFERENCE_PRECISION_HINT": HINTS[chosen],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # pinned threads stall for milliseconds when another process holds the core
        }
        try:
            compiled = self._core.compile_model(self._core.read_model(file.content), DEVICE, config)
            return OpenVinoSession(compiled, file, precision=chosen, version=self.version)
        except ERRORS as cause:
            reason = one_line(str(cause).strip().splitlines()[-1:])
            raise RuntimeFault(f"openvino {self.version}: model does not compile: {reason}; export it again") from cause


class OpenVinoSession:
    """Hold a compiled model with its input and output buffers; one thread at a time."""

    runtime = "openvino"

    def __init__(self, compiled: openvino.CompiledModel, file: ModelFile, precision: str, version: str) -> None:
        self.version = version
        self.precision = _read_back(compiled)
        if self.precision != precision:
            raise RuntimeFault(
                f"openvino {version}: runs in {self.precision}, {precision} was asked; use that precision"
            )
        self._request = compiled.create_infer_request()
        tensor = openvino.Tensor(np.dtype(file.input.dtype), openvino.Shape(file.input.shape))
        self._request.set_input_tensor(0, tensor)
        self._input: NDArray[np.uint8] = tensor.data
        self._input[...] = 0
        self._outputs = {}
        for index, port in enumerate(compiled.outputs):
            result = openvino.Tensor(port.element_type, port.shape)
            self._request.set_output_tensor(index, result)
            # A tensor also keeps the names that the optimiser merged into it; the file's own are meant.
            declared = {output.name for output in file.outputs} & set(port.names)
            self._outputs.update(dict.fromkeys(declared, _array(result)))

    @property
    def input(self) -> NDArray[np.uint8]:
        """Input tensor to write into, (batch, rows, cols, 3) uint8 RGB; owned by the session."""
        return self._input

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input tensor."""
        return self._input.shape

    def run(self) -> dict[str, NDArray[np.generic]]:
        """Run on `input`; blocking. The arrays are owned by the session and valid until the next run.

        Raises RuntimeFault when OpenVINO fails.
        """
        try:
            self._request.infer(share_outputs=True)  # else every output is copied
        except RuntimeError as cause:
            raise RuntimeFault(
                f"openvino {self.version}: inference failed: {one_line(cause)}; load the bundle again"
            ) from cause
        return self._outputs


def _array(tensor: openvino.Tensor) -> NDArray[np.generic]:
    data: NDArray[np.generic] = tensor.data
    return data.view(np.bool_) if tensor.element_type == openvino.Type.boolean else data


def _read_back(compiled: openvino.CompiledModel) -> str:
    """Name what runs: what the heavy layers compute in where that is not f32, else the precision that was told."""
    found = set()
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) in COMPUTING:
            found.add(str(info["runtimePrecision"].astype(str)))
    if found & EIGHT_BIT:
        return "int8"
    hint = compiled.get_property("INFERENCE_PRECISION_HINT")
    told = next((name for name, known in HINTS.items() if known == hint), str(hint))
    return next((name for name in ("bf16", "f16") if name in found), told)
