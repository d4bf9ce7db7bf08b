"""Labels for tests, one line each, and a station's record that holds them with pictures."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.schema.clocks import CameraNs, HostNs, UtcNs
from appliance.schema.finding import Box
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.label import Label, LabelLevel, Purpose, Region
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from appliance.storage.record_store import RecordStore
from tests.unit.dataset_rig import SIZE, texture
from tests.unit.test_report import STATION

UTC = 1_795_265_276_000_000_000
DAY = 24 * 3600 * 1_000_000_000


def part(number: int) -> PartId:
    """Name a part of the test's boot."""
    return PartId(0xA0B1C2D3, number)


def label(
    name: str,
    kind: str,
    person: str = "op-1",
    *,
    of: int = 1,
    purpose: Purpose = Purpose.REVIEW,
    level: int = 1,
    at: int = 0,
    previous: str = "",
    old: str = "",
    seconds: float = 6.0,
    regions: tuple[Region, ...] = (),
) -> Label:
    """Let a person say something of a part. at: nanoseconds after the test's start."""
    return Label(
        name, part(of), LabelLevel(level), person, kind, seconds, False, UtcNs(UTC + at), purpose, previous, old,
        regions=regions,
    )  # fmt: skip


def box(kind: str = "scratch", camera: str = "top", place: tuple[float, float, float, float] = (4, 6, 10, 8)) -> Region:
    """Mark a defect by a box (x, y, width, height) px."""
    return Region(camera, kind, Box(*place))


def station(folder: Path) -> Path:
    """Leave a station's folder with its configuration; gives the folder."""
    (folder / "station.toml").write_text(STATION.format(state=folder), "utf-8")
    (folder / "recipe.toml").write_text('name = "demo"\nnumber = 1\nviews = ["top"]\nbundle = "day-one"\n', "utf-8")
    return folder


def picture(number: int, pixel_format: PixelFormat = PixelFormat.MONO8) -> NDArray[np.uint8]:
    """Paint the picture of a part, which no other part has."""
    grey = texture(number)
    return np.dstack([grey, grey[::-1], grey[:, ::-1]]) if pixel_format is PixelFormat.RGB8 else grey


def keep(
    store: RecordStore,
    number: int,
    *cameras: str,
    disposition: Disposition = Disposition.REVIEW,
    pixel_format: PixelFormat = PixelFormat.MONO8,
) -> None:
    """Let a part be seen by cameras and its images be kept."""
    for place, camera in enumerate(cameras or ("top",)):
        pixels = picture(1000 * place + number, pixel_format)
        frame = FrameReady(
            camera, SlotRef(1, 0, 2 * number + 1), number, CameraNs(0), HostNs(0), 500, None, HostNs(0), *SIZE,
            pixel_format, 100.0, 0.0, 0, FrameCounts(),
        )  # fmt: skip
        assert store.image(frame, str(part(number)), disposition.value, pixels, UtcNs(UTC))


def say(store: RecordStore, *labels: Label) -> None:
    """Let labels be kept as they are; admission is the desk's."""
    refused = store.write([("label", 0, -1, one) for one in labels], UtcNs(UTC))

    assert () == refused
