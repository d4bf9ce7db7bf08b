"""Say whether a bundle's scores mean anything in the precision that it runs in."""

from appliance.schema.bundle import Manifest

UNCALIBRATED = "uncalibrated"


def uncalibrated(manifest: Manifest, precision: str) -> str:
    """Give one line that begins with "uncalibrated" and says why; empty where the calibration holds."""
    if precision != manifest.precision:
        return f"{UNCALIBRATED}: calibrated in {manifest.precision}, run in {precision}; nothing is accepted"
    if manifest.calibration is None and not any(not curve.kind for curve in manifest.confidence):
        return f"{UNCALIBRATED}: no limits and no curve; nothing is accepted"
    return ""
