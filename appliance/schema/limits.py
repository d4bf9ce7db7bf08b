"""Say what a loaded bundle's calibration knows, in the precision that it runs in."""

from msgspec import Struct

READ = frozenset({"text", "code"})
"""Kinds of findings that are read and no defects."""


class Limits(Struct, frozen=True):
    """State what scores of one bundle are held against.

    Without calibration, or in another precision than it was calibrated in, a bundle has none of it.
    """

    accept_below: float | None = None
    """Scores of the deciding head up to here may be accepted; None: uncalibrated, nothing may."""
    reject_above: float | None = None
    base_rate: float | None = None
    """Share of defective images among those behind the image score's curve; None: there is no curve."""
    task: str = ""
    """Of the deciding head."""
    kinds: dict[str, str] = {}
    """Task of the head that each class of defects belongs to; others belong to the deciding one."""
    features: frozenset[str] = READ
    """Kinds of findings that are no defects."""
    known_parts: int = 0
    """Held-out known parts behind the p-values of the detector of unknown parts."""

    @property
    def calibrated(self) -> bool:
        """Whether the image score means something: by limits, or by a curve."""
        return (self.accept_below is not None and self.reject_above is not None) or self.base_rate is not None
