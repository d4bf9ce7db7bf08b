"""Swap bundles on a station of real processes while a shadow looks on and dies: no part is lost, none unproven."""

import select
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import zmq
from msgspec.structs import replace

from appliance import config
from appliance.bus.control import ask
from appliance.check.units import listen
from appliance.schema.clocks import HostNs
from appliance.schema.command import ActivateBundle, Command, RollbackBundle, StageBundle
from appliance.schema.errors import Refused
from appliance.services._loading import load_bundle, proof_command
from appliance.services._staging import BundleStager, Stage, Staged, StagingFailed
from appliance.storage import bundle, database, queries
from appliance.storage.record_store import DATABASE
from tests.faults.station_rig import Run, fresh, run_demo

ACTOR = "operator-7"
PATIENCE_S = 60.0
HERE = Path(__file__).parent


class Handling:
    """Handle the judge's bundles while the station runs, as a person with a terminal would."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.refusals: list[str] = []
        self.ids: list[str] = []

    def __call__(self) -> None:
        """Stage a bundle, ask for too much, activate it and take it back."""
        self._wish(StageBundle("next", ACTOR))
        self._wish(StageBundle("next", ACTOR))
        self._await("ready to be activated")
        self._wish(ActivateBundle("next", ACTOR))
        time.sleep(0.5)  # some parts for the new one
        self._wish(RollbackBundle(ACTOR))

    def _wish(self, command: Command) -> None:
        with zmq.Context() as context:
            try:
                self.ids.append(ask(context, self._runtime, "judge", command, 5000).detail)
            except Refused as refusal:
                self.refusals.append(str(refusal))

    def _await(self, words: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            heard = listen(self._runtime, ("judge",), 2.0).get("judge")
            if heard and any(words in item.cause for item in heard.components if item.name == "staging"):
                return
        raise TimeoutError(words)

    @property
    def _runtime(self) -> Path:
        return config.load(self.state / "station.toml").runtime


def with_bundles(state: Path) -> Path:
    """Put two more bundles beside the fitted one: one of the same networks, and the same as shadow."""
    bundles = state / "bundles"
    whole = bundle.read(bundles / "day-one")
    bundle.write(bundles / "next", replace(whole.manifest, parent=whole.id), whole.files)
    shutil.copytree(bundles / "next", bundles / "shadow")
    return state


def spoil(folder: Path, suffix: str) -> None:
    """Change the last byte of a bundle's first file of a kind."""
    changed = min(folder.glob(f"*{suffix}"))
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")


@pytest.fixture(scope="module")
def handled(fitted_station: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Handling]:
    """Run a station whose bundles are swapped while its shadow is killed."""
    state = with_bundles(fresh(fitted_station, tmp_path_factory.mktemp("handled")))
    handling = Handling(state)
    run = run_demo(state, "--scenario", HERE / "killed_shadow.txt", once_running=handling)
    return run, handling


def test_no_part_is_lost(handled: tuple[Run, Handling]) -> None:
    """While bundles are swapped and a shadow dies: an actuation per trigger, each accept on its own ACCEPT in time."""
    run, _ = handled
    summary = run.summary

    assert run.code == 0, run.errors
    assert summary["triggers"] == sum(summary["actuations"].values()) == summary["parts"] == len(run.rows)
    assert summary["unaccounted"] == summary["accepted_without_verdict"] == summary["copies_per_frame"] == 0
    assert [] == [row.part for row in run.rows if row.lane == "accept" and row.disposition != "accept"]


def test_each_part_names_its_bundle(handled: tuple[Run, Handling]) -> None:
    """The swap shows in the results from one part to the next, there and back."""
    run, handling = handled
    judged = [row.bundle for row in run.rows if row.bundle]
    changes = [name for index, name in enumerate(judged) if index == 0 or judged[index - 1] != name]
    day_one, following = (bundle.read(run.state / "bundles" / name).id for name in ("day-one", "next"))

    assert [day_one, following, day_one] == changes
    assert ["staging next", following, day_one] == handling.ids
    assert ["judge: StageBundle refused: next is being staged"] == [
        line.partition(" (")[0] for line in handling.refusals
    ]


def test_the_audit_chain_names_who_and_what(handled: tuple[Run, Handling]) -> None:
    """Each wish that was granted, and what came of it, is in the chain under its asker."""
    run, _ = handled
    with closing(database.open_reader(run.state / DATABASE)) as connection:
        entries = [entry for entry in queries.audit_entries(connection) if entry.action.startswith("bundle_")]

    assert [
        ("service:judge", "bundle_loaded"),
        (ACTOR, "bundle_staging_asked"),
        (ACTOR, "bundle_staged"),
        (ACTOR, "bundle_activated"),
        (ACTOR, "bundle_rolled_back"),
    ] == [(entry.actor, entry.action) for entry in entries]


def test_the_shadow_is_kept_and_agrees_with_its_like(handled: tuple[Run, Handling]) -> None:
    """The same model on the same frames decides the same; the parts of its absence are missing and nothing else."""
    run, _ = handled
    shadow = bundle.read(run.state / "bundles" / "shadow").id
    with closing(database.open_reader(run.state / DATABASE)) as connection:
        tally = queries.shadow_tally(connection, shadow)
        scores = connection.execute(
            "SELECT s.score, r.score FROM shadow_results s JOIN results r ON r.part = s.part"
        ).fetchall()
    compared = sum(tally.values())
    print(f"{compared} of {run.summary['parts']} parts compared")  # noqa: T201  how far an idle process keeps up

    assert 0 < compared < run.summary["parts"]
    assert [] == [pair for pair in tally if pair[0] != pair[1]]
    assert [] == [(mine, active) for mine, active in scores if mine != active]
    assert any("shadow ended" in item.line for item in run.said)


def test_a_shadow_that_cannot_be_loaded_changes_nothing(fitted_station: Path, tmp_path: Path) -> None:
    """Its process stays up and says why; the station starts, runs and ends as without it."""
    state = with_bundles(fresh(fitted_station, tmp_path / "state"))
    spoil(state / "bundles" / "shadow", ".onnx")
    said: list[str] = []
    run = run_demo(state, "--parts", "20", once_running=_hearing(state, said))

    assert run.code == 0, run.errors
    assert run.summary["unaccounted"] == 0
    assert 20 == sum(run.summary["actuations"].values())
    assert any(".onnx has SHA-256" in line for line in said)


@pytest.mark.parametrize(
    ("suffix", "expected"), [(None, None), (".onnx", ".onnx has SHA-256"), (".npz", ".npz has SHA-256")]
)
def test_staging_proves_a_bundle_before_it_is_loaded(
    fitted_station: Path, tmp_path: Path, suffix: str | None, expected: str | None
) -> None:
    """The real proof in its own process, the real load in the stager's thread: a changed byte is named, and no more."""
    state = with_bundles(fresh(fitted_station, tmp_path / "state"))
    text = (fitted_station / "station.toml").read_text("utf-8").replace(str(fitted_station), str(state))
    (state / "station.toml").write_text(text, "utf-8")
    shutil.copy(fitted_station / "recipe.toml", state / "recipe.toml")
    loaded = config.load(state / "station.toml")
    if suffix:
        spoil(state / "bundles" / "next", suffix)
    stager = BundleStager(partial(load_bundle, loaded), partial(proof_command, loaded))
    stager.write(Stage("next"), HostNs(0))
    last = None
    while not isinstance(last, Staged | StagingFailed):
        assert select.select([stager.fileno()], [], [], PATIENCE_S)[0]
        last = (*stager.read(HostNs(0)), last)[-2]
    stager.close()

    if expected is None:
        assert isinstance(last, Staged)
        assert bundle.read(state / "bundles" / "next").id == last.inspector.bundle
    else:
        assert isinstance(last, StagingFailed)
        assert expected in last.reason


def _hearing(state: Path, said: list[str]) -> Callable[[], None]:
    def hear() -> None:
        runtime = config.load(state / "station.toml").runtime
        end = time.monotonic() + PATIENCE_S
        while not said and time.monotonic() < end:
            heard = listen(runtime, ("shadow",), 1.0).get("shadow")
            said.extend(item.cause for item in (heard.components if heard else ()) if item.name == "bundle")

    return hear
