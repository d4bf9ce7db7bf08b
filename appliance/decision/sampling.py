"""Send a known share of the parts that would be accepted to a person, so that escapes can be estimated without bias.

Labels come mainly from parts that were held back, among which no escape is ever seen. A draw whose probability is kept
with each part lets every part count as 1 / probability: Horvitz and Thompson, "A generalization of sampling without
replacement from a finite universe", Journal of the American Statistical Association 47 (1952).
"""

import hashlib

from msgspec import Struct

from appliance.decision.disposition import Judged
from appliance.schema.part import PartId
from appliance.schema.policy import Policy
from appliance.schema.verdict import Disposition, Reason

DIGITS = 64
"""Bits of the draw; a float below 1 is told from its neighbour at 53."""


class Sampled(Struct, frozen=True):
    """State what a part is after the draw."""

    disposition: Disposition
    reasons: tuple[Reason, ...]
    probability: float
    """With which a part like this one is drawn; 0: it was not in the draw."""


def sampled(judged: Judged, part: PartId, policy: Policy) -> Sampled:
    """Send a part that would be accepted to a person if the draw picks it; any other stays as it is."""
    disposition, reasons = judged
    if disposition is not Disposition.ACCEPT:
        return Sampled(disposition, reasons, 0.0)
    if is_drawn(part, policy.sample_seed, policy.sample_share):
        return Sampled(Disposition.REVIEW, (Reason.RANDOM_SAMPLE, *reasons), policy.sample_share)
    return Sampled(disposition, reasons, policy.sample_share)


def before_the_draw(disposition: Disposition, reasons: tuple[Reason, ...]) -> Disposition:
    """Give what a part was before the draw: one that it picked would have been accepted."""
    return Disposition.ACCEPT if Reason.RANDOM_SAMPLE in reasons else disposition


def is_drawn(part: PartId, seed: int, share: float) -> bool:
    """Draw by SHA-256 of seed and part: with probability `share`, in any order, and the same whenever it is asked."""
    digest = hashlib.sha256(f"{seed}:{part.boot}:{part.number}".encode()).digest()
    return int.from_bytes(digest[: DIGITS // 8], "big") < share * (1 << DIGITS)
