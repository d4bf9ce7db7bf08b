"""Labels, people and kept images on a real store, for tests."""

import itertools
from collections.abc import Iterable

from msgspec import Struct

from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import CameraNs, HostNs, UtcNs
from appliance.schema.command import FreezeSnapshot, NoteDeed
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.health import AlarmDeed, AlarmStep
from appliance.schema.label import Label, LabelLevel, Purpose
from appliance.schema.part import PartId
from appliance.schema.person import Person, Role, Secret
from appliance.schema.review import SeededAnswer
from appliance.schema.verdict import Disposition
from appliance.storage.image_messages import ImageKept
from appliance.storage.record_store import UNNUMBERED, RecordStore
from tests.unit.review_rig import UTC, part

AT = UtcNs(UTC)
SECRET = Secret(b"s" * 16, b"d" * 32, 16384, 8, 1)
_numbers = itertools.count(1)


def label(
    number: int,
    kind: str = "scratch",
    person: str = "op-1",
    level: int = 1,
    purpose: Purpose = Purpose.REVIEW,
    name: str = "",
    reason: str = "",
) -> Label:
    """Say what a person says of a part."""
    return Label(
        label_id=name or f"auto-{next(_numbers)}",
        part=part(number),
        level=LabelLevel(level),
        person=person,
        kind=kind,
        seconds=2.5,
        prediction_shown=False,
        at=AT,
        purpose=purpose,
        reason=reason,
    )


def person(
    operator: str, role: Role = Role.OPERATOR, level: int = 1, by: str = "service:people", *, active: bool = True
) -> Person:
    """Enrol somebody who has a PIN."""
    return Person(
        event_id=f"e-{next(_numbers)}",
        person=operator,
        name=f"Name of {operator}",
        role=role,
        level=LabelLevel(level),
        badge_sha256="",
        secret=SECRET,
        language="en",
        active=active,
        by=by,
        at=AT,
    )


def kept(number: int, camera: str = "top") -> ImageKept:
    """Keep an image of a part; its digest names part and camera."""
    slot = SlotRef(1, 0, 1)
    frame = FrameReady(
        camera, slot, number, CameraNs(0), HostNs(1), 500, None, HostNs(2), 16, 16, PixelFormat.MONO8, 100.0, 0.0, 0,
        FrameCounts(),
    )  # fmt: skip
    return ImageKept(
        part(number), frame, Disposition.REVIEW, f"2026/{number}{camera}.tif", sha256(number, camera), 9, "tiff"
    )


def sha256(number: int, camera: str = "top") -> str:
    """Name the image of a part."""
    return f"{number:04d}{camera}".ljust(64, "0")


def keep(store: RecordStore, *facts: Struct) -> tuple[str, ...]:
    """Write facts as they are, past every rule of the service; gives what the store refused."""
    return store.write([("x", 0, UNNUMBERED, fact) for fact in facts], AT)


def keep_images(store: RecordStore, numbers: Iterable[int]) -> None:
    """Let parts have an image each."""
    store.image_rows([kept(number) for number in numbers], AT)


def labelling_facts(number: int = 77) -> list[tuple[str, int, int, Struct]]:
    """Give one fact of each kind that labelling leaves, as (topic, epoch, sequence, message); the part has an image."""
    facts: list[Struct] = [
        label(number, "scratch", name="l-77"),
        SeededAnswer(label(99, "dent", name="l-99")),
        person("qe-1", Role.QUALITY, 3),
        AlarmStep("a-1", "line", "mcu_lost", AlarmDeed.ACKNOWLEDGED, "op-1", AT),
        NoteDeed("n-1", AuditRequest("op-1", "signed_in", "terminal 1"), AT),
        FreezeSnapshot("qe-1", "first", "s-1"),
    ]
    return [("x", 0, UNNUMBERED, fact) for fact in facts]


def ids(labels: Iterable[Label]) -> list[str]:
    """Name labels by their ids."""
    return [one.label_id for one in labels]


def parts(numbers: Iterable[int]) -> list[PartId]:
    """Name parts of the test's boot."""
    return [part(number) for number in numbers]
