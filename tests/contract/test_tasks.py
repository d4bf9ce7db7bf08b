"""One bundle and one frame give the same findings on every runtime and precision, for each of the six tasks.

Bounds, on frames of parts that no bundle was fitted on:

| from OpenVINO f32 to | scores | sides of a box | what may appear or vanish |
|---|---|---|---|
| ONNX Runtime f32 | 0.001 | 0.1 px | nothing |
| OpenVINO bf16 | as `BF16` below | as `BF16` | a finding this close to its class's threshold |
"""

import functools
import tracemalloc
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from appliance.ports.task import Reading
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import TaskName
from appliance.schema.errors import RuntimeFault
from appliance.services._inspector import load_bundle
from appliance.sim.parts.objects import true_parts
from appliance.storage import bundle
from tests.contract.task_rig import fitted, frames, gaps


class Bound(NamedTuple):
    """State how far bf16 may lie from f32."""

    score: float
    """Of findings and of the image; probabilities but for anomaly, whose unit is standard deviations from good."""
    place_px: float


BF16 = {
    TaskName.CLASSIFICATION: Bound(0.25, 0.0),
    TaskName.DETECTION: Bound(0.1, 4.0),  # an input pixel is 1.5 px
    TaskName.SEMANTIC: Bound(0.15, 5.0),  # a cell is 5 px
    TaskName.INSTANCE: Bound(0.1, 4.0),
    TaskName.ANOMALY: Bound(0.4, 20.0),  # a cell is 20 px
    TaskName.OCR: Bound(0.02, 2.0),
}


@functools.cache
def readings(task: TaskName, make: type, precision: str) -> list[Reading]:
    loaded = load_bundle(fitted(task), make(), precision, 1, any_precision=True)
    reader = loaded.reader(frames()[0].shape)  # type: ignore[arg-type]
    return [reader.read(frame) for frame in frames()]


def thresholds(task: TaskName) -> dict[str, float]:
    heads = bundle.read(fitted(task)).manifest.heads
    return {item.name: item.threshold for head in heads for item in head.classes}


def compared(task: TaskName, make: type, precision: str, doubtful: float) -> tuple[list[str], float, float, float]:
    """Give what was found on one side alone, and the largest differences of findings, places and image scores."""
    here, there = readings(task, OpenVinoRuntime, "f32"), readings(task, make, precision)
    each = [gaps(a.findings, b.findings, doubtful, thresholds(task)) for a, b in zip(here, there, strict=True)]
    assert [np.isfinite(one.score) for one in here] == [np.isfinite(one.score) for one in there]
    images = [abs(a.score - b.score) for a, b in zip(here, there, strict=True) if np.isfinite(a.score)]
    return (
        [line for one in each for line in one[0]],
        max(one[1] for one in each),
        max(one[2] for one in each),
        max(images, default=0.0),
    )


@pytest.mark.parametrize("task", TaskName)
def test_something_is_found(task: TaskName) -> None:
    """The comparisons below compare findings, not empty lists."""
    found = readings(task, OpenVinoRuntime, "f32")

    assert sum(len(one.findings) for one in found) >= 3
    assert all(0 <= f.box.x_px < f.box.x_px + f.box.width_px <= 640.01 for one in found for f in one.findings if f.box)


@pytest.mark.parametrize("task", TaskName)
def test_runtimes_agree_in_f32(task: TaskName) -> None:
    """OpenVINO and ONNX Runtime find the same things at the same places with the same scores."""
    alone, score, place, image = compared(task, OnnxRuntime, "f32", 0.0)

    assert [] == alone
    assert score <= 1e-3
    assert place <= 0.1
    assert image <= 1e-3


@pytest.mark.parametrize("task", TaskName)
def test_bf16_agrees_within_its_bounds(task: TaskName) -> None:
    """bf16 finds the same things, but for those near their threshold, within the stated bounds."""
    if OpenVinoRuntime().choose() != "bf16":
        pytest.skip("this CPU has no bf16")
    bound = BF16[task]
    alone, score, place, image = compared(task, OpenVinoRuntime, "bf16", bound.score)

    assert [] == alone
    assert score <= bound.score
    assert place <= bound.place_px
    assert image <= bound.score


@pytest.mark.parametrize("task", TaskName)
def test_planted_normalisation_is_caught(task: TaskName, tmp_path) -> None:
    """A model whose in-graph preprocessing was changed a little, everything else signed and sealed, does not load."""
    source = bundle.read(fitted(task))
    spec = source.manifest.models[0]
    model = onnx.load_model_from_string(source.files[spec.file])
    changed = next(
        node.input[1]
        for node in model.graph.node
        if node.op_type in {"Sub", "Mul", "Add", "Div"} and "image" not in node.input[1]
    )
    (constant,) = (item for item in model.graph.initializer if item.name == changed)
    constant.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(constant) * 1.05).astype(np.float32), changed))
    bundle.write(tmp_path / "b", source.manifest, {**source.files, spec.file: bytes(model.SerializeToString())})

    with pytest.raises(RuntimeFault, match=r"golden tensor 1 of `\w+`"):
        load_bundle(tmp_path / "b", OpenVinoRuntime(), "f32", 1)


@pytest.mark.parametrize("task", TaskName)
def test_planted_kernel_is_caught(task: TaskName, tmp_path) -> None:
    """A preprocessing kernel that no longer makes the golden image stops the bundle from loading."""
    source = bundle.read(fitted(task))
    name = source.manifest.preprocessing.golden
    arrays = bundle.arrays(source, name)
    path = tmp_path / "golden.npz"
    np.savez(path, frame=arrays["frame"], image=arrays["image"][..., ::-1])
    bundle.write(tmp_path / "b", source.manifest, {**source.files, name: path.read_bytes()})

    with pytest.raises(RuntimeFault, match=rf"{name}: .* grey levels, limit 1"):
        load_bundle(tmp_path / "b", OpenVinoRuntime(), "f32", 1)


@pytest.mark.parametrize("task", TaskName)
def test_no_copy_of_the_frame_is_made(task: TaskName) -> None:
    """Reading a part allocates far less than a frame, and the frame, which is lent, is only read."""
    frame = next(true_parts([1001], (1280, 1024))).raw
    frame.setflags(write=False)
    reader = load_bundle(fitted(task), OpenVinoRuntime(), "f32", 1).reader(frame.shape)  # type: ignore[arg-type]
    reader.read(frame)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        reader.read(frame)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()

    assert peak < frame.nbytes / 8
