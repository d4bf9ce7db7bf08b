"""State what the touchscreen knows of the station at an instant; `fold.py` makes it out of messages. No Qt."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from appliance.schema.actuation import Actuation, Cause, HandActuation, Lane
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.frame import FrameReady
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.label import Label
from appliance.schema.line import LineState
from appliance.schema.part import PartEntered, PartId
from appliance.schema.policy import Mode
from appliance.schema.review import ManualVerdict
from appliance.schema.verdict import Disposition, InspectionResult, Verdict

STALE = 1 * S
"""Age from which a picture, or anything that comes with parts, is shown as stale."""

REPEATED = 1 * S
"""Period of `line.state` and `status.*`; what is repeated so is stale that much later."""

ABSENT = 3 * S
"""Silence from which a service is absent."""


class Presence(StrEnum):
    """Say whether a service is heard."""

    PRESENT = "present"
    AWAITED = "awaited"
    """Not heard since the touchscreen started, and it has not had the time."""
    ABSENT = "absent"


class Service(Struct, frozen=True):
    """Say how one unit of the station is doing."""

    unit: str
    presence: Presence
    health: Health | None
    """What it said last; None: nothing since the touchscreen started."""
    silent_s: float
    """Since it was heard last, or since the touchscreen started."""

    @property
    def absent(self) -> bool:
        """Whether it is silent although the station needs it."""
        return self.presence is Presence.ABSENT

    @property
    def condition(self) -> Condition | None:
        """What it says of itself; None while it is not there to say it."""
        return self.health.condition if self.health is not None and self.presence is Presence.PRESENT else None


class SeenPart(Struct, frozen=True):
    """Hold what people may see of one part."""

    part: PartId
    heard: HostNs
    """When the first message named it."""
    entered: PartEntered | None = None
    verdict: Verdict | None = None
    """None too while people may not see it."""
    result: InspectionResult | None = None
    """None too while people may not see it."""
    withheld: bool = False
    """True: something of the model's answer may be there and is not shown yet."""
    frames: Mapping[str, FrameReady] = {}
    """Its frame of each camera, where one is known to be its own."""
    actuation: Actuation | None = None
    hand: HandActuation | None = None
    manual: ManualVerdict | None = None
    labels: tuple[Label, ...] = ()

    @property
    def disposition(self) -> Disposition | None:
        """What was decided by the judge, as far as people may see it; None: nothing yet."""
        return self.verdict.disposition if self.verdict is not None else None

    @property
    def lane(self) -> Lane | None:
        """Where it lies: where a person put it, else where the gate did; None while it is on the belt."""
        last = self.hand or self.actuation
        return last.lane if last is not None else None


class HeardAlarm(Struct, frozen=True):
    """Hold one alarm as it was heard."""

    number: int
    """1, 2, 3 ... in the order in which they were heard."""
    at: UtcNs
    alarm: Alarm


class Counts(Struct, frozen=True):
    """Count the parts that met the gate since an instant."""

    since: UtcNs
    parts: int = 0
    accepted: int = 0
    """In the accept lane, by the gate."""
    causes: Mapping[Cause, int] = {}
    dispositions: Mapping[Disposition, int] = {}
    """By the verdict that `line` held; in parallel mode all are no_verdict."""

    @property
    def rejected(self) -> int:
        """In the reject lane, by the gate."""
        return self.parts - self.accepted


class Baseline(Struct, frozen=True):
    """Give what the record database held of the shift when it was asked."""

    counts: Counts
    through: Mapping[int, int]
    """Highest part number counted, of each boot of the microcontroller."""


class ReviewLoad(Struct, frozen=True):
    """Count the parts that wait for a person."""

    waiting: int
    """All of them, `unknown` among them."""
    unknown: int
    """Which only a quality engineer may decide."""
    quarantined: int
    limit: int
    at: HostNs
    """When the record database was asked."""


class StationState(Struct, frozen=True):
    """State what the touchscreen knows at an instant."""

    now: HostNs
    utc: UtcNs
    mode: Mode | None
    """None while the line runs another recipe than the touchscreen has read."""
    services: Mapping[str, Service]
    line: LineState | None
    line_age_s: float
    """Since `line` stated itself; infinite: never."""
    frames: Mapping[str, FrameReady]
    """Newest frame of each camera."""
    frame_ages_s: Mapping[str, float]
    """Since each arrived here; a camera that was never heard is missing."""
    parts: tuple[SeenPart, ...]
    """Newest first."""
    counts: Counts
    review: ReviewLoad | None
    """None: the record database was not read yet."""
    alarms: tuple[HeardAlarm, ...]
    """Newest last."""
    lost: int
    """Messages that never reached the touchscreen."""
    unsent: int = 0
    """Wishes in the outbox that `record` has not answered."""
    refused: int = 0
    """Wishes in the outbox that `record` refused and nobody has looked at."""

    @property
    def absent(self) -> tuple[str, ...]:
        """Units that are silent although the station needs them."""
        return tuple(unit for unit, service in self.services.items() if service.absent)

    @property
    def line_stale(self) -> bool:
        """Whether what `line` says of itself is too old to be trusted."""
        return self.line_age_s * S > REPEATED + STALE

    def frame_stale(self, camera: str) -> bool:
        """Say whether the newest picture of a camera is older than a second, or none came."""
        return self.frame_ages_s.get(camera, float("inf")) * S > STALE

    def part(self, part: PartId) -> SeenPart | None:
        """Find a part among those held."""
        return next((item for item in self.parts if item.part == part), None)
