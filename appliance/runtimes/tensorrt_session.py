"""Run one TensorRT engine: tensors bound by name once, upload and execution on two streams, only results come back."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.runtimes.device_buffers import DeviceBuffers
from appliance.runtimes.model_file import ModelFile, TensorInfo, one_line
from appliance.runtimes.tensorrt_log import Listener
from appliance.schema.errors import RuntimeFault
from kernels.cuda.driver import Driver, DriverFault

DTYPES = {"FLOAT": "float32", "INT32": "int32", "INT64": "int64", "BOOL": "bool", "UINT8": "uint8"}
"""TensorRT's names of data types that results come in, and numpy's."""
UNWRITTEN = 0xA5
"""Byte that outputs hold before a run that must write them."""


class PlanRefused(RuntimeFault):
    """A plan that does not load or computes nothing here; another build may help."""


class TensorRtSession:
    """Hold a loaded engine with its buffers; one thread at a time. Never run on a GPU so far."""

    runtime = "tensorrt"

    def __init__(self, trt: ModuleType, driver: Driver, plan: bytes, file: ModelFile, precision: str) -> None:
        """Load a plan. PlanRefused when TensorRT takes it not, RuntimeFault when its tensors are not the model's."""
        self.precision = precision
        self.version: str = trt.__version__
        self._driver = driver
        self._listener = Listener(trt)
        try:
            runtime = trt.Runtime(self._listener.logger)
        except (TypeError, RuntimeError) as cause:
            raise self._listener.fault(f"no runtime: {cause}", "check the GPU's driver") from cause
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise self._refused(f"plan of {len(plan)} bytes does not load", "check the GPU's driver")
        self._check_tensors(trt, engine, file)
        context = engine.create_execution_context()
        if context is None:
            raise self._listener.fault("no execution context", "free device memory")
        try:
            self._buffers = DeviceBuffers(driver, file.input, file.outputs)
        except DriverFault as cause:
            raise RuntimeFault(f"tensorrt {self.version}: {one_line(cause)}; free device memory") from cause
        self._graph: object | None = None
        self._runtime, self._engine, self._context = runtime, engine, context
        self._bind(context, file)

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
        """Stream that the engine runs on; kernels launched on it before `run_prepared` come first."""
        return self._buffers.stream

    @property
    def captured(self) -> bool:
        """Whether a run is one launch of a CUDA graph."""
        return self._graph is not None

    def run(self) -> dict[str, NDArray[np.generic]]:
        """Run on `input`; blocking. The arrays are owned by the session and valid until the next run.

        Raises RuntimeFault when TensorRT or the device fails.
        """
        return self._run(upload=True)

    def run_prepared(self) -> dict[str, NDArray[np.generic]]:
        """Run on what the stream leaves at `input_pointer`; otherwise as `run`."""
        return self._run(upload=False)

    def warm(self, *, graph: bool = False) -> None:
        """Run until the session is ready: lazy loading done, the graph captured where asked, every output written.

        RuntimeFault when a run fails; PlanRefused when an output stays unwritten, or all are zero, which an engine
        that fails on a device gives without a word. What the numbers are worth, the golden tensors tell.
        """
        self._prove()
        if graph:
            self._graph = self._capture()
        self._prove()
        self._buffers.input[...] = 0

    def close(self) -> None:
        """Let go of the engine and its device memory; the session must not run any more."""
        self._graph = None
        self._context = self._engine = self._runtime = None
        self._buffers.close()

    def _run(self, *, upload: bool) -> dict[str, NDArray[np.generic]]:
        try:
            if upload:
                self._buffers.upload()
            if self._graph is None:
                self._execute()
            else:
                self._driver.replay(self._graph, self._buffers.stream)
            self._buffers.download()
        except DriverFault as cause:
            raise RuntimeFault(
                f"tensorrt {self.version}: inference failed: {one_line(cause)}; load the bundle again"
            ) from cause
        return self._buffers.outputs

    def _execute(self) -> None:
        if self._context is None:
            raise RuntimeFault(f"tensorrt {self.version}: session is closed; load the bundle again")
        self._listener.listen()
        if not self._context.execute_async_v3(self._buffers.stream):
            raise self._listener.fault("inference failed", "load the bundle again")

    def _capture(self) -> object | None:
        """Give the run as a graph; None where the driver's binding cannot capture."""
        try:
            if not self._driver.begin_capture(self._buffers.stream):
                return None
            try:
                self._execute()
            finally:
                graph = self._driver.end_capture(self._buffers.stream)
        except DriverFault as cause:
            raise RuntimeFault(f"tensorrt {self.version}: no CUDA graph: {one_line(cause)}; do without") from cause
        return graph

    def _prove(self) -> None:
        buffers = self._buffers
        buffers.input[...] = np.random.default_rng(0).integers(0, 256, buffers.input.shape, np.uint8)
        try:
            for name, array in buffers.outputs.items():
                _bytes(array)[...] = UNWRITTEN
                self._driver.upload(buffers.output_pointers[name], array, buffers.stream)
        except DriverFault as cause:
            raise RuntimeFault(f"tensorrt {self.version}: {one_line(cause)}; load the bundle again") from cause
        outputs = self.run()
        for name, array in outputs.items():
            if bool((_bytes(array) == UNWRITTEN).all()):
                raise self._refused(f"output {name} is never written", "update the driver")
        if not any(bool(array.any()) for array in outputs.values()):
            raise self._refused("every output is zero", "update the driver")

    def _refused(self, what: str, remedy: str) -> PlanRefused:
        return PlanRefused(str(self._listener.fault(what, remedy)))

    def _check_tensors(self, trt: ModuleType, engine: Any, file: ModelFile) -> None:
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        wanted = {item.name: item for item in (file.input, *file.outputs)}
        if set(names) != set(wanted):
            raise self._listener.fault(
                f"engine has tensors {', '.join(names)}, the model {', '.join(wanted)}", "export the model again"
            )
        for name, item in wanted.items():
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            kind = engine.get_tensor_dtype(name).name
            shape = tuple(engine.get_tensor_shape(name))
            found = TensorInfo(name, DTYPES.get(kind, kind), shape)
            on_device = engine.get_tensor_location(name) == trt.TensorLocation.DEVICE
            if found != item or is_input != (item is file.input) or not on_device:
                raise self._listener.fault(
                    f"tensor {name} is {found.dtype} {shape} in the engine, {item.dtype} {item.shape} in the model",
                    "export the model again",
                )

    def _bind(self, context: Any, file: ModelFile) -> None:
        pointers = {file.input.name: self._buffers.input_pointer, **self._buffers.output_pointers}
        bound = context.set_input_shape(file.input.name, file.input.shape)
        for name, pointer in pointers.items():
            bound = context.set_tensor_address(name, pointer) and bound
        if not bound:
            self._buffers.close()
            raise self._listener.fault("tensors cannot be bound", "export the model again")


def _bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)
