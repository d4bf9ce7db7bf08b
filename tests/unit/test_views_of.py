"""Protect what is read back of a view without a score: it was held back, and no report may stumble over it."""

import math

import msgspec

from appliance.schema.finding import ViewResult
from appliance.storage.queries import views_of


def test_a_score_that_is_no_number_comes_back_as_none_that_is_accepted() -> None:
    """JSON has no nan: stored it is null, read back it is nan again, which no limit accepts."""
    views = [ViewResult("top", 1, 2, math.nan, None, ()), ViewResult("side", 1, 3, 0.5, 0.1, ())]
    back = views_of(msgspec.json.encode(views).decode())

    assert math.isnan(back[0].score)
    assert back[1] == views[1]
    assert views_of(None) == []
