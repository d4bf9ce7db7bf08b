"""Read how the computer is doing: memory, disk, load, versions. No Qt."""

import math
import os
import platform
import shutil
import sqlite3
import time
from importlib import metadata
from pathlib import Path

import PySide6
from msgspec import Struct

from appliance.storage.sqlite_version import wal_reset_bug

MB = 1_000_000


class Machine(Struct, frozen=True):
    """Give figures of the computer at one moment."""

    memory_mb: int
    memory_free_mb: int
    disk_mb: int
    disk_free_mb: int
    load: float
    """Processes that want a core, mean of a minute; not a number where it is hidden from a closed unit."""
    cores: int
    up_s: float
    versions: tuple[tuple[str, str], ...]
    wal_bug: bool
    """This SQLite loses commits where two connections write; here `record` alone does."""


def machine(state: Path) -> Machine:
    """Look at the computer; state: folder on the disk that matters."""
    memory = _memory(Path("/proc/meminfo"))
    disk = shutil.disk_usage(state)
    return Machine(
        memory.get("MemTotal", 0),
        memory.get("MemAvailable", 0),
        disk.total // MB,
        disk.free // MB,
        _load(),
        os.cpu_count() or 1,
        time.clock_gettime(time.CLOCK_BOOTTIME),
        (
            ("firstshift", _version("firstshift")),
            ("Linux", platform.release()),
            ("Python", platform.python_version()),
            ("Qt", PySide6.__version__),
            ("SQLite", sqlite3.sqlite_version),
        ),
        wal_reset_bug(sqlite3.sqlite_version_info),
    )


def resident_mb(pid: int) -> int:
    """Give the memory of a process; 0 where it cannot be read."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // MB


def _memory(path: Path) -> dict[str, int]:
    """Read /proc/meminfo; where it is hidden, ask the kernel, which counts caches as used."""
    try:
        rows = [row.split() for row in path.read_text("ascii").splitlines()]
    except OSError:
        page = os.sysconf("SC_PAGE_SIZE")
        found = {"MemTotal": "SC_PHYS_PAGES", "MemAvailable": "SC_AVPHYS_PAGES"}
        return {name: os.sysconf(key) * page // MB for name, key in found.items()}
    return {row[0].rstrip(":"): int(row[1]) * 1024 // MB for row in rows if len(row) > 1 and row[1].isdigit()}


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except OSError:
        return math.nan


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
