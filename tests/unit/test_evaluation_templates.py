"""A picture with a template of its own is compared with that one, and with no other."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.datasets.sample import Sample
from appliance.evaluation.templates import show_template
from appliance.ports.task import Reading
from appliance.schema.bundle import ConfidenceCurve, Template
from appliance.schema.errors import ConfigError
from appliance.tasks.confidence import ConfidentReader
from appliance.tasks.templates import TemplateReader

SHAPE = (64, 80)


class _Recording:
    """Keep the composed picture that it is given."""

    shown: np.ndarray
    heads = ()

    def read(self, pixels: np.ndarray) -> Reading:
        self.shown = pixels.copy()
        return Reading(0.5, (), 1.0, 1.0)


def board(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 2, (16, 20)).astype(np.uint8) * 200
    return cv2.resize(coarse, SHAPE[::-1], interpolation=cv2.INTER_NEAREST)


def sample_of(folder: Path, template: np.ndarray | None) -> Sample:
    if template is None:
        return Sample("a", folder / "a.png", "a")
    cv2.imwrite(str(folder / "t.png"), template)
    return Sample("a", folder / "a.png", "a", template=folder / "t.png")


def test_the_samples_own_template_is_used(tmp_path: Path) -> None:
    """Its template takes the place of the bundle's, also behind confidences; other readers are left alone."""
    own = _Recording()
    compared = TemplateReader(own, board(1), Template("template.npz"), SHAPE)
    reader = ConfidentReader(compared, (ConfidenceCurve("x", (0.0,), (0.5,), 1, 1, 0.0),))
    show_template(reader, sample_of(tmp_path, board(2)), SHAPE)
    reader.read(board(2))

    assert np.array_equal(board(2), own.shown[:, :, 1])
    show_template(own, sample_of(tmp_path, board(2)), SHAPE)
    show_template(reader, sample_of(tmp_path, None), SHAPE)


def test_a_template_of_another_size_is_refused(tmp_path: Path) -> None:
    """One line names the file and both sizes."""
    reader = TemplateReader(_Recording(), board(1), Template("template.npz"), SHAPE)

    with pytest.raises(ConfigError, match=r"t\.png: \(40, 80\) \(rows, cols\), the picture a has \(64, 80\)"):
        show_template(reader, sample_of(tmp_path, board(2)[:40]), SHAPE)
