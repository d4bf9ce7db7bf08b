"""Stand in for the module `tensorrt` on a machine without a GPU: the plan holds the ONNX file, ONNX Runtime computes.

Every class and method here is one of the real module's, with its number of arguments
(tests/contract/test_tensorrt_names.py). `BEHAVIOUR`, or the environment's FAKE_TENSORRT in another process, makes one
thing go wrong.
"""

import ctypes
import enum
import os
import time
import weakref

__version__ = "10.3.0"
MAGIC = b"fake"
BEHAVIOUR = {"mode": os.environ.get("FAKE_TENSORRT", "")}
NUMBERS = {"float32": "FLOAT", "uint8": "UINT8", "int32": "INT32", "int64": "INT64", "bool": "BOOL"}


class ILogger:
    """Be told things."""

    class Severity(enum.Enum):  # noqa: D106
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    INTERNAL_ERROR, ERROR, WARNING = Severity.INTERNAL_ERROR, Severity.ERROR, Severity.WARNING

    def log(self, severity, msg):
        raise NotImplementedError


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.IntEnum):
    TF32 = 7


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class TensorLocation(enum.Enum):
    DEVICE, HOST = range(2)


class DataType(enum.Enum):
    FLOAT, UINT8, INT32, INT64, BOOL = range(5)


class IProgressMonitor:
    """Be told how a build goes."""


class IHostMemory(bytes):
    """Hold bytes."""

    nbytes = property(len)


class ParserError:
    def __init__(self, text):
        self._text = text

    def desc(self):
        return self._text

    def node_name(self):
        return ""

    def node_operator(self):
        return ""


class INetworkDefinition:
    def __init__(self):
        self.content = b""
        self.parser = lambda: None
        self.num_inputs = self.num_outputs = 0


class OnnxParser:
    def __init__(self, network, logger):
        self._network, self._errors = network, []

    @property
    def num_errors(self):
        return len(self._errors)

    def parse(self, model, path=None):
        if not model:
            return True
        if BEHAVIOUR["mode"] == "refuse":
            self._errors = [ParserError("Assertion failed: no such\noperator")]
            return False
        self._network.content = bytes(model)
        self._network.parser = weakref.ref(self)
        self._network.num_inputs = self._network.num_outputs = 1
        return True

    def get_error(self, index):
        return self._errors[index]


class ITimingCache:
    def __init__(self, content):
        self.content = content

    def serialize(self):
        return IHostMemory(self.content + b"timed;")


class IBuilderConfig:
    progress_monitor = None

    def set_memory_pool_limit(self, pool, pool_size):
        assert isinstance(pool_size, int)

    def clear_flag(self, flag):
        self._cleared = flag

    def create_timing_cache(self, serialized_timing_cache):
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache, ignore_mismatch):
        self._cache = cache
        return cache.content in {b"", b"timed;" * cache.content.count(b";")}

    def get_timing_cache(self):
        return self._cache


class Builder:
    def __init__(self, logger):
        self._logger = logger

    def create_network(self, flags=0):
        return INetworkDefinition() if flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED else None

    def create_builder_config(self):
        return IBuilderConfig()

    def build_serialized_network(self, network, config):
        assert config._cleared == BuilderFlag.TF32, "f32 would be computed in 10 bits"
        assert network.parser() is not None, "the parser, which owns the weights, is gone"
        match BEHAVIOUR["mode"]:
            case "crash":
                ctypes.string_at(0)
            case "hang":
                config.progress_monitor.phase_start("Hanging", None, 1)
                time.sleep(600)
            case "none":
                self._logger.log(ILogger.ERROR, "no kernel\nfits")
                return None
            case "noise":
                print("words of the library")  # noqa: T201  what is tested
        for step in range(3):
            if step == 0:
                config.progress_monitor.phase_start("Building", None, 3)
            config.progress_monitor.step_complete("Building", step)
        config.progress_monitor.phase_finish("Building")
        return IHostMemory(MAGIC + network.content)


class Runtime:
    def __init__(self, logger):
        self._logger = logger
        if BEHAVIOUR["mode"] == "nullptr":
            raise TypeError("factory function returned nullptr")

    def deserialize_cuda_engine(self, serialized_engine):
        if not serialized_engine.startswith(MAGIC) or BEHAVIOUR["mode"] == "foreign":
            self._logger.log(ILogger.ERROR, "cudaError 35")
            return None
        return ICudaEngine(serialized_engine[len(MAGIC) :])


class ICudaEngine:
    def __init__(self, content):
        import onnx  # the builder's process does without them
        import onnxruntime

        graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(content), data_prop=True).graph
        self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        self.values = {item.name: item.type.tensor_type for item in (*graph.input, *graph.output)}
        self._inputs = {item.name for item in graph.input}

    @property
    def num_io_tensors(self):
        return len(self.values)

    def get_tensor_name(self, index):
        name = list(self.values)[index]
        return name + "_renamed" if BEHAVIOUR["mode"] == "renamed" else name

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        if BEHAVIOUR["mode"] == "retyped":
            return DataType.INT32
        return DataType[NUMBERS[self._dtype(name).name]]

    def get_tensor_shape(self, name):
        return [axis.dim_value for axis in self.values[name].shape.dim]

    def get_tensor_location(self, name):
        return TensorLocation.HOST if BEHAVIOUR["mode"] == "host" else TensorLocation.DEVICE

    def create_execution_context(self):
        return None if BEHAVIOUR["mode"] == "no context" else IExecutionContext(self)

    def _dtype(self, name):
        import onnx

        return onnx.helper.tensor_dtype_to_np_dtype(self.values[name].elem_type)


class IExecutionContext:
    def __init__(self, engine):
        self._engine, self._addresses = engine, {}

    def set_input_shape(self, name, shape):
        return list(shape) == self._engine.get_tensor_shape(name)

    def set_tensor_address(self, name, memory):
        self._addresses[name] = int(memory)
        return BEHAVIOUR["mode"] != "unbound"

    def execute_async_v3(self, stream_handle):
        mode = BEHAVIOUR["mode"]
        if mode == "refuse to run":
            return False
        from tests.trt import host_driver

        return host_driver.enqueue(stream_handle, lambda: self._compute(mode))

    def _compute(self, mode):
        import numpy as np

        if mode == "unwritten":
            return
        names = [item.name for item in self._engine.session.get_outputs()]
        image = self._engine.session.get_inputs()[0].name
        results = self._engine.session.run(names, {image: self._read(image)})
        for name, result in zip(names, results, strict=True):
            value = np.ascontiguousarray(np.zeros_like(result) if mode == "zeros" else result)
            ctypes.memmove(self._addresses[name], value.ctypes.data, value.nbytes)

    def _read(self, name):
        import numpy as np

        shape, dtype = self._engine.get_tensor_shape(name), self._engine._dtype(name)
        content = ctypes.string_at(self._addresses[name], int(np.prod(shape)) * dtype.itemsize)
        return np.frombuffer(content, dtype).reshape(shape)
