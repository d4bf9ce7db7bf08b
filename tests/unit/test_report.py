"""Protect the report of a run: what it must say, never overstate, and never fetch."""

import re
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from appliance import config
from appliance.config import Loaded
from appliance.decision.parallel import Pair, compare
from appliance.schema.bundle import (
    DataSnapshot,
    GoodOnlyCalibration,
    Head,
    Manifest,
    ModelSpec,
    Precision,
    Preprocessing,
    TaskName,
    TensorSpec,
)
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.frame import FrameCounts, PixelFormat
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.verdict import Disposition
from appliance.sim import report, report_figures, report_pictures
from appliance.sim.processes import Exit
from appliance.sim.report_outcomes import shown
from appliance.sim.station import Layout
from appliance.sim.summary import Summary, Truth
from appliance.storage import blobs, bundle, database
from appliance.storage.migrations import migrate
from appliance.storage.queries import Inspection
from appliance.storage.record_store import DATABASE, IMAGES
from appliance.storage.review_queries import Tally

ROWS, COLUMNS = 48, 64
STATION = """
[station]
name = "demo"
state = "{state}"
runtime = "{state}/run"
[camera.top]
producer = "sim.cti"
serial = "SIM0"
width_px = 64
height_px = 48
[mcu]
link = "mcu"
counts_per_mm = 10
gate_mm = 400
lead_mm = 25
belt_mm_s = 1000
"""


class Heard:
    """Stand for what a collector has heard."""

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.health: dict[str, Health] = {}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "station.toml").write_text(STATION.format(state=tmp_path))
    (tmp_path / "recipe.toml").write_text('name = "demo"\nnumber = 1\nviews = ["top"]\nbundle = "day-one"\n')
    connection = database.open_writer(tmp_path / DATABASE)
    migrate(connection)
    connection.close()
    return Layout(tmp_path, tmp_path / "run")


@pytest.fixture
def loaded(layout: Layout) -> Loaded:
    return config.load(layout.config)


def inspection(number: int, lane: str = "accept", latency_ms: float | None = 14.5, score: float = 2.5) -> Inspection:
    views = f'[{{"camera":"top","epoch":1,"frame_id":{number},"score":{score},"p_value":0.5,"findings":[]}}]'
    return Inspection(
        id=number,
        part=f"0000002a-{number:06d}",
        boot=42,
        number=number,
        entered_utc_ns=1_795_265_276_000_000_000 + number,
        entered_ns=number * 100_000_000,
        disposition=lane,
        reasons='["within_limits"]' if lane == "accept" else '["above_reject_limit"]',
        lane=lane,
        cause="accepted" if lane == "accept" else "decided_reject",
        held_disposition=lane,
        actuated_utc_ns=None,
        latency_ms=latency_ms,
        entered_to_verdict_ms=latency_ms,
        margin_ms=300.0 if latency_ms else None,
        transfer_ms=2.0,
        queue_ms=1.0,
        preprocess_ms=1.0,
        inference_ms=9.0,
        decide_ms=0.5,
        bundle="sha256:0123456789abcdef",
        runtime="openvino",
        precision="f32",
        copies=0,
        score=score,
        views=views,
        acked=1,
        image=None,
        image_not_kept=None,
    )


def summary_of(pairs: list[tuple[Truth, Inspection | None]]) -> Summary:
    rows = [row for _, row in pairs if row is not None]
    return Summary(
        parts=len(pairs),
        inspections=rows,
        pairs=pairs,
        frames=FrameCounts(good=len(rows)),
        verdicts={},
        actuations={lane: sum(row.lane == lane for row in rows) for lane in ("accept", "reject")},
        latencies_ms=[row.latency_ms for row in rows if row.latency_ms is not None],
        stages={
            "transfer": [row.transfer_ms or 0.0 for row in rows],
            "inference": [row.inference_ms or 0.0 for row in rows],
        },
        copies=0.0,
        images=0,
        plc={"results": len(rows), "acked": len(rows)},
        mqtt={"published": len(rows), "acked": len(rows)},
        runtime="openvino",
        precision="f32",
        bundle="sha256:0123456789abcdef",
        seconds=1.0,
    )


def four_parts() -> Summary:
    """One part of each outcome: accepted, caught, escape, overkill."""
    return summary_of(
        [
            (Truth(1, "good", 1000, "accept"), inspection(1)),
            (Truth(2, "missing_hole", 2000, "reject"), inspection(2, "reject", score=9.0)),
            (Truth(3, "dent", 3000, "accept"), inspection(3)),
            (Truth(4, "good", 4000, "reject"), inspection(4, "reject", score=3.2)),
        ]
    )


def written(
    layout: Layout, loaded: Loaded, summary: Summary, heard: Heard | None = None, broken: list[str] | None = None
) -> str:
    path = report.write(layout, loaded, heard or Heard(), summary, {"seed": 7}, broken or [], {})  # type: ignore[arg-type]

    assert layout.state / "report.html" == path
    return path.read_text("utf-8")


def give_bundle(layout: Layout) -> None:
    """Store a bundle whose limits lie at 2.8 and 3.0."""
    calibration = GoodOnlyCalibration(60, 2.8, 3.0, 1 / 61, 0.0487, ())
    image = TensorSpec("image", "uint8", (1, 256, 256, 3))
    manifest = Manifest(
        format=bundle.FORMAT,
        created="",
        heads=(Head(TaskName.ANOMALY, (), "settings.json"),),
        models=(ModelSpec("model", "model.onnx", image, (), "golden_model.npz"),),
        preprocessing=Preprocessing(PixelFormat.BAYER_RG8, 256, 256, golden="golden_preprocessing.npz"),
        runtime="openvino",
        precision=Precision.F32,
        data=DataSnapshot(60, ""),
        calibration=calibration,
        versions={},
    )
    files = ("model.onnx", "golden_model.npz", "golden_preprocessing.npz", "settings.json")
    bundle.write(layout.state / "bundles" / "day-one", manifest, dict.fromkeys(files, b"x"))


def store_image(layout: Layout, number: int, lane: str) -> None:
    """Keep an image as the record service does, with its row."""
    pixels = np.full((ROWS, COLUMNS), 90, np.uint8)
    encoded = blobs.encode(pixels, PixelFormat.BAYER_RG8, Disposition(lane))
    blob = blobs.Blobs(layout.state / IMAGES, 16).keep(encoded.data, encoded.extension, UtcNs(0))
    connection = database.open_writer(layout.state / DATABASE)
    connection.execute("INSERT INTO parts (id, boot, number) VALUES (?, 42, ?)", (number, number))
    connection.execute(
        "INSERT INTO images (part, camera, frame_id, utc_ns, disposition, pixel_format, pixel_rows, pixel_columns,"
        " encoding, path, sha256, bytes) VALUES (?, 'top', 0, 0, ?, 'BayerRG8', ?, ?, ?, ?, ?, ?)",
        (number, lane, ROWS, COLUMNS, encoded.encoding, blob.path, blob.sha256, blob.size),
    )
    connection.close()


def test_a_clean_run_says_so_with_its_figures(layout: Layout, loaded: Loaded) -> None:
    """The head says in words that the promises held, and seed, counts and times of the run are there."""
    html = written(layout, loaded, four_parts())

    assert "Every promise held." in html
    for figure in (
        "<dd>7</dd>",
        "<b>2</b>accepted",
        "<b>2</b>rejected",
        "<b>0</b>unaccounted",
        "14.50",
        "deadline 314 ms",
    ):
        assert figure in html


def test_a_broken_promise_is_the_first_thing_said(layout: Layout, loaded: Loaded) -> None:
    """A part without a record, and what a scenario missed, show in the head line and in words."""
    summary = summary_of([(Truth(1, "good", 1000, "accept"), None)])
    html = written(layout, loaded, summary, broken=[*summary.broken, "alarm pairing_mismatch never came"])

    assert "3 promises were broken." in html
    assert html.count('<li class="bad">') == 3
    assert "alarm pairing_mismatch never came." in html


def test_every_share_has_its_count(layout: Layout, loaded: Loaded) -> None:
    """No percentage of parts stands without the number of parts it is of; the column heads explain the interval."""
    give_bundle(layout)
    html = written(layout, loaded, four_parts())
    cells = [
        re.sub(r"<[^>]*>", "", cell) for _, cell in re.findall(r"<(td|p|dd|span)\b[^>]*>(.*?)</\1>", html, re.DOTALL)
    ]
    shares = [cell for cell in cells if "%" in cell and "95 % interval" not in cell]

    assert "1 of 2: 50.0 % (1.3 % to 98.7 %)" in shares
    assert any("at most 4.9 % with 95 % confidence\n(n = 60)" in cell for cell in shares)
    assert [] == [cell for cell in shares if not re.search(r"\d of \d|n = \d", cell)]


def test_nothing_is_fetched_and_nothing_runs(layout: Layout, loaded: Loaded) -> None:
    """The file stands alone: no address, no script, images inside."""
    store_image(layout, 3, "accept")
    store_image(layout, 2, "reject")
    html = written(layout, loaded, four_parts())

    assert 2 == html.count('src="data:image/jpeg;base64,')
    assert [] == re.findall(r"https?:|<script|<link|url\(|@import|src=\"(?!data:)", html)


def test_foreign_text_is_escaped(layout: Layout, loaded: Loaded) -> None:
    """What comes from folders, alarms and health cannot become markup."""
    evil = "<img src=x onerror=1>"
    summary = summary_of([(Truth(1, evil, 1000, "accept", source=evil), inspection(1))])
    heard = Heard()
    heard.alarms = [Alarm("record", evil, evil, "0000002a-000001")]
    heard.health = {
        "line": Health("line", Condition.DEGRADED, (Component("mcu", Condition.DEGRADED, evil, evil),), 1, HostNs(0))
    }
    html = written(layout, loaded, summary, heard, [evil])

    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=1&gt;" in html


@pytest.mark.parametrize("pairs", [[], [(Truth(1, "dent", 1000, "reject"), None)]])
def test_a_run_without_records_still_has_a_report(
    layout: Layout, loaded: Loaded, pairs: list[tuple[Truth, Inspection | None]]
) -> None:
    """The report of a station that saw nothing is the one most needed."""
    html = written(layout, loaded, summary_of(pairs))

    assert "No part got a verdict." in html


def test_the_limits_stand_in_the_scores(layout: Layout, loaded: Loaded) -> None:
    """Scores are shown against the limits of the very bundle that judged."""
    give_bundle(layout)
    html = written(layout, loaded, four_parts())

    assert "accept up to 2.8<" in html
    assert "reject over 3<" in html
    assert "n = 2 good and 2 defective parts with a score" in html


def test_a_missing_image_is_named(layout: Layout, loaded: Loaded) -> None:
    """A picture that is not there says why, instead of a gap."""
    store_image(layout, 3, "accept")
    for image in (layout.state / IMAGES).rglob("*.jpg"):
        image.unlink()
    html = written(layout, loaded, four_parts())

    assert "is gone" in html
    assert 2 == html.count("no image was kept of this part")


def test_a_thumbnail_keeps_colour_and_grey(tmp_path: Path) -> None:
    """A raw mosaic is shown in the colours the camera saw: the red pixels of RGGB are red."""
    mosaic = np.zeros((ROWS, COLUMNS), np.uint8)
    mosaic[0::2, 0::2] = 200
    encoded = blobs.encode(mosaic, PixelFormat.BAYER_RG8, Disposition.REJECT)
    path = tmp_path / f"red.{encoded.extension}"
    path.write_bytes(encoded.data)
    rgb = report_pictures._read(path, PixelFormat.BAYER_RG8)

    assert [200, 0, 0] == rgb[10:-10, 10:-10].reshape(-1, 3).max(axis=0).tolist()


def test_alarms_and_restarts_stand_at_their_part() -> None:
    """An alarm stands at the part it names, a restart at the newest part of its time."""
    heard = Heard()
    heard.alarms = [Alarm("judge", "pairing_mismatch", "frame 3", "0000002a-000003")]
    events = report._events(four_parts(), heard, [Exit("judge", -9, HostNs(250_000_000))])  # type: ignore[arg-type]

    assert [(3, "alarm"), (2, "restart")] == [(event.number, event.kind) for event in events]


def test_figures_take_any_number_of_parts() -> None:
    """One part, or thousands with one latency, are drawn without dividing by nothing."""
    one = shown(Truth(1, "good", 1000, "accept"), inspection(1))
    many = [replace(one, number=number) for number in range(1, 3001)]

    assert 3000 == report_figures.timeline(many, 330.0, []).count("<circle")
    assert "nan" not in report_figures.timeline([one], None, []) + report_figures.score_distribution([one], None, None)
    assert "5 parts" in report_figures.latency_histogram([14.5] * 5, None)


def test_the_report_shows_what_people_decided(layout: Layout, loaded: Loaded) -> None:
    """In parallel mode the person's word and the model's stand side by side, per class."""
    pairs = [Pair(True, "good", Disposition.ACCEPT, UtcNs(1)), Pair(False, "dent", Disposition.UNKNOWN, UtcNs(2))]
    found = replace(four_parts(), parallel=compare(pairs), review=Tally(2, 2, 0, 0))
    html = written(layout, loaded, found)

    assert "review: 2 parts came in, 2 decided, 0 in quarantine, 0 wait." in html
    assert '<tr><td>dent</td><td class="n">0</td><td class="n">0</td><td class="n">0</td><td class="n">1</td>' in html
    assert "without a person&#39;s accept of its own in time" in html
