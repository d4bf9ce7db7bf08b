"""Keep features of many images outside memory, so that 100,000 images fit and a killed run goes on where it was."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from appliance.schema.errors import ConfigError

# A killed process loses the features of at most so many images.
KEPT_EVERY = 64
DONE = "done"
# Left free on the disk, so that the line beside it can go on storing its images.
RESERVE_BYTES = 1 << 30


class FeatureStore:
    """Hold named features of images in their order; filled once by `append`, then only read; one thread.

    folder: where they are kept, in a folder of their own named `key`; None keeps them in memory. key: names everything
    that the features depend on: images, network, precision. Raises ConfigError when the disk is too small.
    """

    def __init__(
        self,
        folder: Path | None,
        key: str,
        count: int,
        shapes: Mapping[str, tuple[int, ...]],
        dtype: DTypeLike = np.float16,
    ) -> None:
        self.count, self.done = count, 0
        """Images that there will be, and that are stored already."""
        self._place = None if folder is None else folder / key
        wanted = {name: (count, *shape) for name, shape in shapes.items()}
        if self._place is None:
            self._arrays = {name: np.empty(shape, dtype) for name, shape in wanted.items()}
            return
        kept = _open(self._place, wanted, np.dtype(dtype))
        if kept is not None:
            self._arrays, self.done = kept, _kept_count(self._place, count)
            return
        _check_room(self._place, sum(int(np.prod(shape)) for shape in wanted.values()) * np.dtype(dtype).itemsize)
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(parents=True)
        self._arrays = {
            name: npy.open_memmap(self._place / f"{name}.npy", "w+", dtype=np.dtype(dtype), shape=shape)
            for name, shape in wanted.items()
        }

    def append(self, features: Mapping[str, NDArray[np.generic]]) -> None:
        """Store what the next image shows; ValueError when all images are stored already."""
        if self.done >= self.count:
            raise ValueError(f"feature store: all {self.count} images are stored; make a larger one")
        for name, array in self._arrays.items():
            array[self.done] = features[name]
        self.done += 1
        if self._place is not None and (self.done % KEPT_EVERY == 0 or self.done == self.count):
            self._keep(self._place)

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        """Give the feature of all images, (images, ...); owned by the store, rows from `done` on are undefined."""
        return self._arrays[name]

    def _keep(self, place: Path) -> None:
        """Write the rows before the count that vouches for them."""
        for array in self._arrays.values():
            if isinstance(array, np.memmap):
                array.flush()
        unfinished = place / f".{DONE}"
        unfinished.write_text(str(self.done))
        unfinished.replace(place / DONE)


def _open(
    place: Path, wanted: Mapping[str, tuple[int, ...]], dtype: np.dtype[np.generic]
) -> dict[str, NDArray[np.generic]] | None:
    """Give the arrays of an earlier run; None when there are none of this form."""
    try:
        arrays = {name: npy.open_memmap(place / f"{name}.npy", "r+") for name in wanted}
    except (OSError, ValueError, EOFError):
        return None
    fits = all(arrays[name].shape == shape and arrays[name].dtype == dtype for name, shape in wanted.items())
    return dict(arrays) if fits else None


def _kept_count(place: Path, count: int) -> int:
    try:
        return min(max(int((place / DONE).read_text()), 0), count)
    except (OSError, ValueError):
        return 0


def _check_room(place: Path, wanted_bytes: int) -> None:
    existing = next(parent for parent in (place, *place.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if wanted_bytes + RESERVE_BYTES > free:
        raise ConfigError(
            f"{place}: features need {wanted_bytes / 1e9:.1f} GB and 1 GB stays free, the disk has {free / 1e9:.1f} GB"
            "; free some, name a work folder on another disk, or use fewer images"
        )
