"""Answer `firstshift risk`: limits that keep a promised escape rate, or what is missing for them."""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from appliance.decision.calibration import upper_bound
from appliance.decision.review_load import Shift
from appliance.decision.risk import Promise, needed
from appliance.decision.risk_plan import Plan, Wish, escape_rate_of, halved, plan
from appliance.decision.risk_refusal import Impossible, percent
from appliance.evaluation.command import SPLITS, shown
from appliance.evaluation.held_out import choose, score_parts
from appliance.evaluation.risk_report import good_only, good_only_lines, plan_lines, policy_toml, prediction
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Basis, Guarantee, Policy, RiskLimits
from appliance.services._inspector import LoadedBundle, load_bundle
from appliance.services._runtimes import open_runtime
from appliance.storage import bundle as bundles
from appliance.storage.whole_file import write_whole

FINDING = 1


class LineCounts(Struct, frozen=True):
    """State how many parts of the line were found defective."""

    defective: int
    parts: int


class RiskOptions(Struct, frozen=True):
    """Take what the command line says."""

    bundle: Path
    data: Path
    split: str = "test"
    escape_rate: float | None = None
    """Of defective parts."""
    escapes_per_million: float | None = None
    """Of all parts; None, and no escape rate: limits of good parts alone."""
    defect_rate: float | None = None
    line_counts: LineCounts | None = None
    """Instead of the defect rate: its upper bound is taken."""
    assurance: float = 0.95
    guarantee: Guarantee = Guarantee.ASSURED
    each_class: bool = False
    overkill: float | None = None
    review_minutes: float | None = None
    parts_per_shift: float | None = None
    seconds_per_review: float | None = None
    sample_share: float = Policy().sample_share
    unknown_rate: float = Policy().unknown_rate
    views: int | None = None
    seed: int = 0
    json: str | None = None
    """File for the JSON, `-` for standard output alone."""
    policy: Path | None = None
    """File for the policy of a proposed recipe."""
    threads: int = 1


class Asked(Struct, frozen=True):
    """State a wish with what it was derived from."""

    wish: Wish
    defect_rate: float | None
    """Of the line: as stated, or its upper bound."""
    counts: LineCounts | None
    together: float
    """Assurance of promise and defect rate together."""


def run_risk_plan(options: RiskOptions) -> int:
    """Find limits, say what they do, and write the policy; 1 and nothing written where there are none."""
    _check(options)
    asked = _asked(options)
    bundle = bundles.read(options.bundle)
    chosen = choose(options.data, SPLITS[options.split], bundle)
    runtime = open_runtime(bundle.manifest.runtime)
    loaded = load_bundle(options.bundle, runtime, bundle.manifest.precision, options.threads)
    with shown("risk") as tell:
        scored = score_parts(loaded, chosen, options.views, options.seed, tell)
    held = scored.held
    about = {
        "bundle": bundle.id,
        "runtime": loaded.runtime,
        "precision": loaded.precision,
        "data": {"root": str(chosen.data.root), "sha256": scored.sha256, "pictures": scored.pictures},
        "defects": len(held.defects),
        "good": len(held.good),
        "remarks": scored.remarks,
    }
    first = (
        f"{bundle.id[:19]} {loaded.runtime} {loaded.precision}: {len(held.defects)} defective and {len(held.good)} "
        f"good parts of {scored.pictures} held-out pictures"
    )
    policy = Policy(Basis.LIMITS, sample_share=options.sample_share, unknown_rate=options.unknown_rate)
    if asked is None:
        only = good_only(bundle.manifest.calibration, held.good)
        return _deliver(options, {**about, "good_only": only}, [first, *scored.remarks, *good_only_lines(only)], policy)
    found = plan(asked.wish, held)
    if isinstance(found, Impossible):
        hint = "" if held.defects else "; without an escape rate it states what limits of good parts alone do"
        sys.stderr.write(f"firstshift: {found.text}{hint}\n")
        return FINDING
    limits = _limits(found, loaded, scored.sha256)
    policy = replace(policy, basis=Basis.RISK, defect_rate=asked.defect_rate, risk=limits)
    report = {**about, "asked": asked, "plan": found, "limits": limits, "prediction": prediction(found, held)}
    lines = plan_lines(found, asked.wish, asked.defect_rate, asked.together)
    return _deliver(options, report, [first, *scored.remarks, *lines], policy)


def run_needed(promise: Promise, escaped: int, target: str | None) -> int:
    """Say how many held-out defective parts prove a promise."""
    parts = needed(promise, escaped)
    expected = promise.guarantee is Guarantee.EXPECTED
    if target == "-":
        sys.stdout.write(json.dumps({**msgspec.to_builtins(promise), "escaped": escaped, "needed": parts}) + "\n")
        return 0
    how = "on average" if expected else f"with assurance {percent(promise.assurance)}"
    may = "none of them accepted" if not escaped else f"no more than {escaped} of them accepted"
    rate = percent(promise.escape_rate)
    sys.stdout.write(f"{parts:,} held-out real parts with defects, {may}, prove an escape rate of {rate} {how}\n")
    return 0


def _check(options: RiskOptions) -> None:
    if options.split not in SPLITS:
        raise ConfigError(f"--split {options.split!r}: unknown; choose one of {', '.join(SPLITS)}")
    if options.threads < 1 or (options.views is not None and options.views < 1):
        raise ConfigError(f"--threads {options.threads}, --views {options.views}: at least 1 is needed; give a count")
    if not 0 <= options.sample_share <= 1:
        raise ConfigError(f"--sample-share {options.sample_share:g}: must lie in [0, 1]; state it as a share")
    if not 0 < options.unknown_rate <= 0.5:
        raise ConfigError(f"--unknown-rate {options.unknown_rate:g}: must lie in (0, 0.5]; state it as a share")
    if options.seed < 0:
        raise ConfigError(f"--seed {options.seed}: limit is 0 or more; give another")


def _limits(found: Plan, loaded: LoadedBundle, data: str) -> RiskLimits:
    return RiskLimits(
        accept_below=found.accept_below,
        reject_above=found.reject_above,
        escape_rate=found.promise.escape_rate,
        assurance=found.assurance,
        defects=found.escaped.n,
        escaped=found.escaped.k,
        good=found.overkill.n,
        bundle=loaded.bundle.id,
        precision=loaded.precision,
        data=data,
        guarantee=found.promise.guarantee,
        classes=tuple(one.kind for one in found.classes if one.proven),
    )


def _asked(options: RiskOptions) -> Asked | None:
    """Give the wish, None for none; ConfigError where options exclude or need each other."""
    rate, per_million = options.escape_rate, options.escapes_per_million
    if rate is not None and per_million is not None:
        raise ConfigError("--escape-rate and --escapes-per-million: both given, 1 is needed; choose one")
    shift = _shift(options)
    if rate is None and per_million is None:
        if shift is not None or options.overkill is not None:
            raise ConfigError("--review-minutes, --overkill: no escape rate is given, 1 is needed; promise one")
        return None
    counts, assurance, together = options.line_counts, options.assurance, options.assurance
    defect_rate = options.defect_rate
    if counts is not None:
        if defect_rate is not None:
            raise ConfigError("--defect-rate and --line-defects: both given, 1 is needed; choose one")
        if not 0 <= counts.defective < counts.parts:
            raise ConfigError(
                f"--line-defects {counts.defective} of --line-parts {counts.parts}: must be fewer than the parts; "
                "give what was counted"
            )
        assurance = halved(options.assurance)
        defect_rate = upper_bound(counts.defective, counts.parts, assurance)
    if per_million is not None:
        if defect_rate is None:
            raise ConfigError(
                "--escapes-per-million: of all parts, so the share of defective ones is needed; give --defect-rate, or "
                "--line-defects with --line-parts"
            )
        rate = escape_rate_of(per_million, defect_rate)
    promise = Promise(rate or 0.0, assurance, options.guarantee)
    wish = Wish(promise, defect_rate or 0.0, shift, options.overkill, options.each_class)
    return Asked(wish, defect_rate, counts, together)


def _shift(options: RiskOptions) -> Shift | None:
    given = (options.parts_per_shift, options.seconds_per_review, options.review_minutes)
    parts, seconds, minutes = given
    if parts is None and seconds is None and minutes is None:
        return None
    if parts is None or seconds is None or minutes is None:
        raise ConfigError(
            "--review-minutes, --parts-per-shift, --seconds-per-review: "
            f"{sum(one is not None for one in given)} given, all 3 are needed; state what the line does"
        )
    return Shift(parts, seconds, minutes, options.sample_share, options.unknown_rate)


def _deliver(options: RiskOptions, report: dict[str, Any], lines: list[str], policy: Policy) -> int:
    text = json.dumps(msgspec.to_builtins(report), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    if options.policy is not None:
        write_whole(options.policy, policy_toml(policy).encode())
    if options.json == "-":
        sys.stdout.write(text)
        return 0
    if options.json is not None:
        write_whole(Path(options.json), text.encode())
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if options.policy is not None:
        sys.stdout.write(f"{options.policy}: policy for a recipe version; it changes nothing before one is approved\n")
    return 0
