"""Say of each part what became of it, in the words of the trade."""

import json
from typing import Final, Literal

from msgspec import Struct

from appliance.schema.actuation import Lane
from appliance.sim.summary import Truth
from appliance.storage.queries import Inspection

Outcome = Literal["accepted", "caught", "escape", "overkill"]
ACCEPTED: Final = "accepted"
CAUGHT: Final = "caught"
ESCAPE: Final = "escape"
OVERKILL: Final = "overkill"


class Shown(Struct, frozen=True):
    """Join what a part was with what was decided and done."""

    number: int
    """Counted by the plant, along the belt."""
    kind: str
    """`good` or the kind of defect."""
    lane: str
    """Where the part physically went."""
    outcome: Outcome
    latency_ms: float | None
    score: float | None
    verdict: str
    reasons: str
    cause: str
    source: str
    """The photograph, for a part that was one."""
    row: Inspection | None

    @property
    def defective(self) -> bool:
        """Whether the part has a defect."""
        return self.outcome in {CAUGHT, ESCAPE}

    @property
    def words(self) -> str:
        """Say it in one line."""
        latency = "no verdict in time" if self.latency_ms is None else f"{self.latency_ms:.1f} ms"
        return f"part {self.number} ({self.kind}): {self.verdict}, {self.lane} lane, {latency}"


def shown(truth: Truth, row: Inspection | None) -> Shown:
    """Say of one part what became of it."""
    return Shown(
        number=truth.number,
        kind=plain(truth.truth),
        lane=truth.lane,
        outcome=_outcome(truth),
        latency_ms=row.latency_ms if row else None,
        score=row.score if row else None,
        verdict=plain(row.disposition) if row else "never recorded",
        reasons=", ".join(map(plain, json.loads(row.reasons))) if row else "",
        cause=plain(row.cause or "") if row else "",
        source=truth.source or "",
        row=row,
    )


def plain(name: str) -> str:
    """Turn a name of the code into words."""
    return name.replace("_", " ")


def _outcome(truth: Truth) -> Outcome:
    if truth.lane == Lane.ACCEPT:
        return ESCAPE if truth.defective else ACCEPTED
    return CAUGHT if truth.defective else OVERKILL
