"""Keep bundles as folders: write them whole, read them only when every byte is what the manifest says.

A bundle's identity is the SHA-256 of its manifest in canonical JSON; the manifest names size and SHA-256 of every
other file, so the id stands for every byte of the bundle.
"""

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.ports.runtime import Session
from appliance.schema.bundle import BundleFile, Manifest
from appliance.schema.errors import Refused, RuntimeFault

FORMAT = 1
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
MODEL = "model.onnx"
LARGEST_FILE_BYTES = 1 << 30
# Largest difference of a golden output in the same precision, relative to its largest value: two CPUs add in different
# orders. Beyond it the limits no longer mean what they promise, and the bundle must be calibrated on the machine.
GOLDEN_LIMIT = {"f32": 1e-3, "bf16": 3e-2}


class Bundle(Struct, frozen=True):
    """Hold a bundle read from disk, every file verified."""

    id: str
    """`sha256:` and the hash of the canonical manifest."""
    folder: Path
    manifest: Manifest
    files: dict[str, bytes]

    @property
    def model(self) -> bytes:
        """The ONNX model."""
        return self.files[MODEL]


def canonical(manifest: Manifest) -> bytes:
    """Give a manifest's canonical JSON: keys sorted, no white space, UTF-8."""
    return msgspec.json.encode(manifest, order="sorted")


def bundle_id(manifest: Manifest) -> str:
    """Give the identity of the bundle that a manifest describes."""
    return f"sha256:{hashlib.sha256(canonical(manifest)).hexdigest()}"


def write(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Store a bundle at `folder` and give its id; the folder appears complete and on disk, or not at all.

    manifest: its `files` are filled in here. Blocks until the disk has it. Raises Refused when the folder exists.
    """
    if folder.exists():
        raise Refused(f"bundle {folder}: already exists and bundles are never overwritten; choose another folder")
    listed = tuple(
        BundleFile(_safe(path), len(content), hashlib.sha256(content).hexdigest())
        for path, content in sorted(files.items())
    )
    # Once through JSON, so that what is hashed here is what a reader will get (1 and 1.0 differ as text).
    whole = msgspec.json.decode(canonical(replace(manifest, files=listed)), type=Manifest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for path, content in {**files, MANIFEST: canonical(whole)}.items():
            _write_durable(unfinished / path, content)
        unfinished.chmod(0o755)
        _sync_folder(unfinished)
        unfinished.rename(folder)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _sync_folder(folder.parent)
    return bundle_id(whole)


def read(folder: Path) -> Bundle:
    """Give the bundle in `folder`, every file checked against the manifest.

    Raises RuntimeFault in one line when anything is missing, changed, added or of another format.
    """
    content = _read(folder, MANIFEST, folder)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as cause:
        raise RuntimeFault(f"bundle {folder}: {MANIFEST} is damaged: {cause}; install the bundle again") from cause
    if manifest.format != FORMAT:
        raise RuntimeFault(
            f"bundle {folder}: format {manifest.format}, this version reads {FORMAT}; update one of them"
        )
    if canonical(manifest) != content:
        raise RuntimeFault(f"bundle {folder}: {MANIFEST} is not in canonical form; it was edited, install it again")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    extra = sorted(found - {file.path for file in manifest.files} - {MANIFEST})
    if extra:
        raise RuntimeFault(f"bundle {folder}: {extra[0]} is not in the manifest; remove it or install the bundle again")
    files = {file.path: _verified(folder, file) for file in manifest.files}
    if MODEL not in files or GOLDEN not in files:
        raise RuntimeFault(f"bundle {folder}: {MODEL} or {GOLDEN} is missing from the manifest; build the bundle again")
    return Bundle(f"sha256:{hashlib.sha256(content).hexdigest()}", folder, manifest, files)


def arrays(bundle: Bundle, path: str) -> dict[str, NDArray[np.generic]]:
    """Give the arrays of an npz file of the bundle; RuntimeFault when there is none or it holds anything else."""
    if path not in bundle.files:
        raise RuntimeFault(f"bundle {bundle.folder}: no {path}; it is no bundle of task {bundle.manifest.task}")
    try:
        with np.load(io.BytesIO(bundle.files[path]), allow_pickle=False) as content:
            return dict(content)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as cause:
        raise RuntimeFault(f"bundle {bundle.folder}: {path} holds no plain arrays: {cause}; build it again") from cause


def verify_session(bundle: Bundle, session: Session) -> float:
    """Give the largest difference of the golden outputs, relative to their largest value, when it is within its bound.

    Runs the session on each golden image; another runtime is fine when it passes. Raises RuntimeFault when precision or
    input are not those of the calibration, or an output differs by more: the limits would then mean something else.
    """
    manifest = bundle.manifest
    if session.precision != manifest.precision:
        raise RuntimeFault(
            f"bundle {bundle.folder}: calibrated in {manifest.precision}, {session.runtime} runs it in "
            f"{session.precision}; load it as calibrated or calibrate again"
        )
    golden = arrays(bundle, GOLDEN)
    images = golden.pop("images")
    if session.input.shape[1:] != images.shape[1:] or images.shape[1:3] != (
        manifest.input_rows,
        manifest.input_columns,
    ):
        raise RuntimeFault(
            f"bundle {bundle.folder}: golden images are {images.shape[1:]}, the model takes {session.input.shape[1:]}; "
            "build the bundle again"
        )
    worst = max(_difference(session, image, index, golden) for index, image in enumerate(images))
    limit = GOLDEN_LIMIT[manifest.precision]
    if not worst <= limit:
        raise RuntimeFault(
            f"bundle {bundle.folder}: golden outputs differ by {worst:.2g} of their largest value, limit {limit:g} in "
            f"{manifest.precision}; calibrate the bundle on this machine"
        )
    return worst


def _difference(
    session: Session, image: NDArray[np.generic], index: int, golden: Mapping[str, NDArray[np.generic]]
) -> float:
    session.input[0] = image
    results = session.run()
    if not set(golden) <= set(results):
        return float("inf")
    gaps = [
        np.abs(results[name][0] - expected[index]).max() / np.abs(expected[index]).max()
        for name, expected in golden.items()
    ]
    return float(np.max(gaps))  # np.max keeps nan, which then fails the limit


def _verified(folder: Path, file: BundleFile) -> bytes:
    content = _read(folder, file.path, folder)
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != file.bytes or digest != file.sha256:
        raise RuntimeFault(
            f"bundle {folder}: {file.path} has SHA-256 {digest[:12]} and {len(content)} bytes, the manifest says "
            f"{file.sha256[:12]} and {file.bytes}; it was changed, install the bundle again"
        )
    return content


def _read(folder: Path, path: str, bundle: Path) -> bytes:
    target = folder / _safe(path)
    try:
        if target.is_symlink() or target.stat().st_size > LARGEST_FILE_BYTES:
            raise RuntimeFault(
                f"bundle {bundle}: {path} is a link or over {LARGEST_FILE_BYTES} bytes; install it again"
            )
        return target.read_bytes()
    except OSError as cause:
        raise RuntimeFault(
            f"bundle {bundle}: {path} cannot be read ({cause.strerror}); install the bundle again"
        ) from cause


def _safe(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or any(part in {"", ".", ".."} for part in parts):
        raise RuntimeFault(f"bundle: file name {path!r} leaves the bundle's folder; build the bundle again")
    return path


def _write_durable(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
