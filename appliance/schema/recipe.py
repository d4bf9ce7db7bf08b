"""Describe a recipe: what is inspected, with which views and which bundle."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from appliance.schema.policy import Basis, Mode, Policy
from appliance.schema.rule import Count, Distance, Rule


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Name one product's inspection; kept apart from the station's configuration."""

    name: str
    number: Annotated[int, Meta(ge=1, le=65535)]
    """What the PLC calls it, 1 to 65535."""
    views: tuple[str, ...]
    """Cameras whose frames an ACCEPT needs."""
    bundle: str
    """Folder of the bundle, relative to the station's bundle folder."""
    shadow: str = ""
    """Folder of a bundle that runs beside it for comparison and decides nothing; empty: none."""
    allow_cpu: bool = False
    """Whether a model meant for a GPU may run on the CPU when the GPU is not there."""
    rules: tuple[Rule, ...] = ()
    """What must also hold beside the model's score; a broken rule rejects."""
    version: Annotated[int, Meta(ge=1)] = 1
    """Counts up with each change."""
    mode: Mode = Mode.PARALLEL
    """primary needs an approval of this very version, signed by a person whom the station trusts."""
    policy: Policy = Policy()


def recipe_faults(recipe: Recipe) -> Iterator[str]:
    """Yield what contradicts itself in a recipe: key, value, limit and remedy."""
    yield from _policy_faults(recipe.policy)
    names = [rule.name for rule in recipe.rules]
    for rule in recipe.rules:
        key = f"rules.{rule.name}"
        if rule.view not in recipe.views:
            yield f"{key}: view {rule.view!r} is none of the recipe's; choose of {', '.join(recipe.views)}"
        if names.count(rule.name) > 1:
            yield f"{key}: named {names.count(rule.name)} times, limit 1; rename one"
        if isinstance(rule, Count) and rule.least > rule.most:
            yield f"{key}: least {rule.least} is over most {rule.most}, no part meets it; swap them"
        if isinstance(rule, Distance) and rule.least_mm > rule.most_mm:
            yield (
                f"{key}: least_mm {rule.least_mm:g} is over most_mm {rule.most_mm:g}, no part can meet it; swap them"
            )


def _policy_faults(policy: Policy) -> Iterator[str]:
    every = {"policy.bands": policy.bands}
    every |= {f"policy.class_bands.{kind}": bands for kind, bands in policy.class_bands.items()}
    for key, bands in every.items():
        if bands.reject_below > bands.accept_above:
            yield (
                f"{key}: reject_below {bands.reject_below:g} is over accept_above {bands.accept_above:g}, no part "
                "could go to a person; swap them"
            )
    if policy.basis is Basis.RISK and policy.risk is None:
        yield "policy.risk: missing, policy.basis is risk; `firstshift risk plan` finds its limits, or choose limits"
    if policy.risk is not None and not policy.risk.accept_below <= policy.risk.reject_above:
        yield (
            f"policy.risk: accept_below {policy.risk.accept_below:g} is not up to reject_above "
            f"{policy.risk.reject_above:g}; take both as `firstshift risk plan` gave them"
        )
