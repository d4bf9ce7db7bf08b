"""Limits on the screen are those of the bundle that judged, or none."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.schema.limits import Limits
from appliance.sim.hmi_station import sample_station
from hmi.bundle_facts import find_facts, read_facts


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give the folder of a station's bundle."""
    with sample_station() as sample:
        yield sample.loaded.state / "bundles" / sample.loaded.recipe.bundle


def test_classes_and_limits_are_the_bundles_own(folder: Path) -> None:
    """Good is no class of defects; in another precision nothing of the calibration holds."""
    facts = read_facts(folder)
    assert facts.manifest is not None
    assert facts.manifest.calibration is not None

    assert ("", False, True) == (facts.fault, "good" in facts.defects, "scratch" in facts.defects)
    assert facts.manifest.calibration.accept_below == facts.limits_in(facts.manifest.precision).accept_below
    assert None is facts.limits_in("f64").accept_below


def test_the_bundle_that_judged_is_found_beside(folder: Path, tmp_path: Path) -> None:
    """Another bundle of the station may have judged than the recipe names; one that is not there is not made up."""
    shutil.copytree(folder, tmp_path / "other")
    wanted = read_facts(folder).bundle

    assert wanted == find_facts(tmp_path / "gone", wanted).bundle
    assert "" == find_facts(tmp_path / "gone", "sha256:none").bundle
    assert wanted == find_facts(tmp_path / "other", "sha256:none").bundle


def test_a_bundle_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """The screen goes on without limits and says why."""
    facts = read_facts(tmp_path / "gone")

    assert (True, Limits()) == (bool(facts.fault), facts.limits_in("f32"))
