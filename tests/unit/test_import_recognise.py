"""A model is recognised from what it says of itself; what it does not say is asked of a person, never guessed."""

import tomllib

import msgspec
import pytest

from appliance.importing.mapping import Description, Layout, MappingNeeded, read_mapping
from appliance.importing.opening import open_source
from appliance.importing.recognise import recognise
from appliance.importing.source import Port, Source
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from tests.unit import foreign_models as foreign
from tests.unit.import_rig import PLAIN, Desk, names

FLOAT, INT64 = 1, 7
YOLO = foreign.yolo_metadata("detect", ("a", "b"), 640)
MASKS = foreign.yolo_metadata("segment", ("a", "b"), 640)


def source(metadata=None, inputs=(("images", (1, 3, 640, 640)),), inner_mean=0.0):
    ports = tuple(Port(name, FLOAT if len(dims) == 4 else INT64, dims) for name, dims in inputs)
    return Source("model.onnx", b"", "", ports, (), 17, "pytorch", dict(metadata or {}), inner_mean, None)


def known(shapes, metadata=None, said=None, **more):
    """Recognise a model that gives outputs of these shapes."""
    model, said = source(metadata, **more), said or Description()
    return recognise(model, open_source(model, said), shapes, said).description


def missing(shapes, metadata=None, said=None, **more):
    """Name what a person is asked for, as the mapping file on standard output does."""
    with pytest.raises(MappingNeeded) as asked:
        known(shapes, metadata, said, **more)
    text = asked.value.template
    tomllib.loads(text)  # what is known is valid as it stands

    return {line.split()[1] for line in text.splitlines() if line.startswith("# ") and " = " in line}


SAID = Description(classes=("a", "b"), colour="RGB", divisor=255.0, mean=(0.0,), std=(1.0,))
SHAPES = {
    "columns": ({"output0": (1, 6, 8400)}, YOLO, Layout.COLUMNS, TaskName.DETECTION),
    "masks": ({"output0": (1, 38, 8400), "output1": (1, 32, 160, 160)}, MASKS, Layout.COLUMNS, TaskName.INSTANCE),
    "end to end": ({"output0": (1, 300, 6)}, YOLO | {"end2end": "True"}, Layout.SORTED, TaskName.DETECTION),
    "sorted by an option": (
        {"output0": (1, 300, 6)},
        YOLO | {"args": "{'nms': True}"},
        Layout.SORTED,
        TaskName.DETECTION,
    ),
    "sorted masks": (
        {"output0": (1, 300, 38), "output1": (1, 32, 160, 160)},
        MASKS | {"end2end": "True"},
        Layout.SORTED,
        TaskName.INSTANCE,
    ),
    "RT-DETR": ({"output0": (1, 300, 6)}, YOLO, Layout.ROWS, TaskName.DETECTION),
    "objectness": ({"output0": (1, 25200, 7)}, {}, Layout.ROWS, TaskName.DETECTION),
    "queries": ({"logits": (1, 300, 2), "pred_boxes": (1, 300, 4)}, {}, Layout.QUERIES, TaskName.DETECTION),
    "labelled": (
        {"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)},
        {},
        Layout.LABELLED,
        TaskName.DETECTION,
    ),
    "classes": ({"logits": (1, 2)}, {}, Layout.VECTOR, TaskName.CLASSIFICATION),
    "planes": ({"out": (1, 2, 520, 520), "aux": (1, 2, 520, 520)}, {}, Layout.PLANES, TaskName.SEMANTIC),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_layouts_are_told_from_shapes_and_metadata(kind):
    """With classes and preprocessing known, the shapes say the rest."""
    shapes, metadata, layout, task = SHAPES[kind]
    found = known(shapes, metadata, None if metadata else SAID)

    assert (layout, task) == (found.layout, found.task)
    assert (kind == "objectness") == bool(found.objectness)


@pytest.mark.parametrize(
    "said", ["", "{", "{0: 1}", "{1: 'a', 2: 'b'}", "[]", "{0: 'a\\nb', 1: 'c'}", "{0: '\\ud800', 1: 'c'}"]
)
def test_names_that_are_none_are_asked_for(said):
    """Metadata are somebody's text: only a whole list of printable names counts."""
    metadata = foreign.yolo_metadata("classify", ("a", "b"), 224, names=said)

    assert "classes" in missing({"output0": (1, 2)}, metadata)


def test_every_name_can_be_written_down():
    """What is asked for is valid TOML whatever the classes are called."""
    names = ("Kratzer \u00e4", "\U0001f600", 'a "quoted" \\ one')
    metadata = foreign.yolo_metadata("detect", names, 640)
    shapes = {"output0": (1, 11, 100)}

    assert {"layout", "box_format", "nms_iou"} == missing(shapes, metadata)


def test_coco_shape_is_recognised_without_metadata():
    """(1, 84, 8400) is 80 classes, one column per box."""
    said = msgspec.structs.replace(SAID, classes=foreign.COCO)

    assert Layout.COLUMNS is known({"output0": (1, 84, 8400)}, said=said).layout


def test_a_shape_that_fits_two_layouts_is_asked_for():
    """(1, 300, 6) with two classes may be rows of scores or box, score and class."""
    assert {"layout", "box_format", "nms_iou"} == missing({"output0": (1, 300, 6)}, said=SAID)


def test_nothing_is_guessed_that_the_file_does_not_say():
    """A plain classifier names neither its classes nor its preprocessing."""
    assert {"classes", "not_defects", "colour", "divisor", "mean", "std"} == missing({"logits": (1, 5)})


def test_normalisation_inside_the_graph_is_found():
    """A mean that the graph subtracts itself is not subtracted again."""
    assert {"classes", "not_defects", "colour"} == missing({"logits": (1, 5)}, inner_mean=0.485)
    assert (
        1.0 == known({"logits": (1, 2)}, said=Description(classes=("a", "b"), colour="RGB"), inner_mean=123.7).divisor
    )


def test_the_file_asked_for_is_the_file_that_is_taken(tmp_path):
    """The mapping on standard output, its open lines completed, is a mapping."""
    with pytest.raises(MappingNeeded) as asked:
        known({"logits": (1, 2)})
    text = asked.value.template
    assert "# mean = [0.485, 0.456, 0.406]  # a guess" in text
    completed = (
        text.replace("# classes = ?", 'classes = ["a", "b"]')
        .replace("# not_defects = ?", 'not_defects = ["a"]')
        .replace("# colour", "colour")
    )
    for key in ("divisor", "mean", "std"):
        completed = completed.replace(f"# {key}", key)
    file = tmp_path / "mapping.toml"
    file.write_text(completed)

    assert Layout.VECTOR is known({"logits": (1, 2)}, said=read_mapping(file)).layout


def test_a_command_prints_the_mapping_that_is_needed(tmp_path, capsys):
    """The error is one line; the mapping stands on standard output, ready to be piped into a file."""
    desk = Desk(tmp_path)
    with pytest.raises(MappingNeeded, match="classes, colour, divisor, mean, std cannot be told") as asked:
        desk.take(foreign.classifier(3))

    assert "\n" not in str(asked.value)
    assert "# classes = ?" in capsys.readouterr().out
    assert not (tmp_path / "bundle").exists()


def test_small_logits_are_asked_about(tmp_path):
    """Numbers in 0 to 1 that do not add up to 1 may be logits or several classes at a time."""
    net = foreign.Foreign()
    mean = net.add("Flatten", [net.add("GlobalAveragePool", ["x"])])
    model = net.model({"x": (foreign.FLOAT, [1, 3, 32, 32])}, {mean: (foreign.FLOAT, [1, 3])})
    with pytest.raises(MappingNeeded, match="scores cannot be told"):
        Desk(tmp_path).take(model, names(3) + PLAIN)


def test_an_unknown_size_is_asked_for():
    """A graph for any size needs one."""
    assert {"size"} == missing({"logits": (1, 5)}, inputs=(("x", (None, 3, None, None)),))
    assert {"axes", "size"} == missing({"logits": (1, 5)}, inputs=(("x", (None, None, None, None)),))


MAPPINGS = {
    "unknown = 1": "unknown field",
    'task = "pose"': "Invalid enum value",
    "size = [640]": "size",
    "size = [4, 640]": ">= 8",
    "mean = []": "length >= 1",
    "divisor = 0": "> 0",
    "nms_iou = 1.5": "<= 1",
    "classes = []": "length >= 1",
    "roi = [1, 2, 3]": "roi",
    'classes = ["a\\nb"]': "classes",
    "= 1": "is not TOML",
    "\x00": "is not TOML",
}


@pytest.mark.parametrize("text", MAPPINGS)
def test_a_wrong_mapping_is_one_line(tmp_path, text):
    """Every key has a type and a range; an unknown key is a mistake."""
    file = tmp_path / "mapping.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=MAPPINGS[text]) as refused:
        read_mapping(file)

    assert "\n" not in str(refused.value)


def test_a_mapping_that_is_no_file_is_one_line(tmp_path):
    """A folder or nothing is no mapping."""
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(ConfigError, match="give a file that can be read"):
            read_mapping(path)
