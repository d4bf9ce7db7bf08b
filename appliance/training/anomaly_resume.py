"""Keep what an anomaly fit has seen so far, so that a killed one goes on behind the last frame kept."""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.training.anomaly_memory import Reservoir

NAME = "anomaly.seen.npz"
# Frames between two writes of some 100 MB, that is a quarter of a minute of looking.
KEPT_EVERY = 200
# What zipfile, zlib, json and numpy raise on a damaged file.
DAMAGE = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error)

Arrays = Mapping[str, NDArray[np.generic]]


def keep(
    folder: Path,
    done: int,
    reservoirs: Mapping[str, Sequence[Reservoir]],
    more: Mapping[str, Any],
    random: np.random.Generator,
) -> None:
    """Write everything, whole or not at all; done: frames seen. random: shared by the reservoirs."""
    arrays: dict[str, NDArray[np.generic]] = {"done": np.array(done), **{f"more/{name}": a for name, a in more.items()}}
    for name, group in reservoirs.items():
        for place, one in enumerate(group):
            arrays |= {f"{name}/{place}/{part}": array for part, array in one.state().items()}
    # The generator's state holds integers of 128 bits, which only text takes as they are.
    arrays["random"] = np.frombuffer(json.dumps(random.bit_generator.state).encode(), np.uint8)
    unfinished = folder / f".{NAME}"
    with unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    unfinished.replace(folder / NAME)


def resume(
    folder: Path, reservoirs: Mapping[str, Sequence[Reservoir]], random: np.random.Generator
) -> tuple[int, Arrays]:
    """Fill the reservoirs and set the generator as they were; gives the frames seen and what else was kept.

    (0, {}) where nothing was kept, or what was kept is damaged: it is then looked at again.
    """
    try:
        with np.load(io.BytesIO((folder / NAME).read_bytes()), allow_pickle=False) as file:
            kept = {name: file[name] for name in file.files}
        state = json.loads(kept["random"].tobytes())
        found = {
            (name, place): {part: kept[f"{name}/{place}/{part}"] for part in one.state()}
            for name, group in reservoirs.items()
            for place, one in enumerate(group)
        }
        done = int(kept["done"])
    except DAMAGE:
        return 0, {}
    for (name, place), own in found.items():
        reservoirs[name][place].restore(own)
    random.bit_generator.state = state
    return done, {name.removeprefix("more/"): array for name, array in kept.items() if name.startswith("more/")}
