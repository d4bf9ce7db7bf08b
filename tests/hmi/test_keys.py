"""Protect the parts that every screen is made of: keys that act once and for the right part, pads, the theme."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmi.theme import Theme
from tests.hmi.hmi_rig import KIT, Rig, Touched

KEY = """Item {
    property string bound: "first"
    property bool guarded: false
    property var acted: []
    PushButton {
        x: 100; y: 100; width: 200; height: 150; text: "act"; bound: parent.bound; guard: parent.guarded
        onActed: bound => parent.acted = parent.acted.concat([bound])
    }
    PushButton { x: 600; y: 100; text: "elsewhere" }
}"""


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


def acted(key: Touched) -> list[str]:
    value = key.root.property("acted")
    return list(value.toVariant() if hasattr(value, "toVariant") else value)


def test_a_key_acts_on_release_inside(rig: Rig) -> None:
    """A finger that slides off has changed its mind; a tap acts once, with or without a second finger's hurry."""
    key = rig.component(KEY)
    key.press("act")
    pressed = acted(key)
    key.release()
    released = acted(key)
    key.press("act")
    key.move("elsewhere")
    key.release("elsewhere")

    assert [] == pressed
    assert ["first"] == released == acted(key)


def test_a_key_means_what_it_showed_at_press(rig: Rig) -> None:
    """What the picture becomes under the finger is not what the finger meant."""
    key = rig.component(KEY)
    key.press("act")
    key.root.setProperty("bound", "second")
    key.release()

    assert ["first"] == acted(key)


def test_a_press_under_guard_is_none(rig: Rig) -> None:
    """Within 300 ms of a new picture a tap was meant for the old one, even if it is lifted after that."""
    key = rig.component(KEY)
    key.root.setProperty("guarded", True)
    key.press("act")
    key.root.setProperty("guarded", False)
    key.release()

    assert [] == acted(key)


def test_a_key_never_acts_for_another_part(rig: Rig) -> None:
    """Whatever happens in whatever order, a key acts only for the part shown at a press that no guard held."""
    key = rig.component(KEY)

    @settings(max_examples=60)
    @given(st.lists(st.sampled_from(["press", "slide", "release", "show", "guard", "free"]), max_size=14))
    def holds(steps: list[str]) -> None:
        assert played(key, steps) == acted(key)

    holds()


@pytest.mark.parametrize(
    ("rule", "inverted"),
    [
        ("armed = !button.guard;", "armed = true;"),
        ("button.acted(taken);", "button.acted(button.bound);"),
        ("if (armed && contains(Qt.point(mouse.x, mouse.y)))", "if (true)"),
    ],
)
def test_each_rule_of_a_key_is_needed(rig: Rig, tmp_path: Path, rule: str, inverted: str) -> None:
    """The property above dies with any of the key's rules: none is there for nothing."""
    shutil.copytree(KIT, tmp_path / "kit")
    path = tmp_path / "kit/PushButton.qml"
    text = path.read_text("utf-8")
    assert 1 == text.count(rule)
    path.write_text(text.replace(rule, inverted), "utf-8")
    key = rig.component(KEY, kit=tmp_path / "kit")
    stories = (
        ["press", "release"],
        ["guard", "press", "free", "release"],
        ["press", "show", "release"],
        ["press", "slide", "release"],
    )

    assert any(played(key, list(story)) != acted(key) for story in stories)


def played(key: Touched, steps: list[str]) -> list[str]:
    """Do the steps to the key; gives what it must have acted for."""
    key.root.setProperty("acted", [])
    key.root.setProperty("bound", "part 0")
    key.root.setProperty("guarded", False)
    shown, guarded, taken, down = 0, False, "", False
    expected: list[str] = []
    for step in steps:
        if step == "press" and not down:
            key.press("act")
            down, taken = True, "" if guarded else f"part {shown}"
        elif step == "slide" and down:
            key.move("elsewhere")
            taken = ""
        elif step == "release" and down:
            key.release()
            expected += [taken] if taken else []
            down = False
        elif step == "show":
            shown += 1
            key.root.setProperty("bound", f"part {shown}")
        elif step in {"guard", "free"}:
            guarded = step == "guard"
            key.root.setProperty("guarded", guarded)
    if down:
        key.release("elsewhere")
    return expected


def test_pads_type_what_is_touched(rig: Rig) -> None:
    """Digits and letters come as touched, the last can be taken back, and a PIN shows dots alone."""
    pad = rig.component("NumberPad { hidden: true; maximum: 4 }")
    for name in ("4", "7", "7", "Delete last", "1", "1", "9"):
        pad.touch(name)
    letters = rig.component("TextPad { }", language="de")
    for name in ("ö", "Großbuchstaben", "Ä", "ß"):
        letters.touch(name)

    assert "4711" == pad.root.property("text")
    assert "4711" not in pad.texts()
    assert "öÄß" == letters.root.property("text")


def test_theme_changes_at_once(rig: Rig) -> None:
    """Colours and sizes follow a change of the theme without a restart."""
    shown = rig.component(
        'Item { property real body: Theme.body; property color ground: Theme.ground; Label { text: "x" } }'
    )
    theme = next(part for piece in rig._loose for part in piece if isinstance(part, Theme))
    before = (shown.root.property("body"), shown.root.property("ground").name())
    theme.use(mm=10.0, dark=True)
    after = (shown.root.property("body"), shown.root.property("ground").name())

    assert (21.0, "#c9cdd0") == before
    assert (42.0, "#22282d") == after
