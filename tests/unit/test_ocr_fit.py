"""OCR fits: nothing is fitted on too little, only what pays is taken, and wrong reads stay under their limit."""

import msgspec
import numpy as np
import pytest

from appliance.ocr.decoding import Spelling
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.tasks.ocr import read_settings
from appliance.training.fit_run import FitRun
from appliance.training.marking import MarkOptions, Style, mark
from appliance.training.ocr import SETTINGS, OcrOptions
from appliance.training.ocr_fit import EVIDENCE, UNPROVEN, OcrFitOptions, _calibrated, fit_ocr_bundle
from appliance.training.ocr_pictures import take_pictures
from appliance.training.ocr_reads import Read, Thresholds, choose_thresholds, counts, distance, pays
from kernels import build

CREATED = "2026-11-21T00:00:00Z"
FLOOR = Thresholds(0.6, 0.9, 10.0)
READING = OcrOptions(widths=(256,), upright=True)


@pytest.fixture(scope="module", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


def run(**more) -> FitRun:
    return FitRun(OpenVinoRuntime(), "f32", CREATED, threads=1, **more)


def pictures(count: int) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Give pictures of equal shape, two of each part, with texts and parts."""
    texts = [f"SN {1000 + 37 * (place // 2)}" for place in range(count)]
    frames = []
    for place, text in enumerate(texts):
        seen = mark(text, Style.THERMAL, place, MarkOptions(height_px=(28, 28), wear=0.2)).picture
        frame = np.full((176, 384), int(np.median(seen)), np.uint8)
        frame[24 : 24 + seen.shape[0], 32 : 32 + seen.shape[1]] = seen[:128, :320]
        frames.append(frame)
    return frames, texts, [f"part {place // 2}" for place in range(count)]


def reads(*items: tuple[str, str, float]) -> list[Read]:
    return [Read(truth, Spelling(text, (lowest,), 0.0), fits=True) for truth, text, lowest in items]


def test_few_pictures_change_nothing_but_the_thresholds():
    """Under 20 pictures the networks are those of the wheel, nothing is treated, and a careful threshold holds."""
    frames, texts, groups = pictures(3)
    made = fit_ocr_bundle(frames, texts, PixelFormat.MONO8, run(), OcrFitOptions(READING), groups)
    settings = read_settings(made.files[SETTINGS])
    told = msgspec.json.decode(made.files[EVIDENCE])

    assert made.manifest.heads[0].classes[0].threshold == UNPROVEN.threshold
    assert (settings.bound_threshold, settings.treatment.kind) == (UNPROVEN.bound_threshold, "none")
    assert made.manifest.evidence == (EVIDENCE,)
    assert (told["fitted"], told["pictures"], told["parts"]) == (False, 3, 2)
    assert told["now"]["string_accuracy"]["n"] == 3
    assert made.manifest.data.images == 3


def test_frames_that_do_not_fit_are_named():
    """No frame, an empty text, and fewer texts than frames are refused in one line."""
    frames, texts, groups = pictures(2)
    with pytest.raises(ConfigError, match="OCR: 0 frames"):
        fit_ocr_bundle([], [], PixelFormat.MONO8, run())
    for more in ((frames, ["SN 1", " "], groups), (frames, texts[:1], groups), (frames, texts, groups[:1])):
        with pytest.raises(ConfigError, match=r"picture 2 has an empty text|do not fit together|groups for more"):
            take_pictures(*more, _NoLines(), 0)


def test_more_pictures_than_memory_are_drawn_by_the_seed():
    """Beyond the limit a share is kept, the same for the same seed, while the digest covers all."""
    frames = [np.full((4, 4), place, np.uint8) for place in range(30)]
    texts, groups = [str(place) for place in range(30)], [str(place) for place in range(30)]
    kept, digest, _ = take_pictures(frames, texts, groups, _NoLines(), 1, 10)
    again, same, _ = take_pictures(frames, texts, groups, _NoLines(), 1, 10)
    fewer, other, _ = take_pictures(frames[:29], texts[:29], groups[:29], _NoLines(), 1, 10)

    assert len(kept) == len(fewer) == 10
    assert [one.text for one in kept] == [one.text for one in again]
    assert all(one.text == one.group for one in kept)
    assert digest == same != other


def test_wrong_reads_stay_under_their_limit():
    """The threshold is the lowest at which at most the stated share is wrong, and never below its floor."""
    known = reads(("A", "A", 0.99), ("B", "8", 0.97), ("C", "C", 0.95), ("D", "0", 0.7), ("E", "E", 0.65))
    none, one, both = (choose_thresholds(known, FLOOR, share) for share in (0.0, 0.2, 0.4))

    assert [sum(r.text(limits) not in ("", r.truth) for r in known) for limits in (none, one, both)] == [0, 1, 1 + 1]
    assert 0.97 < none.threshold < 0.99
    assert 0.7 < one.threshold < 0.71
    assert both.threshold == FLOOR.threshold
    assert choose_thresholds(known[:1], FLOOR, 0.0) == FLOOR


def test_counts_tell_wrong_reads_from_no_reads():
    """Right, wrong and none add up to all; character errors are counted apart."""
    told = counts(reads(("AB", "AB", 0.9), ("AB", "A8", 0.8), ("AB", "B", 0.1)), FLOOR)

    assert [told[name]["k"] for name in ("string_accuracy", "wrong_reads", "no_reads")] == [1, 1, 1]
    assert (told["character_error_rate"]["k"], told["character_error_rate"]["n"]) == (2, 6)
    assert [distance("", "AB"), distance("KITTEN", "SITTING")] == [2, 3]


def test_a_change_must_pay_on_the_same_lines():
    """Five lines gained and none lost pays; four, or five against two lost, may be chance."""
    wrong, right = reads(("A", "B", 0.9)), reads(("A", "A", 0.9))

    assert pays(wrong * 5, right * 5)
    assert not pays(wrong * 4, right * 4)
    assert not pays(wrong * 5 + right * 2, right * 5 + wrong * 2)
    assert not pays(right * 9, right * 9)


def test_reading_by_the_pattern_has_its_own_threshold():
    """A line that does not fit counts only by the pattern's reading, when that is sure and near enough."""
    free, bound = Spelling("O1", (0.99,), 0.0), Spelling("01", (0.95,), 3.0)
    read = Read("01", free, fits=False, bound=bound)

    assert read.text(Thresholds(0.6, 0.9, 5.0)) == "01"
    assert read.text(Thresholds(0.6, 0.96, 5.0)) == ""
    assert read.text(Thresholds(0.6, 0.9, 2.0)) == ""
    assert read.right


@pytest.mark.slow
def test_a_fit_on_a_site_s_pictures_tells_what_it_chose():
    """With 24 pictures of 12 parts the evidence states held-out counts, thresholds and what was left as it was."""
    frames, texts, groups = pictures(24)
    options = OcrFitOptions(READING, pattern=r"SN \d{4}", rendered=40, style=Style.THERMAL)
    made = fit_ocr_bundle(frames, texts, PixelFormat.MONO8, run(), options, groups)
    told = msgspec.json.decode(made.files[EVIDENCE])

    assert told["fitted"]
    assert (told["pictures"], told["parts"], told["held_out_folds"]) == (24, 12, 3)
    assert told["now"]["string_accuracy"]["k"] >= 20
    assert told["now"]["wrong_reads"]["k"] <= 1
    assert set(told["layers"]) == {"without", "with"} or isinstance(told["layers"], str)
    assert told["thresholds"]["threshold"] >= 0.6


class _NoLines:
    """Find no line in any frame."""

    def line(self, frame):
        return None


def spelling(text: str, lowest: float) -> Spelling:
    return Spelling(text, (lowest,), 0.0)


def test_what_is_read_is_accepted_and_what_is_not_is_held_back() -> None:
    """The limit lies where reading ends; the stated overkill counts the no reads; few parts promise nothing."""
    limits = Thresholds(threshold=0.6, bound_threshold=0.95, most_gap=12.0)
    sure = [Read("A1", spelling("A1", 0.9), fits=True) for _ in range(27)]
    unsure = [Read("A1", spelling("A7", 0.5), fits=True) for _ in range(3)]
    groups = [str(index) for index in range(30)]

    found = _calibrated(sure + unsure, groups, limits)
    assert found is not None
    assert 0.1 <= found.accept_below <= 0.4
    assert found.overkill_expected == pytest.approx(4 / 31)
    assert _calibrated(sure[:19], groups[:19], limits) is None
    assert _calibrated(sure + unsure, ["one"] * 30, limits) is None


@pytest.mark.slow
def test_texts_at_the_border_are_refused():
    """A cut letter cannot be told, so nothing is read there: pictures cut tightly round their texts are no use."""
    frames, texts, groups = pictures(24)
    tight = [frame[40:96, 34:330] for frame in frames]

    with pytest.raises(ConfigError, match=r"texts lie within half a letter of the border"):
        fit_ocr_bundle(tight, texts, PixelFormat.MONO8, run(), groups=groups)
