"""Texts are judged as read: a wrong one that is accepted is an escape, an unread one never is right."""

from pathlib import Path

import pytest

from appliance.datasets.sample import DataSet, Sample
from appliance.evaluation.judging import Judged, must_not_pass, text_of
from appliance.evaluation.row import Row
from appliance.evaluation.text import TextTally
from appliance.schema.bundle import TaskName
from appliance.schema.finding import Finding
from appliance.schema.frame import PixelFormat
from appliance.schema.verdict import Disposition

DATA = DataSet(Path(), TaskName.OCR, "OCR list", (), (), PixelFormat.MONO8, "")


def judged(truth: str, *lines: str, said: Disposition = Disposition.ACCEPT) -> Judged:
    found = tuple(Finding("text", 0.9, None, text=line) for line in lines)
    return Judged(Sample(truth, Path("x.png"), truth, text=truth), 0.1, said, found)


@pytest.mark.parametrize(
    ("lines", "text"),
    [(("LOT 1", "EXP 2027"), "LOT 1 EXP 2027"), ((), ""), (("LOT 1", ""), ""), (("  A   B ",), "A B")],
)
def test_lines_are_one_text_and_none_when_one_cannot_be_read(lines: tuple[str, ...], text: str) -> None:
    """Lines are joined in reading order with single spaces; an unreadable line leaves nothing."""
    assert text == text_of(judged("x", *lines).findings)


def test_reading_wrongly_is_what_must_not_pass() -> None:
    """The part with the right text may pass; another text, none, or a part without text may not."""
    said = [judged("AB1", "AB1"), judged("AB1", "ABI"), judged("AB1"), judged("", "X")]

    assert [False, True, True, True] == [must_not_pass(one, DATA) for one in said]


def test_text_report() -> None:
    """Right, wrong and unread strings are counted apart; wrong ones are listed with whether they passed."""
    tally, rows = TextTally(), []
    for one in (judged("AB1", "AB1"), judged("AB2", "A82"), judged("AB3", said=Disposition.REJECT)):
        row = Row(one.sample.name, one.sample.group, (), must_not_pass(one, DATA), one.score, one.disposition)
        tally.add(one, row)
        rows.append(row)
    found = tally.outcome(rows)

    assert [1, 1, 1] == [found.metrics[name].k for name in ("string_accuracy", "wrong_read_rate", "no_read_rate")]
    assert pytest.approx(4 / 9) == found.metrics["character_error_rate"]
    assert [{"image": "AB2", "text": "AB2", "read": "A82", "accepted": True}] == found.more["wrong_reads"]
