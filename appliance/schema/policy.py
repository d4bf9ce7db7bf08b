"""State how a recipe turns scores into dispositions; every change of it is a new version of the recipe."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]


class Mode(StrEnum):
    """Say who drives the gate."""

    PARALLEL = "parallel"
    """A person decides each part; the model's verdict is sealed until that person has spoken."""
    PRIMARY = "primary"
    """The model decides; only a recipe version signed for it may say so."""


class Basis(StrEnum):
    """Say what a view is held against."""

    LIMITS = "limits"
    """The bundle's own limits on the image score, set from good parts alone."""
    CONFIDENCE = "confidence"
    """Bands on calibrated confidence."""
    RISK = "risk"
    """Limits on the image score that keep a promised escape rate."""


class Bands(Struct, frozen=True, forbid_unknown_fields=True):
    """Bound the confidence that a part is free of a defect, in [0, 1]."""

    accept_above: Share = 0.95
    """Over this the confidence decides by itself."""
    reject_below: Share = 0.70
    """Below this the part is rejected; from here to `accept_above` a person looks."""


class Guarantee(StrEnum):
    """Say in what sense limits by risk keep their promise."""

    ASSURED = "assured"
    """The true escape rate is over the promised one with a probability of 1 - `assurance` at most."""
    EXPECTED = "expected"
    """The true escape rate is at most the promised one on average over calibrations; a single one may lie over it."""


class RiskLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """State limits on the image score, and the promise that they were found to keep."""

    accept_below: float
    """Image scores up to here are accepted."""
    reject_above: float
    """Image scores over this are rejected; between the two a person looks."""
    escape_rate: Share
    """Promised: of defective parts, at most this share is accepted."""
    assurance: Share
    """Probability that held-out data leads to limits which keep the promise, for example 0.95."""
    defects: int
    """Defective parts behind it, of held-out real data."""
    escaped: int
    """Of these, how many the limits accepted."""
    good: int
    """Good parts behind the stated overkill and review load."""
    bundle: str
    """`sha256:...`; for any other bundle the promise is void."""
    precision: str
    """For any other precision the promise is void."""
    data: str
    """SHA-256 (hex) of the held-out data."""
    guarantee: Guarantee = Guarantee.ASSURED
    classes: tuple[str, ...] = ()
    """Classes of defects that each keep the promise by themselves; of the others it holds in the mix of the data."""


class Role(StrEnum):
    """Say what a head of the bundle has to say in a view's disposition."""

    DECIDES = "decides"
    """The worst of those that decide is the view's disposition."""
    CONFIRMS = "confirms"
    """Where it sees nothing, a reject by score of those that decide goes to a person instead; never to accept."""
    INFORMS = "informs"
    """Its findings are shown and counted by rules, and decide nothing."""


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """State everything between a score and a disposition that a person may set."""

    basis: Basis = Basis.LIMITS
    bands: Bands = Bands()
    class_bands: dict[str, Bands] = {}
    """Bands of single defect classes; the others take `bands`."""
    defect_rate: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Share of defective parts expected on the line; confidences are carried over to it. None: as in the data of the
    calibration, which mostly shows more defects and so errs towards review."""
    risk: RiskLimits | None = None
    """Needed where `basis` is risk."""
    heads: dict[str, Role] = {}
    """Roles of heads by their task's name; without an entry the first head decides and the others inform."""
    novelty: Annotated[str, Meta(pattern="^(required|off)$")] = "required"
    """required: without a detector of unknown parts in the bundle nothing is accepted."""
    unknown_rate: Annotated[float, Meta(gt=0, le=0.5)] = 0.01
    """Share of known parts that may be taken for unknown; each is held and shown."""
    sample_share: Share = 0.01
    """Share of parts that would be accepted and go to a person instead, drawn at random, so that escapes can be
    estimated without bias."""
    sample_seed: int = 1
    """Names the draw."""
    review_limit: Annotated[int, Meta(ge=1, le=100_000)] = 200
    """Parts that may wait for a person; further ones go into quarantine."""
    review_minutes: Annotated[float, Meta(gt=0, le=100_000)] = 480.0
    """Time after which a waiting part goes into quarantine, minutes."""
