"""Turn class maps into a score and one finding per connected region of a class."""

import math

import msgspec
import numpy as np

from appliance.ports.runtime import Tensors
from appliance.ports.task import Interpretation, Surface, Window
from appliance.schema.bundle import ClassSpec, Head
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Finding
from appliance.tasks.regions import MOST_REGIONS, Regions, Spot

PROBABILITIES = "probabilities"
CLASSES = "classes"
CONFIDENCE = "confidence"


class SemanticReading(msgspec.Struct, frozen=True):
    """Read how maps become findings from a bundle's settings; other keys are for people."""

    fewest_cells: int = 1
    """Smaller regions are no findings; the score knows them all the same."""


class SemanticInterpreter:
    """Interpret the maps of one head for one window; holds the memory of the search.

    Each cell has its likeliest class and that class's probability, its confidence. Cells of a class whose confidence
    reaches the class's threshold form its regions. Class 0 and other classes that are no defects count as background,
    unless they are features: a class other than 0 with `defect` False is found and listed, but adds nothing to the
    score. What lies beside the part of the window that is shown is neither found nor scored.
    """

    def __init__(
        self,
        head: Head,
        settings: SemanticReading,
        window: Window,
        map_shape: tuple[int, int],
        shown: Window | None = None,
    ) -> None:
        """Take the head, its settings, the window that images show and the (rows, cols) of the maps.

        shown: the part of the window that is really seen, where the rest shows its mirror image; None: all of it.
        """
        self._classes, self._settings = head.classes, settings
        self._shape = map_shape
        self._regions = Regions(window, map_shape, shown)
        self._beside = self._regions.beside()
        self._defects = np.array([one.defect for one in head.classes], np.bool_)
        self._share = self._defects.astype(np.float32)
        self._thresholds = np.array([one.threshold for one in head.classes], np.float32)
        self._thresholds[0] = np.inf
        self._likeliest = np.zeros(map_shape, np.intp)
        self._confidence = np.zeros(map_shape, np.float32)
        self._suspicion = np.zeros(map_shape, np.float32)
        least = min((one.threshold for one in head.classes if one.defect), default=1.0)
        self._surface = Surface(self._suspicion, window, min(least, 1.0) / 2, 1.0)
        self._least = np.zeros(map_shape, np.float32)
        self._marked = np.zeros(map_shape, np.uint8)
        self._own = np.zeros(map_shape, np.uint8)
        if head.classes[0].defect or not self._defects.any():
            raise RuntimeFault(
                f"semantic task: class 0 is {head.classes[0].name}, defects are {int(self._defects.sum())}; class 0 "
                "must be the background and one other a defect"
            )

    def interpret(self, tensors: Tensors, index: int = 0) -> Interpretation:
        """Give the image score and the regions; keeps no reference. RuntimeFault when the outputs do not fit.

        The score is the highest suspicion of a cell: the sum of its defect probabilities or, from a class map, the
        confidence of a defect and 1 - that of another class. No defect region has a higher confidence than the score.
        """
        read = self._from_probabilities if PROBABILITIES in tensors else self._from_classes
        if not read(tensors, index):
            return Interpretation(math.nan, ())
        if self._beside is not None:
            self._suspicion[self._beside] = 0
            self._confidence[self._beside] = -1  # below every threshold
        return Interpretation(float(self._suspicion.max()), self._findings(), self._surface)

    def _from_probabilities(self, tensors: Tensors, index: int) -> bool:
        """Fill the maps; False when a value is not finite."""
        found = tensors[PROBABILITIES]
        if found.shape[1:] != (len(self._classes), *self._shape) or index >= len(found):
            raise self._fault(tensors)
        values = found[index]
        if not np.isfinite(values).all():
            return False
        np.argmax(values, axis=0, out=self._likeliest)
        np.max(values, axis=0, out=self._confidence)
        np.matmul(self._share, values.reshape(len(self._share), -1), out=self._suspicion.reshape(-1))
        return True

    def _from_classes(self, tensors: Tensors, index: int) -> bool:
        """Fill the maps; False when a value is not finite."""
        found, confidence = tensors.get(CLASSES), tensors.get(CONFIDENCE)
        if found is None or confidence is None or found.shape != confidence.shape or found.shape[1:] != self._shape:
            raise self._fault(tensors)
        if index >= len(found):
            raise self._fault(tensors)
        if not np.isfinite(confidence[index]).all():
            return False
        np.copyto(self._likeliest, found[index], casting="unsafe")
        np.copyto(self._confidence, confidence[index])
        if int(self._likeliest.max()) >= len(self._classes) or int(self._likeliest.min()) < 0:
            raise RuntimeFault(
                f"semantic task: class {int(self._likeliest.max())} in `{CLASSES}`, the head names "
                f"{len(self._classes)}; install the bundle again"
            )
        np.subtract(1, self._confidence, out=self._suspicion)
        np.copyto(self._suspicion, self._confidence, where=self._defects[self._likeliest])
        return True

    def _findings(self) -> tuple[Finding, ...]:
        np.take(self._thresholds, self._likeliest, out=self._least)
        np.greater_equal(self._confidence, self._least, out=self._marked.view(np.bool_))
        if not self._marked.any():
            return ()
        found: list[tuple[ClassSpec, Spot]] = []
        for label in np.unique(self._likeliest[self._marked.view(np.bool_)]):
            np.equal(self._likeliest, label, out=self._own.view(np.bool_))
            np.bitwise_and(self._own, self._marked, out=self._own)
            spots = self._regions.find(self._own, self._confidence, self._settings.fewest_cells)
            found += [(self._classes[label], spot) for spot in spots]
        # A defect never gives way to a feature of the part. Outlines are traced for what is listed, no more.
        found.sort(key=lambda one: (not one[0].defect, -one[1].strength))
        return tuple(self._finding(kind.name, spot) for kind, spot in found[:MOST_REGIONS])

    def _finding(self, name: str, spot: Spot) -> Finding:
        region = self._regions.place(spot)
        return Finding(name, spot.strength, None, region.box, area_px=region.area_px, polygon=region.polygon)

    def _fault(self, tensors: Tensors) -> RuntimeFault:
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        return RuntimeFault(
            f"semantic task: outputs {shapes} hold no `{PROBABILITIES}` or `{CLASSES}` and `{CONFIDENCE}` of "
            f"{len(self._classes)} classes and {self._shape} cells; use a bundle of task semantic"
        )


def read_settings(content: bytes) -> SemanticReading:
    """Give the reading in a bundle's settings; RuntimeFault when it is damaged."""
    try:
        return msgspec.json.decode(content, type=SemanticReading)
    except msgspec.DecodeError as cause:
        raise RuntimeFault(f"semantic task: settings are damaged: {cause}; install the bundle again") from cause
