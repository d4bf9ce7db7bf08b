"""Hold what people decided in parallel mode against the model's sealed verdicts, and say whether that is enough.

A person's first decision is taken for the truth. Of defects, those count that the model judged: a part without a
verdict is held back by the line, which says nothing of the model. Seeded parts and answers given with the prediction
in view are counted apart: the first are no sample of what the line makes, the second are not independent.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from appliance.decision.calibration import upper_bound
from appliance.decision.risk import Count, Promise, counted, needed
from appliance.schema.clocks import S, UtcNs
from appliance.schema.verdict import Disposition

HOUR = 3600 * S
HELD = (Disposition.REVIEW, Disposition.UNKNOWN)
"""Shown to a person."""


class Pair(Struct, frozen=True):
    """Hold a person's first decision on a part beside the model's."""

    accept: bool
    """By the person."""
    kind: str
    """`good` or a class of the taxonomy, by the person."""
    model: Disposition
    """A part that would be accepted and was drawn at random counts as ACCEPT."""
    at: UtcNs
    seeded: bool = False
    prediction_shown: bool = False


class Row(Struct, frozen=True):
    """Count what the model said of the parts that people gave one class."""

    kind: str
    accept: bool
    """By the person."""
    model: dict[str, int]
    """By disposition."""
    accepted: Count
    """By the model, of those it judged: escapes where the person rejected."""


class Table(Struct, frozen=True):
    """Compare people and model over some parts."""

    parts: int
    hours: int
    """Hours of the clock in which at least one part was compared."""
    rows: tuple[Row, ...]
    escapes: Count
    """Accepted by the model, of the parts that people rejected and it judged."""
    overkill: Count
    """Not accepted by the model, of the parts that people accepted; without a verdict included."""
    review: Count
    """Shown to a person by the model, of all."""
    no_verdict: Count
    seeded: Count
    """Accepted by the model, of the seeded defects that it judged; not among the parts above."""
    shown: int
    """Left out: the person saw the prediction first."""


class Requirement(Struct, frozen=True):
    """State one thing that parallel mode must have shown."""

    met: bool
    text: str


def compare(pairs: Sequence[Pair]) -> Table:
    """Count the pairs."""
    blind = [pair for pair in pairs if not pair.prediction_shown]
    own = [pair for pair in blind if not pair.seeded]
    good, bad = [pair for pair in own if pair.accept], [pair for pair in own if not pair.accept]
    judged = _judged(bad)
    kinds = sorted({(not pair.accept, pair.kind) for pair in own})
    return Table(
        parts=len(own),
        hours=len({pair.at // HOUR for pair in own}),
        rows=tuple(
            _row(kind, [p for p in own if (p.accept, p.kind) == (not rejected, kind)]) for rejected, kind in kinds
        ),
        escapes=_accepted(judged),
        overkill=counted(sum(pair.model is not Disposition.ACCEPT for pair in good), len(good)),
        review=counted(sum(pair.model in HELD for pair in own), len(own)),
        no_verdict=counted(sum(pair.model is Disposition.NO_VERDICT for pair in own), len(own)),
        seeded=_accepted(_judged([pair for pair in blind if pair.seeded])),
        shown=len(pairs) - len(blind),
    )


def requirements(table: Table, hours: int, defects: int, escape_rate: float) -> tuple[Requirement, ...]:
    """Say of each requirement whether it is met, in the words of a person: hours, defects, and the bound on escapes.

    escape_rate: the exact one-sided 95 % upper bound of the model's escapes must lie under it. One without the others
    is nothing: hours without defects show no escape, defects of one hour show no other shift.
    """
    seen, escaped = table.escapes.n, table.escapes.k
    upper = upper_bound(escaped, seen) if seen else 1.0
    enough = needed(Promise(escape_rate), escaped)
    bound = f"escapes {escaped} of {seen}, at most {upper:.1%} (95 %), limit {escape_rate:.2%}"
    if upper > escape_rate:
        bound += f": {enough} defects with {escaped} missed would do"
    return (
        Requirement(table.hours >= hours, f"{table.hours} of {hours} h"),
        Requirement(seen >= defects, f"{seen} of {defects} defects"),
        Requirement(upper <= escape_rate, bound),
    )


def is_ready(found: Sequence[Requirement]) -> bool:
    """Say whether every requirement is met; nothing required is nothing shown."""
    return bool(found) and all(one.met for one in found)


def standing(found: Sequence[Requirement]) -> str:
    """Give it in one line: `not ready: 41 of 72 h, 12 of 60 defects`."""
    if is_ready(found):
        return f"ready: {', '.join(one.text for one in found)}"
    return f"not ready: {', '.join(one.text for one in found if not one.met)}"


def _row(kind: str, pairs: Sequence[Pair]) -> Row:
    said = Counter(pair.model.value for pair in pairs)
    every = {one.value: said[one.value] for one in Disposition}
    return Row(kind, pairs[0].accept, every, _accepted(_judged(pairs)))


def _judged(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.model is not Disposition.NO_VERDICT]


def _accepted(pairs: Sequence[Pair]) -> Count:
    return counted(sum(pair.model is Disposition.ACCEPT for pair in pairs), len(pairs))
