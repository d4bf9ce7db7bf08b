"""Run tests with the emulated device as the driver's library: python -m tests.unit.cuda_on_host LIBRARY ARGUMENTS.

A binding to the driver finds the library loaded already, and looks its calls up one by one as it makes them.
"""

import ctypes
import os
import sys

import pytest

if __name__ == "__main__":
    ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
    sys.setdlopenflags(os.RTLD_LAZY | os.RTLD_GLOBAL)
    sys.exit(pytest.main(sys.argv[2:]))
