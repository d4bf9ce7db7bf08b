"""Say how a compiled model is run."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Session(Protocol):
    """Run one compiled model; buffers are made once and reused; one thread at a time."""

    runtime: str
    """`openvino`, `onnx` or `tensorrt`."""
    precision: str
    """Read back from the runtime: `f32` or `bf16`."""

    @property
    def input(self) -> NDArray[np.uint8]:
        """Input tensor to write into, (1, rows, columns, 3) uint8 RGB; owned by the session, valid as long as it."""

    def run(self) -> dict[str, NDArray[np.float32]]:
        """Run on `input`; blocking. The arrays are owned by the session and valid until the next run."""


class Runtime(Protocol):
    """Compile models."""

    name: str

    def load(self, model: Path | bytes, precision: str, threads: int) -> Session:
        """Compile an ONNX model; RuntimeFault when this machine cannot run it in `precision`."""
