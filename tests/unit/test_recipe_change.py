"""Protect the change to another recipe: all of it is proven before anything is in force, and every wish is answered."""

import select
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from appliance.config import approval_path, in_force, load
from appliance.governance.approval import recipe_digest, sign
from appliance.schema.clocks import HostNs
from appliance.schema.errors import ConfigError
from appliance.services._recipe_change import Changed, ChangeTo, NotChanged, RecipeShelf
from appliance.services._wiring import primary_of, recipe_hash
from appliance.storage import bundle
from tests.unit.approval_rig import AT, key_of, write_station
from tests.unit.test_bundle import FILES, MANIFEST

LID = 'name = "lid"\nnumber = 3\nviews = ["top"]\nbundle = "lid-1"\n'
NUT = 'name = "nut"\nnumber = 7\nviews = ["top"]\nbundle = "nut-1"\n'
NOW = HostNs(0)


@pytest.fixture
def station(tmp_path: Path) -> Path:
    """Give the file of a station that makes lids and, on wish, nuts."""
    path = write_station(tmp_path, LID)
    path.write_text(path.read_text("utf-8").replace("[station]", '[station]\nrecipes = ["nut.toml"]'), "utf-8")
    (tmp_path / "nut.toml").write_text(NUT, "utf-8")
    bundle.write(tmp_path / "state" / "bundles" / "nut-1", MANIFEST, FILES)
    return path


@pytest.fixture
def ask(station: Path):
    """Wish for a recipe, and give the one answer."""
    shelf = RecipeShelf(
        lambda number: load(station, number), primary_of, lambda recipe: (recipe_hash(recipe), recipe_digest(recipe))
    )

    def change(number: int) -> Changed | NotChanged:
        shelf.write(ChangeTo(number, "plc"), NOW)
        assert select.select([shelf.fileno()], [], [], 30.0)[0]
        (answer,) = shelf.read(NOW)
        return answer

    yield change
    shelf.close()
    shelf.close()


Asked = Callable[[int], Changed | NotChanged]


def test_a_change_holds_for_every_later_start(station: Path, ask: Asked) -> None:
    """The recipe asked for is in force, its approval lies beside it, and a change back is one too."""
    before = load(station)
    changed, after = ask(7), load(station)
    again = ask(3)

    assert isinstance(again, NotChanged)  # the bundle of lids is not installed
    assert isinstance(changed, Changed)
    assert ("lid", "nut") == (before.recipe.name, after.recipe.name)
    assert (7, "plc", after.recipe, None) == (changed.number, changed.actor, changed.recipe, changed.primary)
    assert (recipe_hash(after.recipe), recipe_digest(after.recipe)) == (changed.recipe_hash, changed.recipe_sha256)
    assert station.with_name("nut.toml") == after.recipe_path
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("number", "spoil", "said"),
    [
        (8, lambda _folder: None, "none has number 8; numbers are 3, 7"),
        (3, lambda _folder: None, "lid-1"),
        (7, lambda folder: (folder / "nut.toml").write_text(NUT + "speed = 3\n"), "speed: unknown key"),
        (7, lambda folder: (folder / "nut.toml").unlink(), "nut.toml: cannot be read"),
        (7, lambda folder: (folder / "nut.toml").write_text(NUT + 'mode = "primary"\n'), "approve"),
    ],
)
def test_a_refused_change_changes_nothing(
    station: Path, ask: Asked, number: int, spoil: Callable[[Path], object], said: str
) -> None:
    """Unknown number, missing bundle, broken file, or a model that nobody signed for: the answer says which."""
    spoil(station.parent)
    answer = ask(number)

    assert isinstance(answer, NotChanged)
    assert said in answer.reason
    assert not in_force(station.parent / "state").exists()


def test_a_model_decides_only_with_its_own_approval(station: Path, ask: Asked) -> None:
    """An approval that lies beside the recipe in force says nothing about the one changed to."""
    nut = station.with_name("nut.toml")
    nut.write_text(NUT + 'mode = "primary"\n', "utf-8")
    installed = bundle.read(station.parent / "state" / "bundles" / "nut-1").id
    signed = sign(load(station, 7).recipe, "", "QE1", AT, key_of("QE1"), installed)
    approval_path(station.with_name("recipe.toml")).write_bytes(msgspec.json.encode(signed))
    refused = ask(7)
    approval_path(nut).write_bytes(msgspec.json.encode(signed))
    changed = ask(7)

    assert isinstance(refused, NotChanged)
    assert isinstance(changed, Changed)
    assert changed.primary is not None
    assert "nut" == changed.primary.recipe


def test_a_model_that_nobody_signed_for_is_refused(station: Path, ask: Asked) -> None:
    """The approval names the bundle: another one in its folder is not what a person let decide."""
    nut = station.with_name("nut.toml")
    nut.write_text(NUT + 'mode = "primary"\n', "utf-8")
    signed = sign(load(station, 7).recipe, "", "QE1", AT, key_of("QE1"), "sha256:another")
    approval_path(nut).write_bytes(msgspec.json.encode(signed))
    answer = ask(7)

    assert isinstance(answer, NotChanged)
    assert "signed for bundle sha256:another" in answer.reason


def test_a_pointer_to_a_stranger_starts_nothing(station: Path) -> None:
    """What is in force must be one of the station's recipes; nothing else is tried in its place."""
    pointer = in_force(station.parent / "state")
    pointer.parent.mkdir(parents=True)
    pointer.write_text("../other.toml\n", "utf-8")

    with pytest.raises(ConfigError, match=r"'../other.toml' is no recipe of station.toml; remove the file or list it"):
        load(station)
