"""The maintenance screen, touched by a finger: it shows what is, changes no camera, and moves nothing by accident."""

from collections.abc import Iterator

import numpy as np
import pytest
from msgspec.structs import replace
from PySide6.QtCore import QPointF

from appliance.outputs.plc import registers
from appliance.schema.command import (
    Accepted,
    BeginTests,
    EndTests,
    NoteDeed,
    RefusedReply,
    TriedOutput,
    TryOutput,
)
from appliance.schema.line import LineState
from appliance.sim import hmi_wires
from appliance.sim.hmi_history import SIZE
from appliance.sim.hmi_station import PINS, sample_desk, sample_station
from hmi import app
from hmi.screens.maintenance import plc_names, saying
from hmi.screens.maintenance import view as maintenance
from hmi.screens.maintenance.camera_aid import advice
from hmi.words import PSEUDO
from tests.hmi.hmi_rig import LANGUAGES, SIZES, Rig, px_per_mm
from tests.hmi.looks import contrasts, faults
from tests.hmi.maintenance_rig import Bench

MOVES = (BeginTests, TryOutput, EndTests)


@pytest.fixture
def bench() -> Iterator[Bench]:
    app.application()
    with sample_station() as sample:
        desk = sample_desk(sample, app.words_of("en"))
        try:
            with Rig() as rig:
                yield Bench(rig, sample, desk)
        finally:
            desk.close()


def test_over_exposure_is_striped_and_the_value_to_set_is_named(bench: Bench) -> None:
    """White pixels are striped, the key of the station file and its value are said, and no unit is asked anything."""
    stage = bench.open("camera")
    pixels = np.full((SIZE[1], SIZE[0]), 90, np.uint8)
    pixels[100:400, 100:400] = 255
    bench.sample.frame(pixels)
    bench.sample.clock.advance(1)
    bench.settle()
    [zebra] = [item for item in stage.items() if "ZebraLayer" in item.metaObject().className()]
    shown = stage.view.property("shown")
    scale = zebra.width() / SIZE[0]
    left, top = (round(scale * 150 + at) for at in (zebra.mapToScene(QPointF()).x(), zebra.mapToScene(QPointF()).y()))
    striped = stage.grab()[top : top + 40, left : left + 40]

    assert not stage.view.property("zebra").isNull()
    assert {0, 255} == set(np.unique(striped).tolist())
    assert "Set camera.top.exposure_us = 500 (now 1000)" == shown["exposure"]
    assert all(row["bad"] for row in stage.view.property("channels"))
    assert [] == bench.wishes()


def test_the_bar_holds_the_best_focus(bench: Bench) -> None:
    """A blurred picture shows less than the sharpest since the peak was begun; beginning anew forgets it."""
    stage = bench.open("camera")
    sharp = bench.sample.picture(0)
    soft = sharp.copy()
    for _ in range(4):  # a box over whole quads blurs each colour by itself
        soft = (
            (soft.astype(np.uint16) + np.roll(soft, 2, 0) + np.roll(soft, 2, 1) + np.roll(soft, (2, 2), (0, 1))) // 4
        ).astype(np.uint8)
    shares = []
    for pixels in (sharp, soft):
        bench.sample.frame(pixels)
        bench.sample.clock.advance(1)
        bench.settle()
        shares.append(stage.view.property("shown")["focus"])
    bench.touch("Begin best anew")

    assert 2 * shares[1] < shares[0] > 0.9
    assert 1.0 == stage.view.property("shown")["focus"]


def test_a_reference_is_kept_and_audited(bench: Bench) -> None:
    """Who called the camera right, and when, is shown, outlives the screen and stands in the audit chain."""
    stage = bench.open("camera")
    bench.touch("Keep as reference")
    notes = [wish.deed for _, wish in bench.sample.link.asked if isinstance(wish, NoteDeed)]
    bench.settle()
    again = maintenance.MaintenanceView(bench.desk)

    assert [(bench.who, "top")] == [(deed.actor, deed.subject) for deed in notes if "reference" in deed.action]
    assert "100\u00a0% of the reference" == stage.view.property("shown")["focusKept"]
    assert {"top"} == set(again._references)


@pytest.mark.parametrize(
    ("strobe", "factor", "key", "wish"),
    [
        (0, 0.5, "exposure_us", 500),
        (200, 2.0, "strobe_us", 400),
        (0, 1.0, "exposure_us", 1000),
        (0, 0.0001, "exposure_us", 1),
    ],
)
def test_the_shorter_of_lamp_and_shutter_sets_the_light(
    bench: Bench, strobe: int, factor: float, key: str, wish: float
) -> None:
    """The value advised lies within what the station file takes, and is that of the lamp where the lamp is shorter."""
    camera = replace(bench.desk.loaded.config.camera["top"], strobe_us=strobe, exposure_us=1000.0)
    found = advice("top", camera, 1000.0, factor)

    assert (f"camera.top.{key}", wish, wish / 1000) == (found.key, found.wish, found.blur_mm)


def test_plc_names_are_those_of_the_registers() -> None:
    """The touchscreen names each word and bit as the table does that the PLC is served by."""
    tables = (plc_names.STATUS, registers.STATUS), (plc_names.CONTROL, registers.CONTROL)
    camel = {
        "StatusBits": registers.StatusBit,
        "StatusBits2": registers.StatusBit2,
        "ControlBits": registers.ControlBit,
    }
    bits = {
        name: {1 << number: bit.upper() for number, bit in enumerate(found) if bit}
        for name, found in plc_names.BITS.items()
    }

    assert all(mine == tuple((one.name, one.type.words) for one in theirs) for mine, theirs in tables)
    assert bits == {name: {bit.value: str(bit.name).replace("_", "") for bit in kind} for name, kind in camel.items()}


def test_signals_say_what_the_words_say() -> None:
    """Bits one by one, wide values put together; a block of another length says nothing."""
    found = {item.name: item.value for item in plc_names.signals(hmi_wires.STATUS, plc_names.STATUS)}

    assert (1, 1, 0, 770) == tuple(found[name] for name in ("Online", "Busy", "Pass", "EnteredNumber"))
    assert [] == list(plc_names.signals((1, 2, 3), plc_names.STATUS))


def test_an_input_that_moved_is_marked(bench: Bench) -> None:
    """A hand before the part sensor shows within a tick, by a mark and not by its colour alone, and for a second."""
    stage = bench.open("wires")
    line = bench.desk.state.line
    assert line is not None
    bench.line(wires=replace(line.wires, parts=9999))
    marked = [row["name"] for row in stage.view.property("wires") if row["moved"]]
    bench.sample.clock.advance(1.1)
    bench.settle()

    assert ["parts"] == marked
    assert "9,999" in stage.texts()
    assert [] == [row["name"] for row in stage.view.property("wires") if row["moved"]]


def test_a_silent_line_shows_no_wires(bench: Bench) -> None:
    """What is old is not shown as if it were now."""
    stage = bench.open("wires")
    bench.sample.silent.add("line")
    bench.sample.advance(5)
    bench.settle()

    assert {"-"} == {row["value"] for row in stage.view.property("wires")}
    assert [] == stage.view.property("plc")


def test_trying_outputs_takes_reason_and_pin(bench: Bench) -> None:
    """Nothing is asked of the line before a reason and the right PIN; the wish then names person and reason."""
    stage = bench.open("wires")
    bench.touch("Try outputs", "Gate does not move")
    bench.pin("0000")
    wrong = bench.wishes()
    bench.pin(PINS[bench.who])

    assert [] == wrong
    assert [BeginTests(bench.who, "Gate does not move")] == bench.wishes()
    assert "" == stage.view.property("shown")["panel"]


def test_outputs_are_tried_by_who_holds_the_line(bench: Bench) -> None:
    """Each key asks for its own output, once per tap; leaving the screen gives the line back."""
    stage = bench.open("wires")
    bench.line(tested_by=bench.who)
    stage.view._began_by = bench.who
    bench.touch("Gate to accept", "Camera and lamp: top", "Run permit")
    tried = bench.wishes()
    bench.touch("Run")

    assert [TriedOutput.GATE_ACCEPT, TriedOutput.CAMERA0, TriedOutput.RUN_PERMIT] == [wish.output for wish in tried]
    assert {bench.who} == {wish.actor for wish in tried}
    assert EndTests(bench.who) == bench.wishes()[-1]


def test_nobody_tries_under_another_name(bench: Bench) -> None:
    """Where another person holds the line the output keys are off; that person is named, and the tests can be ended."""
    stage = bench.open("wires")
    bench.line(tested_by="m-else", test="camera0 for 1 ms")
    bench.touch("Gate to accept")
    stage.view.tryOutput("gate_accept")
    bench.settle()
    assert [] == bench.wishes()
    bench.touch("End the tests")

    assert [EndTests(bench.who)] == bench.wishes()
    assert any("m-else" in text and "camera0 for 1 ms" in text for text in stage.texts())


def test_without_the_right_nothing_moves(bench: Bench) -> None:
    """An operator reaches neither keys nor slots: no wish leaves, and no check runs."""
    bench.open("wires", "operator")
    view = maintenance.MaintenanceView(bench.desk)
    bench.line(tested_by=bench.who)
    for act in (view.holdLine, lambda: view.tryOutput("gate_accept"), view.check, view.keepReference):
        act()
    view.reason("x")
    view.give(PINS[bench.who])
    bench.desk.settle()

    assert [] == [wish for wish in bench.wishes() if isinstance(wish, MOVES)]
    assert (False, False) == (view._check.running, bench.desk.session.may(maintenance.Right.TEST_MACHINE))


def test_a_refusal_is_shown_in_the_lines_words(bench: Bench) -> None:
    """The line has the last word, and its remedy stands on the screen."""
    stage = bench.open("wires")
    bench.sample.link.answer = lambda unit, _: (
        RefusedReply("a part is between sensor and gate; let the belt run empty") if unit == "line" else Accepted()
    )
    bench.touch("Try outputs", "After a repair")
    bench.pin(PINS[bench.who])

    assert any("let the belt run empty" in text for text in stage.texts())


def test_a_silent_service_is_named_with_its_remedy(bench: Bench) -> None:
    """Silence is a state with a word and a shape, and the command that restarts it."""
    stage = bench.open("services")
    bench.sample.silent.add("judge")
    bench.sample.advance(5)
    bench.settle()
    [first, *_] = stage.view.property("services")

    assert ("judge", "silent", "systemctl restart firstshift-judge") == (first["name"], first["state"], first["remedy"])
    assert all(row["value"] for row in stage.view.property("machine"))


def test_every_word_of_the_tables_is_translated() -> None:
    """Texts of tables are no literals of `tr`; the list of them is whole."""
    used = {
        *(text for text, _ in maintenance.TABS.values()),
        *maintenance.REASONS,
        *saying.WORD.values(),
        saying.SILENT,
        *saying.COLOUR.values(),
        *(text for pair in saying.OUTPUT.values() for text in pair),
        *(caption for caption, _ in saying.FIELDS),
        *saying.COMPUTER,
    }

    assert used == set(saying.SAYS)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", [*maintenance.TABS, "held", "reason", "words", "confirm"])
def test_no_page_is_cut(bench: Bench, page: str, size: str) -> None:
    """Every page fits in every language and 40 % longer, the keys of outputs and the panels too."""
    tab = page if page in maintenance.TABS else "wires"
    stage = bench.open(tab, size=size)
    if page == "held":
        bench.line(
            tested_by=bench.who, test="gate_accept for 400 ms: refused, 3600 counts until the belt has run empty"
        )
    elif page != tab:
        stage.view.holdLine()
        if page != "reason":
            stage.view.reason("" if page == "words" else "After a repair")
    if page == "camera":
        bench.sample.frame(np.full((SIZE[1], SIZE[0]), 255, np.uint8))
        bench.sample.clock.advance(1)
    found = {}
    for language in (*LANGUAGES, PSEUDO):
        bench.desk.words.use(language)
        bench.settle()
        stage.settle()
        found[language] = faults(stage, px_per_mm(size))

    assert {} == {language: said for language, said in found.items() if said}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_can_be_read(bench: Bench, theme: str) -> None:
    """Letters of every page stand out 4.5 : 1 from what is behind them, warnings and keys that are off among them."""
    stage = bench.open("wires", theme=theme)
    bench.line(tested_by="m-else", test="camera0 for 1 ms")
    faint = []
    for tab in maintenance.TABS:
        stage.view.openTab(tab)
        bench.settle()
        faint += [f"{tab} {ratio:.2f} {text}" for ratio, text in contrasts(stage) if ratio < 4.5]

    assert [] == faint


def test_the_state_of_the_line_carries_no_more_than_before_where_nothing_is_told() -> None:
    """The new fields have defaults: a station whose line is older is read."""
    fields = {"wires": None, "control": (), "tested_by": "", "test": ""}
    defaults = dict(
        zip(
            LineState.__struct_fields__[-len(LineState.__struct_defaults__) :],
            LineState.__struct_defaults__,
            strict=True,
        )
    )

    assert fields == {name: defaults[name] for name in fields}


def test_leaving_gives_the_line_back_whoever_is_there_by_then(bench: Bench) -> None:
    """A session that was locked meanwhile leaves no line held: the tests end in the name of who began them."""
    bench.open("wires")
    bench.touch("Try outputs", "After a repair")
    bench.pin(PINS[bench.who])
    bench.line(tested_by=bench.who)
    bench.desk.session.sign_out()
    bench.settle()

    assert EndTests(bench.who) == bench.wishes()[-1]
