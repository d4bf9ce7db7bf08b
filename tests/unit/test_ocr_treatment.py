"""Treatments of a line: dots join, light evens out, nothing else moves."""

import numpy as np
import pytest

from appliance.ocr.treatment import Kind, Treatment, treat


def dotted(ink: int, paper: int) -> np.ndarray:
    image = np.full((48, 192, 3), paper, np.uint8)
    for column in range(20, 180, 6):
        image[22:25, column : column + 3] = ink
    return image


@pytest.mark.parametrize(("ink", "paper"), [(30, 200), (220, 60)])
def test_dots_join_whichever_is_darker(ink, paper):
    """Gaps narrower than the size are filled with ink, on light and on dark ground; nothing else changes."""
    image = dotted(ink, paper)
    treat(image, Treatment(Kind.JOIN, 5.0))
    row = image[23, 24:170, 0].astype(int)

    assert np.abs(row - ink).max() <= 2
    assert (image[:16] == paper).all()


def test_nothing_is_done_where_nothing_is_asked():
    """The default treatment leaves every pixel as it is."""
    image = dotted(30, 200)
    treat(image, Treatment())

    assert np.array_equal(image, dotted(30, 200))


def test_light_evens_out():
    """Under light that falls off along the line, the ink has the same grey at both ends afterwards."""
    image = (dotted(30, 200) * np.linspace(1.0, 0.35, 192)[None, :, None]).astype(np.uint8)
    before = abs(int(image[23, 33, 0]) - int(image[23, 165, 0]))
    paper_before = abs(int(image[23, 29, 0]) - int(image[23, 161, 0]))
    treat(image, Treatment(Kind.EVEN, 0.0))
    paper_after = abs(int(image[10, 40, 0]) - int(image[10, 150, 0]))

    assert before > 5
    assert paper_before > 60
    assert paper_after < 30


def test_a_blur_keeps_the_mean():
    """Blurring spreads ink and takes none away."""
    image = dotted(30, 200)
    mean = image.mean()
    treat(image, Treatment(Kind.BLUR, 1.5))

    assert abs(image.mean() - mean) < 0.5
    assert image.std() < dotted(30, 200).std()
