"""Build the kernels from the present sources, once per run, and count what a call allocates."""

import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path

from kernels import build

SMALL_BYTES = 4096
"""A call makes a few Python objects; no frame, tile, mask or map of a test is as small."""


@cache
def built() -> Path:
    """Give the library, beside the product's own."""
    return build.build(build.LIBRARY.with_name("libkernels-test.so"))


def allocated(action: Callable[[], object]) -> int:
    """Give the largest number of bytes, numpy's arrays included, that one call held beyond what it found."""
    action()
    tracemalloc.start()
    try:
        action()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
