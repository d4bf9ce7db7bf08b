"""Whatever is wrong with a foreign model is one line that names it, and nothing is left behind."""

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from onnx import TensorProto, helper, numpy_helper

from appliance.importing import parity
from appliance.importing.command import run_import
from appliance.importing.decoding import Decoding
from appliance.importing.mapping import Layout
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ApplianceError, ConfigError
from appliance.storage import bundle
from tests.unit import foreign_models as foreign
from tests.unit.import_rig import IMAGENET, PLAIN, Desk, names

MAPPING = names(4) + IMAGENET


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def refused(desk, model, mapping=MAPPING, match="import "):
    """Import what must be refused; give the line."""
    before = {path for path in desk.folder.rglob("*") if path.name not in {"model.onnx", "mapping.toml"}}
    with pytest.raises(ApplianceError, match=match) as error:
        desk.take(model, mapping)
    after = {path for path in desk.folder.rglob("*") if path.name not in {"model.onnx", "mapping.toml"}}

    assert "\n" not in str(error.value)
    assert before == after
    return error.value


def simple(operator="Relu", kind=TensorProto.FLOAT, dims=(1, 3, 32, 32), domain=""):
    net = foreign.Foreign()
    net.nodes.append(helper.make_node(operator, ["x"], ["y"], domain=domain))
    return net.model({"x": (kind, dims)}, {"y": (kind, dims)})


def with_inputs(model, *more):
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.input.extend(helper.make_tensor_value_info(name, kind, dims) for name, kind, dims in more)
    return changed


FILES = {
    "0 bytes": (b"", "0 bytes, needs 1 to"),
    "text": (b"no model", "no valid ONNX model"),
    "truncated": (foreign.classifier(4).SerializeToString()[:-200], "no valid ONNX model"),
    "half": (foreign.classifier(4).SerializeToString()[:500], "no valid ONNX model"),
    "unknown operator": (simple("Frobnicate"), "Frobnicate"),
    "operator of another domain": (simple("Gelu", domain="com.microsoft"), "operators of com.microsoft"),
    "half precision input": (simple(kind=TensorProto.FLOAT16), "x is float16"),
    "no image": (simple(dims=(1, 3)), "no image input: x is float32"),
    "batch of 8": (simple(dims=(8, 3, 32, 32)), "does not fit"),
    "five channels": (simple(dims=(1, 5, 32, 32)), "needs 1 or 3 channels"),
    "everything dynamic": (simple(dims=("a", "b", "c", "d")), "axes and size cannot be told"),
    "two images": (
        with_inputs(foreign.classifier(4), ("other", TensorProto.FLOAT, [1, 3, 96, 96])),
        "2 inputs could be the image",
    ),
    "an input that is no image": (
        with_inputs(foreign.classifier(4), ("scale_factor", TensorProto.FLOAT, [1, 2])),
        "scale_factor, float32 .1, 2., is no image",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_an_unusable_file_is_one_line(desk, kind):
    """Damaged files, unknown operators, wrong inputs: named, and nothing written."""
    content, match = FILES[kind]

    assert isinstance(refused(desk, content, match=match), ConfigError)


def test_an_old_opset_is_named(desk):
    """Below opset 11 operators mean other things."""
    refused(desk, foreign.classifier(4, opset=9), match="opset 9 is not in 11 to")


def external(location):
    model = foreign.classifier(4)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(16 * 3 * 8 * 8 * 4))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return model


@pytest.mark.parametrize(
    "location", ["/etc/hostname", "../weights.bin", "a/../../weights.bin", "", "none.bin", "link.bin"]
)
def test_data_outside_of_the_model_s_folder_is_never_read(desk, location):
    """A model may not name files of this machine."""
    (desk.folder / "link.bin").symlink_to("/etc/hostname")

    assert repr(location) in str(refused(desk, external(location), match="no file beside the model"))


def test_data_beside_the_model_are_taken_along(desk):
    """Today's exporters write weights into a second file."""
    weights = numpy_helper.to_array(foreign.classifier(4).graph.initializer[0])
    (desk.folder / "weights.bin").write_bytes(weights.tobytes())
    taken = desk.take(external("weights.bin"), MAPPING)

    assert taken.manifest.models[0].outputs[0].shape == (1, 4)


def test_data_that_are_too_short_are_refused(desk):
    """Half of the weights are not the model."""
    (desk.folder / "weights.bin").write_bytes(b"1234")
    refused(desk, external("weights.bin"))


def test_other_inputs_can_be_made_constants(desk):
    """A mapping states what an input that is no image is always given; its type must fit."""
    net = foreign.Foreign()
    mean = net.add("Flatten", [net.add("GlobalAveragePool", ["x"])])
    net.add("Mul", [mean, "gain"], "y")
    inputs = {"x": (foreign.FLOAT, [1, 3, 32, 32]), "gain": (foreign.FLOAT, [1, 3])}
    model = net.model(inputs, {"y": (foreign.FLOAT, [1, 3])})
    said = names(3) + PLAIN + 'scores = "softmax"\n'
    refused(desk, model, said + 'constants = { gain = [["a"]] }', match="constants.gain")
    refused(desk, model, said + "constants = { gein = [[1, 1, 1]] }", match="constants.gein names no input")

    assert desk.take(model, said + "constants = { gain = [[9, 5, 7]] }").files["model.onnx"]


WRONG = {
    "too few classes": (names(3) + IMAGENET, "needs .1, 3. as `scores`"),
    "unknown output": (MAPPING + 'outputs = { scores = "nothing" }', "is no output of the model"),
    "unknown role": (MAPPING + 'outputs = { boxes = "logits" }', "outputs.boxes is not one"),
    "layout of another task": (MAPPING + 'layout = "planes"', "layout planes does not fit task classification"),
    "no task of ours": (MAPPING + 'task = "ocr"', "does not fit task ocr"),
    "another size": (MAPPING + "size = [64, 64]", "does not fit"),
    "no such input": (MAPPING + 'input = "picture"', "no input 'picture'"),
    "grey for three channels": (MAPPING.replace("RGB", "GREY"), "colour GREY does not fit"),
    "two means": (MAPPING.replace("mean = [0.485, 0.456, 0.406]", "mean = [0.5, 0.5]"), "mean is .0.5, 0.5."),
    "mean of nan": (MAPPING.replace("mean = [0.485, 0.456, 0.406]", "mean = [nan]"), "mean is .nan."),
    "std of 0": (MAPPING.replace("std = [0.229, 0.224, 0.225]", "std = [0.0]"), "std is .0.0."),
    "threshold of no class": (MAPPING + "thresholds = { scratch = 0.5 }", "thresholds names 'scratch'"),
    "harmless class of none": (MAPPING.replace('["c0"]', '["scratch"]'), "not_defects names 'scratch'"),
    "no good class": (MAPPING.replace('["c0"]', "[]"), "4 of 4 classes are defects"),
    "no defect": (MAPPING.replace('["c0"]', '["c0", "c1", "c2", "c3"]'), "0 of 4 classes are defects"),
    "one name twice": ('classes = ["a", "b", "b", "good"]\n' + IMAGENET, "class 'b' stands twice"),
    "roi outside": (MAPPING + "roi = [0, 0, 4000, 4000]", "leaves the frame"),
    "roi of nothing": (MAPPING + "roi = [0, 0, 0, 0]", "leaves the frame"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_mapping_that_does_not_fit_the_model_is_one_line(desk, kind):
    """What a person states is checked against the model."""
    mapping, match = WRONG[kind]
    refused(desk, foreign.classifier(4), mapping, match)


def test_class_0_of_a_segmentation_is_the_background(desk):
    """What no class covers must not be a defect."""
    mapping = names(3).replace('["c0"]', '["c1"]') + IMAGENET
    refused(desk, foreign.torchvision(3), mapping, "class 0 is 'c0'")


def test_a_class_beyond_the_taxonomy_is_refused(desk):
    """A class that the mapping does not name would vanish without a finding."""
    refused(desk, foreign.d_fine(5), names(2) + PLAIN, match="names class [2-4] on a sample image")


def test_outputs_that_change_their_shape_are_refused(desk):
    """How many boxes there are may not depend on the image."""
    net = foreign.Foreign()
    rows = net.add("Transpose", [net.shape(net.conv("x", 6, 3, 8), (6, 16))], perm=[1, 0])
    first = net.add("Slice", [rows, *(net.constant(np.array([value], np.int64)) for value in (0, 1, 1))])
    keep = net.shape(net.add("Greater", [first, net.constant(np.array(0.0, np.float32))]), (16,))
    net.add("Unsqueeze", [net.add("Compress", [rows, keep], axis=0), net.constant(np.array([0], np.int64))], "y")
    model = net.model({"x": (foreign.FLOAT, [1, 3, 32, 32])}, {"y": (foreign.FLOAT, [1, "n", 6])})
    mapping = names(2) + PLAIN + 'layout = "rows"\nnms_iou = 0.5\nbox_format = "xyxy"\ntask = "detection"\n'
    refused(desk, model, mapping + 'outputs = { rows = "y" }')


def test_numbers_that_are_none_are_refused(desk):
    """A model that gives nan on a sample image is no model."""
    net = foreign.Foreign()
    mean = net.add("Flatten", [net.add("GlobalAveragePool", ["x"])])
    net.add("Sqrt", [net.add("Neg", [mean])], "y")
    model = net.model({"x": (foreign.FLOAT, [1, 3, 32, 32])}, {"y": (foreign.FLOAT, [1, 3])})

    assert "output 'y' is nan or infinite on a sample image" in str(
        refused(desk, model, names(3) + PLAIN + 'scores = "as-is"')
    )


class Crooked(OpenVinoRuntime):
    """Compile another model than was asked for: one that does not change the order of colours."""

    def load(self, model, precision, threads):
        changed = onnx.load_from_string(model)
        for node in changed.graph.node:
            if node.op_type == "Gather":
                node.op_type = "Identity"
                del node.input[1:], node.attribute[:]
        return super().load(changed.SerializeToString(), precision, threads)


def test_a_difference_in_preprocessing_is_caught(desk):
    """A graph that forgets to swap red and blue is refused, naming the tensor and the image."""
    desk.runtime = Crooked()
    mapping = names(4) + PLAIN.replace("RGB", "BGR")

    assert "sample 0.png: `probabilities` differs" in str(refused(desk, foreign.classifier(4), mapping))


def test_images_are_needed(desk):
    """Without a sample image nothing is proven; a broken one is named."""
    for image in desk.images.iterdir():
        image.unlink()
    refused(desk, foreign.classifier(4), match="holds 0 images, at least 1")
    (desk.images / "broken.png").write_bytes(b"\x89PNG and no more")
    refused(desk, foreign.classifier(4), match="broken.png is no image")
    (desk.images / "broken.png").write_bytes(b"")
    refused(desk, foreign.classifier(4), match="broken.png is no image")


def test_a_bundle_is_never_overwritten(desk):
    """The folder must be new."""
    options = desk.write(foreign.classifier(4), MAPPING)
    options.out.mkdir()
    with pytest.raises(ConfigError, match="never overwritten"):
        run_import(options, desk.runtime, bundle.write)


def test_a_precision_that_is_not_there_is_named(desk):
    """The runtime says what it has."""
    options = replace(desk.write(foreign.classifier(4), MAPPING), precision="f8")
    with pytest.raises(ApplianceError, match="precision f8"):
        run_import(options, desk.runtime, bundle.write)


ROWS = Decoding(TaskName.DETECTION, Layout.SORTED, {"rows": "y"}, {"rows": (1, 4, 6)}, classes=2)


def rows(*kept):
    boxes = np.array([[[0, 0, 10, 10], [5, 5, 9, 9], [1, 2, 3, 4], [7, 7, 8, 8]]], np.float32)
    scores = np.array([[[0.9, 0], [0, 0.8], [0.01, 0], [0, 0.012]]], np.float32)
    return {"boxes": boxes[:, kept], "scores": scores[:, kept]}


def test_rows_may_come_in_any_order():
    """Rows chosen by score are the same in another order, and the weakest may be others."""
    assert {"boxes": 0.0, "scores": 0.0} == parity.compare(ROWS, rows(0, 1, 2), rows(1, 0, 3))


@pytest.mark.parametrize(("one", "other"), [((0, 1, 2), (0, 2, 3)), ((0, 2, 3), (0, 1, 2))])
def test_a_strong_row_that_is_missing_is_a_difference(one, other):
    """A box over the floor on either side must be on the other."""
    assert max(parity.compare(ROWS, rows(*one), rows(*other)).values()) > 0.1
