"""Say how a compiled model is run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.generic]]
"""Outputs of a model by name."""


class Session(Protocol):
    """Run one compiled model; buffers are made once and reused; one thread at a time."""

    runtime: str
    """`openvino`, `onnx` or `tensorrt`."""
    precision: str
    """Read back from the runtime: a `schema.bundle.Precision`."""

    @property
    def input(self) -> NDArray[np.uint8]:
        """Input tensor to write into, (batch, rows, columns, 3) uint8 RGB; owned by the session."""

    def run(self) -> Tensors:
        """Run on `input`; blocking. The arrays are owned by the session and valid until the next run.

        RuntimeFault when the runtime fails.
        """


class Runtime(Protocol):
    """Compile models."""

    name: str

    def choose(self, precision: str = "auto") -> str:
        """Give the precision to run in: `auto` is the best of this machine; RuntimeFault for one it does not have."""

    def load(self, model: Path | bytes, precision: str, threads: int) -> Session:
        """Compile an ONNX model; RuntimeFault when this machine cannot run it in `precision`."""
