"""Read what parallel mode has shown from the record database."""

import math
import sqlite3

from msgspec import Struct

from appliance.config_people import Parallel
from appliance.decision.parallel import HOUR, compare, is_ready, requirements
from appliance.governance.approval import recipe_digest
from appliance.governance.evidence import ParallelReport
from appliance.schema.clocks import UtcNs
from appliance.schema.finding import ViewResult
from appliance.schema.part import PartId
from appliance.schema.recipe import Recipe
from appliance.storage.queries import views_of
from appliance.storage.review_queries import Compared, compared, pair_of

DAY = 24 * HOUR


class Told(Struct, frozen=True):
    """Give what the model said of a part that a person has decided."""

    compared: Compared
    views: tuple[ViewResult, ...]


def told(connection: sqlite3.Connection, part: PartId) -> Told | None:
    """Open the seal of one part; None while no person has decided it, or when the model said nothing."""
    rows = compared(connection, part)
    found = connection.execute(
        "SELECT views FROM parallel_table WHERE boot = ? AND number = ?", (part.boot, part.number)
    ).fetchone()
    return Told(rows[0], tuple(views_of(found[0]))) if rows and found else None


def read_report(connection: sqlite3.Connection, recipe: Recipe, wanted: Parallel, since: UtcNs) -> ParallelReport:
    """Give what people and model said of the parts decided from `since` on, by the bundle that judged the last of them.

    Another bundle, or another version of the recipe, is another inspection: its parts prove nothing about this one.
    """
    rows = [row for row in compared(connection) if row.at >= since]
    bundle, precision = (rows[-1].bundle, rows[-1].precision) if rows else ("", "")
    rows = [row for row in rows if (row.bundle, row.precision) == (bundle, precision)]
    table = compare([pair_of(row) for row in rows])
    required = requirements(table, wanted.hours, wanted.defects, wanted.escape_rate)
    counted = [row for row in rows if not row.seeded and not row.prediction_shown]
    return ParallelReport(
        recipe.name,
        recipe.version,
        recipe_digest(recipe),
        bundle,
        precision,
        rows[0].at if rows else UtcNs(0),
        rows[-1].at if rows else UtcNs(0),
        table,
        required,
        is_ready(required),
        len({row.at // DAY for row in counted}),
        tuple(_score(row) for row in counted if row.accept),
        tuple(_score(row) for row in counted if not row.accept),
        _undecided(connection, bundle, since),
    )


def _undecided(connection: sqlite3.Connection, bundle: str, since: UtcNs) -> int:
    row = connection.execute(
        "SELECT count(*) FROM sealed_verdicts s WHERE s.bundle = ? AND s.utc_ns >= ?"
        " AND NOT EXISTS (SELECT 1 FROM manual_verdicts m WHERE m.part = s.part)",
        (bundle, since),
    ).fetchone()
    return int(row[0])


def _score(row: Compared) -> float | None:
    return row.score if row.score is not None and math.isfinite(row.score) else None
