"""Say in lines what was recognised, decided and proven, for a person to read."""

from appliance.importing.decoding import Decoding
from appliance.importing.feed import Feed
from appliance.importing.parity import ParityReport
from appliance.importing.recognise import Recognised
from appliance.importing.samples import Samples
from appliance.importing.source import Source
from appliance.schema.bundle import ClassSpec

SAME_ASPECT = 0.01
"""Share by which two aspect ratios may differ and still count as one."""
MOST_NAMES = 12


def lines(
    known: Recognised, how: Decoding, taxonomy: tuple[ClassSpec, ...], report: ParityReport, samples: Samples
) -> tuple[str, ...]:
    """Give the summary of an import."""
    worst = {name: max(image.differences[name] for image in report.images) for name in report.limits}
    names = [one.name for one in taxonomy]
    harmless = ", ".join(one.name for one in taxonomy if not one.defect)
    proof = ", ".join(f"{name} {worst[name]:.2g} (limit {limit:g})" for name, limit in report.limits.items())
    where = f"{len(report.images)} of {samples.given} images, {report.runtime} {report.precision}"
    return (
        f"recognised {known.family} by {report.producer}; task {how.task}, layout {how.layout}",
        f"classes: {', '.join(names[:MOST_NAMES])}{' ...' if len(names) > MOST_NAMES else ''}",
        f"no defects: {harmless or 'none'}; every other class is a defect",
        f"frames are {samples.pixel_format}; set pixel_format in the mapping when the camera gives another",
        *report.notes,
        f"parity with the original on {where}: {proof}",
        "the bundle is uncalibrated: nothing is accepted with it until limits are set on good parts",
    )


def warnings(source: Source) -> tuple[str, ...]:
    """Give what a person should not overlook."""
    said = source.copyleft
    return (f"licence: the file says {said!r}; make sure that you may use and pass on this model",) if said else ()


def aspect(samples: Samples, roi: tuple[int, int, int, int] | None, feed: Feed) -> tuple[str, ...]:
    """Say what squashing does to the samples, and offer a region of the right aspect."""
    rows, cols = samples.samples[0].frame.shape[:2]
    x, y, width, height = roi or (0, 0, cols, rows)
    model_rows, model_cols = feed.opened.size
    squash = (width / model_cols) / (height / model_rows)
    if abs(squash - 1) <= SAME_ASPECT:
        return ()
    scale = min(width / model_cols, height / model_rows)
    fit_width, fit_height = int(model_cols * scale) & ~1, int(model_rows * scale) & ~1
    left, top = (x + (width - fit_width) // 2) & ~1, (y + (height - fit_height) // 2) & ~1
    what = f"{width} x {height} px are squashed to {model_cols} x {model_rows}, where a letterbox would keep shapes"
    region = f"[{left}, {top}, {fit_width}, {fit_height}]"
    return (
        f"{what}: widths shrink {squash:.2f} times as much as heights; roi = {region} in the mapping keeps them too",
    )
