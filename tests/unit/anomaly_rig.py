"""Make plates, with and without a spot, and the patches that the anomaly network sees of them."""

import numpy as np

from appliance.runtimes.onnx import OnnxRuntime
from appliance.training import weights
from appliance.training.anomaly import AnomalyOptions
from appliance.training.anomaly_graph import PatchPlan, feature_model
from appliance.training.fit_run import FitRun

SIZE = (64, 80)
RUN = FitRun(OnnxRuntime(), "f32", "2026-11-21T12:00:00Z", threads=1)
OPTIONS = AnomalyOptions(size=SIZE, patches=120, folds=2, threads=1)
RICH = PatchPlan(("s4", "s8", "s16"), pooled=False)


def part(seed: int, *, spot: tuple[int, int] | None = None, shape: tuple[int, int] = SIZE) -> np.ndarray:
    """Give a grey plate with grain and a dark bar on its left; spot: (x, y) of a bright defect."""
    random = np.random.default_rng(seed)
    plate = np.full(shape, 110.0 + random.uniform(-5, 5))
    plate[:, 8:16] = 50
    if spot:
        plate[spot[1] - 4 : spot[1] + 4, spot[0] - 4 : spot[0] + 4] = 200
    return (plate + random.normal(0, 4, shape)).clip(0, 255).astype(np.uint8)


def rgb(frame: np.ndarray) -> np.ndarray:
    return np.repeat(frame[:, :, None], 3, axis=2)


def output(model: bytes, image: np.ndarray, name: str = "map") -> np.ndarray:
    session = OnnxRuntime().load(model, "f32", 1)
    session.input[0] = image
    return session.run()[name][0].copy()


def patches_of(image: np.ndarray, plan: PatchPlan) -> np.ndarray:
    found = output(feature_model(weights.efficientnet_lite0(), SIZE, 1, plan), image, "features")
    return np.ascontiguousarray(np.moveaxis(found, 0, -1).reshape(-1, len(found)))
