"""Run models with OpenVINO on the CPU: one stream, explicit precision, buffers bound once."""

import importlib.metadata
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.schema.errors import RuntimeFault

# With this package OpenVINO reports every import to its maker, over the network and by a thread of its own, unless the
# user has opted out; without it OpenVINO takes a stub that it brings along.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402  after the line above

DEVICE = "CPU"
PRECISIONS = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16}


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
        if precision not in PRECISIONS:
            raise RuntimeFault(f"openvino: precision {precision} is not one of {', '.join(PRECISIONS)}; choose one")
        if precision == "bf16" and "BF16" not in capabilities:
            raise RuntimeFault(
                f"openvino: this CPU computes in {', '.join(sorted(capabilities))}, not bf16; "
                "use a bundle calibrated in f32"
            )
        return precision

    def load(self, model: Path | bytes, precision: str, threads: int) -> "OpenVinoSession":
        """Compile an ONNX model; blocks for about 0.3 s. Raises RuntimeFault when it cannot run in `precision`."""
        content = model.read_bytes() if isinstance(model, Path) else model
        config = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[self.choose(precision)],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # pinned threads stall for milliseconds when another process holds the core
        }
        try:
            compiled = self._core.compile_model(self._core.read_model(content), DEVICE, config)
        except RuntimeError as cause:
            reason = str(cause).strip().splitlines()[-1]
            raise RuntimeFault(f"openvino {self.version}: model does not compile: {reason}; export it again") from cause
        return OpenVinoSession(compiled, precision=self.choose(precision), version=self.version)


class OpenVinoSession:
    """Hold a compiled model with its input and output buffers; one thread at a time."""

    runtime = "openvino"

    def __init__(self, compiled: openvino.CompiledModel, precision: str, version: str) -> None:
        self.version = version
        self.precision = _read_back(compiled)
        if self.precision != precision:
            raise RuntimeFault(
                f"openvino {version}: runs in {self.precision}, {precision} was asked; use that precision"
            )
        self._request = compiled.create_infer_request()
        tensor = openvino.Tensor(compiled.input(0).element_type, compiled.input(0).shape)
        self._request.set_input_tensor(0, tensor)
        self._input: NDArray[np.uint8] = tensor.data
        self._input[...] = 0
        self._outputs = {}
        for index, port in enumerate(compiled.outputs):
            result = openvino.Tensor(port.element_type, port.shape)
            self._request.set_output_tensor(index, result)
            # A tensor keeps every name the optimiser merged into it, so all of them lead to it.
            self._outputs.update(dict.fromkeys(port.names, result.data))

    @property
    def input(self) -> NDArray[np.uint8]:
        """Input tensor to write into, (1, rows, cols, 3) uint8 RGB; owned by the session."""
        return self._input

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input tensor."""
        return self._input.shape

    def run(self) -> dict[str, NDArray[np.float32]]:
        """Run on `input`; blocking. The arrays are owned by the session and valid until the next run.

        Raises RuntimeFault when OpenVINO fails.
        """
        try:
            self._request.infer()
        except RuntimeError as cause:
            raise RuntimeFault(f"openvino {self.version}: inference failed: {cause}; load the bundle again") from cause
        return self._outputs


def _read_back(compiled: openvino.CompiledModel) -> str:
    kind = compiled.get_property("INFERENCE_PRECISION_HINT")
    return next((name for name, known in PRECISIONS.items() if known == kind), str(kind))
