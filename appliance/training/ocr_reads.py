"""Count what a reader says of labelled lines: right, wrong and none; set thresholds that keep wrong ones few."""

import math
from collections.abc import Sequence

from msgspec import Struct

from appliance.decision.calibration import clopper_pearson
from appliance.ocr.decoding import Grammar, Spelling, spell

SURE = 0.05
"""Level of the sign test by which a change must pay on the same lines."""


class Thresholds(Struct, frozen=True):
    """Hold what a line needs to count as read; the names are those of tasks/ocr.py."""

    threshold: float
    bound_threshold: float
    most_gap: float


class Read(Struct, frozen=True):
    """Hold both readings of one line."""

    truth: str
    free: Spelling
    fits: bool
    """Whether the free reading is what the pattern allows; True without a pattern."""
    bound: Spelling | None = None
    """The reading by the pattern where the free one does not fit."""

    def text(self, limits: Thresholds) -> str:
        """Give the text that counts as read, empty for none."""
        if self.fits:
            return self.free.text.strip() if self.free.lowest >= limits.threshold else ""
        bound = self.bound
        sure = bound and bound.lowest >= limits.bound_threshold and bound.gap <= limits.most_gap
        return bound.text.strip() if bound and sure else ""

    def score(self, limits: Thresholds) -> float:
        """Give the image score of the reader (tasks/ocr.py): 1 less the least sure character, 1 for no read."""
        if not self.text(limits):
            return 1.0
        return 1 - (self.free if self.fits or self.bound is None else self.bound).lowest

    @property
    def right(self) -> bool:
        """Whether the likeliest text is the truth, however unsure."""
        best = self.free if self.fits or self.bound is None else self.bound
        return best.text.strip() == self.truth


UNSEEN = Spelling("", (), 0.0)


def read_line(truth: str, probabilities: object, characters: tuple[str, ...], grammar: Grammar | None) -> Read:
    """Read one line; probabilities: (steps, classes) float32, or None where no line was found."""
    if probabilities is None:
        return Read(truth, UNSEEN, fits=grammar is None)
    free = spell(probabilities, characters)  # type: ignore[arg-type]
    if grammar is None or grammar.matches(free.text.strip(" ")):
        return Read(truth, free, fits=True)
    return Read(truth, free, fits=False, bound=grammar.spell(probabilities))  # type: ignore[arg-type]


def choose_thresholds(reads: Sequence[Read], floor: Thresholds, wrong_reads: float) -> Thresholds:
    """Give the lowest thresholds, none below `floor`, at which at most this share of the lines is read wrongly."""
    allowed = math.floor(wrong_reads * len(reads))
    free = sorted((read.free.lowest for read in reads if read.fits and not read.right), reverse=True)
    threshold = max(floor.threshold, _just_above(free, allowed))
    allowed -= sum(value >= threshold for value in free)
    bound = sorted(
        (
            read.bound.lowest
            for read in reads
            if not read.fits and read.bound and read.bound.gap <= floor.most_gap and not read.right
        ),
        reverse=True,
    )
    return Thresholds(threshold, max(floor.bound_threshold, _just_above(bound, allowed)), floor.most_gap)


def counts(reads: Sequence[Read], accepted: Thresholds | Sequence[str]) -> dict[str, object]:
    """Give string accuracy of what is accepted, wrong reads, no reads, and the character error rate of all, by name.

    accepted: thresholds, or the text that each line counts as, empty for none. Character errors are those of the free
    reading, however unsure.
    """
    texts = [read.text(accepted) for read in reads] if isinstance(accepted, Thresholds) else list(accepted)
    right = sum(text == read.truth for text, read in zip(texts, reads, strict=True))
    none = texts.count("")
    errors = sum(distance(read.free.text.strip(), read.truth) for read in reads)
    length = sum(len(read.truth) for read in reads)
    return {
        "string_accuracy": rate(right, len(reads)),
        "wrong_reads": rate(len(reads) - right - none, len(reads)),
        "no_reads": rate(none, len(reads)),
        "likeliest_right": rate(sum(read.right for read in reads), len(reads)),
        "character_error_rate": {"value": round(errors / max(1, length), 5), "k": errors, "n": length},
    }


def rate(hits: int, count: int) -> dict[str, float]:
    """Give a rate with its exact 95 % interval."""
    low, high = clopper_pearson(hits, count)
    value = hits / count if count else math.nan
    return {"value": round(value, 4), "k": hits, "n": count, "low": round(low, 4), "high": round(high, 4)}


def pays(before: Sequence[Read], after: Sequence[Read]) -> bool:
    """Say whether a change reads more lines of the same rightly than it spoils, by the one-sided sign test."""
    pairs = [(one.right, other.right) for one, other in zip(before, after, strict=True)]
    gained, lost = sum(b and not a for a, b in pairs), sum(a and not b for a, b in pairs)
    tosses = gained + lost
    chance = sum(math.comb(tosses, hits) for hits in range(lost + 1)) / 2**tosses
    return gained > lost and chance <= SURE


def distance(one: str, other: str) -> int:
    """Give how many characters must be put in, left out or replaced (Levenshtein, 1966)."""
    row = list(range(len(other) + 1))
    for place, a in enumerate(one, 1):
        above, row[0] = row[0], place
        for column, b in enumerate(other, 1):
            above, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, above + (a != b))
    return row[-1]


def _just_above(values: Sequence[float], allowed: int) -> float:
    """Give the least threshold that at most `allowed` of these falling values reach."""
    return math.nextafter(values[allowed], math.inf) if len(values) > max(0, allowed) else 0.0
