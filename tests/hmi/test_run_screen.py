"""What stands on the run screen is the part that it says; silence and age are said; the line obeys who may ask."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.hmi.hmi_rig import Stage, px_per_mm  # isort: skip  # sets the platform before Qt is imported
from msgspec.structs import replace

from appliance.imaging.heat import values
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks, S
from appliance.schema.command import PurgeDone, RefusedReply, ResetFault, StartJob, StopJob
from appliance.schema.line import JobMode
from appliance.schema.part import PartEntered, PartId
from appliance.schema.policy import Mode
from appliance.schema.verdict import Disposition, Reason, Verdict
from appliance.sim.hmi_station import Sample
from hmi.screens.run.layers import MOST_ALPHA
from hmi.screens.run.remembered import Layers, recall
from hmi.words import PSEUDO
from tests.hmi.looks import faults
from tests.hmi.run_rig import (
    Open,
    asked,
    front_picture,
    hold,
    later,
    on_screen,
    open_sheet,
    opened,
    said,
    state_of,
    steady,
)  # isort: skip

__all__ = ["opened"]


def test_a_part_of_the_strip_is_held_until_live(opened: Open) -> None:
    """A tap holds that part with its own picture and answer; the part at the line comes back by Live."""
    sample, stage = opened()
    newest = said(stage, "verdict")["detail"]
    entry = said(stage, "strip")[2]
    stage.touch("strip2")
    steady(stage)
    held = said(stage, "verdict")["detail"]
    later(sample, stage, 5)
    still = said(stage, "picture")
    stage.touch("Live")
    steady(stage)

    assert (entry["number"], False) == (held, still["stale"])
    assert entry["source"] == still["sources"][still["front"]]
    assert newest == said(stage, "verdict")["detail"]


def test_old_pictures_are_shown_as_old(opened: Open) -> None:
    """Older than a second: dimmed, with the word and the age; within it not."""
    sample, stage = opened()
    sample.frame(sample.picture(0))
    steady(stage)
    fresh = said(stage, "picture")["stale"]
    later(sample, stage, 0.9)
    still = said(stage, "picture")["stale"]
    later(sample, stage, 3)

    assert (False, False) == (fresh, still)
    assert (True, "Old picture: 3 s") == (said(stage, "picture")["stale"], said(stage, "picture")["age"])
    assert any("Old picture" in text for text in stage.texts())


@pytest.mark.parametrize(
    ("unit", "mode", "meaning"),
    [
        ("judge", Mode.PRIMARY, "Every part is rejected."),
        ("line", Mode.PRIMARY, "The gate rejects every part by itself."),
        ("record", Mode.PRIMARY, "Nothing is stored; your answers wait here until it is back."),
        ("record", Mode.PARALLEL, "Nobody's decision can be taken: every part is rejected."),
        ("acquire@top", Mode.PRIMARY, "Its picture is missing: every part is rejected."),
    ],
)
def test_an_absent_service_is_named_with_what_it_means(opened: Open, unit: str, mode: Mode, meaning: str) -> None:
    """Silence is never taken for health: after three seconds it is said, and it goes when the unit is back."""
    sample, stage = opened(mode)
    sample.silent.add(unit)
    later(sample, stage, 4)
    told = [one["text"] for one in said(stage, "notices")]
    sample.silent.clear()
    later(sample, stage, 1)

    assert f"{unit} does not answer. {meaning}" in told
    assert not any("does not answer" in one["text"] for one in said(stage, "notices"))


def test_the_strip_moves_once_a_second_and_tells_news_at_once(opened: Open) -> None:
    """A part stays under the finger while others come; what became of it is never held back."""
    sample, stage = opened()
    later(sample, stage, 2)
    now = sample.clock.now()
    newest = stage.desk.state.parts[0].part
    pages = []
    for step in range(1, 4):
        part = PartId(newest.boot, newest.number + step)
        order = (now, 1000, McuTicks(0), EncoderCounts(0), HostNs(now + S))
        sample.link.say(PartEntered(part, *order, ("top",)))
        if step == 2:
            verdict = (Disposition.REJECT, (Reason.RULE_BROKEN,), now, now, 9000)
            sample.link.say(Verdict(PartId(newest.boot, newest.number + 1), *verdict))
        stage.tick()
        pages.append([(one["number"], one["state"]) for one in said(stage, "strip")[:1]])
    later(sample, stage, 1.1)
    names = [f"Part {newest.number + step}" for step in (1, 3)]

    assert [[(names[0], "")], [(names[0], "reject")], [(names[0], "reject")]] == pages
    assert names[1] == said(stage, "strip")[0]["number"]


def test_layers_are_switched_and_remembered(opened: Open) -> None:
    """What a person switched off stays off, over a restart too."""
    sample, stage = opened()
    stage.touch("Heat map")
    stage.touch("Names")

    assert (False, True, False) == tuple(said(stage, "picture")[name] for name in ("heat", "marks", "text"))
    assert Layers(heat=False, marks=True, text=False) == recall(sample.loaded.state)


@pytest.mark.parametrize("content", [b"", b"{", b'{"heat": 3}', b'{"other": true}'])
def test_a_damaged_choice_costs_the_choice_alone(tmp_path: Path, content: bytes) -> None:
    """Half a file after a power cut is no reason not to start."""
    (tmp_path / "hmi").mkdir()
    (tmp_path / "hmi" / "run.json").write_bytes(content)

    assert Layers() == recall(tmp_path)


def test_the_heat_map_lies_where_the_model_saw_it(opened: Open) -> None:
    """Pixels read back: the hottest place changed towards the one hue, by no more than its cover, and little else."""
    _, stage = opened()
    view = hold(stage, Disposition.REJECT)
    stage.touch("Outlines")
    stage.touch("Names")
    steady(stage)
    hot = stage.grab().astype(int)
    stage.touch("Heat map")
    steady(stage)
    cold = stage.grab().astype(int)
    heat = view.heat
    cells = values(heat)
    row, col = divmod(int(cells.argmax()), heat.columns)
    x = heat.window.x_px + (col + 0.5) * heat.window.width_px / heat.columns
    y = heat.window.y_px + (row + 0.5) * heat.window.height_px / heat.rows
    at_x, at_y = on_screen(stage, x, y)
    shift = hot[at_y, at_x] - cold[at_y, at_x]
    hue = np.array([0xFF, 0x5A, 0x00])
    cover = MOST_ALPHA * cells.max() / 255

    assert np.abs(shift).sum() > 60
    assert np.abs(shift - cover * (hue - cold[at_y, at_x])).max() < 0.25 * 255
    assert 0 < np.abs(hot - cold).any(axis=2).mean() < 0.5


def test_an_outline_lies_on_its_finding(opened: Open) -> None:
    """Pixels read back: the mark's colour stands at a corner of the finding's outline, at 1 : 1 too."""
    _, stage = opened()
    view = hold(stage, Disposition.REJECT)
    stage.touch("Heat map")
    stage.touch("Names")
    (finding, *_) = view.findings
    corner = finding.polygon[0] if finding.polygon else (finding.box.x_px, finding.box.y_px)
    for zoomed in (False, True):
        if zoomed:
            stage.touch("Picture pixel for pixel")
            front = front_picture(stage)
            front.setProperty("panX", corner[0])
            front.setProperty("panY", corner[1])
        steady(stage)
        x, y = on_screen(stage, *corner)
        near = stage.grab()[y - 3 : y + 4, x - 3 : x + 4].astype(int)

        assert (np.abs(near - [0xFF, 0xB0, 0x00]).sum(axis=2) < 60).any(), zoomed


def test_what_was_found_is_never_drawn_over_another_picture(opened: Open) -> None:
    """While the picture of the part is still being made, nothing of what was found in it shows."""
    _, stage = opened()
    hold(stage, Disposition.REJECT)
    own = said(stage, "picture")["own"]
    other = next(one for one in said(stage, "strip") if not one["chosen"])
    stage.view.freeze(other["part"])

    assert (True, False) == (own, said(stage, "picture")["own"])


def test_the_line_is_started_and_stopped_by_who_may(opened: Open) -> None:
    """Start where it stands, stop where it runs, in the person's own name."""
    sample, stage = opened(role="operator")
    open_sheet(stage)
    stage.touch("Stop")
    sample.link.say(state_of(sample, JobMode.IDLE))
    steady(stage)
    stage.touch("Start")

    assert [StopJob("o-anna"), StartJob(single=False, actor="o-anna")] == asked(sample)


def test_a_purge_needs_its_reason(opened: Open) -> None:
    """The belt is said to be empty only with a reason, which goes into the audit chain."""
    sample, stage = opened(role="operator")
    sample.link.say(state_of(sample, JobMode.CONTINUOUS, sync_lost=True))
    steady(stage)
    open_sheet(stage)
    stage.touch("The belt is empty")
    before = asked(sample)
    stage.touch("After a jam")
    stage.touch("The belt is empty")
    steady(stage)
    reasons = [wish.deed.after for _, wish in sample.link.asked if type(wish).__name__ == "NoteDeed"]

    assert [] == before
    assert [PurgeDone("o-anna")] == asked(sample)
    assert "After a jam" in reasons


def test_a_reset_needs_the_right(opened: Open) -> None:
    """An operator has not the right to release a latched fault; a shift lead has, with a reason."""
    found = {}
    for role in ("operator", "lead"):
        sample, stage = opened(role=role)
        sample.link.say(state_of(sample, JobMode.HALTED))
        steady(stage)
        open_sheet(stage)
        stage.touch("Cause removed")
        stage.touch("Reset the fault")
        stage.view.reset("Cause removed") if role == "operator" else None
        found[role] = asked(sample)

    assert {"operator": [], "lead": [ResetFault("l-clara")]} == found


def deciding(sample: Sample, stage: Stage) -> None:
    later(sample, stage, 1)


def choosing(sample: Sample, stage: Stage) -> None:
    later(sample, stage, 1)
    stage.touch("defect")


def refused(sample: Sample, stage: Stage) -> None:
    sample.link.answer = lambda _unit, _command: RefusedReply("part 700: decided already by o-ben at 10:23; look again")
    later(sample, stage, 1)
    stage.touch("good")
    sample.silent.update(("judge", "record", "publish"))
    later(sample, stage, 4)


def holding(sample: Sample, stage: Stage) -> None:
    stage.touch("strip2")
    sample.silent.update(("judge", "line"))
    later(sample, stage, 4)


def purging(sample: Sample, stage: Stage) -> None:
    sample.link.say(state_of(sample, JobMode.CONTINUOUS, sync_lost=True))
    steady(stage)
    open_sheet(stage)


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        (Mode.PARALLEL, deciding),
        (Mode.PARALLEL, choosing),
        (Mode.PARALLEL, refused),
        (Mode.PRIMARY, holding),
        (Mode.PRIMARY, purging),
    ],
    ids=["deciding", "choosing", "refused", "holding", "purging"],
)
def test_no_state_of_the_screen_cuts_a_text(opened: Open, mode: Mode, state: Callable[[Sample, Stage], None]) -> None:
    """Whatever happens, every text fits its room in the longest languages, and keys are large and apart."""
    sample, stage = opened(mode, "operator")
    state(sample, stage)
    found = {}
    for language in ("en", "de", "ar", PSEUDO):
        stage.desk.words.use(language)
        steady(stage)
        # Under an open sheet lie keys that nobody can touch; they are no neighbours of its own.
        seen = faults(stage, px_per_mm("1280x800"))
        found[language] = [one for one in seen if state is not purging or "apart" not in one]

    assert {} == {language: said for language, said in found.items() if said}


def test_several_cameras_have_a_key_each(opened: Open) -> None:
    """Each view of the recipe can be looked at; one without a picture says so, and shows no other's marks."""
    sample, stage = opened()
    desk = stage.desk
    loaded = desk.loaded
    desk.loaded = replace(loaded, recipe=replace(loaded.recipe, views=("top", "side")))
    steady(stage)
    stage.touch("side")
    steady(stage)
    later(sample, stage, 1)

    assert ["top", "side"] == [one["name"] for one in said(stage, "picture")["cameras"]]
    assert ("side", []) == (said(stage, "picture")["camera"], said(stage, "marks"))
    assert (True, "No picture yet") == (said(stage, "picture")["stale"], said(stage, "picture")["age"])


def test_an_empty_station_says_what_will_stand_where(opened: Open) -> None:
    """Before the first part the screen is whole, and promises nothing."""
    sample, stage = opened()
    stage.desk._fold._parts.clear()
    later(sample, stage, 1.5)

    assert ("No part yet", "") == (said(stage, "verdict")["detail"], said(stage, "verdict")["state"])
    assert "The last parts will stand here." in stage.texts()
