"""Turn frame pixels into millimetres in the plane of the part."""

from collections.abc import Iterable

from msgspec.structs import replace

from appliance.schema.finding import Extent, Finding


def in_mm(findings: Iterable[Finding], mm_per_px: float | None) -> tuple[Finding, ...]:
    """Give the findings with their extent in mm; unchanged while the view has no scale.

    mm_per_px: scale of the camera in the plane of the part, mm per frame pixel, the same in x and y: square pixels, the
    camera square to the part and a lens without visible distortion.
    """
    return tuple(replace(finding, extent=_extent(finding, mm_per_px)) for finding in findings)


def _extent(finding: Finding, mm_per_px: float | None) -> Extent | None:
    box = finding.box
    if mm_per_px is None or box is None:
        return None
    return Extent(
        x_mm=box.x_px * mm_per_px,
        y_mm=box.y_px * mm_per_px,
        width_mm=box.width_px * mm_per_px,
        height_mm=box.height_px * mm_per_px,
        area_mm2=finding.area_px * mm_per_px**2,
    )
