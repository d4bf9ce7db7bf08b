"""Place a score between its limits, or a confidence between its bands, and carry a probability to another base rate."""

import math

from appliance.schema.policy import Bands
from appliance.schema.verdict import Disposition, Reason

Said = tuple[Disposition, Reason]
"""What one look at a view says, and why."""

UNCALIBRATED: Said = (Disposition.REVIEW, Reason.UNCALIBRATED)


def by_limits(score: float, accept_below: float | None, reject_above: float | None) -> Said:
    """Say what limits make of a score; without both a person decides.

    A score on a limit is what one just under it is. Infinity is over every limit, those that nobody has set among them.
    """
    if score == math.inf:
        return Disposition.REJECT, Reason.ABOVE_REJECT_LIMIT
    if accept_below is None or reject_above is None:
        return UNCALIBRATED
    if score > reject_above:
        return Disposition.REJECT, Reason.ABOVE_REJECT_LIMIT
    return (
        (Disposition.ACCEPT, Reason.WITHIN_LIMITS)
        if score <= accept_below
        else (Disposition.REVIEW, Reason.BETWEEN_LIMITS)
    )


def by_bands(confidence: float | None, bands: Bands) -> Said:
    """Say what bands make of the calibrated confidence that a part is free of a defect; without one a person decides.

    Only what is over the upper band is accepted; both ends belong to the band in which a person looks.
    """
    if confidence is None or math.isnan(confidence):
        return UNCALIBRATED
    if confidence < bands.reject_below:
        return Disposition.REJECT, Reason.LOW_CONFIDENCE
    return (
        (Disposition.ACCEPT, Reason.CONFIDENT)
        if confidence > bands.accept_above
        else (Disposition.REVIEW, Reason.BETWEEN_BANDS)
    )


def at_rate(probability: float | None, measured: float | None, expected: float | None) -> float | None:
    """Carry the probability of a defect from the base rate of its calibration to the one expected on the line.

    measured: share of defects behind the calibration; None or no true share: it cannot be carried over. expected: None:
    as measured. Saerens, Latinne, Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities",
    Neural Computation 14 (2002), equation 2.4, for two classes.
    """
    if probability is None or not 0 <= probability <= 1:
        return None
    if expected is None:
        return probability
    if measured is None or not 0 < measured < 1:
        return None
    defect = probability * expected / measured
    good = (1 - probability) * (1 - expected) / (1 - measured)
    return defect / (defect + good)
