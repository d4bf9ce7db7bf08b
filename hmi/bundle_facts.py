"""Read of a bundle what people at the screen need: its classes, and what its scores are held against. No Qt."""

from pathlib import Path

from msgspec import Struct

from appliance.decision.standing import limits_of
from appliance.schema.bundle import Manifest
from appliance.schema.errors import RuntimeFault
from appliance.schema.limits import Limits
from appliance.storage import bundle as bundles


class BundleFacts(Struct, frozen=True):
    """State what one bundle knows."""

    bundle: str = ""
    """`sha256:...`; empty: it could not be read."""
    defects: tuple[str, ...] = ()
    """Classes of defects, in the bundle's order."""
    features: frozenset[str] = frozenset()
    """Kinds of findings that are no defects."""
    manifest: Manifest | None = None
    fault: str = ""
    """Why it could not be read."""

    def limits_in(self, precision: str) -> Limits:
        """Give what its calibration knows in the precision that a result names."""
        if self.manifest is None:
            return Limits()
        return limits_of(self.manifest, holds=precision == self.manifest.precision)


def read_facts(folder: Path) -> BundleFacts:
    """Read and verify a bundle's folder; blocks for some 10 ms, so call it on a worker thread."""
    try:
        found = bundles.read(folder)
    except RuntimeFault as error:
        return BundleFacts(fault=str(error))
    limits = limits_of(found.manifest, holds=True)
    named = (item.name for head in found.manifest.heads for item in head.classes if item.defect)
    return BundleFacts(found.id, tuple(dict.fromkeys(named)), limits.features, found.manifest)


def find_facts(folder: Path, wanted: str) -> BundleFacts:
    """Give the bundle that judged: that of `folder`, else the one beside it whose id is `wanted`; else the former.

    wanted: `sha256:...`; empty: that of the folder will do. Blocks as `read_facts`, for each bundle of the station.
    """
    own = read_facts(folder)
    if wanted in {"", own.bundle}:
        return own
    others = (
        read_facts(path.parent) for path in sorted(folder.parent.glob("*/manifest.json")) if path.parent != folder
    )
    return next((one for one in others if one.bundle == wanted), own)
