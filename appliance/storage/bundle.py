"""Keep bundles as folders: write them whole, read them only when every byte is what the manifest says.

A bundle's identity is the SHA-256 of its manifest in canonical JSON; the manifest names size and SHA-256 of every
other file, so the id stands for every byte of the bundle.
"""

import hashlib
import io
import math
import os
import shutil
import stat
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.schema.bundle import BundleFile, ConfidenceCurve, Head, Manifest, ModelSpec, Novelty
from appliance.schema.errors import Refused, RuntimeFault

FORMAT = 3
MANIFEST = "manifest.json"
LARGEST_FILE_BYTES = 1 << 30
# Fields that bundles of this format were made without at first: at their defaults they are not written, so that those
# bundles keep their ids and stay readable.
LATER: Mapping[type[Struct], frozenset[str]] = {
    Manifest: frozenset({"novelty"}),
    Head: frozenset({"calibration"}),
    ConfidenceCurve: frozenset({"method", "parts", "log_losses", "error_low", "error_high"}),
}
# What zipfile, zlib and numpy raise on a damaged npz.
ARRAY_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    NotImplementedError,
    OSError,
    EOFError,
    MemoryError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class Bundle(Struct, frozen=True):
    """Hold a bundle read from disk, every file verified."""

    id: str
    """`sha256:` and the hash of the canonical manifest."""
    folder: Path
    manifest: Manifest
    files: dict[str, bytes]

    def model(self, name: str) -> ModelSpec:
        """Give one of the bundle's networks; RuntimeFault when there is none of that name."""
        for spec in self.manifest.models:
            if spec.name == name:
                return spec
        known = ", ".join(spec.name for spec in self.manifest.models)
        raise RuntimeFault(f"bundle {self.folder}: no network {name!r}, there are {known}; build the bundle again")


class _Format(Struct):
    format: int


def canonical(manifest: Manifest) -> bytes:
    """Give a manifest's canonical JSON: keys sorted, no white space, UTF-8; `LATER` fields only where they say more."""
    tree = msgspec.to_builtins(manifest)
    _prune(Manifest, (tree,))
    _prune(Head, tree["heads"])
    _prune(ConfidenceCurve, tree["confidence"])
    return msgspec.json.encode(tree, order="sorted")


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
        written = msgspec.json.decode(content, type=_Format).format
        if written != FORMAT:
            remedy = "build the bundle again" if written < FORMAT else "update the appliance"
            raise RuntimeFault(f"bundle {folder}: format {written}, this version reads {FORMAT}; {remedy}")
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise RuntimeFault(f"bundle {folder}: {MANIFEST} is damaged: {cause}; install the bundle again") from cause
    if canonical(manifest) != content:
        raise RuntimeFault(f"bundle {folder}: {MANIFEST} is not in canonical form; it was edited, install it again")
    for what, names in (
        ("file", [file.path for file in manifest.files]),
        ("network", [model.name for model in manifest.models]),
        ("head", [head.prefix for head in manifest.heads]),
    ):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise RuntimeFault(f"bundle {folder}: {MANIFEST} lists {what} {twice!r:.60} twice; build the bundle again")
    odd = next((text for text in _texts(msgspec.to_builtins(manifest)) if not text.isprintable()), None)
    if odd is not None:
        raise RuntimeFault(f"bundle {folder}: {MANIFEST} holds unprintable text {odd!r:.60}; build the bundle again")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    extra = sorted(found - {file.path for file in manifest.files} - {MANIFEST})
    if extra:
        raise RuntimeFault(f"bundle {folder}: {extra[0]} is not in the manifest; remove it or install the bundle again")
    files = {file.path: _verified(folder, file) for file in manifest.files}
    if manifest.novelty is not None:
        _check_novelty(folder, manifest, manifest.novelty)
    absent = sorted(_needed(manifest) - set(files))
    if absent or not manifest.heads or not manifest.models:
        what = absent[0] if absent else "a head or a model"
        raise RuntimeFault(f"bundle {folder}: {what} is missing from the manifest; build the bundle again")
    return Bundle(f"sha256:{hashlib.sha256(content).hexdigest()}", folder, manifest, files)


def arrays(bundle: Bundle, path: str) -> dict[str, NDArray[np.generic]]:
    """Give the arrays of an npz file of the bundle; RuntimeFault when there is none or it holds anything else."""
    if path not in bundle.files:
        raise RuntimeFault(f"bundle {bundle.folder}: no {path}; it is no bundle of task {bundle.manifest.task}")
    try:
        with np.load(io.BytesIO(bundle.files[path]), allow_pickle=False) as content:
            return dict(content)
    except ARRAY_ERRORS as cause:
        raise RuntimeFault(f"bundle {bundle.folder}: {path} holds no plain arrays: {cause}; build it again") from cause


def _prune(owner: type[Struct], rows: Iterable[dict[str, Any]]) -> None:
    """Drop fields that came later where they hold their default."""
    for one in msgspec.structs.fields(owner):
        if one.name in LATER[owner]:
            default = one.default if one.default_factory is msgspec.NODEFAULT else one.default_factory()
            for row in rows:
                if row[one.name] == default:
                    del row[one.name]


def _check_novelty(folder: Path, manifest: Manifest, novelty: Novelty) -> None:
    """Refuse a detector that no part would ever look strange to."""
    outputs = {one.name for model in manifest.models[:1] for one in model.outputs}
    if novelty.output not in outputs:
        raise RuntimeFault(
            f"bundle {folder}: novelty reads {novelty.output!r:.60}, the network gives {', '.join(sorted(outputs))}; "
            "build the bundle again"
        )
    scores = novelty.scores
    if not scores or not all(map(math.isfinite, scores)) or list(scores) != sorted(scores):
        raise RuntimeFault(
            f"bundle {folder}: the {len(scores)} novelty scores must be finite, ascending and at least 1; build the "
            "bundle again"
        )


def _texts(tree: object) -> Iterator[str]:
    """Yield every text of a tree, keys included: they stand in messages, and a message is one line."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _texts(value)


def _needed(manifest: Manifest) -> set[str]:
    """Name the files that the manifest speaks of."""
    networks = {path for model in manifest.models for path in (model.file, model.golden)}
    settings = {head.settings for head in manifest.heads}
    how = manifest.preprocessing
    template = set() if how.template is None else {how.template.file}
    novelty = set() if manifest.novelty is None else {manifest.novelty.file}
    return networks | settings | template | novelty | {how.golden} | set(manifest.evidence)


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
        found = target.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE_BYTES:
            raise RuntimeFault(
                f"bundle {bundle}: {path} is a link, no file or over {LARGEST_FILE_BYTES} bytes; install it again"
            )
        return target.read_bytes()
    except OSError as cause:
        raise RuntimeFault(
            f"bundle {bundle}: {path} cannot be read ({cause.strerror}); install the bundle again"
        ) from cause


def _safe(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or "\0" in path or any(part in {"", ".", ".."} for part in parts):
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
