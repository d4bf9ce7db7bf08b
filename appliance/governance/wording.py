"""Say in plain words what was predicted, compared and signed; each share with its count and exact 95 % interval."""

from collections.abc import Iterator
from datetime import UTC, datetime

from appliance.decision.parallel import Table
from appliance.decision.risk import Count
from appliance.decision.spot_check import SpotCheck
from appliance.governance.proposal import Prediction
from appliance.schema.approval import Approval
from appliance.schema.clocks import S, UtcNs


def share(count: Count) -> str:
    """Give `1.67% (1 of 60, 95 %: 0.04% to 8.94%)`."""
    if not count.n:
        return "- (0 of 0)"
    return f"{count.k / count.n:.2%} ({count.k} of {count.n}, 95 %: {count.low:.2%} to {count.high:.2%})"


def date(at: UtcNs) -> str:
    """Give day and minute, UTC."""
    return datetime.fromtimestamp(at / S, UTC).strftime("%Y-%m-%d %H:%M UTC")


def predicted(found: Prediction, missing: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield what a version is expected to do, a line each."""
    yield f"escapes  {share(found.escapes)} of defective {found.unit}s"
    yield f"overkill {share(found.overkill)} of good {found.unit}s"
    yield f"review   {share(found.review)} of all {found.unit}s"
    yield f"by {found.words}"
    if missing:
        yield f"for the next step: {', '.join(missing)}"


def checked(plan: SpotCheck) -> str:
    """Say what a plan of spot checks finds."""
    return (
        f"spot check: {plan.parts} of {plan.lot} accepted parts at once, or each drawn with {plan.share:.2%}; "
        f"{plan.acceptance} defective ones allowed; finds {plan.limiting_share:.2%} defective with {plan.assurance:.0%}"
    )


def compared(table: Table) -> Iterator[str]:
    """Yield the table of parallel mode, a line each."""
    names = list(table.rows[0].model) if table.rows else []
    yield f"{'person said':<24}" + "".join(f"{name:>12}" for name in names) + "  accepted by the model"
    for row in table.rows:
        cells = "".join(f"{row.model[name]:>12}" for name in names)
        yield f"{('accept ' if row.accept else 'reject ') + row.kind:<24}{cells}  {share(row.accepted)}"
    yield f"escapes    {share(table.escapes)} of defective parts that the model judged"
    yield f"overkill   {share(table.overkill)} of good parts"
    yield f"review     {share(table.review)} of all, without a verdict {share(table.no_verdict)}"
    if table.seeded.n:
        yield f"seeded     {share(table.seeded)} accepted by the model, not counted above"
    if table.shown:
        yield f"left out   {table.shown} parts whose prediction was shown first"


def signed(approval: Approval) -> str:
    """Say who signed, and when."""
    second = f" and {approval.second.person}" if approval.second is not None else ""
    return f"signed by {approval.person}{second} on {date(approval.at)}"
