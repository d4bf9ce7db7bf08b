"""Run models with ONNX Runtime on the CPU in f32: the reference and the portable fallback."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as faults

from appliance.schema.errors import RuntimeFault

PROVIDER = "CPUExecutionProvider"
# Its errors share no parent but Exception.
ERRORS = (
    faults.EPFail,
    faults.EngineError,
    faults.Fail,
    faults.InvalidArgument,
    faults.InvalidGraph,
    faults.InvalidProtobuf,
    faults.NoModel,
    faults.NoSuchFile,
    faults.NotImplemented,
    faults.RuntimeException,
    RuntimeError,
    ValueError,
)


class OnnxRuntime:
    """Compile models with ONNX Runtime."""

    name = "onnx"

    def __init__(self) -> None:
        self.version: str = onnxruntime.__version__

    def choose(self, precision: str = "auto") -> str:
        """Give the precision to run in, which is f32; RuntimeFault for any other: its CPU provider has no bf16."""
        if precision not in {"auto", "f32"}:
            raise RuntimeFault(f"onnx: precision {precision} is not f32; use the openvino runtime or an f32 bundle")
        return "f32"

    def load(self, model: Path | bytes, precision: str, threads: int) -> "OnnxSession":
        """Compile an ONNX model; blocks for about 0.1 s. Raises RuntimeFault when it cannot run in `precision`."""
        self.choose(precision)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads burn the core that acquisition needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        content = model.read_bytes() if isinstance(model, Path) else model
        try:
            session = onnxruntime.InferenceSession(content, options, providers=[PROVIDER])
        except ERRORS as cause:
            reason = str(cause).strip().splitlines()[0]
            raise RuntimeFault(f"onnx {self.version}: model does not compile: {reason}; export it again") from cause
        # A missing provider is replaced in silence, so only the session itself tells what it runs on.
        if session.get_providers() != [PROVIDER]:
            raise RuntimeFault(f"onnx {self.version}: runs on {session.get_providers()}, not {PROVIDER}; reinstall it")
        return OnnxSession(session, self.version)


class OnnxSession:
    """Hold a compiled model with its input and output buffers; one thread at a time."""

    runtime = "onnx"
    precision = "f32"

    def __init__(self, session: onnxruntime.InferenceSession, version: str) -> None:
        self.version = version
        self._session = session
        image = session.get_inputs()[0]
        if image.type != "tensor(uint8)":
            raise RuntimeFault(f"onnx {version}: input {image.name} is {image.type}, needs uint8 NHWC; export it again")
        self._input: NDArray[np.uint8] = np.zeros(image.shape, np.uint8)
        self._outputs = {result.name: np.zeros(result.shape, np.float32) for result in session.get_outputs()}
        self._binding = session.io_binding()
        self._binding.bind_input(image.name, "cpu", 0, np.uint8, self._input.shape, self._input.ctypes.data)
        for name, array in self._outputs.items():
            self._binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    @property
    def input(self) -> NDArray[np.uint8]:
        """Input tensor to write into, (1, rows, cols, 3) uint8 RGB; owned by the session."""
        return self._input

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input tensor."""
        return tuple(self._input.shape)

    def run(self) -> dict[str, NDArray[np.float32]]:
        """Run on `input`; blocking. The arrays are owned by the session and valid until the next run.

        Raises RuntimeFault when ONNX Runtime fails.
        """
        try:
            self._session.run_with_iobinding(self._binding)
        except ERRORS as cause:
            raise RuntimeFault(f"onnx {self.version}: inference failed: {cause}; load the bundle again") from cause
        return self._outputs
