"""Load a bundle the way a station runs it: its runtime, its recipe's rules, warm for every view.

`python -m appliance.services._loading --config FILE PATH` does it in a process of its own and ends: the proof that
comes before a bundle is loaded beside the running one.
"""

import argparse
import sys
from pathlib import Path

from appliance.config import Camera, Loaded, load
from appliance.schema.clocks import CameraNs, HostNs
from appliance.schema.errors import ApplianceError
from appliance.schema.frame import FrameCounts, FrameReady, SlotRef
from appliance.services._inspector import BundleInspector, RecipeView, load_inspector

LOWEST = "19"
"""Nice value of the proof: it gets what nobody else wants, and a little more, so that it ends."""


def load_bundle(loaded: Loaded, path: str, runtime: str = "") -> BundleInspector:
    """Load, prove and warm a bundle, named relative to the station's bundle folder; blocks for about a second.

    runtime: another one than the station's. RuntimeFault or ConfigError when it cannot judge this station's frames.
    """
    settings, recipe = loaded.config.judge, loaded.recipe
    scales = {name: camera.mm_per_px for name, camera in loaded.config.camera.items() if camera.mm_per_px}
    inspector = load_inspector(
        loaded.state / "bundles" / path,
        runtime or settings.runtime,
        settings.precision,
        settings.threads,
        RecipeView(recipe.rules, scales, loaded.serials, recipe.policy),
        allow_cpu=recipe.allow_cpu,
        engines=loaded.state / "engines",
    )
    for view in recipe.views:
        inspector.warm(blank_frame(view, loaded.config.camera[view]))
    return inspector


def proof_command(loaded: Loaded, path: str) -> list[str]:
    """Give the command line of a process that loads a bundle as `load_bundle` does, and ends."""
    return ["nice", "-n", LOWEST, sys.executable, "-m", __name__, "--config", str(loaded.path), path]


def blank_frame(view: str, camera: Camera) -> FrameReady:
    """Describe a frame as this camera delivers it, of no ring and no instant."""
    return FrameReady(
        camera=view,
        ref=SlotRef(0, 0, 0),
        frame_id=0,
        exposed=CameraNs(0),
        exposed_at=HostNs(0),
        exposed_uncertainty_ns=0,
        encoder=None,
        arrived=HostNs(0),
        rows=camera.height_px,
        columns=camera.width_px,
        pixel_format=camera.pixel_format,
        exposure_us=camera.exposure_us,
        gain_db=camera.gain_db,
        copies=0,
        counts=FrameCounts(),
    )


def main() -> int:
    """Load a bundle and end: 0, or 1 with the reason in one line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="station file")
    parser.add_argument("path", help="folder of the bundle, relative to the station's bundle folder")
    options = parser.parse_args()
    try:
        load_bundle(load(options.config), options.path)
    except ApplianceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
