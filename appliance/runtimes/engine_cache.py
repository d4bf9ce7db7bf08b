"""Keep built engines: a plan with a manifest beside it that says what it was built from and for.

A file is named by model and precision; whatever else differs (TensorRT, GPU, driver, shapes) is found in the manifest,
so an engine of another machine is refused by name, built again and replaced.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.schema.errors import RuntimeFault

DIGEST_BYTES = 32


class EngineKey(Struct, frozen=True):
    """Name everything that an engine depends on."""

    model_sha256: str
    precision: str
    tensorrt: str
    """Module and version."""
    gpu: str
    compute_capability: str
    driver: str
    shapes: dict[str, tuple[int, ...]]
    """Of the input and every output."""


class EngineManifest(Struct, frozen=True):
    """State what a plan is."""

    key: EngineKey
    plan_bytes: int
    plan_sha256: str


class EngineCache:
    """Hold plans and timing caches in a folder; several processes may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: EngineKey) -> bytes | None:
        """Give the plan, None when there is none. RuntimeFault names the file when it must not be used."""
        path = self.path(key)
        try:
            content = path.with_suffix(".json").read_bytes()
            plan = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise RuntimeFault(f"engine {path.name}: {cause.strerror}; it is built again") from cause
        try:
            manifest = msgspec.json.decode(content, type=EngineManifest)
        except msgspec.MsgspecError as cause:
            raise RuntimeFault(f"engine {path.name}: manifest is damaged: {cause}; it is built again") from cause
        for field in EngineKey.__struct_fields__:
            built, here = getattr(manifest.key, field), getattr(key, field)
            if built != here:
                raise RuntimeFault(f"engine {path.name}: built for {field} {built}, here is {here}; it is built again")
        if len(plan) != manifest.plan_bytes:
            raise RuntimeFault(
                f"engine {path.name}: has {len(plan)} bytes, was built with {manifest.plan_bytes}; it is built again"
            )
        if hashlib.sha256(plan).hexdigest() != manifest.plan_sha256:
            raise RuntimeFault(f"engine {path.name}: its bytes are not those that were built; it is built again")
        return plan

    def keep(self, key: EngineKey, plan: bytes) -> None:
        """Store a plan durably; a crash leaves the old one, the new one or none, never half of one."""
        path = self.path(key)
        manifest = EngineManifest(key, len(plan), hashlib.sha256(plan).hexdigest())
        self._make_folder()
        with contextlib.suppress(OSError):  # the next line says what is wrong with the folder
            path.with_suffix(".json").unlink()
        self._write(path, plan)
        self._write(path.with_suffix(".json"), msgspec.json.format(msgspec.json.encode(manifest)))

    def timing(self, key: EngineKey) -> bytes:
        """Give the builder's measurements on this GPU; empty when there are none or they are damaged."""
        try:
            content = self._timing_path(key).read_bytes()
        except OSError:
            return b""
        digest, timing = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        return timing if hashlib.sha256(timing).digest() == digest else b""

    def keep_timing(self, key: EngineKey, timing: bytes) -> None:
        """Store the builder's measurements; empty ones are forgotten."""
        self._make_folder()
        path = self._timing_path(key)
        if timing:
            self._write(path, hashlib.sha256(timing).digest() + timing)
        else:
            with contextlib.suppress(OSError):
                path.unlink()

    def path(self, key: EngineKey) -> Path:
        """Name the plan's file."""
        return self._folder / f"{key.model_sha256[:16]}-{key.precision}.engine"

    def _timing_path(self, key: EngineKey) -> Path:
        machine = f"{key.tensorrt}\n{key.gpu}\n{key.compute_capability}\n{key.driver}"
        return self._folder / f"timing-{hashlib.sha256(machine.encode()).hexdigest()[:16]}.cache"

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise RuntimeFault(f"engines {self._folder}: {cause.strerror}; make it writable") from cause

    def _write(self, path: Path, content: bytes) -> None:
        part = None
        try:
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".", suffix=".part", delete=False) as file:
                part = Path(file.name)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as cause:
            if part is not None:
                with contextlib.suppress(OSError):
                    part.unlink()
            raise RuntimeFault(f"engine {path.name}: {cause.strerror}; make room in {self._folder}") from cause
