"""Open what a GPU runtime needs beside its model: the CUDA device, and TensorRT's module."""

import importlib
from pathlib import Path
from types import ModuleType

from appliance.schema.errors import RuntimeFault
from kernels.cuda.cupy_driver import CupyDriver
from kernels.cuda.driver import Driver, DriverFault
from kernels.cuda.pycuda_driver import PycudaDriver

ENGINES = Path(".cache", "firstshift", "engines")
"""Where engines are kept unless told otherwise, below the user's home."""


def open_driver() -> Driver:
    """Open the first CUDA device with pycuda, or with cupy where that is what there is; RuntimeFault for neither."""
    reasons = []
    for binding in (PycudaDriver, CupyDriver):
        try:
            return binding()
        except DriverFault as fault:
            reasons.append(str(fault))
    raise RuntimeFault(f"CUDA: no device: {' / '.join(reasons)}")


def tensorrt_module() -> ModuleType:
    """Import TensorRT; RuntimeFault when it is not there or its libraries are not."""
    try:
        return importlib.import_module("tensorrt")
    except (ImportError, OSError) as cause:
        raise RuntimeFault(f"tensorrt: {cause}; install it (10.3 to 11.4; JetPack brings its own)") from cause
