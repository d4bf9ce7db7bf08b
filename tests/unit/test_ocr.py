"""OCR: what is printed is read the same everywhere, and what cannot be read whole is never taken for read."""

import math
import tracemalloc

import numpy as np
import pytest

from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Box
from appliance.tasks.ocr import MOST_LINES, OcrReader, OcrSettings, read_settings
from kernels import build
from tests.unit.ocr_rig import FRAME, as_format, page, parts, reader, sessions


@pytest.fixture(scope="session", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


LINES = ("SN A7731-42", "LOT 260417", "EXP 2027-03-31")
REGION = Box(900, 860, 680, 440)


def texts(reading) -> tuple[str, ...]:
    return tuple(finding.text for finding in reading.findings)


@pytest.mark.parametrize("pixel_format", ["Mono8", "BayerRG8", "RGB8"])
@pytest.mark.parametrize(("height_px", "degrees"), [(14, 0), (20, 5), (28, -10), (40, 10)])
def test_what_is_printed_is_read(pixel_format, height_px, degrees):
    """Serial, lot and date lines of usual sizes, turned up to ten degrees, are read in reading order."""
    raw = as_format(page(LINES, height_px, (1000, 980), degrees), pixel_format)

    assert texts(reader(pixel_format, regions=[REGION]).read(raw)) == LINES


@pytest.mark.parametrize("pixel_format", ["Mono8", "BayerRG8"])
def test_a_part_upside_down_is_read(pixel_format):
    """The direction network turns lines, and their order is that of the text, not of the frame."""
    raw = as_format(np.ascontiguousarray(page(LINES, 28, (1000, 980), 4)[::-1, ::-1]), pixel_format)
    region = Box(FRAME[1] - 1600, FRAME[0] - 1200, 700, 300)

    assert texts(reader(pixel_format, regions=[region]).read(raw)) == LINES


def test_lines_that_run_down_the_part_are_read():
    """A line that runs down or up the frame is read too."""
    flat = page(LINES[:2], 28, (1000, 1000), 0)
    down, up = np.ascontiguousarray(np.rot90(flat, -1)), np.ascontiguousarray(np.rot90(flat))
    settings = read_settings(parts().settings)
    found = [
        texts(OcrReader(sessions("openvino", "f32"), settings, 0.6, raw.shape, "Mono8", [region]).read(raw))
        for raw, region in ((down, Box(900, 900, 300, 500)), (up, Box(950, 1000, 300, 500)))
    ]

    assert found == [LINES[:2], LINES[:2]]


@pytest.mark.parametrize(("runtime", "precision"), [("openvino", "bf16"), ("onnx", "f32")])
@pytest.mark.parametrize("height_px", [14, 28])
def test_every_runtime_reads_the_same(runtime, precision, height_px):
    """Texts are equal on OpenVINO f32, bf16 and ONNX Runtime; boxes within one and a half cells in bf16."""
    if precision == "bf16" and not _has_bf16():
        pytest.skip("this CPU has no bf16")
    raw = as_format(page(LINES, height_px, (1000, 980), 3), "BayerRG8")
    one = reader("BayerRG8", regions=[REGION]).read(raw)
    other = reader("BayerRG8", regions=[REGION], runtime=runtime, precision=precision).read(raw)
    apart = [
        math.dist(a, b)
        for first, second in zip(one.findings, other.findings, strict=True)
        for a, b in zip(first.polygon, second.polygon, strict=True)
    ]

    assert texts(other) == texts(one) == LINES
    assert max(apart) <= (1.5 * (REGION.width_px + 48) / 320 if precision == "bf16" else 0.01)


def test_a_finding_lies_where_its_line_is():
    """The polygon is the line's rotated rectangle in frame pixels, read from its first corner; box and area agree."""
    raw = page(("LOT 260417",), 30, (1000, 1000), 8)
    finding = reader(regions=[REGION]).read(raw).findings[0]
    (x0, y0), (x1, y1), _, (x3, y3) = finding.polygon
    degrees = math.degrees(math.atan2(y1 - y0, x1 - x0))
    ink = np.argwhere(raw < 100)

    assert abs(degrees - 8) < 1.5
    assert abs((x0 + x3) / 2 - 1000) < 20
    assert abs((y0 + y3) / 2 - 1000) < 12
    assert finding.box.x_px <= ink[:, 1].min() <= ink[:, 1].max() <= finding.box.x_px + finding.box.width_px
    assert finding.area_px == pytest.approx(math.dist((x0, y0), (x1, y1)) * math.dist((x0, y0), (x3, y3)))


@pytest.mark.parametrize("height_px", [14, 28])
def test_a_line_that_the_region_cuts_is_never_read(height_px):
    """However a border runs through a line, what is read is all of it or nothing."""
    text = "LOT A260417-B8"
    raw = page((text,), height_px, (1000, 1000))
    ink = np.argwhere(raw < 100)
    (top, left), (bottom, right) = ink.min(axis=0), ink.max(axis=0)
    read = set()
    for inside in range(-30, 70, 11):
        for region in (
            Box(left + inside, top - 60, right - left + 90, 150),
            Box(left - 60, top - 60, right - inside - left + 60, 150),
            Box(left - 60, top + inside / 2, right - left + 120, 150),
            Box(left - 60, bottom - inside / 2 - 150, right - left + 120, 150),
        ):
            read |= set(texts(reader(regions=[region]).read(raw)))

    assert read == {text, ""}


def test_nothing_to_read_is_never_accepted():
    """A region without text is rejected by every limit, even when another one reads well."""
    raw = page(("LOT 260417",), 28, (1000, 1000))
    empty = Box(100, 100, 300, 200)

    assert math.inf == reader(regions=[empty]).read(raw).score
    assert math.inf == reader(regions=[REGION, empty]).read(raw).score
    assert math.inf == reader(regions=[empty, REGION]).read(raw).score
    assert reader(regions=[REGION]).read(raw).score < 0.4


def test_without_regions_every_line_must_be_readable():
    """Where the recipe names no region each line found is expected, so one that cannot be read spoils the view."""
    good = page(("LOT 260417",), 30, (400, 600))
    worn = np.minimum(good, page(("XWMKHNRB",), 30, (400, 780)))
    worn = np.minimum(worn, page(("B8E3MNWQ",), 30, (409, 785)))
    roi = (300, 500, 640, 400)

    assert reader(roi=roi).read(good).score < 0.4
    assert math.inf == reader(roi=roi).read(worn).score


def test_a_character_below_the_threshold_makes_the_line_unreadable():
    """The least probable character decides: a threshold over it empties the finding's text and spoils the score."""
    raw = page(("LOT 260417",), 28, (1000, 1000))
    settings = read_settings(parts().settings)
    strict = OcrReader(sessions("openvino", "f32"), settings, 1.01, FRAME, "Mono8", [REGION]).read(raw)

    assert texts(strict) == ("",)
    assert strict.findings[0].score > 0.9
    assert math.inf == strict.score


class _Broken:
    """Give what a network gives, one output replaced."""

    runtime, precision = "onnx", "f32"

    def __init__(self, session, outputs) -> None:
        self._session, self._outputs = session, outputs

    @property
    def input(self):
        return self._session.input

    def run(self):
        return {**self._session.run(), **self._outputs}


def _reader_with(name, outputs, **more) -> OcrReader:
    known = dict(sessions("openvino", "f32"))
    broken = {key: _Broken(known[key], outputs) for key in known if key.startswith(name)}
    return OcrReader({**known, **broken}, read_settings(parts().settings), 0.6, FRAME, "Mono8", [REGION], **more)


@pytest.mark.parametrize(
    ("network", "output", "shape"),
    [("detection", "text", (1, 320, 320)), ("direction", "upside_down", (1,)), ("recognition", "probability", (1, 32))],
)
def test_values_that_are_no_numbers_are_a_fault(network, output, shape):
    """One nan or infinity of any network is a fault that names the output, never a text."""
    raw = page(("LOT 260417",), 28, (1000, 1000))
    name = network if network != "recognition" else "recognition_256"
    for value in (np.nan, np.inf):
        values = np.full(shape, 0.5, np.float32)
        values.flat[0] = value
        with pytest.raises(RuntimeFault, match=f"output `{output}` has values that are no numbers"):
            _reader_with(name, {output: values}).read(raw)


def test_a_class_without_a_character_is_a_fault():
    """A network with more classes than the settings have characters would lose letters; it is refused."""
    raw = page(("LOT 260417",), 28, (1000, 1000))
    for place in (-1, 5000):
        with pytest.raises(RuntimeFault, match=f"class {place} has no character among"):
            _reader_with("recognition_256", {"index": np.full((1, 32), place, np.int32)}).read(raw)


class _Doubtful:
    """Give what the recognition network gives, with most of one character's probability moved to its twin."""

    runtime, precision = "onnx", "f32"

    def __init__(self, session, seen: int, twin: int, share: float) -> None:
        self._session, self._seen, self._twin, self._share = session, seen, twin, share

    @property
    def input(self):
        return self._session.input

    def run(self):
        found = self._session.run()["probabilities"].copy()
        moved = found[..., self._seen] * self._share
        found[..., self._seen] -= moved
        found[..., self._twin] += moved
        index = found.argmax(axis=2).astype(np.int32)
        return {"index": index, "probability": found.max(axis=2), "probabilities": found}


def _doubtful_reader(share: float, patterns) -> OcrReader:
    known = dict(sessions("openvino", "f32"))
    settings = read_settings(parts().settings)
    seen, twin = (1 + settings.characters.index(letter) for letter in "6G")
    known |= {
        name: _Doubtful(session, seen, twin, share) for name, session in known.items() if name.startswith("recognition")
    }
    return OcrReader(known, settings, 0.5, FRAME, "Mono8", [REGION], patterns=patterns)


@pytest.mark.parametrize(
    ("patterns", "share", "expected"),
    [
        ({}, 0.6, "LOT 2G0417"),
        ({REGION: [r"LOT \d{6}"]}, 0.6, "LOT 260417"),
        ({REGION: [r"SN \d{9}", r"LOT \d{6}"]}, 0.6, "LOT 260417"),
        ({REGION: [r"LOT \d{6}"]}, 0.9999999, "LOT 2G0417"),
        ({REGION: [r"EXP \d{6}"]}, 0.6, "LOT 2G0417"),
    ],
)
def test_a_pattern_decides_between_twins_and_never_against_the_picture(patterns, share, expected):
    """A rule settles 6 or G where both were nearly read; what was not seen stays as it is read, and breaks the rule."""
    raw = page(("LOT 260417",), 28, (1000, 1000))

    assert texts(_doubtful_reader(share, patterns).read(raw)) == (expected,)


def test_texture_is_never_accepted_and_takes_no_more_than_so_many_lines():
    """More lines than any print has spoil the view, and only the largest are read."""
    texture = np.zeros((1, 320, 320), np.float32)
    for row in range(4, 312, 16):
        for column in range(4, 300, 40):
            texture[0, row : row + 7, column : column + 30] = 0.9
    found = _reader_with("detection", {"text": texture}).read(page(("LOT 260417",), 28, (1000, 1000)))

    assert math.inf == found.score
    assert len(found.findings) <= MOST_LINES


def test_a_frame_of_another_shape_is_a_fault():
    """Frames of another camera mode are refused by name."""
    with pytest.raises(RuntimeFault, match="frame is"):
        reader(regions=[Box(10, 10, 200, 100)]).read(np.zeros((480, 640), np.uint8))


def test_foreign_networks_are_named():
    """An output that is missing or of another shape, and a model that is missing, are faults that name it."""
    raw = page(("LOT 260417",), 28, (1000, 1000))
    with pytest.raises(RuntimeFault, match="no `text` of shape"):
        _reader_with("detection", {"text": np.zeros((1, 8, 8), np.float32)}).read(raw)
    known = {name: session for name, session in sessions("openvino", "f32").items() if name != "direction"}
    with pytest.raises(RuntimeFault, match="lacks models \\['direction'\\]"):
        OcrReader(known, read_settings(parts().settings), 0.6, FRAME, "Mono8")
    with pytest.raises(RuntimeFault, match="settings file is damaged"):
        read_settings(b'{"characters": 3}')


def test_a_region_outside_the_frame_is_refused():
    """A region that the frame does not show is refused when the stages are made, not read as empty."""
    with pytest.raises(ValueError, match="outside the frame of 2448 x 2048 px"):
        reader(regions=[Box(3000, 100, 200, 100)])


def test_a_read_allocates_nothing_of_the_frame_s_size():
    """Reading a region of a raw frame makes no copy of the frame: new memory peaks at a tenth of one."""
    raw = as_format(page(LINES, 28, (1000, 980)), "BayerRG8")
    raw.flags.writeable = False
    known = reader("BayerRG8", regions=[REGION])
    known.read(raw)
    tracemalloc.start()
    known.read(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < raw.nbytes / 10


def test_settings_survive_their_file():
    """The settings file of the packer is what the reader takes, characters in the order of the classes."""
    settings = read_settings(parts().settings)

    assert isinstance(settings, OcrSettings)
    assert set(settings.detection) | set(settings.recognition) | {settings.direction} == set(parts().models)
    assert settings.characters[:3] == ("0", "1", "2") or "0" in settings.characters


def _has_bf16() -> bool:
    from appliance.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime().choose("auto") == "bf16"
