"""Protect who gets the gate when `line` is wired: people, or the model where a listed person signed for it."""

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from msgspec.structs import replace

from appliance.config import approval_path, load
from appliance.governance.approval import check_bundle, public_text, sign, verify
from appliance.schema.errors import ConfigError
from appliance.schema.line import JobMode
from appliance.schema.topics import VERDICT
from appliance.services._authority import HandDecides, ModelDecides
from appliance.services._wiring import wire
from appliance.services.line import LineNode
from appliance.sim.station import free_port
from tests.unit.approval_rig import AT, key_of, write_station

RECIPE = 'name = "lid"\nnumber = 3\nviews = ["top"]\nbundle = "lid-1"\n'
PEOPLE = {"QE1": public_text(key_of("QE1"))}
PRIMARY = RECIPE + 'mode = "primary"\n'


def station(folder: Path, recipe: str) -> Path:
    """Write a station whose PLC server takes a free port."""
    path = write_station(folder, recipe)
    path.write_text(path.read_text("utf-8") + f"\n[plc]\nport = {free_port()}\n", "utf-8")
    return path


def approve(path: Path, **changes: object) -> None:
    """Let QE1 sign what the station has, and somebody change the file after."""
    signed = replace(sign(load(path).recipe, "", "QE1", AT, key_of("QE1")), **changes)
    approval_path(path.with_name("recipe.toml")).write_bytes(msgspec.json.encode(signed))


def line_of(path: Path) -> LineNode:
    """Wire `line` and give its wires back."""
    node, devices = wire("line", load(path))
    for device in devices.values():
        device.close()
    assert isinstance(node, LineNode)
    return node


def test_people_decide_by_default(tmp_path: Path) -> None:
    """A recipe that says nothing of its mode runs in parallel mode, and needs no approval for it."""
    node = line_of(station(tmp_path, RECIPE))

    assert isinstance(node._recipes.who, HandDecides)
    assert VERDICT not in node.topics


def test_the_model_decides_where_a_listed_person_signed(tmp_path: Path) -> None:
    """Recipe version, digest, person and signature agree: the proof is handed to `line`."""
    path = station(tmp_path, PRIMARY)
    approve(path)
    node = line_of(path)

    assert isinstance(node._recipes.who, ModelDecides)
    assert ("lid", "QE1") == (node._recipes.who.primary.recipe, node._recipes.who.primary.person)


@pytest.mark.parametrize("change", [None, {"person": "QE2"}, {"digest": "0" * 64}, {"version": 2}, {"signature": ""}])
def test_primary_without_a_valid_approval_does_not_start(tmp_path: Path, change: dict[str, object] | None) -> None:
    """No approval, a forged or an old one: `line` and `judge` refuse in one line, before anything is opened."""
    path = station(tmp_path, PRIMARY)
    if change is not None:
        approve(path, **change)
    loaded = load(path)
    for unit in ("line", "judge"):
        with pytest.raises(ConfigError) as refusal:
            wire(unit, loaded)

        assert "\n" not in str(refusal.value)
        assert "recipe lid" in str(refusal.value)


@pytest.mark.parametrize("installed", ["", "sha256:other"])
def test_judge_starts_with_the_bundle_that_was_signed_for(
    installed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model in the recipe's folder than the person looked at is another model: nothing starts."""
    path = station(tmp_path, PRIMARY)
    signed = sign(load(path).recipe, "", "QE1", AT, key_of("QE1"), installed)
    approval_path(path.with_name("recipe.toml")).write_bytes(msgspec.json.encode(signed))
    model = SimpleNamespace(bundle="sha256:lid")
    monkeypatch.setattr("appliance.services._loading.load_bundle", lambda *_: model)

    with pytest.raises(ConfigError, match="signed for bundle"):
        wire("judge", load(path))

    check_bundle(verify(load(path).approval, load(path).recipe, PEOPLE, two_persons=False), installed)


def test_the_station_file_says_who_makes_parts_and_who_controls_the_line(tmp_path: Path) -> None:
    """plc.trigger, station.controlled and the recipe reach the line; else the sensor makes parts."""
    path = station(tmp_path, RECIPE)
    plain = line_of(path)
    text = path.read_text("utf-8").replace("[station]", "[station]\ncontrolled = true", 1)
    path.write_text(text + 'trigger = "plc"\n', "utf-8")
    turned = line_of(path)

    assert (False, JobMode.CONTINUOUS) == (plain._handshake.plc_triggers, plain._jobs.mode)
    assert (True, JobMode.IDLE) == (turned._handshake.plc_triggers, turned._jobs.mode)
    assert (3, "lid", load(path).recipe.number) == (
        turned._recipes.in_force.number,
        turned._recipes.in_force.name,
        turned._recipes.in_force.number,
    )
    assert turned._recipes.in_force.sha256.startswith(f"{turned._recipes.in_force.hash32:08x}")
