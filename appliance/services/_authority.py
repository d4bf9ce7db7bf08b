"""Say who may open the gate, in types: the model where a signed recipe version lets it, else a person at the line.

`HandDecides` takes no `Verdict` and `ModelDecides` takes no `SealedVerdict`; the checker of types refuses both. An
accept for the microcontroller is made in `decision` alone, from an order that says so.
"""

from msgspec import Struct

from appliance.governance.approval import Primary
from appliance.schema.clocks import HostNs
from appliance.schema.part import PartEntered, PartId
from appliance.schema.review import ManualVerdict
from appliance.schema.topics import MANUAL, VERDICT
from appliance.schema.verdict import Disposition, Verdict
from firmware_bridge import messages as mcu

BY_HAND = 1 << 31
"""Marks a person's decision in `Decision.verdict_seq`, so that the gate's own memory tells who opened it. A judge would
count for years to get there."""


class GateOrder(Struct, frozen=True):
    """Tell the gate what was decided about one part."""

    part: PartId
    accept: bool
    sequence: int
    """`Verdict.sequence`, or the part's number marked `BY_HAND`."""


class ModelDecides:
    """Let the model's verdicts drive the gate; a person may still reject a part before it."""

    topics = (VERDICT, MANUAL)
    needs = ("judge",)
    """Units that must be ready before the gate is armed."""

    def __init__(self, primary: Primary) -> None:
        """Take the proof that a person has signed for it."""
        self.primary = primary

    def order(self, verdict: Verdict, entered: PartEntered, closes: HostNs, now: HostNs) -> GateOrder:
        """Give the order that follows from a verdict about a part whose decision closes at `closes`."""
        return GateOrder(entered.part, accepts(verdict, entered, closes, now), verdict.sequence)

    def objection(self, manual: ManualVerdict, entered: PartEntered) -> GateOrder | None:
        """Give the reject that follows from a person's word; an accept of the model's part is no one's to give."""
        if manual.accept or manual.part != entered.part:
            return None
        return GateOrder(entered.part, accept=False, sequence=_by_hand(entered.part))


class HandDecides:
    """Let a person's decisions drive the gate; no way leads here from the model."""

    topics = (MANUAL,)
    needs: tuple[str, ...] = ()

    def order(self, manual: ManualVerdict, entered: PartEntered, closes: HostNs, now: HostNs) -> GateOrder:
        """Give the order that follows from a person's word about a part whose decision closes at `closes`."""
        accept = manual.accept and manual.part == entered.part and now <= closes
        return GateOrder(entered.part, accept, _by_hand(entered.part))


Authority = ModelDecides | HandDecides


def authority(primary: Primary | None) -> Authority:
    """Give who may open the gate; without the proof that a person has signed for the model, people decide."""
    return HandDecides() if primary is None else ModelDecides(primary)


def accepts(verdict: Verdict, entered: PartEntered, closes: HostNs, now: HostNs) -> bool:
    """Say whether a verdict may open the gate for a part: an ACCEPT, for this very part, in time."""
    return verdict.disposition is Disposition.ACCEPT and verdict.part == entered.part and now <= closes


def decision(order: GateOrder, *, inspect: bool) -> mcu.Decision:
    """Word an order for the microcontroller; the only place where an accept is made.

    inspect: False rejects: the PLC could not take the part's result, or the part came to be known too late.
    """
    return mcu.Decision(part=order.part.number, accept=int(order.accept and inspect), verdict_seq=order.sequence)


def _by_hand(part: PartId) -> int:
    return BY_HAND | (part.number & (BY_HAND - 1))
