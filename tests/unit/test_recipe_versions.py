"""Protect the memory of who put what in force: it reaches the audit chain, once, whatever ran at the time."""

from pathlib import Path

import pytest

from appliance.governance import audit_chain
from appliance.governance.proposal import changes
from appliance.governance.recipe_text import flat, render
from appliance.schema.policy import Bands, Policy
from appliance.schema.recipe import Recipe
from appliance.schema.rule import Count, Order, Presence
from appliance.services import record
from appliance.storage import database, queries
from appliance.storage.record_store import DATABASE
from tests.unit.test_cli_recipe import VERSION_2, Station

RULES = (Presence("seal", "top", "seal"), Count("pins", "top", "pin", 4, 6), Order("row", "top", ("a", "b")))


@pytest.fixture
def station(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Station:
    return Station(tmp_path, capsys)


def start_record(station: Station) -> list[tuple[str, str, str, str]]:
    """Start and end the record service; gives what the audit chain says of recipes."""
    node, devices = record.build(station.loaded())
    node.start(0)
    node.finish(0)
    for device in devices.values():
        device.close()
    connection = database.open_reader(station.loaded().state / DATABASE)
    entries = list(queries.audit_entries(connection))
    connection.close()

    assert audit_chain.verify(entries) is None
    assert "chain_started" == entries[0].action
    return [(one.actor, one.action, one.before, one.after) for one in entries if one.subject == "recipe lid"]


def test_what_was_put_in_force_is_audited_at_the_next_start(station: Station) -> None:
    """Who did it, what it replaced, whose approval it has and why, once each however often the service starts."""
    (station.folder / "state/run").mkdir(parents=True)
    station.propose(VERSION_2)
    station.approve(2)
    station.activate(2)
    first = start_record(station)
    station.run("recipe", "rollback", "--person", "TECH", "--why", "too much review")
    start_record(station)
    second = start_record(station)

    assert [("TECH", "recipe_activated", "version 1")] == [entry[:3] for entry in first]
    assert "version 2, digest " in first[0][3]
    assert "approved by QE2" in first[0][3]
    assert [*first, ("TECH", "recipe_rolled_back", "version 2")] == [*second[:1], second[1][:3]]
    assert second[1][3].endswith(": too much review")
    assert 2 == len(second)


def test_a_damaged_log_keeps_no_service_from_starting(station: Station) -> None:
    """The damage itself is audited; the commands refuse in one line."""
    (station.folder / "state/run").mkdir(parents=True)
    station.propose(VERSION_2)
    station.approve(2)
    station.activate(2)
    (station.folder / "recipes/lid/activations.jsonl").write_bytes(b"{\xff\n")

    assert ["recipe_log_unreadable"] == [entry[1] for entry in start_record(station)]
    assert 2 == station.run("recipe", "history")
    assert "restore it from a backup" in station.said


def test_every_value_has_its_line() -> None:
    """What differs is named by its key, down to one rule's one value, and nothing else is."""
    before = Recipe("lid", 3, ("top",), "lid-1", rules=RULES, policy=Policy(class_bands={"dent": Bands(0.9, 0.5)}))
    after = Recipe(
        "lid", 3, ("top",), "lid-1", rules=(RULES[0], Count("pins", "top", "pin", 4, 5)), version=2,
        policy=Policy(class_bands={"dent": Bands(0.99, 0.5)}),
    )  # fmt: skip
    found = {change.key: (change.before, change.after) for change in changes(before, after)}

    assert ("6", "5") == found["rules.pins.most"]
    assert ("0.9", "0.99") == found["policy.class_bands.dent.accept_above"]
    assert ('["a", "b"]', None) == found["rules.row.kinds"]
    assert {"rules.pins", "rules.row", "policy.class_bands.dent"} == {key.rpartition(".")[0] for key in found}
    assert "[[rules]]" in render(before)
    assert [] == changes(before, before)
    assert flat(before).keys() >= {"mode", "policy.sample_share", "rules.seal.kind"}
