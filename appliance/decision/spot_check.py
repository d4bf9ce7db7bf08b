"""Plan the manual checks that stay when the model decides: how many parts, and how many bad ones are too many.

Acceptance number zero: one defective part among those checked is one too many. The fixed plan is the smallest sample
that finds one with the stated assurance when a lot holds the limiting share of defective parts, by the exact
hypergeometric probability (the type of plan of ISO 2859-2, limiting quality). A line draws each part by itself, with
one probability, so the share for it is that of binomial thinning: of D defective parts none is drawn with (1 - s)^D.
"""

import math

from msgspec import Struct

from appliance.schema.errors import ConfigError


class SpotCheck(Struct, frozen=True, forbid_unknown_fields=True):
    """State a plan of manual checks of accepted parts."""

    lot: int
    """Accepted parts, for example of a shift."""
    limiting_share: float
    """Of them, defective: as many are found with the assurance."""
    assurance: float
    parts: int
    """Of a lot, when so many are taken at once."""
    acceptance: int
    """Defective parts among them that are borne: none."""
    share: float
    """Probability with which each part is drawn by itself, for the same assurance; `policy.sample_share`."""


def spot_check(lot: int, limiting_share: float, assurance: float = 0.95) -> SpotCheck:
    """Give the plan; ConfigError for numbers that describe none, and for a lot that holds less than one such part."""
    if not 0 < limiting_share < 1 or not 0 < assurance < 1:
        raise ConfigError(
            f"spot check: limiting share {limiting_share:g} and assurance {assurance:g} must lie between 0 and 1; "
            "state them as shares"
        )
    defects = math.floor(lot * limiting_share + 1e-9)
    if defects < 1:
        raise ConfigError(
            f"spot check: a lot of {lot} parts with {limiting_share:.3g} defective holds less than 1 such part; give a "
            f"lot of at least {math.ceil(1 / limiting_share)} parts or a larger share"
        )
    return SpotCheck(
        lot, limiting_share, assurance, _fixed(lot, defects, 1 - assurance), 0, 1 - (1 - assurance) ** (1 / defects)
    )


def _fixed(lot: int, defects: int, risk: float) -> int:
    """Give the smallest sample that misses all defective parts with a probability of `risk` at most."""
    missed = 1.0
    for taken in range(lot):
        if missed <= risk:
            return taken
        missed *= max(0, lot - defects - taken) / (lot - taken)
    return lot
