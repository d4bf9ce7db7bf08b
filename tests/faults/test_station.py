"""Trouble a station of real processes: the line rejects what nobody vouches for, loses no part and recovers alone."""

import json
import re
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from appliance.governance import audit_chain
from appliance.storage import database, queries
from appliance.storage.record_store import DATABASE
from tests.faults.station_rig import ROOT, Run, firstshift, fresh, run_demo

HERE = Path(__file__).parent
PARTS = 60
SCENARIOS = (
    HERE / "killed_in_turn.txt",
    HERE / "killed_line.txt",
    HERE / "world_outside.txt",
    ROOT / "tests" / "line" / "reset_mcu.txt",
    ROOT / "tests" / "line" / "everything_at_once.txt",
)
KEYS = {
    "parts": None,
    "triggers": None,
    "frames": {"good", "incomplete", "underrun", "missed"},
    "verdicts": {"accept", "reject", "review", "unknown", "no_verdict"},
    "actuations": {"accept", "reject"},
    "unaccounted": None,
    "accepted_without_verdict": None,
    "truth": {"good", "defective", "escapes", "overkill"},
    "latency_ms": {"trigger_to_verdict", "stages"},
    "copies_per_frame": None,
    "rows": {"inspections", "images"},
    "plc": {"results", "acked"},
    "mqtt": {"published", "acked"},
    "review": {"opened", "decided", "quarantined", "waiting"},
    "uncalibrated": None,
    "runtime": None,
    "precision": None,
    "bundle": None,
    "seconds": None,
}
"""The summary's keys, as scripts rely on them."""


@pytest.fixture(scope="module")
def checks() -> dict[str, dict]:
    """Hold what `firstshift check` said: `alive` while the station ran, `dead` afterwards."""
    return {}


@pytest.fixture(scope="module")
def quiet(fitted_station: Path, tmp_path_factory: pytest.TempPathFactory, checks: dict[str, dict]) -> Run:
    """Run a station that nobody troubles, and look at it once while it runs."""
    state = fresh(fitted_station, tmp_path_factory.mktemp("quiet"))
    run = run_demo(state, "--parts", str(PARTS), once_running=_checking(state, checks, "alive"))
    _checking(state, checks, "dead")()
    return run


def test_every_part_of_a_quiet_run_is_accounted_for(quiet: Run) -> None:
    """As many triggers as parts, as many frames as triggers, as many actuations as triggers; nothing is copied."""
    summary = quiet.summary

    assert quiet.code == 0, quiet.errors
    assert summary["parts"] == summary["triggers"] == PARTS
    assert summary["frames"] == {"good": PARTS, "incomplete": 0, "underrun": 0, "missed": 0}
    assert sum(summary["actuations"].values()) == sum(summary["verdicts"].values()) == PARTS
    assert summary["unaccounted"] == summary["accepted_without_verdict"] == summary["copies_per_frame"] == 0
    assert summary["truth"]["good"] + summary["truth"]["defective"] == PARTS


def test_every_result_of_a_quiet_run_reaches_the_plc_the_broker_and_the_disk(quiet: Run) -> None:
    """The PLC takes every result, the broker every message; each part has its row and its image."""
    summary = quiet.summary

    assert summary["plc"] == {"results": PARTS, "acked": PARTS}
    assert summary["mqtt"]["published"] == summary["mqtt"]["acked"] >= PARTS
    assert summary["rows"] == {"inspections": PARTS, "images": PARTS}
    assert [] == [
        row.part for row in quiet.rows if row.image is None or not (quiet.state / "images" / row.image).exists()
    ]


def test_the_record_says_what_the_plant_saw(quiet: Run) -> None:
    """A part lies in the lane that its row names: the plant's own account agrees in order and number."""
    assert [row.lane for row in quiet.rows] == [lane for _, lane in sorted(quiet.lanes.items())]


def test_the_audit_chain_of_a_run_is_unbroken(quiet: Run) -> None:
    """Every start is in the chain, and the command that checks it agrees."""
    with closing(database.open_reader(quiet.state / DATABASE)) as connection:
        entries = list(queries.audit_entries(connection))
    verified = firstshift("audit", "verify", "--state", quiet.state)

    assert audit_chain.verify(entries) is None
    assert {"chain_started", "service_started"} <= {entry.action for entry in entries}
    assert (verified.returncode, verified.stderr) == (0, "")


def test_json_alone_is_on_stdout(quiet: Run) -> None:
    """A script may parse stdout as it is: one object, the agreed keys."""
    summary = json.loads(quiet.stdout)

    assert KEYS.keys() == summary.keys()
    assert {name: value for name, value in KEYS.items() if value} == {
        name: set(value) for name, value in summary.items() if isinstance(value, dict)
    }
    assert {"transfer", "preprocess", "inference", "decide"} <= summary["latency_ms"]["stages"].keys()
    assert {"p50", "p99", "max"} == summary["latency_ms"]["trigger_to_verdict"].keys()
    assert re.fullmatch("sha256:[0-9a-f]{64}", summary["bundle"])


def test_a_check_of_a_living_station_finds_nothing(quiet: Run, checks: dict[str, dict]) -> None:
    """A technician who asks a station that runs is told that all is well."""
    found = {item["name"]: item for item in checks["alive"]["components"]}

    assert [] == [item for item in found.values() if item["condition"] != "ok"], quiet.errors
    assert {"acquire@top", "judge", "line", "record", "publish"} <= found.keys()


def test_a_check_of_a_dead_station_names_every_process(quiet: Run, checks: dict[str, dict]) -> None:
    """One who asks a station that does not run is told what to start; each finding has a remedy."""
    bad = {item["name"]: item for item in checks["dead"]["components"] if item["condition"] != "ok"}

    assert checks["dead"]["code"] == 1
    assert {"acquire@top", "judge", "line", "record", "publish", "microcontroller link"} <= bad.keys(), quiet.errors
    assert [] == [name for name, item in bad.items() if not item["remedy"]]


@pytest.mark.parametrize("script", SCENARIOS, ids=[script.stem for script in SCENARIOS])
def test_trouble(script: Path, fitted_station: Path, tmp_path: Path) -> None:
    """No part passes without an ACCEPT of its own in time, no part is lost, and the line comes back by itself."""
    run = run_demo(fresh(fitted_station, tmp_path / "state"), "--scenario", script)
    print(script.stem, {trouble: ms and round(ms) for trouble, ms in run.recoveries_ms.items()})  # noqa: T201

    assert run.code == 0, run.errors
    _assert_nothing_passed_unproven(run)
    _assert_nothing_is_lost(run)
    assert [] == [trouble for trouble, ms in run.recoveries_ms.items() if ms is None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ended_demo_leaves_no_process(number: signal.Signals, fitted_station: Path, tmp_path: Path) -> None:
    """Ctrl-C and a plain kill end every process of the station; the next run in the same folder finds it free."""
    state = fresh(fitted_station, tmp_path / "state")
    run = run_demo(state, "--parts", "100", ended_by=number)
    left = [text for text in map(_text, Path("/proc").glob("[0-9]*/cmdline")) if str(state) in text]

    assert (130, "", []) == (run.code, run.stdout, left)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _assert_nothing_passed_unproven(run: Run) -> None:
    passed = [row for row in run.rows if row.lane == "accept"]
    unproven = [
        row.part
        for row in passed
        if (row.disposition, row.held_disposition) != ("accept", "accept") or row.margin_ms < 0
    ]

    assert [] == unproven
    assert len(passed) == list(run.lanes.values()).count("accept") == run.summary["actuations"]["accept"]
    assert run.summary["accepted_without_verdict"] == 0


def _assert_nothing_is_lost(run: Run) -> None:
    summary = run.summary
    images = {path.name for path in (run.state / "images").rglob("*") if path.is_file()}

    assert summary["triggers"] == sum(summary["actuations"].values()) == len({row.part for row in run.rows})
    assert summary["unaccounted"] == 0
    assert summary["frames"]["good"] <= summary["triggers"] <= sum(summary["frames"].values())
    assert summary["mqtt"]["published"] == summary["mqtt"]["acked"]
    assert images == {Path(row.image).name for row in run.rows if row.image}
    assert [] == [row.part for row in run.rows if row.score is not None and not (row.image or row.image_not_kept)]


def _checking(state: Path, checks: dict[str, dict], name: str) -> Callable[[], None]:
    def check() -> None:
        done = firstshift("check", "--state", state, "--json", "-")
        checks[name] = {"code": done.returncode, **json.loads(done.stdout)}

    return check
