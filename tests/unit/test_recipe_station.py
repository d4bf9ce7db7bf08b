"""Protect the simulated station: it is signed for as a real one is, and claims no detector that its bundle lacks."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance import config
from appliance.governance.approval import Primary, recipe_digest, verify
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.schema.policy import Mode
from appliance.sim.station import PERSON, Layout, Settings, write_config
from appliance.storage import bundle
from tests.unit.test_bundle import FILES, MANIFEST

SETTINGS = Settings(10.0, 64, 64, PixelFormat.MONO8, "f32", None)


def written(folder: Path, settings: Settings = SETTINGS) -> config.Loaded:
    """Write a simulated station and read it."""
    layout = Layout(folder, folder / "run")
    write_config(layout, settings)
    return config.load(layout.config)


def proven(loaded: config.Loaded) -> Primary:
    """Prove that the model may drive the gate."""
    return verify(loaded.approval, loaded.recipe, loaded.config.approval.people, two_persons=False)


def test_the_simulated_model_is_signed_for(tmp_path: Path) -> None:
    """Each station has its own key: what was signed for one is worth nothing at another."""
    one, other = written(tmp_path / "one"), written(tmp_path / "other")

    assert Primary("demo", 1, recipe_digest(one.recipe), PERSON) == proven(one)
    with pytest.raises(ConfigError, match="signed with key"):
        proven(replace(one, approval=other.approval))


def test_in_parallel_mode_nobody_signs(tmp_path: Path) -> None:
    """A station that people drive has no approval, and one that an earlier run left is taken away."""
    written(tmp_path)
    loaded = written(tmp_path, replace(SETTINGS, mode=Mode.PARALLEL))

    assert (Mode.PARALLEL, None) == (loaded.recipe.mode, loaded.approval)


@pytest.mark.parametrize(("installed", "novelty"), [(False, "required"), (True, "off")])
def test_novelty_is_off_only_where_the_bundle_is_blind(tmp_path: Path, installed: bool, novelty: str) -> None:
    """Without a bundle to look at the safe policy stays; turning it off is explained in the recipe."""
    if installed:
        bundle.write(tmp_path / "bundles" / "day-one", MANIFEST, FILES)
    loaded = written(tmp_path)

    assert novelty == loaded.recipe.policy.novelty
    assert installed is ("no detector of unknown parts" in loaded.recipe_path.read_text("utf-8"))
