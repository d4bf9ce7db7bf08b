"""Say whether the promise behind limits by risk still holds."""

from appliance.schema.policy import RiskLimits


def is_expired(
    risk: RiskLimits,
    bundle: str,
    precision: str,
    drifted: bool,  # noqa: FBT001  one of the three facts that end it
) -> bool:
    """Say whether limits were found for another bundle or precision, or the line has drifted since.

    bundle: `sha256:...` of the bundle that judges; precision: what it computes in; drifted: an alarm for drift stands.
    """
    return drifted or bundle != risk.bundle or precision != risk.precision
