"""Find a foreign model's image input and what every other input must be given."""

import ast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.importing.mapping import Description, MappingNeeded, merge, render
from appliance.importing.original import constant
from appliance.importing.source import INPUT_TYPES, Port, Source, dtype, line
from appliance.schema.errors import ConfigError

LARGEST_SIDE_PX = 4096
TARGET_SIZES = "orig_target_sizes"
"""Input of RT-DETR and D-FINE exports: (width, height) that boxes are scaled to."""


class Opened(Struct, frozen=True):
    """State how a model is fed."""

    image: str
    kind: str
    """float32 or uint8."""
    axes: str
    channels: int
    size: tuple[int, int]
    """(rows, columns)."""
    constants: dict[str, NDArray[np.generic]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image input, batch 1."""
        return (1, self.channels, *self.size) if self.axes == "NCHW" else (1, *self.size, self.channels)


def open_source(source: Source, said: Description) -> Opened:
    """Give how the model is fed; ConfigError when it cannot be, MappingNeeded when a person must say."""
    port = _image(source, said)
    axes = said.axes or _axes(port)
    size = said.size or _size(source, port, axes)
    if axes is None and None not in {port.dims[1], port.dims[3]} and not {1, 3} & {port.dims[1], port.dims[3]}:
        raise ConfigError(
            f"import {source.name}: input {port.name} is {_dims(port)}, needs 1 or 3 channels second or last; "
            "it is for no camera"
        )
    missing = [key for key, value in (("axes", axes), ("size", size)) if value is None]
    if axes is None or size is None:
        facts = merge(Description(input=port.name), said)
        template = render(f"mapping of {source.name}", facts, missing, {"axes": "NCHW"})
        raise MappingNeeded(
            f"import {source.name}: input {port.name} {_dims(port)}: {' and '.join(missing)} cannot be told from the "
            "file; complete the mapping on standard output and give it with --mapping",
            template,
        )
    _check_side(source, size)
    at = 1 if axes == "NCHW" else 3
    channels = port.dims[at] or (1 if said.colour == "GREY" else 3)
    opened = Opened(port.name, INPUT_TYPES[port.kind], axes, channels, size, _constants(source, port, said, size))
    if any(stated not in {None, wanted} for stated, wanted in zip(port.dims, opened.shape, strict=True)):
        raise ConfigError(
            f"import {source.name}: input {port.name} is {_dims(port)}, {axes} of {size[0]} x {size[1]} px and 1 or 3 "
            "channels does not fit; correct size and axes of the mapping, or export the model with batch 1"
        )
    if channels not in {1, 3}:
        raise ConfigError(
            f"import {source.name}: input {port.name} has {channels} channels, must be 1 or 3; it is for no camera"
        )
    return opened


def _image(source: Source, said: Description) -> Port:
    fits = [port for port in source.inputs if len(port.dims) == 4 and port.kind in INPUT_TYPES]
    if said.input is not None:
        fits = [port for port in source.inputs if port.name == said.input]
        if not fits:
            names = ", ".join(line(port.name) for port in source.inputs)
            raise ConfigError(f"import {source.name}: no input {said.input!r}, there are {names}; correct the mapping")
    if len(fits) > 1:
        names = " and ".join(line(port.name) for port in fits)
        raise ConfigError(
            f"import {source.name}: {len(fits)} inputs could be the image: {names}; name one as `input` in a mapping"
        )
    if not fits or len(fits[0].dims) != 4 or fits[0].kind not in INPUT_TYPES:
        found = "; ".join(
            f"{line(port.name)} is {dtype(port.kind)} {_dims(port)}" for port in (fits or source.inputs)[:4]
        )
        raise ConfigError(
            f"import {source.name}: no image input: {found or 'none'}; needs float32 or uint8 of 4 axes, export it so"
        )
    return fits[0]


def _axes(port: Port) -> str | None:
    first, last = port.dims[1] in {1, 3}, port.dims[3] in {1, 3}
    if first == last:
        return None
    return "NCHW" if first else "NHWC"


def _size(source: Source, port: Port, axes: str | None) -> tuple[int, int] | None:
    if axes is None:
        return None
    rows, cols = port.dims[2:4] if axes == "NCHW" else port.dims[1:3]
    if rows is not None and cols is not None:
        return rows, cols
    return source.resizes_to or _imgsz(source)


def _imgsz(source: Source) -> tuple[int, int] | None:
    """Read what Ultralytics writes: `[640, 640]` or `640`."""
    try:
        said = ast.literal_eval(source.metadata.get("imgsz", "")[:100])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(said, int):
        said = [said, said]
    if isinstance(said, (list, tuple)) and len(said) == 2 and all(isinstance(side, int) for side in said):
        return said[0], said[1]
    return None


def _check_side(source: Source, size: tuple[int, int]) -> None:
    if not all(8 <= side <= LARGEST_SIDE_PX for side in size):
        raise ConfigError(
            f"import {source.name}: input of {size[0]} x {size[1]} px, limits 8 and {LARGEST_SIDE_PX}; state a size"
        )


def _constants(source: Source, image: Port, said: Description, size: tuple[int, int]) -> dict[str, NDArray[np.generic]]:
    given: dict[str, object] = {TARGET_SIZES: [[size[1], size[0]]], **(said.constants or {})}
    others = {port.name: port for port in source.inputs if port.name != image.name}
    strange = sorted(set(said.constants or {}) - set(others))
    if strange:
        raise ConfigError(
            f"import {source.name}: constants.{line(strange[0])} names no input of the model; beside {image.name} it "
            f"has {', '.join(map(line, others)) or 'none'}; correct the mapping"
        )
    absent = [name for name in others if name not in given]
    if absent:
        port = others[absent[0]]
        raise ConfigError(
            f"import {source.name}: {len(source.inputs)} inputs; {line(port.name)}, {dtype(port.kind)} {_dims(port)}, "
            "is no image; state what it is always given under `constants` of a mapping"
        )
    return {name: constant(source, name, port.kind, given[name]) for name, port in others.items()}


def _dims(port: Port) -> str:
    return "(" + ", ".join("?" if side is None else str(side) for side in port.dims) + ")"
