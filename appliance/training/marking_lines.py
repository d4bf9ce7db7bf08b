"""Render lines of text as the recognition network sees them, from a pattern: what a site prints, before it has."""

import math

import numpy as np
from numpy.typing import NDArray

from appliance.ocr.crop import LineCutter
from appliance.ocr.lines import Line, narrowest
from appliance.training.marking import Marked, MarkOptions, Style, mark
from appliance.training.marking_strings import CODE, KINDS, make_text, make_wording
from appliance.training.ocr_models import LINE_ROWS

ABOVE, BESIDE = 0.22, 0.35
"""Shares of the capitals' height by which a line found is larger than its ink, per side (ocr/lines.py: 0.16 to 0.3)."""


def rendered_lines(
    pattern: str, style: Style | None, count: int, seed: int, options: MarkOptions, widths: tuple[int, ...]
) -> list[tuple[str, NDArray[np.uint8]]]:
    """Give texts with their lines, (48, cols, 3) uint8, cols one of `widths`; 10 ms each.

    pattern: what the texts match; empty: the usual kinds in turn. style: None: all in turn. ValueError when no text of
    a style's characters matches the pattern.
    """
    styles, kinds = [style] if style else list(Style), list(KINDS)
    made = []
    for place in range(count):
        rng = np.random.default_rng([seed, place])
        text = (
            make_text(pattern, rng, CODE + "-./:()+ ") if pattern else make_wording(kinds[place % len(kinds)], rng).text
        )
        marked = mark(text, styles[place // len(kinds) % len(styles)], [seed, place, 1], options)
        made.append((text, cut_line(marked, widths)))
    return made


def cut_line(marked: Marked, widths: tuple[int, ...]) -> NDArray[np.uint8]:
    """Give the line of a rendered picture as if it had been found, for the narrowest of these widths that holds it."""
    line = true_line(marked)
    out = np.zeros((1, LINE_ROWS, narrowest(line, LINE_ROWS, widths), 3), np.uint8)
    shape = (marked.picture.shape[0], marked.picture.shape[1])
    cutter = LineCutter(shape, "Mono8", shape)
    cutter.take(marked.picture, line, LINE_ROWS)
    cutter.draw(out)
    line_image: NDArray[np.uint8] = out[0]
    return line_image


def true_line(marked: Marked) -> Line:
    """Give the line of a rendered picture, with the space around its ink that a found one has."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = marked.outline
    length, height = math.dist((x0, y0), (x1, y1)), math.dist((x0, y0), (x3, y3))
    angle = math.atan2(y1 - y0, x1 - x0)
    return Line((x0 + x2) / 2, (y0 + y2) / 2, length + 2 * BESIDE * height, height * (1 + 2 * ABOVE), angle)
