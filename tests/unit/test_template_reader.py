"""A bundle with a template reads raw frames: composed, found in frame pixels, proven whole, never passed uncompared."""

import math
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.ports.runtime import Runtime, Session
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import ClassSpec, DataSnapshot, Head, Manifest, Preprocessing, TaskName, Template, Tiling
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle as bundles
from appliance.storage.golden import verify_preprocessing
from appliance.tasks.opening import Parts, open_reader
from appliance.tasks.templates import TemplateReader
from appliance.training.backbone import Graph
from appliance.training.package import Contents, FittedBundle, Network, npz, pack
from appliance.training.template import TEMPLATE_FILE, composed, with_template
from tests.unit.template_pictures import SHAPE, drawn, move, seen

CREATED = "2026-11-21T12:00:00Z"
SIZE = (120, 160)
HOW = Template(TEMPLATE_FILE, reach_px=8, tolerance_px=1)
DEFECT = (150, 100, 24, 12)
"""(x, y, width, height) in frame pixels."""
Grey = NDArray[np.uint8]


def difference_model() -> bytes:
    """Give a network that says `defect` where the third channel leaves neutral, cell by cell of 4 x 4 pixels."""
    graph = Graph()
    third = graph.add("Gather", ["image", graph.constant("third", np.array([2], np.int64))], "difference", axis=3)
    real = graph.add("Cast", [third], "difference_real", to=1)
    away = graph.add("Sub", [real, graph.constant("neutral", np.array(127, np.float32))], "away")
    share = graph.add("Mul", [graph.add("Abs", [away], "far"), graph.constant("s", np.array(1 / 90, np.float32))], "sh")
    planes = graph.add("Transpose", [share], "planes", perm=[0, 3, 1, 2])
    cells = graph.add("AveragePool", [planes], "cells", kernel_shape=[4, 4], strides=[4, 4])
    low, high = (graph.constant(f"bound{value}", np.array(value, np.float32)) for value in (0, 1))
    defect = graph.add("Clip", [cells, low, high], "defect")
    good = graph.add("Sub", [high, defect], "good")
    graph.add("Concat", [good, defect], "probabilities", axis=1)
    return graph.model(SIZE, {"probabilities": (1, 2, SIZE[0] // 4, SIZE[1] // 4)})


def fitted(template: Grey, frames: list[Grey], **how: object) -> FittedBundle:
    """Give a bundle made as a fit makes it: from composed pictures as RGB8, then given its template."""
    pictures = composed(frames, template, HOW)
    images = np.stack([picture[::2, ::2] for picture in pictures])
    head = Head(TaskName.SEMANTIC, (ClassSpec("background", defect=False), ClassSpec("defect")), "semantic.json")
    contents = Contents(
        heads=(head,),
        networks={"model": Network(difference_model(), images)},
        settings={"semantic.json": b"{}"},
        preprocessing=replace(Preprocessing(PixelFormat.RGB8, *SIZE), **how),
        frame=pictures[0],
        data=DataSnapshot(len(frames), "0" * 64),
        created=CREATED,
    )
    bundle = pack(contents, OnnxRuntime(), "f32", 1)
    return with_template(bundle, frames[0], PixelFormat.MONO8, template, HOW)


def damaged(frame: Grey) -> Grey:
    """Give a frame with a light patch on it, or a dark one where it is light."""
    x, y, width, height = DEFECT
    frame = frame.copy()
    patch = frame[y : y + height, x : x + width]
    patch[...] = 255 - np.median(patch)
    return frame


def parts_of(bundle: bundles.Bundle, runtime: Runtime, manifest: Manifest | None = None) -> Parts:
    """Give a bundle's parts with its network compiled."""
    sessions: dict[str, Session] = {"model": runtime.load(bundle.files["model.onnx"], "f32", 1)}
    return Parts(manifest or bundle.manifest, bundle.files, lambda path: bundles.arrays(bundle, path), sessions)


def stored(folder: Path, **how: object) -> tuple[bundles.Bundle, Grey]:
    """Give a stored bundle and its template."""
    template = drawn("board", 4)
    frames = [seen(template, move(SHAPE, 1.0, -0.5)), seen(template, move(SHAPE, -2.0, 1.5), 0.9)]
    made = fitted(template, frames, **how)
    bundles.write(folder / "bundle", made.manifest, made.files)
    return bundles.read(folder / "bundle"), template


@pytest.mark.parametrize("runtime", [OnnxRuntime(), OpenVinoRuntime()], ids=["onnx", "openvino"])
@pytest.mark.parametrize(
    "how", [{}, {"tiling": Tiling(overlap_px=20, shrink=1.0)}, {"keep_aspect": True, "shrink": 2.0}], ids=str
)
def test_a_defect_is_found_where_the_frame_shows_it(tmp_path: Path, runtime: Runtime, how: dict[str, object]) -> None:
    """Findings are in frame pixels, whole, in tiles and with the aspect kept, though the part lies elsewhere."""
    bundle, template = stored(tmp_path, **how)
    reader = open_reader(parts_of(bundle, runtime), SHAPE)
    x, y, width, height = DEFECT

    good = reader.read(seen(template, move(SHAPE, 3.2, -2.4), 0.85))
    bad = reader.read(damaged(seen(template, move(SHAPE, 3.2, -2.4), 0.85)))

    assert () == good.findings
    assert good.score < 0.5 < bad.score
    (found,) = bad.findings
    assert found.box is not None
    assert abs(found.box.x_px + found.box.width_px / 2 - (x + width / 2)) <= 8
    assert abs(found.box.y_px + found.box.height_px / 2 - (y + height / 2)) <= 8


def test_a_frame_without_the_template_has_no_score(tmp_path: Path) -> None:
    """What cannot be compared is no number, which no limit accepts; nothing is raised, so that the line goes on."""
    bundle, _ = stored(tmp_path)
    reader = open_reader(parts_of(bundle, OnnxRuntime()), SHAPE)

    for frame in (drawn("board", 5), np.zeros(SHAPE, np.uint8)):
        reading = reader.read(frame)

        assert math.isnan(reading.score)
        assert () == reading.findings


def test_another_template_can_be_shown(tmp_path: Path) -> None:
    """A data set may have a template for each picture."""
    bundle, _ = stored(tmp_path)
    reader = open_reader(parts_of(bundle, OnnxRuntime()), SHAPE)
    other = drawn("print", 6)

    assert isinstance(reader, TemplateReader)
    reader.use_template(other)

    assert reader.read(seen(other, move(SHAPE, 1, 1))).score < 0.5


def test_the_golden_frame_proves_composing(tmp_path: Path) -> None:
    """A bundle whose template was exchanged shows its network other pictures, and is refused."""
    bundle, template = stored(tmp_path)
    changed = template.copy()
    changed[60:90, 60:90] = 255 - changed[60:90, 60:90]
    wrong = replace(bundle, files=bundle.files | {TEMPLATE_FILE: npz({"template": changed})})
    foreign = replace(bundle, files=bundle.files | {TEMPLATE_FILE: npz({"template": drawn("board", 5)})})

    assert 0 == verify_preprocessing(bundle)
    with pytest.raises(RuntimeFault, match="preprocessing of the golden frame differs by"):
        verify_preprocessing(wrong)
    with pytest.raises(RuntimeFault, match=r"golden frame: template: .* of its edges found"):
        verify_preprocessing(foreign)


def test_the_golden_frame_proves_composing_with_the_aspect_kept(tmp_path: Path) -> None:
    """A canvas holds the whole golden frame."""
    bundle, _ = stored(tmp_path, keep_aspect=True, shrink=2.0)

    assert 0 == verify_preprocessing(bundle)


def test_what_does_not_fit_is_refused_in_words(tmp_path: Path) -> None:
    """Raw colour frames, frames of another size and a template of another size have a remedy each."""
    bundle, _ = stored(tmp_path)
    plain = bundle.manifest.preprocessing
    bayer = replace(bundle.manifest, preprocessing=replace(plain, pixel_format=PixelFormat.BAYER_RG8))
    reader = open_reader(parts_of(bundle, OnnxRuntime()), SHAPE)

    with pytest.raises(ConfigError, match="frames are BayerRG8, limits are Mono8 and RGB8"):
        open_reader(parts_of(bundle, OnnxRuntime(), bayer), SHAPE)
    with pytest.raises(ConfigError, match=r"it has \(240, 320\) \(rows, cols\), frames \(200, 320\)"):
        open_reader(parts_of(bundle, OnnxRuntime()), (200, 320))
    with pytest.raises(RuntimeFault, match="the frame 320 x 200;"):
        reader.read(np.zeros((200, 320), np.uint8))
