"""Prove that the imported model says what the original says: same image, same numbers, output by output.

The chain has two links, and each has its bound: the frame becomes an input image (our kernel against plain numpy), and
the input image becomes canonical outputs (our graph and runtime against the original in ONNX Runtime and plain numpy).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision.agreement import row_differences, share_difference, value_difference
from appliance.importing.decoding import Decoding, Results
from appliance.ports.runtime import Session
from appliance.schema.bundle import Precision
from appliance.schema.errors import ConfigError, RuntimeFault

IMAGE_BOUND = 1
"""Grey levels: the bound that every preprocessing kernel keeps (kernels/README.md)."""
VALUE_LIMIT = {Precision.F32: 1e-3, Precision.F16: 5e-2, Precision.BF16: 0.25, Precision.INT8: 5e-2}
"""Largest difference to the original in f32, relative to the largest value. f32 differs by the order of additions
alone; bf16 moved the worst cell of a map by 8 % on real tiles and 15 % on rendered parts (runtimes/README.md), which is
why the graph is proven in f32 as well."""
SHARE_LIMIT = {Precision.F32: 2e-3, Precision.F16: 5e-2, Precision.BF16: 0.25, Precision.INT8: 5e-2}
"""Share of cells whose class may differ."""
ROWS = ("boxes", "scores", "coefficients")
"""Outputs with one row per box."""


class ImageParity(Struct, frozen=True):
    """State how near one sample image came."""

    image: str
    grey_levels: int
    """Between our preprocessing and numpy's."""
    differences: dict[str, float]
    """Output -> largest difference on the same input image."""
    end_to_end: dict[str, float]
    """The same from the frame on, each side with its own preprocessing; a rounding of one grey level shows here."""


class ParityReport(Struct, frozen=True):
    """State how the imported model was proven; `evidence/parity.json` of the bundle."""

    source: str
    source_sha256: str
    family: str
    producer: str
    licence: str
    """What the file says of a copyleft licence; empty: nothing."""
    metadata: dict[str, str]
    runtime: str
    precision: str
    versions: dict[str, str]
    limits: dict[str, float]
    """Output -> bound of its difference."""
    notes: tuple[str, ...]
    images: tuple[ImageParity, ...]
    graph: tuple[ImageParity, ...] = ()
    """The same in f32, where the bundle's precision is a coarser one: the graph without its rounding."""


def limits(precision: str, outputs: Results) -> dict[str, float]:
    """Give the bound of each output in a precision."""
    table = {name: VALUE_LIMIT if array.dtype.kind == "f" else SHARE_LIMIT for name, array in outputs.items()}
    return {name: bounds[Precision(precision)] for name, bounds in table.items()}


def run(session: Session, image: NDArray[np.uint8], names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """Give copies of the named outputs for one input image."""
    session.input[...] = image
    results = session.run()
    absent = [name for name in names if name not in results]
    if absent:
        raise RuntimeFault(f"{session.runtime}: output {absent[0]} is missing; import the model again")
    return {name: np.array(results[name]) for name in names}


def compare(how: Decoding, expected: Results, actual: Results) -> dict[str, float]:
    """Give the largest difference of each output; nan where one is not finite, inf where shapes differ."""
    wrong = {name: float("inf") for name in expected if expected[name].shape != actual[name].shape}
    if wrong:
        return {name: wrong.get(name, 0.0) for name in expected}
    if not how.unordered:
        return {name: _difference(expected[name], actual[name]) for name in expected}
    rows = {name for name in expected if name in ROWS}
    found = {name: _difference(expected[name], actual[name]) for name in expected if name not in rows}
    # One image: the rows are those of batch entry 0.
    chosen = row_differences({name: expected[name][0] for name in rows}, {name: actual[name][0] for name in rows})
    return {**chosen, **found}


def refuse_beyond(source: str, one: ImageParity, bounds: Mapping[str, float]) -> None:
    """Raise ConfigError naming the first wrong tensor of a sample image."""
    if one.grey_levels > IMAGE_BOUND:
        raise ConfigError(
            f"import {source}: sample {one.image}: `image` differs from numpy by {one.grey_levels} grey levels, "
            f"limit {IMAGE_BOUND}; build the kernels again"
        )
    for name, difference in one.differences.items():
        if not difference <= bounds[name]:  # nan fails too
            raise ConfigError(
                f"import {source}: sample {one.image}: `{name}` differs from the original by {difference:.2g}, limit "
                f"{bounds[name]:g}; nothing was written, try --precision f32 or --runtime onnx"
            )


def _difference(expected: NDArray[np.generic], actual: NDArray[np.generic]) -> float:
    return value_difference(expected, actual) if expected.dtype.kind == "f" else share_difference(expected, actual)
