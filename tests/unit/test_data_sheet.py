"""Protect the data sheet: no share without its count, nothing rounded to perfection, nothing found left out."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.learning.rates import rate
from appliance.trainer.data_sheet import (
    Card,
    Confidence,
    CountRow,
    CurvePoint,
    DataSheet,
    Gap,
    Rate,
    as_html,
    as_json,
    sentence,
    share,
)


def share_of(name: str, k: int, n: int) -> Rate:
    counted = rate(k, n)
    return Rate(name, counted.value, counted.low, counted.high, k, n)


def sheet(**changes: object) -> DataSheet:
    values: dict[str, object] = {
        "task": "anomaly", "headline": "image_auroc", "created": "2026-01-01T00:00:00+00:00", "root": "plates <b>",
        "layout": "MVTec folders", "pixel_format": "Mono8", "grouped_by": "groups.csv", "test_origin": "its own test",
        "counts": (CountRow("good", 50, 0, 20), CountRow("spot", 0, 0, 21)), "groups": (25, 0, 20),
        "remarks": ("3 masks are empty",), "runtime": "openvino", "precision": "bf16", "seed": 0, "seconds": 12.3,
        "input_shape": (256, 256), "cpu_ms": 9.8,
        "decision": (share_of("Escapes", 1, 21), share_of("Overkill", 0, 20)),
        "metrics": (Rate("image_auroc", 0.931, 0.88, 0.97, n=41, note="by 20 parts drawn again"),),
        "per_class": {"spot": (share_of("escape_rate", 1, 21),)},
        "good_scores": (0.1, 0.2, 0.3), "defect_scores": (0.4, 2.0), "accept_below": 0.35, "reject_above": 0.5,
        "promise": "expected 5 %", "confidences": (Confidence("spot", 30, 20, 0.04, ((0.5, 0.6, 0.4, 0.8, 15),)),),
        "curve": (CurvePoint(10, 5, 0.7, 0.6, 0.8), CurvePoint(50, 25, 0.93, 0.88, 0.97)),
        "gap": Gap(0.931, 41, 0.99, 41), "worst": (Card("test/spot/1.png", "ACCEPT", "spot", 0.2, "data:,"),),
        "limits": ("It knows good parts only.",),
    }  # fmt: skip
    return DataSheet(**{**values, **changes})  # type: ignore[arg-type]


def test_the_page_shows_what_was_found() -> None:
    """Counts, intervals, gap, curve, worst pictures and limits stand on the page, and nothing comes from afar."""
    page = as_html(sheet()).decode()

    for text in ("1 of 21", "0 of 20", "0.931", "+0.059", "It knows good parts only.", "3 masks are empty", "data:,"):
        assert text in page, text
    assert page.count("<svg") == 3
    assert "plates &lt;b&gt;" in page
    assert not re.search(r'(?:src|href)="https?:', page)


def test_no_percentage_stands_without_its_count() -> None:
    """Every share of the decision is followed by k of n."""
    page = as_html(sheet()).decode()
    shown = re.findall(r"<b>[\d.]+ %</b>\s*<span class=\"soft\">(\d+ of \d+)", page)

    assert shown == ["1 of 21", "0 of 20", "1 of 21"]


def test_an_empty_sheet_says_that_nothing_was_measured() -> None:
    """Without held-out pictures there is no figure, and the page says so."""
    bare = sheet(
        decision=(), metrics=(), per_class={}, good_scores=(), defect_scores=(), confidences=(), curve=(), gap=None,
        worst=(), cpu_ms=None, test_origin="none: too few groups", left_out="Neither learning curve nor gap.",
    )  # fmt: skip
    page = as_html(bare).decode()

    assert "Nothing was measured: none: too few groups." in page
    assert "<svg" not in page
    assert "Neither learning curve nor gap." in page


@given(st.integers(0, 4000), st.integers(1, 4000))
def test_a_share_is_never_rounded_to_perfection(k: int, n: int) -> None:
    """100 % stands for all and 0 % for none; one in 4000 shows."""
    text = share(min(k, n) / n)

    assert (text == "100.0 %") == (k >= n)
    assert (text == "0.0 %") == (k == 0)


def test_machines_read_the_same_numbers() -> None:
    """The JSON holds the numbers, without pictures."""
    read = json.loads(as_json(sheet()))

    first = read["decision"][0]
    assert (first["name"], first["value"], first["k"], first["n"]) == ("Escapes", 1 / 21, 1, 21)
    assert (first["low"], first["high"]) == pytest.approx((0.0012, 0.238), abs=1e-3)
    assert read["worst"][0]["picture"] == ""


def test_sentences_for_a_terminal() -> None:
    """A share says its count, another number its interval, nothing counted says so."""
    assert sentence(share_of("escapes", 1, 4)) == "escapes: 25.0 % (1 of 4, 0.6 % to 80.6 %)"
    assert sentence(share_of("escapes", 0, 0)) == "escapes: 0 of 0"
    assert sentence(Rate("miou", 0.5, 0.4, 0.6, note="n")) == "miou: 0.500 (0.400 to 0.600, n)"
