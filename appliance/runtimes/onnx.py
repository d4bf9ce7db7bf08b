"""Run models with ONNX Runtime: on the CPU the reference and the portable fallback, on a GPU by its providers."""

import importlib.metadata
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as faults

from appliance.runtimes.device import open_driver
from appliance.runtimes.device_buffers import DeviceBuffers
from appliance.runtimes.half_precision import half_precision
from appliance.runtimes.model_file import ModelFile, check_precision, one_line, read_model
from appliance.runtimes.onnx_session import DeviceOnnxSession, OnnxSession
from appliance.schema.errors import RuntimeFault
from kernels.cuda.driver import Driver, DriverFault

CPU = "CPUExecutionProvider"
PROVIDERS = {
    "cpu": (CPU,),
    "cuda": ("CUDAExecutionProvider", CPU),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", CPU),
}
"""Execution providers in order of choice; a GPU's own always has the CPU behind it."""
PRECISIONS = {"cpu": ("f32", "int8"), "cuda": ("f32", "f16"), "tensorrt": ("f32", "f16")}
HEAVY = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
"""Operators that must not be left to the CPU in silence."""
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
    DriverFault,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class OnnxRuntime:
    """Compile models with ONNX Runtime for one provider."""

    name = "onnx"

    def __init__(
        self,
        provider: str = "cpu",
        *,
        allow_cpu: bool = False,
        driver: Driver | None = None,
        cache: Path | None = None,
    ) -> None:
        """Choose `cpu`, `cuda` or `tensorrt`.

        allow_cpu: run on the CPU where the provider does not come up; the session says so. driver: the device's memory,
        opened at the first load where not given. cache: folder of the TensorRT provider's engines; each takes minutes.
        Raises RuntimeFault for an unknown provider, and where two distributions overwrote each other.
        """
        if provider not in PROVIDERS:
            raise RuntimeFault(f"onnx: provider {provider!r} is not one of {', '.join(PROVIDERS)}; choose one")
        check_distributions(item.name for item in importlib.metadata.distributions())
        self.version: str = onnxruntime.__version__
        if provider != "cpu":
            self.name = f"onnx-{provider}"
        self._provider = provider
        self._allow_cpu = allow_cpu
        self._driver = driver
        self._cache = cache

    def choose(self, precision: str = "auto") -> str:
        """Give the precision to run in, f32 for `auto`; RuntimeFault for one that the provider does not have."""
        if precision == "auto":
            return "f32"
        if precision not in PRECISIONS[self._provider]:
            known = " or ".join(PRECISIONS[self._provider])
            raise RuntimeFault(
                f"{self.name}: precision {precision} is not {known}; use the openvino runtime or an f32 bundle"
            )
        return precision

    def load(self, model: Path | bytes, precision: str, threads: int) -> OnnxSession | DeviceOnnxSession:
        """Compile an ONNX model; blocks for about 0.1 s, with the TensorRT provider for minutes the first time.

        Raises RuntimeFault when it cannot run in `precision` on the provider.
        """
        chosen = self.choose(precision)
        file = read_model(self.name, model)
        check_precision(self.name, file, chosen)
        if self._provider == "cpu":
            return self._on_cpu(file, chosen, threads, "onnx")
        try:
            return self._on_gpu(file, chosen, threads)
        except RuntimeFault:
            if not self._allow_cpu or chosen not in PRECISIONS["cpu"]:
                raise
        return self._on_cpu(file, chosen, threads, f"{self.name} on the CPU")

    def _on_cpu(self, file: ModelFile, precision: str, threads: int, name: str) -> OnnxSession:
        options = _options(threads)
        with tempfile.TemporaryDirectory(prefix="firstshift-") as folder:
            optimised = Path(folder) / "optimised.onnx"
            if precision == "int8":
                options.optimized_model_filepath = str(optimised)
            session = self._create(file.content, options, [(CPU, {})])
            if precision == "int8":
                self._check_eight_bit(optimised)
        try:
            return OnnxSession(session, file, precision, self.version, name)
        except ERRORS as cause:
            raise RuntimeFault(f"{self.name} {self.version}: buffers: {one_line(cause)}; export it again") from cause

    def _on_gpu(self, file: ModelFile, precision: str, threads: int) -> DeviceOnnxSession:
        wanted = PROVIDERS[self._provider]
        available = onnxruntime.get_available_providers()
        if wanted[0] not in available:
            raise RuntimeFault(
                f"{self.name} {self.version}: has {', '.join(available)}, needs {wanted[0]}; install the [gpu] extra"
            )
        onnxruntime.preload_dlls(directory="")  # CUDA's libraries out of their wheels, where they were installed so
        self._driver = self._driver or open_driver()
        content = half_precision(file.content) if precision == "f16" else file.content
        try:
            buffers = DeviceBuffers(self._driver, file.input, file.outputs)
        except DriverFault as cause:
            raise RuntimeFault(f"{self.name}: {cause}; free device memory") from cause
        try:
            providers = [(name, self._provider_options(name, buffers.stream)) for name in wanted]
            session = self._create(content, _options(threads), providers)
            self._check_placement(session)
            return DeviceOnnxSession(session, buffers, file, precision, self.version, self._provider)
        except RuntimeFault:
            buffers.close()
            raise

    def _create(
        self, content: bytes, options: onnxruntime.SessionOptions, providers: list[tuple[str, dict[str, str]]]
    ) -> onnxruntime.InferenceSession:
        try:
            session = onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
        except ERRORS as cause:
            remedy = "export it again" if len(providers) == 1 else "check the GPU's driver and libraries, or the model"
            raise RuntimeFault(
                f"{self.name} {self.version}: model does not compile: {one_line(cause)}; {remedy}"
            ) from cause
        # A provider that does not come up is replaced in silence, so only the session itself tells what it runs on.
        if session.get_providers()[0] != providers[0][0]:
            raise RuntimeFault(
                f"{self.name} {self.version}: runs on {', '.join(session.get_providers())}, not {providers[0][0]}; "
                "check the GPU's driver and libraries, or allow the CPU in the recipe"
            )
        return session

    def _provider_options(self, name: str, stream: int) -> dict[str, str]:
        if name == CPU:
            return {}
        options = {"device_id": "0", "user_compute_stream": str(stream)}
        if name == "CUDAExecutionProvider":
            return {**options, "use_tf32": "0"}  # f32 is not to mean 10 bits
        if self._cache is not None:
            options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(self._cache)}
            options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(self._cache)}
        return options

    def _check_placement(self, session: onnxruntime.InferenceSession) -> None:
        """Refuse a session whose heavy operators were left to the last provider, the CPU."""
        wanted = PROVIDERS[self._provider][:-1] or PROVIDERS[self._provider]
        left = Counter(
            node.op_type
            for part in session.get_provider_graph_assignment_info()
            if part.ep_name not in wanted
            for node in part.get_nodes()
            if node.op_type in HEAVY
        )
        if left:
            counted = ", ".join(f"{count} {name}" for name, count in left.items())
            raise RuntimeFault(
                f"{self.name} {self.version}: leaves {counted} to the CPU; allow the CPU in the recipe or export again"
            )

    def _check_eight_bit(self, optimised: Path) -> None:
        operators = {node.op_type for node in onnx.load(optimised).graph.node}
        if not any(re.fullmatch(r"Q(Linear|Gemm|Attention)\w*|\w+Integer\w*", name) for name in operators):
            raise RuntimeFault(
                f"{self.name} {self.version}: computes nothing of this model in 8 bits; quantise it per convolution"
            )


def check_distributions(names: Iterable[str]) -> None:
    """Raise RuntimeFault where several ONNX Runtimes are installed: they share one folder and overwrite each other."""
    found = sorted({name for name in names if re.fullmatch(r"(?i)onnxruntime([-_](gpu|directml|openvino|qnn))?", name)})
    if len(found) > 1:
        raise RuntimeFault(
            f"onnx: {' and '.join(found)} are both installed and overwrite each other; uninstall both, then install one"
        )


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its errors come as exceptions
    # Spinning threads burn the core that acquisition needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options
