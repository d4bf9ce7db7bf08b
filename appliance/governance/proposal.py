"""Say what a change of a recipe is expected to do, and which changes may be proposed at all."""

import hashlib

from msgspec import Struct
from msgspec.structs import replace

from appliance.decision.risk import Count
from appliance.decision.spot_check import SpotCheck
from appliance.governance.approval import recipe_digest
from appliance.governance.recipe_text import flat
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import Refused
from appliance.schema.policy import Basis, Mode, RiskLimits
from appliance.schema.recipe import Recipe


class Prediction(Struct, frozen=True, forbid_unknown_fields=True):
    """State what a recipe version is expected to do, with counts and exact 95 % intervals."""

    escapes: Count
    """Accepted, of the defective ones."""
    overkill: Count
    """Not accepted, of the good ones, whether rejected or shown to a person."""
    review: Count
    """Shown to a person, of all."""
    unit: str
    """What is counted: `part` or `picture`."""
    words: str
    """Where the numbers come from and what they hold for."""


class Proposal(Struct, frozen=True, forbid_unknown_fields=True):
    """State a proposed version; the file's SHA-256 is the `evidence` of its approval."""

    recipe: str
    version: int
    digest: str
    """Of the proposed recipe."""
    follows: str
    """Digest of the recipe that was active."""
    proposer: str
    at: UtcNs
    why: str
    predicted: Prediction
    source: str
    """Name of the file behind the prediction; a copy lies beside the proposal."""
    source_sha256: str
    missing: tuple[str, ...] = ()
    """What is missing for the next step."""
    spot_check: SpotCheck | None = None
    """Manual checks after parallel mode; only a transition has one, and only it may make the model primary."""


class Change(Struct, frozen=True):
    """Name one value that differs; None: not there."""

    key: str
    before: str | None
    after: str | None


class Ground(Struct, frozen=True):
    """State who proposes a version, and on what ground."""

    person: str
    why: str
    at: UtcNs
    predicted: Prediction
    source: str
    """Name of the file behind the prediction."""
    content: bytes
    """Of that file."""
    missing: tuple[str, ...] = ()
    spot_check: SpotCheck | None = None


def propose(active: Recipe, recipe: Recipe, newest: int, ground: Ground) -> Proposal:
    """Give the proposal; Refused as `check_next`. newest: largest version number that was ever given."""
    check_next(active, recipe, newest, transition=ground.spot_check is not None)
    return Proposal(
        recipe.name,
        recipe.version,
        recipe_digest(recipe),
        recipe_digest(active),
        ground.person,
        ground.at,
        ground.why,
        ground.predicted,
        ground.source,
        hashlib.sha256(ground.content).hexdigest(),
        ground.missing,
        ground.spot_check,
    )


def changes(before: Recipe, after: Recipe) -> list[Change]:
    """Give what differs between two versions, the version number aside."""
    old, new = flat(before), flat(after)
    keys = [key for key in {**old, **new} if key != "version" and old.get(key) != new.get(key)]
    return [Change(key, old.get(key), new.get(key)) for key in keys]


def with_limits(recipe: Recipe, version: int, limits: RiskLimits) -> Recipe:
    """Give the next version under limits that evidence has found."""
    policy = replace(recipe.policy, basis=Basis.RISK, risk=limits)
    return replace(recipe, version=version, policy=policy)


def as_primary(recipe: Recipe, version: int, plan: SpotCheck) -> Recipe:
    """Give the next version, in which the model decides and people check a share of what it accepts.

    A share that is larger already stays.
    """
    policy = replace(recipe.policy, sample_share=max(recipe.policy.sample_share, plan.share))
    return replace(recipe, version=version, mode=Mode.PRIMARY, policy=policy)


def check_next(active: Recipe, proposed: Recipe, newest: int, *, transition: bool = False) -> None:
    """Refuse, in one line, what cannot be the next version; newest: largest version number that was ever given."""
    name = f"recipe {active.name}"
    if proposed.name != active.name:
        raise Refused(f"{name}: the proposal is of {proposed.name!r}, which is another recipe; correct `name`")
    wanted = max(newest, active.version) + 1
    if proposed.version != wanted:
        raise Refused(f"{name}: version {proposed.version} is proposed, the next one is {wanted}; correct `version`")
    if not changes(active, proposed):
        raise Refused(
            f"{name}: version {proposed.version} changes 0 values of the active version {active.version}, at least 1 "
            "is needed; there is nothing to approve"
        )
    if active.mode is Mode.PARALLEL and proposed.mode is Mode.PRIMARY and not transition:
        raise Refused(
            f"{name}: mode goes from parallel to primary, which needs the table of parallel mode as evidence; "
            "`firstshift parallel transition` proposes it"
        )


def check_fits(active: Recipe, proposed: Recipe, proposal: Proposal) -> None:
    """Refuse a proposal whose files were changed, or that was made for another active version than the present one."""
    name = f"recipe {proposed.name} version {proposed.version}"
    found = recipe_digest(proposed)
    if (proposal.recipe, proposal.version, proposal.digest) != (proposed.name, proposed.version, found):
        raise Refused(
            f"{name}: was changed after it was proposed (digest {found[:12]}, proposed {proposal.digest[:12]}); "
            "propose the change as a version of its own"
        )
    current = recipe_digest(active)
    if proposal.follows != current:
        raise Refused(
            f"{name}: was proposed for the recipe of digest {proposal.follows[:12]}, active is version "
            f"{active.version} of {current[:12]}; propose it again"
        )
    if active.mode is Mode.PARALLEL and proposed.mode is Mode.PRIMARY and proposal.spot_check is None:
        raise Refused(
            f"{name}: makes the model primary without the table of parallel mode; `firstshift parallel transition` "
            "proposes it"
        )
