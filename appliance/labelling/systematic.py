"""Tell who takes one class for another again and again, however often one looks; pure.

Of each person and class a wager is kept that the person errs more often than is tolerated. Its stake grows with every
wrong answer and shrinks with every right one, so that while the person errs no more often than tolerated it is not
expected to grow, whenever the looking stops: Ville's inequality then bounds the chance that it ever grows c-fold by
1 / c (Ramdas, Gruenwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical
Science 38 (2023), 576-601). So that a long good record shelters nobody who turns careless, a share of the stake is laid
anew at every check (the mixture over starts of Shin, Ramdas, Rinaldo, "E-detectors", 2022); and as nobody knows how far
off a person is, it is spread over several rates.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from appliance.labelling.error_matrix import Check
from appliance.learning.rates import Rate, rate
from appliance.schema.clocks import UtcNs

TOLERATED = 0.08
"""Wrong answers on a class that nobody is trained for; a good operator errs on one in twenty of the hardest class."""
RATES = (0.25, 0.5, 0.85)
"""Error rates that the stake is spread over."""
LEVEL = 0.02
"""Chance that a person who errs no more often than tolerated, on any class, is ever flagged."""

FRESH_NS = 30 * 24 * 3600 * 1_000_000_000
"""A flag older than this is history: the person has been trained, or would have been flagged again."""


class Flag(Struct, frozen=True):
    """Name a class that a person gets wrong systematically."""

    person: str
    kind: str
    mistaken_for: str
    """Wrong answer given most often."""
    as_that: int
    """How often."""
    wrong: Rate
    """Of the checks since the wager was laid or the last flag, up to the one that raised the flag."""
    evidence: float
    """How many-fold the wager grew."""
    at: UtcNs
    """When the answer was given that raised it."""
    answers: int
    """Checks of the person on any class until then."""

    @property
    def text(self) -> str:
        """Say it in one line, with the remedy."""
        wrong, who, kind = self.wrong, self.person, self.kind
        return (
            f"{who} takes {kind} for {self.mistaken_for}: {wrong.k} of {wrong.n} wrong ({wrong.value:.0%}, 95 % "
            f"interval {wrong.low:.0%} to {wrong.high:.0%}), {self.as_that} times {self.mistaken_for}; {TOLERATED:.0%} "
            f"is tolerated; train {who} on {kind}"
        )


def flags(found: Iterable[Check], classes: Collection[str]) -> list[Flag]:
    """Give every flag, oldest first; after one the wager is laid anew, so who goes on erring is flagged again.

    found: checks in order. classes: the taxonomy with `good`, known before anybody answers; the level is shared out
    among them (Bonferroni).
    """
    limit = len(set(classes)) / LEVEL
    wagers: dict[tuple[str, str], _Wager] = {}
    answers: Counter[str] = Counter()
    raised = []
    for check in found:
        if not check.weight or check.truth not in classes:
            continue
        answers[check.person] += 1
        wager = wagers.setdefault((check.person, check.truth), _Wager())
        wager.take(check)
        if wager.worth >= limit:
            raised.append(_flag(wager.taken, wager.worth, answers[check.person]))
            del wagers[check.person, check.truth]
    return raised


def is_fresh(flag: Flag, utc: UtcNs) -> bool:
    """Say whether something is still to be done about a flag."""
    return flag.at >= utc - FRESH_NS


class _Wager:
    """Keep what has become of one unit laid on a person erring on a class. Several starts and rates share it."""

    def __init__(self) -> None:
        self.taken: list[Check] = []
        self._laid = [0.0] * len(RATES)

    @property
    def worth(self) -> float:
        """What the unit has become; the part not laid yet counts as it is."""
        return sum(self._laid) / len(RATES) + 1 / (len(self.taken) + 1)

    def take(self, check: Check) -> None:
        """Lay a further part, 1 / (n (n + 1)) at check n, and let the check decide."""
        self.taken.append(check)
        number = len(self.taken)
        part = 1 / (number * (number + 1))
        self._laid = [
            (laid + part) * _factor(check, supposed) for laid, supposed in zip(self._laid, RATES, strict=True)
        ]


def _factor(check: Check, supposed: float) -> float:
    """Give what a stake is multiplied by: of a check of full weight the likelihood ratio of `supposed` to tolerated."""
    stake = (supposed - TOLERATED) / (TOLERATED * (1 - TOLERATED))
    return 1 + stake * check.weight * (check.is_wrong - TOLERATED)


def _flag(taken: Sequence[Check], worth: float, answers: int) -> Flag:
    wrong = Counter(check.said for check in taken if check.is_wrong)
    said, times = wrong.most_common(1)[0]
    last = taken[-1]
    return Flag(last.person, last.truth, said, times, rate(wrong.total(), len(taken)), worth, last.at, answers)
