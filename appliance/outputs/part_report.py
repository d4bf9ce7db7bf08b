"""Join the facts of a part into the one report that every plant output tells in its own words; pure."""

import math
from collections import OrderedDict
from dataclasses import dataclass

from msgspec import Struct

from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, HostNs, UtcNs
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.verdict import Disposition, InspectionResult, Verdict

PARTS_HELD = 8192
"""Parts whose facts are held for joining: twice what a topic holds for replay."""


class Identity(Struct, frozen=True):
    """Name the station and what it inspects, for every message."""

    prefix: str
    """`insp/v1/<site>/<line>/<station>`."""
    recipe: str
    recipe_sha256: str
    config_digest: str
    expiry_s: int
    pid: int

    @property
    def station(self) -> str:
        """`<site>/<line>/<station>`."""
        return self.prefix.removeprefix("insp/v1/")


class PartReport(Struct, frozen=True, tag=True):
    """Tell what became of one part; nothing here decides."""

    part: PartId
    result_id: str
    """`<station>/<part>`: depends on these two alone, so that a receiver can tell a repetition."""
    lane: Lane
    cause: Cause
    disposition: Disposition
    """What `line` held for the part at the gate."""
    verdict: Disposition | None
    """What the model decided; None: nothing was heard of it."""
    reasons: tuple[str, ...]
    bundle: str
    """`sha256:...`; empty when no result was heard of."""
    precision: str
    recipe: str
    recipe_sha256: str
    score: float
    """Worst raw score over the views; not a number when no result was heard of."""
    latency_ms: float
    """Last camera trigger to verdict; not a number without either."""
    entered: UtcNs | None
    decided: UtcNs | None
    actuated: UtcNs
    replayed: bool
    job: str = ""
    """Id of the client's job that covered the part; empty: none."""

    @property
    def good(self) -> bool:
        """Whether the part went to the accept lane on an ACCEPT in hand in time."""
        return (
            self.lane is Lane.ACCEPT
            and self.cause in {Cause.ACCEPTED, Cause.OPERATOR}
            and self.disposition is Disposition.ACCEPT
        )


@dataclass
class PartFacts:
    """Hold what is known of a part until its actuation is told."""

    entered: HostNs | None = None
    job: str = ""
    exposed: HostNs | None = None
    """Its last camera trigger."""
    result: InspectionResult | None = None
    verdict: Verdict | None = None


class PartJoin:
    """Collect the facts of parts by part; the oldest go when too many are held."""

    def __init__(self) -> None:
        self._parts: OrderedDict[PartId, PartFacts] = OrderedDict()

    def take(self, message: Struct) -> bool:
        """Take a fact; False when it is none of a part before its gate."""
        match message:
            case PartEntered():
                part = self._of(message.part)
                part.entered, part.job = message.at, message.job
            case PartExposed():
                part = self._of(message.part)
                part.exposed = max(message.at, part.exposed or message.at)
            case InspectionResult():
                self._of(message.part).result = message
            case Verdict():
                self._of(message.part).verdict = message
            case _:
                return False
        return True

    def is_complete(self, actuation: Actuation) -> bool:
        """Tell whether the verdict that the gate acted on, if any, is known."""
        if actuation.verdict_sequence == 0 and actuation.cause is not Cause.LATE:
            return True
        part = self._parts.get(actuation.part)
        return part is not None and part.verdict is not None

    def facts(self, part: PartId) -> PartFacts:
        """Give what is known of a part."""
        return self._parts.get(part, PartFacts())

    def drop(self, part: PartId) -> None:
        """Let go of a part that was told."""
        self._parts.pop(part, None)

    def _of(self, part: PartId) -> PartFacts:
        known = self._parts.get(part)
        if known is None:
            known = self._parts[part] = PartFacts()
            if len(self._parts) > PARTS_HELD:
                self._parts.popitem(last=False)
        return known


def report(identity: Identity, actuation: Actuation, part: PartFacts, utc_now: UtcNs, now: HostNs) -> PartReport:
    """Join a part's facts at its actuation; `utc_now` and `now` are the same instant."""
    result, verdict = part.result, part.verdict
    trigger = part.exposed if part.exposed is not None else part.entered

    def utc(at: HostNs) -> UtcNs:
        return UtcNs(utc_now - (now - at))

    return PartReport(
        part=actuation.part,
        result_id=f"{identity.station}/{actuation.part}",
        lane=actuation.lane,
        cause=actuation.cause,
        disposition=actuation.disposition,
        verdict=verdict.disposition if verdict else None,
        reasons=tuple(reason.value for reason in verdict.reasons) if verdict else (),
        bundle=result.bundle if result else "",
        precision=result.precision if result else "",
        recipe=identity.recipe,
        recipe_sha256=identity.recipe_sha256,
        score=max((view.score for view in result.views), default=math.nan) if result else math.nan,
        latency_ms=(verdict.decided - trigger) / MS if verdict and trigger is not None else math.nan,
        entered=utc(part.entered) if part.entered is not None else None,
        decided=utc(verdict.decided) if verdict else None,
        actuated=utc(actuation.at),
        replayed=actuation.replayed,
        job=part.job,
    )
