"""Protect gloved fingers and tired eyes: no text is cut in any language, keys are large and apart, all can be read."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from PySide6.QtQuick import QQuickItem

from appliance.cli_hmi import sample
from appliance.schema.policy import Mode
from hmi import app
from hmi.shell import INSTALLED
from hmi.theme import DARK, EDGES, GREEN, LIGHT, PAIRS, contrast
from hmi.words import PSEUDO
from tests.hmi.hmi_rig import LANGUAGES, SIZES, Rig, px_per_mm
from tests.hmi.looks import contrasts, faults

SEEN = [(screen.name, size) for screen in INSTALLED for size in SIZES]


@pytest.fixture
def desks() -> Iterator[Callable[[str], Any]]:
    """Open desks over sample stations, with somebody signed in who may see the screen."""
    app.application()
    with ExitStack() as stack:
        yield lambda screen: stack.enter_context(sample(app.words_of("en"), screen))


@pytest.mark.parametrize(("screen", "size"), SEEN)
def test_nothing_is_cut_or_too_small(desks: Any, screen: str, size: str) -> None:
    """Every text fits its room in every language, 40 % longer ones included; keys are 16 or 25 mm and 4 mm apart."""
    desk = desks(screen)
    with Rig() as rig:
        stage = rig.open(screen, desk, size=size)
        for _ in range(3):
            desk.settle()
            stage.tick()
        found = {}
        for language in (*LANGUAGES, PSEUDO):
            desk.words.use(language)
            stage.tick(2)
            stage.settle()
            found[language] = faults(stage, px_per_mm(size))

    assert {} == {language: said for language, said in found.items() if said}


@pytest.mark.parametrize("screen", [screen.name for screen in INSTALLED])
def test_nothing_is_cut_in_parallel_mode(screen: str) -> None:
    """The banner takes its strip from every screen, and each still fits the smaller panel and can be read."""
    app.application()
    with sample(app.words_of("en"), screen, Mode.PARALLEL) as desk, Rig() as rig:
        stage = rig.open(screen, desk)
        for _ in range(3):
            desk.settle()
            stage.tick()
        faint = [text for ratio, text in contrasts(stage) if ratio < 4.5]
        found = {}
        for language in ("de", "ar", PSEUDO):
            desk.words.use(language)
            stage.tick(2)
            found[language] = faults(stage, px_per_mm("1280x800"))

    assert [] == faint
    assert {} == {language: said for language, said in found.items() if said}


@pytest.mark.parametrize("screen", [screen.name for screen in INSTALLED])
def test_nothing_behind_a_tab_is_cut(desks: Any, screen: str) -> None:
    """Every page of a screen keeps to the rules, not the first alone; on the smaller panel, in the longest texts."""
    desk = desks(screen)
    found = {}
    with Rig() as rig:
        stage = rig.open(screen, desk)
        rows = [item for item in stage.items(stage.item) if item.property("isTabs")]
        names = [key.property("name") for row in rows for key in stage.items(row) if key.property("isTarget")]
        for number in range(len(names)):
            keys = [key for row in rows for key in stage.items(row) if key.property("isTarget")]
            if number >= len(keys) or not keys[number].isEnabled():
                continue
            stage.touch(keys[number])
            for _ in range(3):
                desk.settle()
                stage.tick()
            for language in ("de", "ar", PSEUDO, "en"):
                desk.words.use(language)
                stage.tick(2)
                found[f"{names[number]} {language}"] = faults(stage, px_per_mm("1280x800"))

    assert {} == {place: said for place, said in found.items() if said}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("screen", [screen.name for screen in INSTALLED])
def test_nothing_on_a_sheet_is_cut(desks: Any, screen: str, size: str) -> None:
    """What opens over a screen keeps to the same rules, the sheet of the person's key among it."""
    desk = desks(screen)
    found = {}
    with Rig() as rig:
        stage = rig.open(screen, desk, size=size)
        desk.settle()
        stage.tick(2)
        sheets = [item for item in everything(stage.window.contentItem()) if item.property("isSheet")]
        for language in (*LANGUAGES, PSEUDO):
            desk.words.use(language)
            for sheet in sheets:
                sheet.setProperty("open", True)
                stage.settle()
                found[f"{language} {sheet.property('title')}"] = faults(stage, px_per_mm(size))
                sheet.setProperty("open", False)

    assert {} == {place: said for place, said in found.items() if said}


def everything(item: QQuickItem) -> Iterator[QQuickItem]:
    """Yield an item and all under it, shown or not."""
    yield item
    for child in item.childItems():
        yield from everything(child)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pad", ["NumberPad", "TextPad"])
def test_pads_fit_their_sheet(pad: str, size: str) -> None:
    """Pads have keys for gloves in every language, beside the rail of the smallest panel."""
    piece = f"""Item {{ Item {{ width: parent.width - 32 * Theme.mm; height: parent.height - 22 * Theme.mm
        Sheet {{ id: sheet; open: true; title: "Pad"; {pad} {{ width: sheet.innerWidth }} }} }} }}"""
    with Rig() as rig:
        shown = rig.component(piece, size=size)
        found = {}
        for language in (*LANGUAGES, PSEUDO):
            shown.words.use(language)
            shown.settle()
            found[language] = faults(shown, px_per_mm(size))

    assert {} == {language: said for language, said in found.items() if said}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", [screen.name for screen in INSTALLED])
def test_every_text_can_be_read(desks: Any, screen: str, theme: str) -> None:
    """Letters stand out 4.5 : 1 at least from the pixels behind them (WCAG 2.1 AA), as they are drawn."""
    desk = desks(screen)
    with Rig() as rig:
        stage = rig.open(screen, desk, theme=theme)
        for _ in range(3):
            desk.settle()
            stage.tick()
        faint = sorted(f"{ratio:.2f} {text}" for ratio, text in contrasts(stage) if ratio < 4.5)

    assert [] == faint


@pytest.mark.parametrize(
    "colours", [LIGHT, DARK, {**LIGHT, **GREEN}, {**DARK, **GREEN}], ids=["light", "dark", "green", "dark green"]
)
def test_the_theme_can_be_read(colours: dict[str, str]) -> None:
    """Every pair of text and ground of the table is 4.5 : 1 at least, every border 3 : 1."""
    faint = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in PAIRS}
    thin = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in EDGES}

    assert {} == {pair: ratio for pair, ratio in faint.items() if ratio < 4.5}
    assert {} == {pair: ratio for pair, ratio in thin.items() if ratio < 3.0}


def test_contrast_is_wcag() -> None:
    """The measure is the standard's: black on white 21, and its published grey 4.54."""
    assert 21.0 == contrast("#000000", "#FFFFFF")
    assert 4.54 == round(contrast("#767676", "#FFFFFF"), 2)


BAD = {
    "is cut with dots": 'Text { width: 60; elide: Text.ElideRight; text: "much too long for this" }',
    "letters are": 'Text { width: 20; text: "Unbreakable" }',
    "runs into": 'Item { Text { text: "one text" } Text { x: 10; text: "another" } }',
    "at least 16 x 16 mm": 'PushButton { width: 40; height: 40; text: "x" }',
    "at least 25 x 25 mm": 'PushButton { primary: true; width: 100; height: 100; text: "x" }',
    "at least 4": 'Row { spacing: 5; PushButton { text: "a" } PushButton { text: "b" } }',
    "leaves the window": 'PushButton { x: 1250; text: "outside" }',
    "leaves the box": 'Rectangle { width: 60; height: 60; Text { x: 30; text: "over the edge" } }',
    "no name": 'PushButton { icon: "tick" }',
    "area at": "Item { MouseArea { width: 20; height: 20 } }",
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_screen_is_seen(fault: str) -> None:
    """The tests above can fail: each fault, planted, is named."""
    with Rig() as rig:
        shown = rig.component(f"Item {{ {BAD[fault]} }}")
        found = faults(shown, px_per_mm("1280x800"))

    assert any(fault in text for text in found), found


def test_a_faint_text_is_seen() -> None:
    """So can the test of contrast: dimmed letters count as they are seen."""
    with Rig() as rig:
        shown = rig.component('Item { Label { text: "plain" } Label { y: 60; opacity: 0.4; text: "dimmed" } }')
        ratios = [ratio for ratio, _ in contrasts(shown)]

    assert ratios[0] > 4.5 > ratios[1]
