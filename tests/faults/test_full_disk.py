"""Fill the disk under a running station: rows wait, images are left out, the line goes on, nothing is half written."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.check.units import listen
from appliance.config import load
from appliance.schema.health import Condition
from tests.faults.station_rig import fresh, lines, run_demo

PARTS = 90
SIZE = "24m"
ELSEWHERE = ("bundles", "logs", "broker")
FILES_ELSEWHERE = ("truth.jsonl", "physical.jsonl", "plc.jsonl", "report.html")
"""Not the station's own: the world's notes, and what the demo needs to tell of the run."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system of 24 MB, less than any image may be kept on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", disk],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system of its own can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_stops_no_part_and_is_made_up_for(small_disk: Path, fitted_station: Path, tmp_path: Path) -> None:
    """While the disk is full `record` names the fault and holds the facts; with room again each part has its row."""
    elsewhere = fresh(fitted_station, tmp_path / "elsewhere")
    for name in ELSEWHERE:
        (elsewhere / name).mkdir(exist_ok=True)
    for name in (*ELSEWHERE, *FILES_ELSEWHERE):
        (small_disk / name).symlink_to(elsewhere / name)
    told: list[str] = []
    run = run_demo(small_disk, "--parts", str(PARTS), once_running=lambda: _fill_for_a_while(small_disk, told))
    summary = run.summary

    assert [] != told, (elsewhere / "logs" / "record.log").read_text()
    assert (run.code, []) == (0, [item.line for item in run.said if "started again" in item.line]), run.errors
    assert summary["rows"] == {"inspections": PARTS, "images": 0}
    assert summary["unaccounted"] == summary["accepted_without_verdict"] == 0
    assert summary["plc"] == {"results": PARTS, "acked": PARTS}
    assert summary["mqtt"]["published"] == summary["mqtt"]["acked"] >= PARTS
    assert {"accept", "reject"} == {item["lane"] for item in lines(elsewhere / "physical.jsonl")}
    assert [] == [path for path in (small_disk / "images").rglob("*") if path.is_file()]
    assert [] == [row.part for row in run.rows if "min_free_mb" not in (row.image_not_kept or "")]


def _fill_for_a_while(disk: Path, told: list[str]) -> None:
    """Fill the disk to its last byte, wait until `record` says so, and free it again."""
    ballast = disk / "ballast"
    runtime = load(disk / "station.toml").runtime
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    until = time.monotonic() + 6.0
    while not told and time.monotonic() < until:
        health = listen(runtime, ("record",), 1.2).get("record")
        told += [
            item.cause
            for item in (health.components if health else ())
            if (item.name, item.condition) == ("database", Condition.FAILED)
        ]
    ballast.unlink()
