"""Do `firstshift bundle import`: print what was recognised and proven, and store the bundle."""

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from appliance.importing.importer import import_model
from appliance.importing.mapping import MappingNeeded
from appliance.importing.samples import list_images
from appliance.ports.runtime import Runtime
from appliance.schema.bundle import Manifest
from appliance.schema.errors import ConfigError

Store = Callable[[Path, Manifest, Mapping[str, bytes]], str]
"""`storage.bundle.write`: store a bundle, whole or not at all, and give its id."""


class ImportOptions(Struct, frozen=True):
    """Take what the command line says."""

    onnx: Path
    images: Path
    """Folder of sample images, or one image."""
    out: Path
    """Folder of the bundle; must not exist."""
    mapping: Path | None = None
    precision: str = "f32"
    threads: int = 2


def run_import(options: ImportOptions, runtime: Runtime, store: Store) -> int:
    """Import a model and give 0; ApplianceError in one line when it cannot be, and nothing is left behind.

    When the file alone does not say enough, the mapping file that would is printed on standard output first.
    """
    if options.out.exists():
        raise ConfigError(f"import: {options.out} exists and bundles are never overwritten; choose another folder")
    try:
        imported = import_model(
            options.onnx,
            options.mapping,
            list_images(options.images),
            runtime,
            options.precision,
            datetime.now(UTC).isoformat(timespec="seconds"),
            options.threads,
            _progress if sys.stderr.isatty() else None,
        )
    except MappingNeeded as needed:
        _say(needed.template.rstrip())
        raise
    identity = store(options.out, imported.bundle.manifest, imported.bundle.files)
    for warning in imported.warnings:
        print(f"firstshift: warning: {warning}", file=sys.stderr)  # noqa: T201  a command's answer to a person
    _say("\n".join([identity, *imported.summary, f"stored in {options.out}"]))
    return 0


def _say(text: str) -> None:
    print(text)  # noqa: T201  a command's answer to a person


def _progress(step: str) -> None:
    sys.stderr.write(f"  {step} ...\n")
    sys.stderr.flush()
