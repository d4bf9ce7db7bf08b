"""Protect what people read: every text of every screen is there in all five languages, and drawn by our own fonts."""

import ast
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hmi.hmi_rig import Rig

from hmi.screens import SCREENS  # isort: skip
from hmi.words import PSEUDO, Words, pseudo  # isort: skip

ROOT = Path(__file__).resolve().parents[2]
HMI = ROOT / "hmi"
TRANSLATED = ("de", "es", "zh", "ar")
FOLDERS = (HMI / "kit", *sorted(path.parent for path in (HMI / "screens").rglob("words.json")))
SPOKEN_BY = (
    HMI,
    *(ROOT / "appliance" / name for name in ("monitoring", "governance", "labelling", "decision", "schema")),
)
"""Folders whose strings may reach the screen."""
PLACEHOLDER = re.compile(r"%\d|\{\w*\}")


def catalogue(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / "words.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


EVERY = {folder: catalogue(folder) for folder in FOLDERS}
FLAT = {source: texts for folder in reversed(FOLDERS) for source, texts in EVERY[folder].items()}


def qml_sources(path: Path) -> Iterator[str]:
    for quoted in re.findall(r'qsTr\(\s*("(?:[^"\\]|\\.)*")', path.read_text("utf-8")):
        yield json.loads(quoted)


def python_sources(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in {"tr", "_tr"}:
            yield from strings(node.args[0]) if node.args and isinstance(node.args[0], ast.Constant | ast.IfExp) else ()
        if isinstance(node, ast.Assign | ast.AnnAssign) and "SAYS" in ast.dump(node)[:80] and node.value is not None:
            yield from strings(node.value)


def strings(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def sources(folder: Path) -> set[str]:
    found = set(itertools.chain.from_iterable(qml_sources(path) for path in folder.rglob("*.qml")))
    return found | set(itertools.chain.from_iterable(python_sources(path) for path in folder.rglob("*.py")))


def spoken() -> set[str]:
    """Give every string that could be shown: of QML by qsTr, of Python any."""
    found = {screen.title for screen in SCREENS}
    for folder in SPOKEN_BY:
        for path in folder.rglob("*.py"):
            found |= set(strings(ast.parse(path.read_text("utf-8"))))
    return found | sources(HMI)


def test_every_text_has_its_translations() -> None:
    """A screen never falls back to English in the middle of another language."""
    wanted = {screen.title for screen in SCREENS} | sources(HMI)
    missing = {
        source: [language for language in TRANSLATED if not FLAT.get(source, {}).get(language, "").strip()]
        for source in sorted(wanted)
        if re.search(r"[^\W\d_]{2}", PLACEHOLDER.sub("", source))
    }

    assert {} == {source: languages for source, languages in missing.items() if languages}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_entry_is_dead(folder: Path) -> None:
    """A catalogue holds what is shown and no more, so that translators do no work for nothing."""
    assert [] == sorted(set(EVERY[folder]) - SPOKEN)


SPOKEN = spoken()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_placeholders_survive_translation(folder: Path) -> None:
    """What a text is given, every translation of it shows, once each."""
    wrong = [
        (source, language)
        for source, texts in EVERY[folder].items()
        for language, text in texts.items()
        if sorted(PLACEHOLDER.findall(source)) != sorted(PLACEHOLDER.findall(text))
    ]

    assert [] == wrong


def test_one_text_has_one_translation() -> None:
    """The same English text reads the same on every screen: one word, one meaning, in every language."""
    differing = [
        (source, one.name, other.name, language)
        for one, other in itertools.combinations(FOLDERS, 2)
        for source in sorted(EVERY[one].keys() & EVERY[other].keys())
        for language in TRANSLATED
        if EVERY[one][source].get(language) != EVERY[other][source].get(language)
    ]

    assert [] == differing


@pytest.mark.parametrize(("language", "letters"), [("zh", r"[\u4e00-\u9fff]"), ("ar", r"[\u0600-\u06ff]")])
def test_translations_are_in_their_script(language: str, letters: str) -> None:
    """No English text was copied where a translation belongs."""
    copied = [
        source
        for source, texts in FLAT.items()
        if re.search(r"[a-z]{4}", PLACEHOLDER.sub("", source)) and not re.search(letters, texts.get(language, ""))
    ]

    assert [] == copied


def test_fonts_draw_every_letter() -> None:
    """Every character of every catalogue is in a font that we ship: no box, no foreign fallback."""
    with Rig():
        from PySide6.QtGui import QRawFont

        from hmi.app import HERE

        fonts = [QRawFont(str(path), 16) for path in sorted((HERE / "fonts").glob("*-Regular.ttf"))]
        letters = {letter for source, texts in FLAT.items() for letter in "".join([source, *texts.values()])}
        unmarked = {letter for letter in letters if letter.isprintable() and ord(letter) not in {0x200E, 0x200F}}
        missing = {letter for letter in unmarked if not any(font.supportsCharacter(ord(letter)) for font in fonts)}

    assert set() == missing


def test_language_changes_while_it_runs() -> None:
    """Texts follow a change of language at once, in QML and in Python, and Arabic turns the screen round."""
    with Rig() as rig:
        shown = rig.component('Column { Label { text: qsTr("Sign in") } PushButton { text: qsTr("Cancel") } }')
        words = shown.words
        before = shown.texts()
        words.use("de")
        shown.settle()
        after = shown.texts()
        words.use("ar")

        assert ["Sign in", "Cancel"] == before
        assert ["Anmelden", "Abbrechen"] == after
        assert words.property("rtl")


def test_numbers_and_times_are_written_as_the_language_does() -> None:
    """A decimal comma where one belongs; hours and dates of the station in digits that sort."""
    with Rig():
        said = {language: Words({}, language).number(1234.5, 1) for language in ("en", "de", "es")}
        share = Words({}, "de").percent(0.979)
        turned = Words({}, "ar").percent(0.979)

        assert {"en": "1,234.5", "de": "1.234,5", "es": "1234,5"} == said
        assert "97,9\u00a0%" == share
        assert "\u206697.9\u00a0%\u2069" == turned  # in one piece, left to right, in digits as on the pads


def test_pseudo_texts_are_longer_and_keep_their_placeholders() -> None:
    """The pseudo-locale stands for a language 40 % longer than English, and breaks no `format`."""
    with Rig():
        words = Words({}, PSEUDO)
        long = "No answer from {units}: every part is rejected, %1"

        assert len(pseudo(long)) >= 1.4 * len(long) - 3
        assert PLACEHOLDER.findall(long) == PLACEHOLDER.findall(words.tr(long))
