"""Review at a station of real processes: people decide through the control socket while the belt runs."""

from contextlib import closing
from pathlib import Path

import pytest

from appliance.schema.review import Change
from appliance.storage import database, queries, review_queries
from appliance.storage.record_store import DATABASE
from tests.faults.station_rig import Run, firstshift, fresh, run_demo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parallel(fitted_station: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Let a person decide every part at the line."""
    return run_demo(
        fresh(fitted_station, tmp_path_factory.mktemp("parallel")), "--parallel", "--parts", "15", "--rate", "1"
    )


def test_in_parallel_mode_people_alone_open_the_gate(parallel: Run) -> None:
    """Every accept is a person's; the model's verdict of each part is sealed until then, and compared afterwards."""
    summary = parallel.summary

    assert (0, 0, 0) == (parallel.code, summary["unaccounted"], summary["accepted_without_verdict"]), parallel.errors
    assert {"opened": 15, "decided": 15, "quarantined": 0, "waiting": 0} == summary["review"]
    assert 15 == summary["parallel"]["parts"] == summary["verdicts"]["no_verdict"] == summary["rows"]["images"]
    assert summary["actuations"]["accept"] > 0
    assert {"operator"} == {row.cause for row in parallel.rows if row.lane == "accept"}
    assert {None} == {row.score for row in parallel.rows}


def test_every_decision_of_parallel_mode_is_kept_before_the_gate(parallel: Run) -> None:
    """The first accept of each accepted part leads the gate; nothing waits unseen."""
    with closing(database.open_reader(parallel.state / DATABASE)) as connection:
        unexplained = queries.summary(connection).accepted_without_verdict
        left = review_queries.items(connection, (Change.OPENED, Change.REOPENED, Change.QUARANTINED))

    assert (0, []) == (unexplained, left)
    assert all((row.manual_margin_ms or -1) > 0 for row in parallel.rows if row.lane == "accept")


def test_a_record_service_that_dies_costs_no_decision(
    fitted_station: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Killed twice while a person decides every part: each is decided in the end, and no accept is unexplained.

    A part that was accepted while nobody could tell the gate is held back, and asked for again.
    """
    state = fresh(fitted_station, tmp_path_factory.mktemp("killed"))
    scenario = state / "killed.txt"
    scenario.write_text("parts 15\nat 3s kill record\nat 9s kill record\nexpect actuation accept within 5s\n", "utf-8")
    run = run_demo(state, "--parallel", "--rate", "1", "--scenario", scenario)
    with closing(database.open_reader(state / DATABASE)) as connection:
        parts = connection.execute("SELECT count(DISTINCT part) FROM manual_verdicts").fetchone()[0]

    assert (0, 0, 0) == (run.code, run.summary["unaccounted"], run.summary["accepted_without_verdict"]), run.errors
    assert {"opened": 15, "decided": 15, "quarantined": 0, "waiting": 0} == run.summary["review"]
    assert 15 == parts


def test_in_primary_mode_people_decide_what_the_model_doubts(
    fitted_station: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What came up for review is decided; a part that a person accepts is put over by hand; the gate stays."""
    state = fresh(fitted_station, tmp_path_factory.mktemp("primary"))
    run = run_demo(state, "--parts", "60", "--rate", "5")
    summary, review = run.summary, run.summary["review"]
    doubted = sum(summary["verdicts"][way] for way in ("review", "unknown"))
    by_hand = [row for row in run.rows if row.manual == "accept"]
    listed = firstshift("review", "list", "--quality", "--state", state)
    escapes = firstshift("review", "escapes", "--state", state)

    assert (0, 0, 0) == (run.code, summary["unaccounted"], summary["accepted_without_verdict"]), run.errors
    assert doubted == review["opened"] == review["decided"] + review["waiting"] + review["quarantined"] > 0
    assert {("reject", "accept")} == {(row.lane, row.hand_lane) for row in by_hand} or not by_hand
    assert (0, 0) == (listed.returncode, escapes.returncode)
    assert listed.stdout.startswith(f"{review['waiting']} parts wait for a person")
