"""Look at who decides and by what: mode, version, signature, policy, and whether its promise still stands."""

from collections.abc import Iterator
from pathlib import Path

from appliance.config import Loaded
from appliance.governance.approval import check, check_bundle, verify
from appliance.governance.wording import signed
from appliance.schema.bundle import Manifest
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.health import Component, Condition
from appliance.schema.policy import Basis, Mode, Policy, RiskLimits
from appliance.storage import bundle
from appliance.storage.promise import FILE, PromiseFile

WHO = {
    Mode.PARALLEL: "people decide each part, the model's verdict stays sealed",
    Mode.PRIMARY: "the model decides and may open the gate",
}


def recipe(loaded: Loaded, folder: Path) -> Iterator[Component]:
    """Give recipe, policy, unknown parts and, where one is made, the promise; folder: of the recipe's bundle."""
    policy, judge = loaded.recipe.policy, loaded.config.judge
    try:
        found = bundle.read(folder)
    except RuntimeFault:  # the bundle's own row says what is wrong with it
        yield authority(loaded)
        return
    yield authority(loaded, found.id)
    holds = (found.manifest.runtime, found.manifest.precision) == (judge.runtime, judge.precision)
    yield basis(policy, found.manifest, holds=holds)
    yield unknown_parts(policy, found.manifest)
    if policy.basis is Basis.RISK and policy.risk is not None:
        held = PromiseFile(loaded.state / FILE, loaded.recipe.name, loaded.recipe.version)
        yield promise(policy.risk, found.id, judge.precision, held.cause(found.id))


def authority(loaded: Loaded, installed: str = "") -> Component:
    """Say who decides, under which version, and who has signed for it; installed: id of the bundle, if known."""
    used, signers = loaded.recipe, loaded.config.approval
    name = f"{used.name} version {used.version}, mode {used.mode.value}: {WHO[used.mode]}"
    if loaded.approval is None and used.mode is Mode.PARALLEL:
        return Component("recipe", Condition.OK, f"{name}; not approved, none is needed")
    try:
        approval = check(loaded.approval, used, signers.people, two_persons=signers.two_persons)
        if used.mode is Mode.PRIMARY and installed:
            check_bundle(verify(approval, used, signers.people, two_persons=signers.two_persons), installed)
    except ConfigError as error:
        primary = used.mode is Mode.PRIMARY
        remedy = "have this version signed: firstshift recipe approve" + (
            "; until then judge and line do not start and nothing is accepted" if primary else ""
        )
        return Component("recipe", Condition.FAILED if primary else Condition.DEGRADED, str(error), remedy)
    return Component("recipe", Condition.OK, f"{name}; {signed(approval)}")


def basis(policy: Policy, manifest: Manifest, *, holds: bool) -> Component:
    """Say by what a view is judged; holds: whether the station runs the bundle the way it was calibrated."""
    curve, limits = any(not one.kind for one in manifest.confidence), manifest.calibration is not None
    known = {Basis.LIMITS: limits, Basis.CONFIDENCE: curve, Basis.RISK: limits or curve}[policy.basis]
    name = f"basis {policy.basis.value}"
    if not (holds and known):
        why = "the bundle has no calibration for it" if holds else "calibrated for another runtime or precision"
        remedy = "install a bundle that was calibrated for it, or propose another policy.basis"
        return Component("policy", Condition.DEGRADED, f"uncalibrated for {name} ({why}): nothing is accepted", remedy)
    bands = policy.bands
    said = {
        Basis.LIMITS: "the bundle's own limits, set from good parts",
        Basis.CONFIDENCE: f"confidence over {bands.accept_above:g} accepts, under {bands.reject_below:g} rejects",
        Basis.RISK: "limits that keep a promised escape rate",
    }[policy.basis]
    without = sorted(_classes(manifest) - {one.kind for one in manifest.confidence})
    if policy.basis is Basis.CONFIDENCE and without:
        said += f"; uncalibrated classes, which go to a person: {', '.join(without)}"
    share = f"{policy.sample_share:.2%} of accepted parts" if policy.sample_share else "no accepted part"
    return Component("policy", Condition.OK, f"{name}: {said}; {share} is drawn for a person")


def unknown_parts(policy: Policy, manifest: Manifest) -> Component:
    """Say whether parts unlike everything known are looked for."""
    name = "unknown parts"
    if policy.novelty == "off":
        return Component(name, Condition.OK, 'not looked for: policy.novelty = "off"')
    if manifest.novelty is None:
        remedy = 'train a bundle with a detector of unknown parts, or propose policy.novelty = "off"'
        return Component(name, Condition.DEGRADED, "the bundle has no detector of them: nothing is accepted", remedy)
    return Component(
        name, Condition.OK, f"held and shown; {policy.unknown_rate:.2%} of known parts may be taken for unknown"
    )


def promise(risk: RiskLimits, bundle_id: str, precision: str, void: str) -> Component:
    """Say what is promised, and whether it still stands; void: why drift has ended it, empty where it has not."""
    name, remedy = "promise", "firstshift risk plan with held-out parts of this bundle finds new limits; propose them"
    if bundle_id != risk.bundle:
        cause = f"expired: found for bundle {risk.bundle[:19]}, installed is {bundle_id[:19]}: nothing is accepted"
        return Component(name, Condition.DEGRADED, cause, remedy)
    if precision != risk.precision:
        cause = f"expired: found in {risk.precision}, judge.precision is {precision}: nothing is accepted"
        return Component(name, Condition.DEGRADED, cause, remedy)
    if void:
        return Component(name, Condition.DEGRADED, f"expired: {void}: nothing is accepted", remedy)
    behind = f"{risk.escaped} of {risk.defects} held-out defects escaped, {risk.good} good parts behind it"
    if risk.escape_rate >= 1:
        return Component(name, Condition.OK, f"none yet about escapes: {behind}")
    return Component(
        name,
        Condition.OK,
        f"at most {risk.escape_rate:.3%} of defective parts accepted ({risk.assurance:.0%}, {risk.guarantee.value}): "
        f"{behind}; expires with another bundle or precision, or when drift trips",
    )


def _classes(manifest: Manifest) -> set[str]:
    return {item.name for item in manifest.heads[0].classes if item.defect}
