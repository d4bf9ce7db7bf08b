"""State how an RGB image becomes the model's own input tensor; numpy's version is the graph must agree with it."""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.importing.mapping import Description
from appliance.importing.opening import Opened
from appliance.importing.source import Source
from appliance.schema.errors import ConfigError

LUMA = (0.299, 0.587, 0.114)
"""Grey of red, green and blue: ITU-R BT.601, what OpenCV and Pillow compute; a grey frame keeps its value."""
SMALLEST_STD = 1e-6


class Feed(Struct, frozen=True):
    """Turn image values x in 0 to 255 into x * gain + offset, per channel of the model's input."""

    opened: Opened
    colour: str
    gain: tuple[float, ...]
    offset: tuple[float, ...]


def make_feed(source: Source, opened: Opened, facts: Description) -> Feed:
    """Give the feed that a mapping describes; ConfigError when its numbers do not fit the input."""
    divisor, mean, std, colour = facts.divisor or 1.0, facts.mean or (0.0,), facts.std or (1.0,), facts.colour or "RGB"
    if (colour == "GREY") != (opened.channels == 1):
        raise ConfigError(
            f"import {source.name}: colour {colour} does not fit an input of {opened.channels} channels; GREY has 1, "
            "RGB and BGR have 3; correct the mapping"
        )
    for key, values in (("mean", mean), ("std", std)):
        if len(values) not in {1, opened.channels} or not np.isfinite(values).all():
            raise ConfigError(
                f"import {source.name}: {key} is {list(values)}, needs 1 or {opened.channels} finite numbers; "
                "correct the mapping"
            )
    if min(std) < SMALLEST_STD:
        raise ConfigError(
            f"import {source.name}: std is {list(std)}, each must be over {SMALLEST_STD}; correct the mapping"
        )
    means, deviations = np.resize(mean, opened.channels), np.resize(std, opened.channels)
    gain, offset = 1 / (divisor * deviations), -means / deviations
    if opened.kind == "uint8" and (np.any(gain != 1) or np.any(offset != 0)):
        raise ConfigError(
            f"import {source.name}: input {opened.image} takes uint8, so divisor 1, mean 0, std 1; correct the mapping"
        )
    return Feed(opened, colour, tuple(gain.tolist()), tuple(offset.tolist()))


def tensor(feed: Feed, image: NDArray[np.uint8]) -> NDArray[np.generic]:
    """Give the model's input tensor for an image of (rows, cols, 3) uint8 RGB."""
    values = image.astype(np.float64)
    if feed.colour == "BGR":
        values = values[:, :, ::-1]
    elif feed.colour == "GREY":
        values = values @ np.array(LUMA)[:, None]
    if feed.opened.kind == "uint8":
        whole = np.rint(values).clip(0, 255).astype(np.uint8)
    else:
        whole = (values * feed.gain + feed.offset).astype(np.float32)
    axes = whole.transpose(2, 0, 1) if feed.opened.axes == "NCHW" else whole
    return np.ascontiguousarray(axes[None])
