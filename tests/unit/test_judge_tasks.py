"""Protect the gate from models that stop giving numbers: no task's tensors, however spoilt, become an ACCEPT."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.decision.anomaly_map import MapStatistics
from appliance.decision.disposition import judge_score
from appliance.ports.task import Interpretation, Interpreter, Window
from appliance.schema.bundle import ClassSpec, Head, TaskName
from appliance.schema.errors import RuntimeFault
from appliance.schema.verdict import Disposition
from appliance.tasks.anomaly import AnomalyInterpreter, MapReading
from appliance.tasks.boxes import BoxSettings
from appliance.tasks.classification import ClassificationInterpreter, ClassificationReading
from appliance.tasks.detection import DetectionInterpreter
from appliance.tasks.instance import InstanceInterpreter
from appliance.tasks.ocr import OcrReader, OcrSettings
from appliance.tasks.reading import TiledReader, WholeReader
from appliance.tasks.semantic import SemanticInterpreter, SemanticReading

WINDOW = Window(0, 0, 64, 64)
CLASSES = (ClassSpec("good", defect=False), ClassSpec("scratch"), ClassSpec("dent"))
ACCEPTS_ALL = 1e30


def head(task: TaskName, classes: tuple[ClassSpec, ...] = CLASSES) -> Head:
    return Head(task, classes, "settings.json")


def full(*shape: int, value: float = 0.1) -> NDArray[np.float32]:
    return np.full(shape, value, np.float32)


def shares(*shape: int) -> NDArray[np.float32]:
    """Give probabilities of the three classes, the good one likeliest."""
    values = np.full((1, 3, *shape), 0.05, np.float32)
    values[:, 0] = 0.9
    return values


def anomaly() -> Interpreter:
    known = MapStatistics(full(8, 8), full(8, 8, value=1))
    return AnomalyInterpreter(head(TaskName.ANOMALY, (ClassSpec("anomaly"),)), MapReading(0.01), known, WINDOW)


BOX_TENSORS = {"boxes": np.tile(np.array([4, 4, 9, 9], np.float32), (1, 6, 1)), "scores": full(1, 6, 3)}
MASK_TENSORS = {"coefficients": full(1, 6, 4), "prototypes": full(1, 4, 16, 16)}
TASKS: Mapping[str, tuple[Callable[[], Interpreter], dict[str, NDArray[np.float32]]]] = {
    "classification": (
        lambda: ClassificationInterpreter(head(TaskName.CLASSIFICATION), ClassificationReading(), WINDOW),
        {"probabilities": shares()},
    ),
    "detection": (
        lambda: DetectionInterpreter(head(TaskName.DETECTION), BoxSettings(), WINDOW, (64, 64), 6),
        BOX_TENSORS,
    ),
    "instance": (
        lambda: InstanceInterpreter(head(TaskName.INSTANCE), BoxSettings(), WINDOW, (64, 64), 6, (4, 16, 16)),
        {**BOX_TENSORS, **MASK_TENSORS},
    ),
    "semantic": (
        lambda: SemanticInterpreter(head(TaskName.SEMANTIC), SemanticReading(), WINDOW, (8, 8)),
        {"probabilities": shares(8, 8)},
    ),
    "semantic_classes": (
        lambda: SemanticInterpreter(head(TaskName.SEMANTIC), SemanticReading(), WINDOW, (8, 8)),
        {"classes": np.zeros((1, 8, 8), np.uint8), "confidence": full(1, 8, 8)},
    ),
    "anomaly": (anomaly, {"map": full(1, 8, 8)}),
}


def disposition_of(score: float) -> Disposition:
    """Judge by limits that accept every number."""
    return judge_score(score, ACCEPTS_ALL, ACCEPTS_ALL)[0]


@pytest.mark.parametrize("task", TASKS)
def test_whole_tensors_can_be_accepted(task: str) -> None:
    """The tests below can fail: with numbers throughout, these limits accept."""
    make, tensors = TASKS[task]

    assert Disposition.ACCEPT is disposition_of(make().interpret(tensors).score)


@pytest.mark.parametrize("task", TASKS)
def test_one_value_that_is_no_number_is_never_accepted(task: str, rng: np.random.Generator) -> None:
    """A single nan anywhere in any output of a task, whatever else it found, leaves the part without a verdict."""
    make, tensors = TASKS[task]
    interpreter = make()
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32:
            continue
        for place in {0, tensor.size - 1, *rng.integers(0, tensor.size, 20).tolist()}:
            spoilt = tensor.copy()
            spoilt.flat[place] = np.nan

            assert Disposition.NO_VERDICT is disposition_of(interpreter.interpret({**tensors, name: spoilt}).score), (
                name,
                place,
            )

    assert Disposition.ACCEPT is disposition_of(interpreter.interpret(tensors).score)


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_or_misshapen_output_is_a_named_fault(task: str) -> None:
    """The judge turns it into no verdict; nothing else may come out of a task."""
    make, tensors = TASKS[task]
    for name, tensor in tensors.items():
        for wrong in ({}, {name: tensor[..., :-1].copy()}, {name: tensor[:0].copy()}):
            others = {key: value for key, value in tensors.items() if key != name}
            with pytest.raises(RuntimeFault, match=name):
                make().interpret({**others, **wrong})


class Network:
    """Be a compiled network of an OCR bundle that gives one value, throughout a line or a text."""

    runtime, precision = "twin", "f32"

    def __init__(self, rows: int, columns: int, value: float, **outputs: tuple[int, ...]) -> None:
        self.input = np.zeros((1, rows, columns, 3), np.uint8)
        self.value, self._outputs = value, outputs

    def run(self) -> dict[str, NDArray[np.generic]]:
        outputs: dict[str, NDArray[np.generic]] = {}
        for name, shape in self._outputs.items():
            outputs[name] = np.ones(shape, np.int64) if name == "index" else np.full(shape, self.value, np.float32)
        if "text" in outputs:  # one line in the middle
            outputs["text"][:, :28] = outputs["text"][:, 36:] = outputs["text"][:, :, :22] = 0
            outputs["text"][:, :, 42:] = 0
        return outputs


def read_text(search: float, spelling: float) -> float:
    """Read a dark frame with networks that give these values; nan when that is a fault, as the judge takes it."""
    networks = {
        "find": Network(64, 64, search, text=(1, 64, 64)),
        "read": Network(48, 320, spelling, index=(1, 40), probability=(1, 40)),
    }
    settings = OcrSettings(detection=("find",), recognition=("read",), characters=("A",), direction="")
    reader = OcrReader(networks, settings, 0.5, (64, 64), "Mono8")
    try:
        return reader.read(np.zeros((64, 64), np.uint8)).score
    except RuntimeFault:
        return math.nan


@pytest.mark.parametrize(("search", "spelling"), [(math.nan, 0.9), (0.9, math.nan), (math.nan, math.nan)])
def test_text_read_by_spoilt_networks_is_never_accepted(search: float, spelling: float) -> None:
    """Whether finding or reading fails, the text is not read, and what is not read is no pass."""
    assert Disposition.ACCEPT is disposition_of(read_text(0.9, 0.9))
    assert Disposition.ACCEPT is not disposition_of(read_text(search, spelling))


class Says:
    """Be a head that says one score after the other."""

    def __init__(self, *scores: float) -> None:
        self._scores = iter(scores)

    def interpret(self, tensors: object, index: int = 0) -> Interpretation:
        return Interpretation(next(self._scores), ())


class Nothing:
    """Prepare and compute nothing."""

    input = np.zeros((2, 4, 4, 3), np.uint8)

    def run(self, *given: object) -> dict[str, NDArray[np.generic]]:
        return {}


def test_a_frame_tells_what_every_head_says() -> None:
    """The deciding head's score and those behind it, in their order."""
    reading = WholeReader(Nothing(), Nothing(), (Says(1.0), Says(2.0), Says(3.0))).read(np.zeros((4, 4), np.uint8))

    assert (1.0, (2.0, 3.0)) == (reading.score, reading.others)


def test_of_several_tiles_each_head_says_its_worst() -> None:
    """The highest score of any tile, head by head; a tile in the last, shorter batch counts as any."""
    tiles = [(Says(1.0), Says(9.0)), (Says(5.0), Says(2.0)), (Says(3.0), Says(4.0))]
    reading = TiledReader(Nothing(), Nothing(), [WINDOW] * 3, tiles).read(np.zeros((4, 4), np.uint8))

    assert (5.0, (9.0,)) == (reading.score, reading.others)


@pytest.mark.parametrize("place", range(4))
def test_a_head_that_is_no_number_spoils_the_frame(place: int) -> None:
    """All heads share one backbone: where one says nothing, no other is believed, in any tile."""
    scores = [math.nan if index == place else 1.0 for index in range(4)]
    tiles = [(Says(scores[0]), Says(scores[1])), (Says(scores[2]), Says(scores[3]))]
    whole = WholeReader(Nothing(), Nothing(), tuple(map(Says, scores))).read(np.zeros((4, 4), np.uint8))
    tiled = TiledReader(Nothing(), Nothing(), [WINDOW] * 2, tiles).read(np.zeros((4, 4), np.uint8))

    assert (True, True) == (math.isnan(whole.score), math.isnan(tiled.score))
