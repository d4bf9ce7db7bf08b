"""Say whether a bundle's scores mean anything in the precision that it runs in, and what its calibration knows then."""

from appliance.schema.bundle import Manifest
from appliance.schema.limits import READ, Limits

UNCALIBRATED = "uncalibrated"


def uncalibrated(manifest: Manifest, precision: str) -> str:
    """Give one line that begins with "uncalibrated" and says why; empty where the calibration holds."""
    if precision != manifest.precision:
        return f"{UNCALIBRATED}: calibrated in {manifest.precision}, run in {precision}; nothing is accepted"
    if manifest.calibration is None and not any(not curve.kind for curve in manifest.confidence):
        return f"{UNCALIBRATED}: no limits and no curve; nothing is accepted"
    return ""


def limits_of(manifest: Manifest, *, holds: bool) -> Limits:
    """Give what a bundle's calibration knows; holds: whether it runs in the precision that it was calibrated in."""
    curve = next((one for one in manifest.confidence if not one.kind and one.count), None)
    calibration = manifest.calibration if holds else None
    defects = {item.name: head.task.value for head in reversed(manifest.heads) for item in head.classes if item.defect}
    features = {item.name for head in manifest.heads for item in head.classes} - defects.keys()
    return Limits(
        accept_below=calibration.accept_below if calibration else None,
        reject_above=calibration.reject_above if calibration else None,
        base_rate=curve.right / curve.count if curve and holds else None,
        task=manifest.task.value,
        kinds=defects,
        features=READ | features,
        known_parts=len(manifest.novelty.scores) if manifest.novelty and holds else 0,
    )
