"""Gather the figures of one shift from the record database; on the worker thread. No Qt."""

import sqlite3
from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from appliance.decision.escapes import EscapeEstimate, SeedBound, Share, estimate, seed_bound
from appliance.decision.parallel import Table, compare
from appliance.monitoring.pareto import Slice, pareto
from appliance.monitoring.shares import share
from appliance.monitoring.shifts import Shift
from appliance.schema.verdict import Disposition, Reason
from appliance.storage.review_queries import newest_bundle, pairs, seed_counts, strata
from appliance.storage.shift_queries import PersonCounts, ShiftCounts, counts_between, people_between

CAUSES = 8
"""Bars of a Pareto chart; the rest is one bar."""


class PersonFigures(Struct, frozen=True):
    """Give one person's figures."""

    counts: PersonCounts
    agreement: Share


class Report(Struct, frozen=True):
    """Give all figures of a shift."""

    shift: Shift
    counts: ShiftCounts
    accepted: Share
    """Of the parts that met the gate, those in the accept lane."""
    first_pass: Share
    """The same without a person's help."""
    rejected: Share
    reviewed: Share
    """Of the parts that entered."""
    unknown: Share
    no_verdict: Share
    causes: tuple[Slice, ...]
    classes: tuple[Slice, ...]
    people: tuple[PersonFigures, ...]
    escapes: EscapeEstimate | None
    """Of all parts of the bundle that judged last; None: not asked for."""
    seeds: tuple[SeedBound, ...] = ()
    bundle: str = ""
    parallel: Table | None = None
    is_sealed: bool = False
    """People decided: what the model would have said of a part is shown in `parallel` alone."""


def gather(
    connection: sqlite3.Connection, shift: Shift, who: str, between: Reason, *, others: bool, is_parallel: bool
) -> Report:
    """Count a shift.

    between: reason of any other part in doubt; a random sample counts as one, so that nobody can tell it by a figure.
    others: figures of other people and of the escapes too; else only those of `who`. is_parallel: what the model found
    stays sealed but for parts that people have decided.
    """
    counts = counts_between(connection, shift.begin, shift.end, with_classes=not is_parallel)
    people = people_between(connection, shift.begin, shift.end, None if others else who)
    met = counts.parts - counts.lanes.get("", 0)
    said = counts.dispositions
    bundle = newest_bundle(connection) if others else None
    return Report(
        shift,
        counts,
        share(counts.lanes.get("accept", 0), met),
        share(counts.first_pass, met),
        share(counts.lanes.get("reject", 0), met),
        share(said.get(Disposition.REVIEW, 0), counts.parts),
        share(said.get(Disposition.UNKNOWN, 0), counts.parts),
        share(said.get(Disposition.NO_VERDICT, 0), counts.parts),
        pareto(_unmarked(counts.causes, between), CAUSES),
        pareto(counts.classes, CAUSES),
        tuple(PersonFigures(one, share(one.agreed, one.settled)) for one in people),
        estimate(strata(connection, bundle)) if others and bundle else None,
        tuple(map(seed_bound, seed_counts(connection, bundle))) if others and bundle else (),
        bundle or "",
        compare(pairs(connection)) if is_parallel and others else None,
        is_parallel,
    )


def _unmarked(causes: Mapping[str, int], between: Reason) -> Counter[str]:
    found = Counter(causes)
    found[between] += found.pop(Reason.RANDOM_SAMPLE, 0)
    return found
