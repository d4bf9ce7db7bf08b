"""Give a training a folder of its own beside the bundle to be: a killed run goes on there, and two never mix."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.datasets.sample import DataSet
from appliance.schema.errors import ConfigError

LOCK = "lock"


@contextmanager
def workplace(out: Path, data: DataSet, settings: Sequence[object]) -> Iterator[Path]:
    """Give the folder; it is removed when the work is done, and kept when the work ends by an error or a signal.

    settings: everything beside the data that results depend on. ConfigError when another training uses the folder, or
    when it cannot be made.
    """
    folder = out.absolute().parent / f".{out.name}.work"
    own = folder / _key(data, settings)
    try:
        own.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as cause:
        raise ConfigError(f"train: {folder} cannot be made ({cause.strerror}); name another --out") from cause
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise ConfigError(f"train: another training makes {out} just now; wait for it or name another") from cause
        for other in folder.iterdir():  # left by a run with other data or settings
            if other.is_dir() and other != own:
                shutil.rmtree(other, ignore_errors=True)
        yield own
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _key(data: DataSet, settings: Sequence[object]) -> str:
    """Name data and settings; a changed, added or removed picture or label gives another name."""
    digest = hashlib.sha256(repr([str(data.root.resolve()), data.task, data.classes, *settings]).encode())
    for sample in data.samples:
        digest.update(repr(sample).encode())
        for path in (sample.picture, sample.mask, sample.template):
            if path is not None:
                found = path.stat()
                digest.update(f"{found.st_size} {found.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
