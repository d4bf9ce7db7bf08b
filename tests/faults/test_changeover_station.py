"""Change a running station of real processes to another recipe: nothing of the old one ever opens the gate again."""

import json
import shutil
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import zmq

from appliance import config
from appliance.bus.channel import Subscriber
from appliance.bus.control import ask
from appliance.governance.approval import public_text, sign
from appliance.schema.command import PrepareRecipe
from appliance.schema.errors import Refused
from appliance.schema.line import LineState
from appliance.schema.topics import LINE_STATE
from appliance.storage import bundle, database, queries
from appliance.storage.record_store import DATABASE
from tests.faults.station_rig import Run, fresh, lines, run_demo
from tests.unit.approval_rig import AT, key_of

ACTOR = "operator-7"
PATIENCE_S = 60.0
SCENARIO = Path(__file__).with_name("changeover.txt")


class Changing:
    """Put a second product on the station and change to it, as a person with a terminal would."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.refusals: list[str] = []
        self.states: list[LineState] = []
        """What the line said of itself from the first wish on."""

    def __call__(self) -> None:
        """List the product, have it signed, and ask for it until the belt is empty."""
        self._list()
        with zmq.Context() as context:
            self._context = context
            runtime = config.load(self.state / "station.toml").runtime
            with closing(Subscriber(context, runtime, ("line",), (LINE_STATE,))) as hearing:
                self._hear(hearing, lambda state: state.busy)
                self.states.clear()
                self._until(runtime, hearing, PrepareRecipe(2, ACTOR))
                self._hear(hearing, lambda state: state.recipe_number == 2 and state.ready)

    def _list(self) -> None:
        station = self.state / "station.toml"
        text = station.read_text("utf-8").replace('name = "demo"', 'name = "demo"\nrecipes = ["nut.toml"]', 1)
        text = text.replace("people = { ", f'people = {{ QE1 = "{public_text(key_of("QE1"))}", ')
        station.write_text(text, "utf-8")
        recipe = (self.state / "recipe.toml").read_text("utf-8")
        recipe = recipe.replace('"demo"', '"nut"').replace("number = 1", "number = 2").replace('"day-one"', '"nut"')
        (self.state / "nut.toml").write_text(recipe, "utf-8")
        installed = bundle.read(self.state / "bundles" / "nut").id
        signed = sign(config.load(station, 2).recipe, "", "QE1", AT, key_of("QE1"), installed)
        (self.state / "nut.approval.json").write_bytes(msgspec.json.encode(signed))

    def _until(self, runtime: Path, hearing: Subscriber, wish: PrepareRecipe) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                ask(self._context, runtime, "line", wish, 1000)
            except Refused as refusal:
                self.refusals.append(str(refusal))
                self._hear(hearing, lambda _state: True)
            else:
                return
        raise TimeoutError("the belt never ran empty")

    def _hear(self, hearing: Subscriber, wanted) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            hearing.socket.poll(1000)
            heard = [message for _, message in hearing.drain(64) if isinstance(message, LineState)]
            self.states += heard
            if any(map(wanted, heard)):
                return
        raise TimeoutError("the line never got there")


@pytest.fixture(scope="module")
def changed(fitted_station: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Changing]:
    """Run a station that changes from its first product to the second."""
    state = fresh(fitted_station, tmp_path_factory.mktemp("changed"))
    whole = bundle.read(state / "bundles" / "day-one")
    bundle.write(state / "bundles" / "nut", msgspec.structs.replace(whole.manifest, parent=whole.id), whole.files)
    shutil.copy(fitted_station / "recipe.toml", state / "recipe.toml")
    changing = Changing(state)
    return run_demo(state, "--scenario", SCENARIO, once_running=changing), changing


def test_no_part_is_lost_and_none_is_judged_by_two(changed: tuple[Run, Changing]) -> None:
    """Every part has its actuation; the bundle changes once, and between the two nothing was accepted."""
    run, _ = changed
    summary = run.summary
    judged = [row.bundle for row in run.rows if row.bundle]
    day_one, nut = (bundle.read(run.state / "bundles" / name).id for name in ("day-one", "nut"))

    assert run.code == 0, run.errors
    assert summary["triggers"] == sum(summary["actuations"].values()) == summary["parts"] == len(run.rows)
    assert summary["unaccounted"] == summary["accepted_without_verdict"] == 0
    assert [day_one, nut] == [name for index, name in enumerate(judged) if index == 0 or judged[index - 1] != name]
    assert {day_one, nut} == {row.bundle for row in run.rows if row.lane == "accept"}


def test_the_change_waits_for_an_empty_belt_and_a_warm_judge(changed: tuple[Run, Changing]) -> None:
    """It is refused while a part is under way; from the change until the judge is warm no part would be inspected."""
    _, changing = changed
    numbers = [state.recipe_number for state in changing.states]
    warming = [state for state in changing.states if state.recipe_number == 2]

    assert changing.refusals
    assert {"line: PrepareRecipe refused: a part is between sensor and gate; ask again once the belt is empty"} == set(
        changing.refusals
    )
    assert sorted(numbers) == numbers
    assert not warming[0].ready
    assert warming[-1].ready
    assert {"nut"} == {state.recipe for state in warming}


def test_the_plc_keeps_its_session(changed: tuple[Run, Changing]) -> None:
    """Only the recipe changes for the PLC: same session, numbers that go on."""
    run, changing = changed
    results = lines(run.state / "plc.jsonl")

    assert 1 == len({state.session for state in changing.states})
    assert 1 == len({result["session"] for result in results})
    assert list(range(1, len(results) + 1)) == [result["sequence"] for result in results]


def test_the_audit_chain_names_who_changed_what(changed: tuple[Run, Changing]) -> None:
    """Both recipes stand in the entry, by number, name and hash; what is in force outlives the station."""
    run, _ = changed
    with closing(database.open_reader(run.state / DATABASE)) as connection:
        entries = [entry for entry in queries.audit_entries(connection) if entry.action == "recipe_changed"]
    loaded = config.load(run.state / "station.toml")

    assert [(ACTOR, "1 demo", "2 nut")] == [
        (entry.actor, entry.before.rpartition(" ")[0], entry.after.rpartition(" ")[0]) for entry in entries
    ]
    assert "nut" == loaded.recipe.name
    assert json.loads((run.state / "nut.approval.json").read_text("utf-8"))["person"] == "QE1"
