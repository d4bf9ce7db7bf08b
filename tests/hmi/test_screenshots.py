"""Protect the pictures of the README: made by a command, the same each time, of every screen, small enough to keep."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.cli import main
from hmi.command import SIZES, shots
from hmi.palette import indexed
from hmi.shell import INSTALLED
from tests.hmi.hmi_rig import Rig

HMI = Path(__file__).resolve().parents[2] / "hmi"
SHOTS = HMI / "screenshots"
LIMIT_BYTES = 6_000_000
PALETTE = 3
"""Colour type of the PNG standard."""


def wanted() -> set[str]:
    return {f"{screen}_{language}_{size[0]}.png" for screen, language, size in shots()}


def test_every_screen_is_pictured() -> None:
    """Every screen in three languages at both sizes, and none that is gone."""
    assert wanted() == {path.name for path in SHOTS.glob("*.png")}


def test_pictures_are_small() -> None:
    """8-bit palettes of the right size, all together under 6 MB."""
    found = {}
    for path in SHOTS.glob("*.png"):
        width, height, depth, kind = struct.unpack(">IIBB", path.read_bytes()[16:26])
        found[path.name] = (width, height, depth, kind)
    odd = {name: head for name, head in found.items() if head[2:] != (8, PALETTE) or head[:2] not in SIZES}

    assert {} == odd
    assert sum(path.stat().st_size for path in SHOTS.glob("*.png")) <= LIMIT_BYTES


def test_the_readme_shows_what_exists() -> None:
    """No broken picture in the README, and each screen is in it."""
    shown = {part.split(")")[0] for part in (HMI / "README.md").read_text("utf-8").split("(screenshots/")[1:]}

    assert set() == shown - {path.name for path in SHOTS.glob("*.png")}
    assert {screen.name for screen in INSTALLED} == {name.rsplit("_", 2)[0] for name in shown}


def test_a_picture_is_the_same_each_time(tmp_path: Path) -> None:
    """The sample station stands still: two pictures of it are equal, byte by byte, in the language asked for."""
    names = ("one.png", "other.png")
    for name in names:
        arguments = ["hmi", "--screen", "sign_in", "--language", "de", "--size", "1280x800", "--screenshot"]

        assert main([*arguments, str(tmp_path / name)]) == 0

    assert (tmp_path / names[0]).read_bytes() == (tmp_path / names[1]).read_bytes()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(["--screen", "kitchen"], "'kitchen': is none of"), (["--language", "fr"], "'fr': is none of")],
)
def test_wrong_words_are_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], said: str
) -> None:
    """A screen or a language that does not exist is named in one line, with those that do."""
    with Rig():
        code = main(["hmi", "--screenshot", str(tmp_path / "x.png"), *wrong])

    assert 2 == code
    assert said in capsys.readouterr().err


def test_the_palette_keeps_what_is_seen(rng: np.random.Generator, tmp_path: Path) -> None:
    """The theme's colours stay exact; a photograph's differ by less than the eye tells."""
    with Rig():
        smooth = cv2.GaussianBlur(rng.integers(0, 255, (300, 300, 3), np.uint8), (0, 0), 25)
        screen = np.full((300, 600, 3), (201, 205, 208), np.uint8)
        screen[:, 300:] = smooth
        assert indexed(screen).save(str(tmp_path / "x.png"))
    found = cv2.cvtColor(cv2.imread(str(tmp_path / "x.png")), cv2.COLOR_BGR2RGB)

    assert np.array_equal(screen[:, :300], found[:, :300])
    assert np.abs(screen[:, 300:].astype(int) - found[:, 300:]).mean() < 3
