"""Make one network of every family that is shipped, with the real backbone and drawn heads, in a small size."""

from functools import cache

import numpy as np

from appliance.training import weights
from appliance.training.anomaly_graph import CHANNELS, Memory, anomaly_model, feature_model
from appliance.training.classification_graph import ClassificationWeights, classification_model
from appliance.training.detection_graph import DetectionWeights, detection_model
from appliance.training.instance_graph import MaskWeights, instance_model
from appliance.training.linear import Linear
from appliance.training.ocr_models import ocr_bundle_parts
from appliance.training.semantic_graph import SemanticWeights, semantic_model

SHIPPED = (96, 128)


def feature() -> bytes:
    """Give the feature model of the shipped backbone."""
    return feature_model(weights.efficientnet_lite0(), SHIPPED)


def anomaly() -> bytes:
    """Give the anomaly model of the shipped backbone, with a bank of random patches."""
    random = np.random.default_rng(1)
    memory = Memory(
        random.normal(0, 1, CHANNELS).astype(np.float32),
        np.ones(CHANNELS, np.float32),
        random.normal(0, 1, (100, CHANNELS)).astype(np.float32),
    )
    return anomaly_model(weights.efficientnet_lite0(), SHIPPED, memory)


def classification() -> bytes:
    """Give a classifier of four classes, for two images at a time."""
    fitted = ClassificationWeights(hidden=_layer(40, 64), last=_layer(64 + 112 + 320, 4))
    return classification_model(weights.efficientnet_lite0(), SHIPPED, fitted, 2)


def semantic() -> bytes:
    """Give a semantic segmentation of three classes."""
    return semantic_model(weights.efficientnet_lite0(), SHIPPED, SemanticWeights(_layer(120, 3)))


def detection() -> bytes:
    """Give a detector of three classes."""
    return detection_model(weights.efficientnet_lite0(), SHIPPED, _boxes())


def instance() -> bytes:
    """Give an instance segmentation of three classes."""
    masks = MaskWeights(
        _drawn(16, 24, 3, 3), _drawn(16, 40, 1, 1), _drawn(16, 112, 1, 1), _drawn(16), _drawn(3, 16), _drawn(3)
    )
    return instance_model(weights.efficientnet_lite0(), SHIPPED, _boxes(), masks)


@cache
def reading() -> dict[str, bytes]:
    """Give the three networks of OCR, each in its smallest size."""
    return dict(ocr_bundle_parts(detection=((320, 320),), widths=(192,), golden_images=1).models)


FAMILIES = {
    "feature": feature,
    "anomaly": anomaly,
    "classification": classification,
    "semantic": semantic,
    "detection": detection,
    "instance": instance,
    "text detection": lambda: reading()["detection_320x320"],
    "text recognition": lambda: reading()["recognition_192"],
    "text direction": lambda: reading()["direction"],
}
"""Every shipped family; each is built with the real builder in every precision it may run in."""


def _drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(0, 0.1, shape).astype(np.float32)


def _layer(features: int, results: int) -> Linear:
    return Linear(_drawn(features, results), _drawn(results))


def _boxes() -> DetectionWeights:
    return DetectionWeights(_drawn(32, 40, 3, 3), _drawn(32, 112, 1, 1), _drawn(32), _drawn(7, 32), _drawn(7))
