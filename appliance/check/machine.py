"""Look at the computer: what must hold before any service can work."""

import os
import shutil
import sqlite3
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from appliance.config import Camera, Config, Loaded
from appliance.decision.standing import uncalibrated
from appliance.schema.errors import RuntimeFault
from appliance.schema.health import Component, Condition
from appliance.services._wiring import bundle_folder
from appliance.storage import bundle
from appliance.storage.sqlite_version import wal_reset_bug
from kernels.build import LIBRARY

MB = 1_000_000
FREE_WARNING = 4
"""Warn at this many times the least free disk: at 1 MB an image and 10 parts/s, some minutes to act."""

MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Words of /proc/cpuinfo, x86 and ARM."""


def machine(loaded: Loaded) -> Iterator[Component]:
    """Give disk, tmpfs, producers, bundle, kernels, SQLite and processor, in the order a part meets them."""
    config = loaded.config
    yield runtime_folder(loaded.runtime, ring_bytes(config))
    for name, camera in config.camera.items():
        yield producer(name, Path(camera.producer))
    yield kernels(LIBRARY)
    yield model_bundle(bundle_folder(loaded), config)
    yield processor(config, _cpu_flags(Path("/proc/cpuinfo")))
    yield state_folder(loaded.state, config.record.min_free_mb)
    yield sqlite(sqlite3.sqlite_version_info)


def state_folder(folder: Path, least_mb: int) -> Component:
    """Look whether what must survive power loss can be written."""
    name = "state folder"
    if not folder.is_dir():
        return Component(
            name, Condition.FAILED, f"{folder} does not exist", f"mkdir -p {folder}, owned by the service user"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        return Component(
            name, Condition.FAILED, f"{folder} is closed to this user", "run the check as root or as firstshift"
        )
    free_mb = shutil.disk_usage(folder).free // MB
    cause = f"{folder} has {free_mb} MB free, images are kept above {least_mb} MB"
    if free_mb < least_mb:
        return Component(name, Condition.FAILED, cause, "free disk space: export and remove old images, or add a disk")
    if free_mb < FREE_WARNING * least_mb:
        return Component(name, Condition.DEGRADED, cause, "free disk space soon: export and remove old images")
    return Component(name, Condition.OK, cause)


def runtime_folder(folder: Path, needed_bytes: int) -> Component:
    """Look whether sockets and frame rings have memory to live in; rings that exist already count as room."""
    name = "runtime folder"
    if not folder.is_dir():
        remedy = "start the services, or systemd-tmpfiles --create, which makes it"
        return Component(name, Condition.FAILED, f"{folder} does not exist", remedy)
    kind = file_system(folder, Path("/proc/self/mounts").read_text())
    if kind not in MEMORY_FILE_SYSTEMS:
        remedy = "set station.runtime to a folder on tmpfs, such as /run/firstshift"
        return Component(name, Condition.DEGRADED, f"{folder} is on {kind}: each frame may be written to disk", remedy)
    held = sum(path.stat().st_blocks * 512 for path in folder.iterdir() if path.is_file())
    room = shutil.disk_usage(folder).free + held
    cause = f"{folder} on {kind}, frame rings need {needed_bytes // MB} MB of {room // MB} MB"
    if room < needed_bytes:
        remedy = "fewer slots or a smaller region per camera, or a larger tmpfs (mount -o remount,size=)"
        return Component(name, Condition.FAILED, cause, remedy)
    return Component(name, Condition.OK, cause)


def file_system(folder: Path, mounts: str) -> str:
    """Give the type of the file system a folder lies on; mounts: text of /proc/self/mounts."""
    where = folder.resolve()
    rows = [line.split() for line in mounts.splitlines()]
    fitting = [
        (len(Path(row[1]).parts), order, row[2]) for order, row in enumerate(rows) if where.is_relative_to(row[1])
    ]
    return max(fitting)[2] if fitting else "unknown"


def ring_bytes(config: Config) -> int:
    """Give the bytes of all frame rings together, headers left out."""
    return sum(_ring_bytes(camera) for camera in config.camera.values())


def _ring_bytes(camera: Camera) -> int:
    return camera.slots * camera.width_px * camera.height_px * camera.pixel_format.channels


def producer(camera: str, path: Path) -> Component:
    """Look whether a producer is a library for this processor, without loading it: a bad one ends its process."""
    name = f"producer of {camera}"
    try:
        mine, its = _elf_machine(Path(sys.executable)), _elf_machine(path)
    except OSError as error:
        remedy = f"install the camera's GenTL producer and set camera.{camera}.producer to its .cti file"
        return Component(name, Condition.FAILED, f"{path}: {error.strerror}", remedy)
    if its is None:
        return Component(name, Condition.FAILED, f"{path} is no library", "install the camera's GenTL producer again")
    if its != mine:
        remedy = "install the producer for this processor from the camera's vendor"
        return Component(
            name, Condition.FAILED, f"{path} is for another processor (ELF machine {its}, not {mine})", remedy
        )
    return Component(name, Condition.OK, str(path))


def _elf_machine(path: Path) -> int | None:
    """Give e_machine of an ELF file (System V ABI, ELF header), None for any other file."""
    with path.open("rb") as file:
        head = file.read(20)
    return struct.unpack_from("<H", head, 18)[0] if head[:4] == b"\x7fELF" and len(head) == 20 else None


def kernels(library: Path) -> Component:
    """Look whether the compiled kernels are there."""
    if not library.exists():
        remedy = "python -m appliance.build_all builds them"
        return Component("kernels", Condition.FAILED, f"{library.name} is not built", remedy)
    return Component("kernels", Condition.OK, library.name)


def model_bundle(folder: Path, config: Config) -> Component:
    """Verify every byte of the recipe's bundle, and that the station runs it the way it was calibrated."""
    try:
        found = bundle.read(folder)
    except RuntimeFault as error:
        return Component(
            "bundle", Condition.FAILED, str(error), "firstshift bundle import brings a bundle; or change the recipe"
        )
    manifest, judge = found.manifest, config.judge
    if (manifest.runtime, manifest.precision) != (judge.runtime, judge.precision):
        cause = (
            f"uncalibrated: calibrated in {manifest.runtime} {manifest.precision}, judge is set to {judge.runtime} "
            f"{judge.precision}"
        )
        remedy = (
            f'set judge.runtime = "{manifest.runtime}" and judge.precision = "{manifest.precision}", or calibrate again'
        )
        return Component("bundle", Condition.FAILED, cause, remedy)
    lacking = uncalibrated(manifest, judge.precision)
    if lacking:
        return Component("bundle", Condition.DEGRADED, lacking, "calibrate it on good parts")
    return Component(
        "bundle", Condition.OK, f"{found.id[:19]} {manifest.task}, {manifest.runtime} {manifest.precision}"
    )


def processor(config: Config, flags: set[str]) -> Component:
    """Look whether the processor computes in the configured precision."""
    wanted = config.judge.precision
    if wanted == "bf16" and not flags & BF16_FLAGS:
        remedy = 'set judge.precision = "f32" and use a bundle that was calibrated in it'
        return Component(
            "processor", Condition.FAILED, "has no bf16 instructions, judge.precision asks for them", remedy
        )
    return Component("processor", Condition.OK, f"computes in {wanted}")


def sqlite(version: tuple[int, ...]) -> Component:
    """State the SQLite version. The WAL-reset bug needs two connections that write; here only `record` does."""
    name = ".".join(map(str, version))
    if not wal_reset_bug(version):
        return Component("sqlite", Condition.OK, name)
    return Component(
        "sqlite", Condition.OK, f"{name} has the WAL-reset bug: let no program but record write the database"
    )


def _cpu_flags(path: Path) -> set[str]:
    rows = path.read_text().splitlines() if path.exists() else []
    return {word for row in rows if row.lower().startswith(("flags", "features")) for word in row.split()}
