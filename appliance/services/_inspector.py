"""Turn a stored bundle into an inspector: bundle, preprocessing, runtime session and task joined once."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.decision.calibration import conformal_p_value
from appliance.ports.inspector import Inspection
from appliance.ports.runtime import Runtime, Session
from appliance.schema.clocks import MS, HostNs
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameReady
from appliance.storage import bundle as bundles
from appliance.tasks.anomaly import AnomalyTask, read_settings, read_statistics
from kernels.preprocess import Preprocessor


class BundleInspector:
    """Inspect frames with one bundle; used by one thread."""

    def __init__(self, bundle: bundles.Bundle, session: Session) -> None:
        """Take a verified bundle and the session that its golden outputs were checked on."""
        manifest = bundle.manifest
        calibration = manifest.calibration
        self.bundle = bundle.id
        self.runtime = session.runtime
        self.precision = session.precision
        self.accept_below = calibration.accept_below if calibration else None
        self.reject_above = calibration.reject_above if calibration else None
        self._scores = calibration.scores if calibration else ()
        self._format = manifest.pixel_format
        self._size = (manifest.input_rows, manifest.input_columns)
        self._session = session
        self._reading = read_settings(bundle.files["settings.json"])
        self._known = read_statistics(bundles.arrays(bundle, "statistics.npz"))
        self._stages: dict[tuple[int, int], tuple[Preprocessor, AnomalyTask]] = {}

    def inspect(self, frame: FrameReady, pixels: NDArray[np.uint8]) -> Inspection:
        """Inspect borrowed pixels; RuntimeFault when the frame is not of the bundle's format or the model fails."""
        if frame.pixel_format != self._format:
            raise RuntimeFault(
                f"camera {frame.camera}: delivers {frame.pixel_format}, the bundle was calibrated on {self._format}; "
                "set the camera's pixel_format or fit a bundle for it"
            )
        preprocessor, task = self._stage((frame.rows, frame.columns))
        started = time.monotonic_ns()
        preprocessor.run(pixels, self._session.input)
        prepared = time.monotonic_ns()
        tensors = self._session.run()
        inferred = time.monotonic_ns()
        result = task.interpret(tensors)
        view = ViewResult(
            camera=frame.camera,
            epoch=frame.ref.epoch,
            frame_id=frame.frame_id,
            score=result.score,
            p_value=conformal_p_value(result.score, self._scores) if self._scores else None,
            findings=result.findings,
        )
        finished = HostNs(time.monotonic_ns())
        return Inspection(view, (prepared - started) / MS, (inferred - prepared) / MS, finished)

    def warm(self, rows: int, columns: int) -> None:
        """Make the stages for frames of a shape and run each once, so that the first part finds them ready."""
        preprocessor, task = self._stage((rows, columns))
        preprocessor.run(np.zeros(preprocessor.shape, np.uint8), self._session.input)
        task.interpret(self._session.run())

    def _stage(self, shape: tuple[int, int]) -> tuple[Preprocessor, AnomalyTask]:
        if shape not in self._stages:
            preprocessor = Preprocessor(shape, self._format, self._reading.roi, self._size)
            self._stages[shape] = (preprocessor, AnomalyTask(self._reading, self._known, shape))
        return self._stages[shape]


def open_runtime(name: str) -> Runtime:
    """Import and open a runtime by its name."""
    if name == "openvino":
        from appliance.runtimes.openvino import OpenVinoRuntime

        return OpenVinoRuntime()
    if name == "onnx":
        from appliance.runtimes.onnx import OnnxRuntime

        return OnnxRuntime()
    raise ConfigError(f"runtime {name!r}: unknown; choose openvino or onnx")


def load_inspector(folder: Path, runtime: str, precision: str, threads: int) -> BundleInspector:
    """Read, verify and compile a bundle; blocks for about a second.

    RuntimeFault when a byte differs from the manifest or a golden output from its bound.
    """
    bundle = bundles.read(folder)
    session = open_runtime(runtime).load(bundle.model, precision, threads)
    bundles.verify_session(bundle, session)
    return BundleInspector(bundle, session)


def verify_bundle(folder: Path) -> str:
    """Check every byte and every golden output of a bundle; gives one line, RuntimeFault says what is wrong."""
    bundle = bundles.read(folder)
    manifest = bundle.manifest
    session = open_runtime(manifest.runtime).load(bundle.model, manifest.precision, 1)
    worst = bundles.verify_session(bundle, session)
    return (
        f"{bundle.id}: {len(manifest.files)} files as the manifest says; golden outputs differ by at most {worst:.1e} "
        f"of their largest value in {manifest.runtime} {manifest.precision}"
    )
