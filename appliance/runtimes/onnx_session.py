"""Run one model with ONNX Runtime, with its tensors on the host or on a GPU."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as faults

from appliance.runtimes.device_buffers import DeviceBuffers
from appliance.runtimes.model_file import ModelFile, one_line
from appliance.schema.errors import RuntimeFault
from kernels.cuda.driver import Driver, DriverFault

RUN_ERRORS = (faults.EPFail, faults.Fail, faults.InvalidArgument, faults.RuntimeException, DriverFault, RuntimeError)
DEVICE = "cuda"


class OnnxSession:
    """Hold a compiled model with its input and output buffers on the host; one thread at a time."""

    runtime = "onnx"
    provider = "cpu"

    def __init__(
        self, session: onnxruntime.InferenceSession, file: ModelFile, precision: str, version: str, name: str
    ) -> None:
        self.precision = precision
        self.version = version
        self._name = name
        self._session = session
        self._input: NDArray[np.uint8] = np.zeros(file.input.shape, np.uint8)
        self._outputs = {item.name: np.zeros(item.shape, item.dtype) for item in file.outputs}
        self._binding = session.io_binding()
        self._binding.bind_input(file.input.name, "cpu", 0, np.uint8, self._input.shape, self._input.ctypes.data)
        for output, array in self._outputs.items():
            self._binding.bind_output(output, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    @property
    def input(self) -> NDArray[np.uint8]:
        """Input tensor to write into, (batch, rows, cols, 3) uint8 RGB; owned by the session."""
        return self._input

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input tensor."""
        return tuple(self._input.shape)

    def run(self) -> dict[str, NDArray[np.generic]]:
        """Run on `input`; blocking. The arrays are owned by the session and valid until the next run.

        Raises RuntimeFault when ONNX Runtime fails.
        """
        try:
            self._session.run_with_iobinding(self._binding)
        except RUN_ERRORS as cause:
            raise RuntimeFault(
                f"{self._name} {self.version}: inference failed: {one_line(cause)}; load the bundle again"
            ) from cause
        return self._outputs


class DeviceOnnxSession:
    """Hold a compiled model with its tensors on a GPU; one thread at a time. Never run on a GPU so far."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        buffers: DeviceBuffers,
        file: ModelFile,
        precision: str,
        version: str,
        provider: str,
    ) -> None:
        """Take over `buffers`, whose compute stream the session was made for."""
        self.runtime = f"onnx-{provider}"
        self.provider = provider
        self.precision = precision
        self.version = version
        self._session = session
        self._buffers = buffers
        self._binding = session.io_binding()
        pointer = buffers.input_pointer
        self._binding.bind_input(file.input.name, DEVICE, 0, np.uint8, file.input.shape, pointer)
        for item in file.outputs:
            kind = np.dtype(item.dtype).type
            self._binding.bind_output(item.name, DEVICE, 0, kind, item.shape, buffers.output_pointers[item.name])

    @property
    def input(self) -> NDArray[np.uint8]:
        """Page-locked input to write into, (batch, rows, cols, 3) uint8 RGB; owned by the session."""
        return self._buffers.input

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input tensor."""
        return tuple(self._buffers.input.shape)

    @property
    def input_pointer(self) -> int:
        """The input's device memory, for kernels that make the image there; see `run_prepared`."""
        return self._buffers.input_pointer

    @property
    def driver(self) -> Driver:
        """The device that owns `stream`; kernels on it are launched through this very object."""
        return self._buffers.driver

    @property
    def stream(self) -> int:
        """Stream that the model runs on; kernels launched on it before `run_prepared` come first."""
        return self._buffers.stream

    def run(self) -> dict[str, NDArray[np.generic]]:
        """Run on `input`; blocking. The arrays are owned by the session and valid until the next run.

        Raises RuntimeFault when ONNX Runtime or the device fails.
        """
        return self._run(upload=True)

    def run_prepared(self) -> dict[str, NDArray[np.generic]]:
        """Run on what the stream leaves at `input_pointer`; otherwise as `run`."""
        return self._run(upload=False)

    def close(self) -> None:
        """Give the device memory back; the session must not run any more."""
        self._buffers.close()

    def _run(self, *, upload: bool) -> dict[str, NDArray[np.generic]]:
        try:
            if upload:
                self._buffers.upload()
            self._session.run_with_iobinding(self._binding)
            self._buffers.download()
        except RUN_ERRORS as cause:
            raise RuntimeFault(
                f"{self.runtime} {self.version}: inference failed: {one_line(cause)}; load the bundle again"
            ) from cause
        return self._buffers.outputs
