"""Rendered markings: one seed, one picture; the truth lies where the ink is; made-up texts keep their own rules."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.decision import pattern, text_rules
from appliance.schema.finding import Finding
from appliance.training.marking import MarkOptions, Style, mark
from appliance.training.marking_dots import SLASHED, TABLES, spelt
from appliance.training.marking_lines import cut_line, rendered_lines
from appliance.training.marking_strings import CODE, KINDS, make_text, make_wording
from appliance.training.marking_strokes import segmented

TEXT = "LOT A260417"
NEW = MarkOptions(height_px=(30, 30), wear=0.0)
TYPEFACE = Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf")


@pytest.mark.parametrize("style", Style)
def test_one_seed_gives_one_picture(style):
    """The same seed gives the same pixels and truth, another one other pixels."""
    one, again, other = mark(TEXT, style, 7), mark(TEXT, style, 7), mark(TEXT, style, 8)

    assert np.array_equal(one.picture, again.picture)
    assert one.outline == again.outline
    assert one.picture.shape != other.picture.shape or not np.array_equal(one.picture, other.picture)


@pytest.mark.parametrize("style", Style)
def test_the_truth_lies_where_the_ink_is(style):
    """Of a new marking, contrast is inside the box, the box is inside the picture, and cells follow one another."""
    for seed in range(3):
        marked = mark(TEXT, style, seed, NEW)
        box, picture = marked.box, marked.picture.astype(float)
        x0, y0, x1, y1 = (round(v) for v in (box.x_px, box.y_px, box.x_px + box.width_px, box.y_px + box.height_px))
        inside = np.zeros(picture.shape, bool)
        inside[max(0, y0 - 3) : y1 + 3, max(0, x0 - 3) : x1 + 3] = True

        assert 0 <= x0 < x1 <= picture.shape[1]
        assert 0 <= y0 < y1 <= picture.shape[0]
        assert abs(box.height_px - 30) < 6
        assert picture[inside].std() > 3 * picture[~inside].std()
        assert len(marked.characters) == len(TEXT)
        assert [one.x_px for one in marked.characters] == sorted(one.x_px for one in marked.characters)


def test_worn_markings_stay_in_their_picture():
    """However a line is turned, bent and tilted, its middle line lies in the picture and no side is lost."""
    for seed in range(24):
        marked = mark("(01)09501101530003", list(Style)[seed % 8], seed)
        middle = np.mean(np.array(marked.outline), axis=0)
        rows, cols = marked.picture.shape

        assert 0 < middle[0] < cols
        assert 0 < middle[1] < rows
        assert marked.box.x_px > 0
        assert marked.box.x_px + marked.box.width_px < cols


@pytest.mark.parametrize("grid", ["5x7", "7x9"])
def test_no_two_characters_have_the_same_dots(grid):
    """A table has all capitals and digits, and each can be told from every other, the slashed zero too."""
    shapes = {name: frozenset(map(tuple, dots.tolist())) for name, dots in TABLES[grid].items()}

    assert set(CODE) < set(shapes)
    assert SLASHED in shapes
    assert len(set(shapes.values())) == len(shapes)


def test_what_cannot_be_marked_is_named():
    """An unknown character, a letter in seven segments and an empty text are refused by name."""
    with pytest.raises(ValueError, match=r"\['ä'\] are not in the 5x7 table"):
        spelt("ä", "5x7", slashed=False)
    with pytest.raises(ValueError, match=r"\['A'\] have none"):
        segmented("A1", 20)
    with pytest.raises(ValueError, match="the text is empty"):
        mark("  ", Style.PAD, 0)


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_made_up_texts_keep_their_rule(kind, seed):
    """Every made-up text satisfies the rule it comes with, check digits and dates included."""
    made = make_wording(kind, np.random.default_rng(seed))
    finding = Finding(kind="text", score=1.0, confidence=None, box=None, text=made.text)

    assert text_rules.broken(made.rule, [finding], frozenset(), date(2026, 1, 1)) is None


@given(
    st.sampled_from([r"LOT [A-Z]\d{4}", r"(AB|C\d)+-?", r"\d{2}/\d{2}", r"[^0-9 ]{3}", r"^X+$"]), st.integers(0, 10**6)
)
@settings(max_examples=60, deadline=None)
def test_texts_of_a_pattern_match_it(expression, seed):
    """What is made up from a site's pattern is what the pattern matches."""
    text = make_text(expression, np.random.default_rng(seed), CODE + "-/ ")

    assert pattern.value(pattern.compile_pattern(expression), text) is not None


def test_a_pattern_without_text_is_refused():
    """A pattern whose characters cannot be marked is named."""
    with pytest.raises(ValueError, match="found no text"):
        make_text("ä", np.random.default_rng(0), CODE)


def test_lines_are_cut_as_the_network_takes_them():
    """A rendered line has 48 rows, a known width, text from its left, and grey behind a short one."""
    lines = rendered_lines(r"SN \d{4}", Style.PAD, 3, 1, NEW, (256, 384))

    assert [line.shape for _, line in lines] == [(48, 256, 3)] * 3
    assert all(pattern.value(pattern.compile_pattern(r"SN \d{4}"), text) is not None for text, _ in lines)
    assert cut_line(mark("A", Style.PAD, 1, NEW), (192,))[:, -8:].std() == 0


@pytest.mark.skipif(not TYPEFACE.exists(), reason="DejaVu is not on this system")
def test_a_site_renders_with_its_own_typeface():
    """A path of a TrueType file draws other letters than the built-in face."""
    own = mark(TEXT, Style.THERMAL, 3, MarkOptions(height_px=(30, 30), wear=0.0, face=str(TYPEFACE)))
    usual = mark(TEXT, Style.THERMAL, 3, NEW)

    assert own.picture.shape != usual.picture.shape or not np.array_equal(own.picture, usual.picture)
