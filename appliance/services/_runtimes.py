"""Open a runtime by its name; only the chosen one is imported."""

from pathlib import Path

from appliance.ports.runtime import Runtime
from appliance.schema.errors import ConfigError

NAMES = ("openvino", "onnx", "onnx-cuda", "onnx-tensorrt", "tensorrt")


def open_runtime(name: str, *, allow_cpu: bool = False, engines: Path | None = None) -> Runtime:
    """Give a runtime.

    allow_cpu: one made for a GPU may use the CPU instead, and says so. engines: folder where compiled ones are kept.
    ConfigError for an unknown name or a library that is missing, RuntimeFault when the machine lacks what it needs.
    """
    match name:
        case "openvino":
            from appliance.runtimes.openvino import OpenVinoRuntime

            return OpenVinoRuntime()
        case "onnx" | "onnx-cuda" | "onnx-tensorrt":
            from appliance.runtimes.onnx import OnnxRuntime

            return OnnxRuntime(name.partition("-")[2] or "cpu", allow_cpu=allow_cpu, cache=engines)
        case "tensorrt":
            from appliance.runtimes.tensorrt import open_tensorrt

            return open_tensorrt(engines)
    raise ConfigError(f"runtime {name!r}: unknown; choose one of {', '.join(NAMES)}")
