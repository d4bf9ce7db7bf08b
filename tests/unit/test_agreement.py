"""Two runs of a network are compared by what their outputs mean: values, classes, or rows in any order."""

import numpy as np
import pytest

from appliance.decision.agreement import row_differences, share_difference, value_difference


def rows(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    scores = np.array([[0.9, 0.0], [0.0, 0.8], [0.7, 0.0], [0.01, 0.0]], np.float32)
    return {"boxes": random.uniform(0, 100, (4, 4)).astype(np.float32), "scores": scores}


def test_order_of_rows_does_not_matter() -> None:
    """What a network sorted itself is the same in another order, and only rows above the floor must be found again."""
    here = rows()
    there = {name: array[[1, 0, 2, 3]].copy() for name, array in here.items()}
    there["boxes"][3] += 50

    assert {"boxes": 0.0, "scores": 0.0} == row_differences(here, there)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_strong_row_that_moved_is_seen(row: int) -> None:
    """A box that moved is a difference, whichever side it is missing on."""
    here, there = rows(), rows()
    there["boxes"][row] += 10

    assert row_differences(here, there)["boxes"] > 0.05
    assert row_differences(there, here)["boxes"] > 0.05


def test_a_row_of_one_side_alone_is_seen() -> None:
    """A strong row that the other side does not have is a difference, and so is one too many."""
    here, there = rows(), rows()
    there["scores"][3] = [0.0, 0.6]

    assert max(row_differences(here, there).values()) > 0.3
    assert max(row_differences(there, here).values()) > 0.3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_agrees_with_nothing(value: float) -> None:
    """Two runs that both give nan do not agree."""
    here = rows()
    here["boxes"][0, 0] = value

    assert all(np.isnan(list(row_differences(here, here).values())))
    assert np.isnan(value_difference(here["boxes"], here["boxes"]))


def test_values_and_shares() -> None:
    """Values are relative to the largest, classes are counted."""
    assert pytest.approx(0.25) == value_difference(np.array([1.0, -4.0]), np.array([2.0, -4.0]))
    assert 0.5 == share_difference(np.array([1, 2]), np.array([1, 3]))
