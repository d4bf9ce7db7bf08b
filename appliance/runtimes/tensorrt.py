"""Run models with TensorRT: built once for this GPU in a staging process, cached, warmed, then used.

TensorRT 10.3 to 11.4: interface checked, build path run with TensorRT-RTX 1.7.1; execution on a target is verified by
the golden tensors of the bundle at every start. Never run on a GPU so far.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from appliance.runtimes.device import ENGINES, open_driver, tensorrt_module
from appliance.runtimes.engine_cache import EngineCache, EngineKey
from appliance.runtimes.half_precision import half_precision
from appliance.runtimes.model_file import ModelFile, check_precision, read_model
from appliance.runtimes.symmetric import unfit_for_tensorrt
from appliance.runtimes.tensorrt_build import BuildOrder, BuildProgress
from appliance.runtimes.tensorrt_session import PlanRefused, TensorRtSession
from appliance.runtimes.tensorrt_stage import LIMIT_S, build_in_stage
from appliance.schema.errors import RuntimeFault
from kernels.cuda.driver import Driver

PRECISIONS = ("f32", "f16", "int8")
OLDEST = (10, 3)
"""Earlier ones lack names that are used here; JetPack 6 has this one."""


def open_tensorrt(cache: Path | None = None, driver: Driver | None = None, *, graph: bool = False) -> "TensorRtRuntime":
    """Open the TensorRT that is installed and the first CUDA device, or `driver`; engines are kept in `cache`.

    RuntimeFault when either is missing.
    """
    trt = tensorrt_module()
    return TensorRtRuntime(trt, driver or open_driver(), cache or Path.home() / ENGINES, graph=graph)


class TensorRtRuntime:
    """Compile models with TensorRT."""

    name = "tensorrt"

    def __init__(
        self,
        trt: ModuleType,
        driver: Driver,
        cache: Path,
        *,
        graph: bool = False,
        report: Callable[[BuildProgress], None] = lambda _: None,
        limit_s: float = LIMIT_S,
    ) -> None:
        """Take TensorRT's module, the device, and the folder of engines.

        graph: capture the run as a CUDA graph where the binding can. report: told how a build goes, and why a cached
        engine is not used. limit_s: time that a build may take. RuntimeFault for a TensorRT before 10.3.
        """
        numbers = tuple(int(number) for number in re.findall(r"\d+", trt.__version__)[:2])
        if trt.__name__ == "tensorrt" and numbers < OLDEST:
            raise RuntimeFault(f"tensorrt {trt.__version__}: is older than 10.3; update it")
        self.version = f"{trt.__name__} {trt.__version__}"
        self._trt = trt
        self._driver = driver
        self._cache = EngineCache(cache)
        self._graph = graph
        self._report = report
        self._limit_s = limit_s

    def choose(self, precision: str = "auto") -> str:
        """Give the precision to run in, f16 for `auto`; RuntimeFault for bf16, which no cast copy is made for."""
        if precision == "auto":
            return "f16"
        if precision not in PRECISIONS:
            raise RuntimeFault(f"tensorrt: precision {precision} is not one of {', '.join(PRECISIONS)}; choose one")
        return precision

    def prepare(self, model: Path | bytes, precision: str) -> None:
        """Build a model into the cache unless it is there; blocks for minutes. RuntimeFault when it cannot be built.

        Another process does the work, so it may run beside sessions in use.
        """
        self._plan(*self._ready(model, precision))

    def load(self, model: Path | bytes, precision: str, threads: int) -> TensorRtSession:
        """Load a model, built first where the cache has it not; blocks for about a second, or minutes.

        The session has run when it is given. RuntimeFault when the model cannot be built, loaded or run.
        """
        file, content, key = self._ready(model, precision)
        plan, was_cached = self._plan(file, content, key)
        try:
            return self._session(plan, file, key)
        except PlanRefused as fault:
            if not was_cached:
                raise
            self._report(BuildProgress(f"engine {self._cache.path(key).name}: {fault}; it is built again"))
        return self._session(self._build(content, key), file, key)

    def _ready(self, model: Path | bytes, precision: str) -> tuple[ModelFile, bytes, EngineKey]:
        chosen = self.choose(precision)
        file = read_model("tensorrt", model)
        check_precision("tensorrt", file, chosen)
        if file.doubles:
            raise RuntimeFault(f"tensorrt: {file.doubles} is 64-bit floating point; export the model in 32 bits")
        unfit = unfit_for_tensorrt(file.content) if file.quantised else ""
        if unfit:
            raise RuntimeFault(
                f"tensorrt: {unfit}; 8-bit models must be int8 around 0 with f32 biases: quantise it with symmetric "
                "activations and unquantised biases"
            )
        content = half_precision(file.content) if chosen == "f16" else file.content
        key = EngineKey(
            model_sha256=hashlib.sha256(content).hexdigest(),
            precision=chosen,
            tensorrt=self.version,
            gpu=self._driver.name,
            compute_capability=".".join(map(str, self._driver.compute_capability)),
            driver=self._driver.driver_version,
            shapes={item.name: item.shape for item in (file.input, *file.outputs)},
        )
        return file, content, key

    def _plan(self, file: ModelFile, content: bytes, key: EngineKey) -> tuple[bytes, bool]:
        """Give the plan, and whether it was in the cache."""
        try:
            plan = self._cache.find(key)
        except RuntimeFault as refusal:
            self._report(BuildProgress(str(refusal)))
            plan = None
        return (self._build(content, key), False) if plan is None else (plan, True)

    def _build(self, content: bytes, key: EngineKey) -> bytes:
        order = BuildOrder(self._trt.__name__, self._trt.__version__, (self._driver.compute_capability,))
        try:
            built = build_in_stage(order, content, self._cache.timing(key), self._report, self._limit_s)
        except RuntimeFault:
            self._cache.keep_timing(key, b"")  # in case it is what the builder stumbled over
            raise
        self._cache.keep(key, built.plan)
        self._cache.keep_timing(key, built.timing)
        return built.plan

    def _session(self, plan: bytes, file: ModelFile, key: EngineKey) -> TensorRtSession:
        session = TensorRtSession(self._trt, self._driver, plan, file, key.precision)
        try:
            session.warm(graph=self._graph)
        except RuntimeFault:
            session.close()
            raise
        return session
