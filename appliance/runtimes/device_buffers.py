"""Hold a model's tensors on a GPU and their page-locked twins on the host: made once, used by every run."""

import contextlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.runtimes.model_file import TensorInfo
from kernels.cuda.driver import Driver, DriverFault, Pointer


class DeviceBuffers:
    """Own one input and the outputs of a model in both memories, and the two streams that move them."""

    def __init__(self, driver: Driver, image: TensorInfo, outputs: Sequence[TensorInfo]) -> None:
        """Allocate everything. Raises DriverFault when the device has too little memory."""
        self.driver = driver
        self.stream = driver.stream()
        """Computes, and brings results back."""
        self.copy_stream = driver.stream()
        """Brings the input over."""
        self.input: NDArray[np.uint8] = driver.pinned(image.shape, np.dtype(np.uint8)).view(np.uint8)
        self.input[...] = 0
        self.outputs = {item.name: driver.pinned(item.shape, np.dtype(item.dtype)) for item in outputs}
        self.output_pointers: dict[str, Pointer] = {}
        self.input_pointer = driver.allocate(image.bytes)
        try:
            for item in outputs:
                self.output_pointers[item.name] = driver.allocate(item.bytes)
        except DriverFault:
            self.close()
            raise

    def upload(self) -> None:
        """Begin to copy the input over; the compute stream waits for it, the caller does not."""
        self.driver.upload(self.input_pointer, self.input, self.copy_stream)
        self.driver.wait(self.stream, self.driver.record(self.copy_stream))

    def download(self) -> None:
        """Copy the outputs back behind what the compute stream holds, and block until they are here."""
        for name, array in self.outputs.items():
            self.driver.download(array, self.output_pointers[name], self.stream)
        self.driver.synchronise(self.stream)

    def close(self) -> None:
        """Give the device memory back; page-locked memory and streams stay with the driver until it is closed."""
        for pointer in (self.input_pointer, *self.output_pointers.values()):
            with contextlib.suppress(DriverFault):  # a device that is lost frees nothing
                self.driver.free(pointer)
        self.output_pointers.clear()
