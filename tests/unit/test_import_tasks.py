"""Our tasks read what an import writes: settings, taxonomy, outputs."""

import math

import pytest

from appliance.decision.anomaly_map import read_statistics
from appliance.ports.task import Window
from appliance.storage.bundle import arrays
from appliance.tasks import anomaly, boxes, classification, semantic
from appliance.tasks.detection import DetectionInterpreter
from appliance.tasks.instance import InstanceInterpreter
from tests.unit import foreign_models as foreign
from tests.unit.import_rig import IMAGENET, Desk, names

WINDOW = Window(0, 0, 320, 240)


def interpreted(taken, make):
    """Interpret what the imported model says of its first golden image."""
    model = taken.manifest.models[0]
    golden = arrays(taken, model.golden)
    tensors = {spec.name: golden[spec.name][:1] for spec in model.outputs}
    head = taken.manifest.heads[0]
    return make(head, taken.files[head.settings], model).interpret(tensors)


def detection(head, settings, model):
    count = next(spec.shape[1] for spec in model.outputs if spec.name == "boxes")
    return DetectionInterpreter(head, boxes.read_settings("detection", settings), WINDOW, model.input.shape[1:3], count)


def instance(head, settings, model):
    shapes = {spec.name: spec.shape for spec in model.outputs}
    read = boxes.read_settings("instance", settings)
    size, count = model.input.shape[1:3], shapes["boxes"][1]
    return InstanceInterpreter(head, read, WINDOW, size, count, shapes["prototypes"][1:])


MODELS = {
    "detection": (lambda: foreign.end_to_end(("a", "b", "c")), "", detection),
    "instance": (lambda: foreign.ultralytics(("a", "b"), 160, 32), "", instance),
    "classification": (
        lambda: foreign.classifier(3),
        "threshold = 0.1\n" + names(3) + IMAGENET,
        lambda head, settings, _: classification.ClassificationInterpreter(
            head, classification.read_settings(settings), WINDOW
        ),
    ),
    "semantic": (
        lambda: foreign.torchvision(3, 64),
        names(3) + IMAGENET,
        lambda head, settings, model: semantic.SemanticInterpreter(
            head, semantic.read_settings(settings), WINDOW, model.outputs[0].shape[1:]
        ),
    ),
}


@pytest.mark.parametrize("task", MODELS)
def test_an_imported_model_gives_findings(tmp_path, task):
    """Score and findings come out of the outputs that the import wrote."""
    make, mapping, interpreter = MODELS[task]
    said = interpreted(Desk(tmp_path).take(make(), mapping), interpreter)

    assert math.isfinite(said.score)
    assert 0 < len(said.findings)


def test_an_imported_map_is_read_as_it_is(tmp_path):
    """A map that its own export has normalised is not normalised again."""
    taken = Desk(tmp_path).take(foreign.anomalib(dynamic=True), "size = [128, 128]")
    known = read_statistics(arrays(taken, "statistics.npz"))
    said = interpreted(
        taken,
        lambda head, settings, _: anomaly.AnomalyInterpreter(head, anomaly.read_settings(settings), known, WINDOW),
    )
    largest = arrays(taken, "golden_model.npz")["map"][0].max()

    assert 0.9 * largest <= said.score <= largest
    assert 0.5 == taken.manifest.heads[0].classes[0].threshold
