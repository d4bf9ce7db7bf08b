"""Judge OCR bundles: wrong reads apart from no reads, strings apart from characters."""

from collections.abc import Sequence

import numpy as np

from appliance.evaluation.judging import Judged, spaced, text_of
from appliance.evaluation.outcome import SEED, Outcome
from appliance.evaluation.row import Row
from appliance.learning.bootstrap import interval
from appliance.learning.text import distance, text_quality

MOST_LISTED = 50


class TextTally:
    """Count pictures of an OCR bundle."""

    def __init__(self) -> None:
        """Start with no picture."""
        self._truths: list[str] = []
        self._read: list[str] = []

    def add(self, judged: Judged, row: Row) -> None:
        """Take one picture."""
        self._truths.append(spaced(judged.sample.text or ""))
        self._read.append(text_of(judged.findings))

    def outcome(self, rows: Sequence[Row]) -> Outcome:
        """Give the metrics."""
        groups = [row.group for row in rows]
        quality = text_quality(self._truths, self._read)
        right = np.array([t == r and bool(r) for t, r in zip(self._truths, self._read, strict=True)], np.bool_)
        errors = np.array([distance(t, r) for t, r in zip(self._truths, self._read, strict=True)], np.float64)
        lengths = np.array([len(truth) for truth in self._truths], np.float64)
        found = Outcome()
        found.metrics |= {
            "string_accuracy": quality.right,
            "wrong_read_rate": quality.wrong_read,
            "no_read_rate": quality.no_read,
            "character_error_rate": quality.character_errors,
        }
        found.intervals["string_accuracy"] = interval(groups, lambda drawn: float(right[drawn].mean()), SEED)
        found.intervals["character_error_rate"] = interval(
            groups, lambda drawn: float(errors[drawn].sum() / max(1.0, lengths[drawn].sum())), SEED
        )
        accepted = np.array([row.accepted for row in rows], np.bool_)
        found.more["wrong_reads"] = [
            {"image": row.name, "text": truth, "read": read, "accepted": bool(passed)}
            for row, truth, read, passed in zip(rows, self._truths, self._read, accepted, strict=True)
            if read and read != truth
        ][:MOST_LISTED]
        return found
