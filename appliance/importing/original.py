"""Run the model as it came, in ONNX Runtime on the CPU in f32: what the imported one must agree with."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as faults

from appliance.importing.source import Source, dtype, line
from appliance.schema.errors import ConfigError

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
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Original:
    """Hold a session of the model as it came."""

    def __init__(self, source: Source, image: str, constants: dict[str, NDArray[np.generic]], threads: int) -> None:
        """Compile; image: name of that input; ConfigError when ONNX Runtime does not take the file."""
        self._source, self._image, self._constants = source, image, constants
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(source.content, options, providers=[PROVIDER])
        except ERRORS as cause:
            raise ConfigError(
                f"import {source.name}: ONNX Runtime does not take it: {line(cause)}; export it again"
            ) from cause
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, image: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
        """Give every output for an input tensor; blocking; ConfigError when the model fails on it."""
        try:
            results = self._session.run(self._names, {self._image: image, **self._constants})
        except ERRORS as cause:
            raise ConfigError(
                f"import {self._source.name}: fails on an image of {image.shape} {image.dtype}: {line(cause)}; state "
                "size and axes in the mapping or export the model again"
            ) from cause
        unfit = [name for name, result in zip(self._names, results, strict=True) if not _plain(result)]
        if unfit:
            raise ConfigError(f"import {self._source.name}: output {unfit[0]} is no tensor of numbers; export it again")
        return dict(zip(self._names, results, strict=True))


def constant(source: Source, name: str, kind: int, value: object) -> NDArray[np.generic]:
    """Give what an input that is no image is always given."""
    try:
        return np.asarray(value, np.dtype(dtype(kind)))
    except (TypeError, ValueError, OverflowError) as cause:
        raise ConfigError(
            f"import {source.name}: constants.{line(name)} is {line(value)}, cannot be {dtype(kind)}; "
            "correct the mapping"
        ) from cause


def _plain(result: object) -> bool:
    return isinstance(result, np.ndarray) and result.dtype.kind in "fiub"
