"""Let the judge speak: openly where a person has signed for it, else under a seal; types keep the two ways apart.

`SealedVoice` makes no `Verdict` and no bare `InspectionResult`, and nothing that `line` listens to.
"""

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from appliance.decision.sampling import sampled
from appliance.decision.workload import Passed, passed, workload
from appliance.governance.approval import Primary
from appliance.ports.node import Output, Publish
from appliance.schema.clocks import HostNs
from appliance.schema.health import Component, Condition
from appliance.schema.part import PartId
from appliance.schema.policy import Policy
from appliance.schema.topics import RESULT, SEALED, VERDICT
from appliance.schema.verdict import Disposition, InspectionResult, Reason, SealedVerdict, Verdict

COUNTED = 512
"""Decided parts behind the work in health: a review share of 1 % still shows as five."""

NAME = "decision"
"""Component that says who decides, and what work it makes."""


class Decided(Struct, frozen=True):
    """State what the rules make of a part, before anyone is told."""

    part: PartId
    disposition: Disposition
    reasons: tuple[Reason, ...]
    decided: HostNs
    decide_by: HostNs
    result: InspectionResult


class OpenVoice:
    """State verdicts that may open the gate, and send a share of the accepts to a person instead."""

    def __init__(self, primary: Primary, policy: Policy) -> None:
        """Take the proof that a person has signed for it."""
        self._primary, self._policy = primary, policy
        self._sequence = 0
        self._recent: deque[Passed] = deque(maxlen=COUNTED)

    def state(self, decided: Decided) -> Sequence[Output]:
        """Give the part's one verdict, which the gate waits for, and then what was seen."""
        self._sequence += 1
        drawn = sampled((decided.disposition, decided.reasons), decided.part, self._policy)
        verdict = Verdict(
            decided.part,
            drawn.disposition,
            drawn.reasons,
            decided.decided,
            decided.decide_by,
            self._sequence,
            drawn.probability,
        )
        self._recent.append(passed(decided.decided, drawn.disposition, drawn.reasons))
        return [Publish(VERDICT, verdict), Publish(RESULT, decided.result)]

    def component(self, now: HostNs) -> Component:
        """Say who signed, and what work the last parts made."""
        who = f"primary by recipe {self._primary.recipe} version {self._primary.version}, {self._primary.person}"
        work = workload(self._recent, now)
        if work is None:
            return Component(NAME, Condition.OK, who)
        told = (
            f"{work.all:.0f} parts/h over {work.parts} parts: review band {work.between:.0f}/h, "
            f"review {work.review:.0f}/h, unknown {work.unknown:.0f}/h"
        )
        return Component(NAME, Condition.OK, f"{who}; {told}")


class SealedVoice:
    """State what the model would decide, for nobody to see before a person has decided; not a count of it is shown."""

    def state(self, decided: Decided) -> Sequence[Output]:
        """Give the sealed verdict, which holds what was seen."""
        sealed = SealedVerdict(
            decided.part, decided.disposition, decided.reasons, decided.decided, decided.decide_by, decided.result
        )
        return [Publish(SEALED, sealed)]

    def component(self, now: HostNs) -> Component:
        """Say that people decide."""
        return Component(NAME, Condition.OK, "parallel mode: people decide, what the model says is sealed")


Voice = OpenVoice | SealedVoice
