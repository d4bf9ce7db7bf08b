"""Read what a proposed change is expected to do from a report; every interval is worked out again from its counts."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from appliance.decision.day_one import Evidence, Limits
from appliance.decision.parallel import Requirement, Table
from appliance.decision.risk import Count, counted
from appliance.governance.proposal import Prediction
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ConfigError, Refused
from appliance.schema.policy import Basis, Policy, RiskLimits

_WANTED = "give the JSON of `firstshift evaluate`, `risk plan` or `parallel table`"


class ParallelReport(Struct, frozen=True, forbid_unknown_fields=True, tag_field="evidence", tag="parallel"):
    """State what parallel mode has shown of one bundle under one recipe version; `parallel table --json` writes it."""

    recipe: str
    version: int
    digest: str
    """Of the recipe under which the parts were judged."""
    bundle: str
    precision: str
    since: UtcNs
    """Of the first part compared."""
    until: UtcNs
    table: Table
    required: tuple[Requirement, ...]
    ready: bool
    days: int
    """Different days, UTC, on which parts were compared."""
    good: tuple[float | None, ...] = ()
    """Scores of the parts that people accepted; None: no number."""
    defects: tuple[float | None, ...] = ()
    """Scores of the parts that people rejected."""
    undecided: int = 0
    """Parts of the same bundle and time whose verdict stays sealed: no person has decided them, and what they are is
    not known."""


class DayOneReport(Struct, frozen=True, forbid_unknown_fields=True, tag_field="evidence", tag="day_one"):
    """Hold scores of parts that people have looked at, none of which the bundle had learned from where `held_out`."""

    bundle: str
    precision: str
    good: tuple[float | None, ...]
    defects: tuple[float | None, ...] = ()
    days: int = 0
    held_out: bool = True


def report_of(content: bytes, name: str) -> ParallelReport | DayOneReport:
    """Read a report that holds scores; ConfigError that names the file when it is none."""
    try:
        return msgspec.json.decode(content, type=ParallelReport | DayOneReport)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{name}: holds no scores of inspected parts ({error}); give what `firstshift parallel table --json` wrote"
        ) from error


def scores_of(report: ParallelReport | DayOneReport) -> Evidence:
    """Give the scores for the ladder; a part whose score is no number is never accepted."""
    good, defects = (
        tuple(float("nan") if score is None else score for score in scores) for scores in (report.good, report.defects)
    )
    held_out = report.held_out if isinstance(report, DayOneReport) else True
    return Evidence(good, defects, report.days, held_out)


def prediction(content: bytes, name: str, policy: Policy) -> Prediction:
    """Read escapes, overkill and review load from a report of `evaluate`, `risk plan` or `parallel table`.

    ConfigError when the file is none of these; Refused when it speaks of other limits than the proposed ones.
    """
    try:
        tree = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: is not JSON ({error}); {_WANTED}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: is no report; {_WANTED}")
    if tree.get("evidence") == "parallel":
        return of_table(_parallel(content, name).table)
    if isinstance(tree.get("limits"), dict):
        return _of_plan(tree, name, policy)
    if isinstance(tree.get("metrics"), dict):
        return _of_evaluation(tree, name, policy)
    raise ConfigError(f"{name}: is no report; {_WANTED}")


def of_table(table: Table) -> Prediction:
    """Predict by what the model would have decided in parallel mode."""
    words = f"parallel mode: {table.parts} parts in {table.hours} h, a person's first decision taken for the truth"
    return Prediction(table.escapes, table.overkill, table.review, "part", words)


def of_limits(limits: Limits, step: str) -> Prediction:
    """Predict by the scores of inspected parts."""
    words = f"the inspected parts that the limits of step {step!r} were found from; review in the mix of these parts"
    return Prediction(limits.escapes, limits.overkill, limits.review, "part", words)


def _parallel(content: bytes, name: str) -> ParallelReport:
    report = report_of(content, name)
    if not isinstance(report, ParallelReport):
        raise ConfigError(f"{name}: holds scores and no table; {_WANTED}")
    return report


def _of_evaluation(tree: Mapping[str, Any], name: str, policy: Policy) -> Prediction:
    if policy.basis is Basis.RISK:
        raise Refused(
            f"{name}: is an evaluation under the bundle's own limits, policy.basis is risk; give the JSON of "
            "`firstshift risk plan`, or choose basis limits"
        )
    parts = tree.get("by_part", {}).get("worst")
    rates = parts or tree["metrics"]
    words = "evaluation under the bundle's own limits"
    if policy.basis is Basis.CONFIDENCE:
        words += ", not under the bands of confidence: those show in parallel mode"
    escapes, overkill, review = (_count(rates, f"{what}_rate", name) for what in ("escape", "overkill", "review"))
    return Prediction(escapes, overkill, review, "part" if parts else "picture", words)


def _of_plan(tree: Mapping[str, Any], name: str, policy: Policy) -> Prediction:
    try:
        limits = msgspec.convert(tree["limits"], RiskLimits)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: limits are none ({error}); {_WANTED}") from error
    if policy.basis is not Basis.RISK or policy.risk != limits:
        proposed = f"basis {policy.basis.value}"
        if policy.risk is not None:
            proposed += f", accept_below {policy.risk.accept_below:g} and escape_rate {policy.risk.escape_rate:g}"
        raise Refused(
            f"{name}: plans accept_below {limits.accept_below:g} for escape_rate {limits.escape_rate:g}, the proposal "
            f"has {proposed}; take over [policy] as `firstshift risk plan --policy` wrote it"
        )
    said = tree.get("prediction")
    if not isinstance(said, dict):
        raise ConfigError(f"{name}: holds no prediction; {_WANTED}")
    escapes, overkill, review = (_count(said, what, name) for what in ("escapes", "overkill", "review"))
    return Prediction(escapes, overkill, review, str(said.get("unit", "part")), str(said.get("words", "a risk plan")))


def _count(rates: Mapping[str, Any], key: str, name: str) -> Count:
    """Give a count with its interval worked out anew: what a file says of it is not believed."""
    try:
        hits, chances = int(rates[key]["k"]), int(rates[key]["n"])
        return counted(hits, chances)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{name}: {key} has no counts k of n ({error}); {_WANTED}") from error
