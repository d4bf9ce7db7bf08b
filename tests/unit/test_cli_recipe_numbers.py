"""Protect the recipes of a station that makes several products: each has its own versions."""

from pathlib import Path

import pytest

from tests.unit.test_cli_recipe import RECIPE, VERSION_2, Station


def test_a_recipe_that_is_not_in_force_goes_the_same_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of a station's recipes has its own versions; a number that it has not is named with those it has."""
    station = Station(tmp_path, capsys)
    station.file.write_text(station.file.read_text("utf-8").replace("[station]", '[station]\nrecipes = ["nut.toml"]'))
    nut = RECIPE.replace("lid", "nut").replace("number = 3", "number = 7")
    (station.folder / "nut.toml").write_text(nut, "utf-8")
    codes = [
        station.propose(VERSION_2.replace("lid", "nut").replace("number = 3", "number = 7"), recipe="7"),
        station.run("recipe", "history", "--recipe", "7"),
    ]
    shown = station.said
    lost = station.run("recipe", "show", "--recipe", "5")

    assert [0, 0, 2] == [*codes, lost]
    assert "version 2: proposed" in shown
    assert "none has number 5; numbers are 3, 7" in station.said
    assert (station.folder / "recipes" / "nut" / "v0002.proposed.toml").exists()
    assert not (station.folder / "recipes" / "lid").exists()
