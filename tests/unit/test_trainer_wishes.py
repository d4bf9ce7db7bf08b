"""Protect what a plant says of its parts: each wish reaches the fit it is about, and nonsense is one clear line."""

import pytest

from appliance.decision.anomaly_map import Placement
from appliance.schema.errors import ConfigError
from appliance.trainer import wishes
from appliance.trainer.wishes import Wishes, checked
from appliance.training.anomaly import BEST


def test_handed_parts_are_never_mirrored() -> None:
    """No fit learns from mirror images of text or of handed parts; without the wish all do."""
    for handed in (False, True):
        wish = Wishes(handed=handed)

        assert wishes.classification_options(wish).mirrored is not handed
        assert wishes.detection_options(wish).views.mirrored is not handed
        for moved in (wishes.semantic_options(wish), wishes.instance_options(wish).outlines):
            assert (moved.augmentation.mirror_columns, moved.augmentation.mirror_rows) == (not handed, not handed)
        assert wishes.instance_options(wish).objects.views.mirrored is not handed


def test_quarter_turns_are_learned_from_where_parts_lie_any_way() -> None:
    """Light and fixtures have a direction: only the plant can say that its parts do not."""
    assert wishes.detection_options(Wishes(turned=True)).views.turned
    assert not wishes.detection_options(Wishes()).views.turned


def test_overkill_reaches_every_limit() -> None:
    """The share of good parts that may be held back is the same wish for every task; without it each keeps its own."""
    wish = Wishes(overkill=0.07)

    assert wishes.anomaly_options(wish, 3, 2).hold_back == 0.07
    assert wishes.classification_options(wish).hold_back == 0.07
    assert wishes.semantic_options(wish).hold_back == 0.07
    assert wishes.detection_options(wish).hold_back == 0.07
    assert wishes.blob_options(wish).hold_back == 0.07
    assert wishes.instance_options(wish).objects.hold_back == 0.07
    assert wishes.anomaly_options(Wishes(), 3, 2).hold_back == BEST.hold_back


def test_a_fixture_gives_each_place_its_own_statistics() -> None:
    """Only where the plant says that parts lie still."""
    assert wishes.anomaly_options(Wishes(fixtured=True), 0, 2).placement is Placement.POSITION
    assert wishes.anomaly_options(Wishes(), 0, 2).placement is Placement.BORDER


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wishes(overkill=0.5), "--overkill: 0.5, must lie between 0 and 0.4"),
        (Wishes(overkill=float("nan")), "--overkill: nan"),
        (Wishes(style="crayon"), "--style 'crayon': unknown; choose one of dot matrix"),
        (Wishes(rendered=-1), "--rendered: -1"),
        (Wishes(rendered=10), "without a pattern"),
    ],
)
def test_nonsense_is_refused(wish: Wishes, said: str) -> None:
    """One line with value, limit and remedy."""
    with pytest.raises(ConfigError, match=said):
        checked(wish)
