"""Write bundles whose networks see nothing but brightness, and labelled pictures with bright squares for them."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from msgspec.structs import replace
from onnx import TensorProto

from appliance.evaluation.seen import SEEN
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import (
    ClassSpec,
    ConfidenceCurve,
    DataSnapshot,
    GoodOnlyCalibration,
    Head,
    Preprocessing,
    TaskName,
)
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle as bundles
from appliance.training.package import Contents, Network, npz, pack
from tests.unit.foreign_models import FLOAT, Foreign

SIDE = 64
"""Of the input image; pictures are twice as large."""
FRAME = 2 * SIDE
CELLS = 16
DARK, BRIGHT = 40, 240
"""A picture without a square, and a square."""
LIMITS = GoodOnlyCalibration(20, 100.0, 200.0, 0.05, 0.1, tuple(float(n) for n in range(20)))


def brightness(net: Foreign) -> str:
    """Append the mean of the channels as (1, 1, rows, cols) float32."""
    image = net.add("Cast", ["image"], to=FLOAT)
    grey = net.add("ReduceMean", [image], axes=[3], keepdims=0)
    return net.shape(grey, (1, 1, SIDE, SIDE))


def network(task: TaskName) -> bytes:
    """Give the ONNX model of a task."""
    net = Foreign()
    grey = brightness(net)
    outputs: dict[str, tuple[int, Sequence[int]]]
    match task:
        case TaskName.ANOMALY:
            step = SIDE // CELLS
            pooled = net.add("AveragePool", [grey], kernel_shape=[step, step], strides=[step, step])
            net.shape(pooled, (1, CELLS, CELLS), "map")
            outputs = {"map": (FLOAT, (1, CELLS, CELLS))}
        case TaskName.CLASSIFICATION:
            bad = net.add("Div", [net.add("ReduceMax", [grey], axes=[2, 3], keepdims=0), net.constant(np.float32(255))])
            good = net.add("Sub", [net.constant(np.float32(1)), bad])
            net.add("Concat", [good, bad], "probabilities", axis=1)
            outputs = {"probabilities": (FLOAT, (1, 2))}
        case TaskName.SEMANTIC:
            bad = net.add("Div", [grey, net.constant(np.float32(255))])
            good = net.add("Sub", [net.constant(np.float32(1)), bad])
            net.add("Concat", [good, bad], "probabilities", axis=1)
            outputs = {"probabilities": (FLOAT, (1, 2, SIDE, SIDE))}
        case _:
            outputs = objects(net, grey, masks=task is TaskName.INSTANCE)
    model = net.model({"image": (TensorProto.UINT8, (1, SIDE, SIDE, 3))}, outputs)
    return model.SerializeToString()


def objects(net: Foreign, grey: str, *, masks: bool) -> dict[str, tuple[int, Sequence[int]]]:
    """Append a box for each quarter of a quarter, scored by its brightness; its mask is what is bright."""
    step = SIDE // 4
    pooled = net.add("AveragePool", [grey], kernel_shape=[step, step], strides=[step, step])
    net.add("Div", [net.shape(pooled, (1, CELLS, 1)), net.constant(np.float32(255))], "scores")
    corners = [(x, y, x + step, y + step) for y in range(0, SIDE, step) for x in range(0, SIDE, step)]
    net.add("Identity", [net.constant(np.array([corners], np.float32))], "boxes")
    outputs: dict[str, tuple[int, Sequence[int]]] = {
        "boxes": (FLOAT, (1, CELLS, 4)),
        "scores": (FLOAT, (1, CELLS, 1)),
    }
    if masks:
        net.add("Identity", [net.constant(np.ones((1, CELLS, 1), np.float32))], "coefficients")
        net.add("Sub", [grey, net.constant(np.float32(128))], "prototypes")
        outputs |= {"coefficients": (FLOAT, (1, CELLS, 1)), "prototypes": (FLOAT, (1, 1, SIDE, SIDE))}
    return outputs


def write_bundle(
    folder: Path,
    task: TaskName,
    classes: tuple[ClassSpec, ...] = (),
    preprocessing: Preprocessing | None = None,
    curves: tuple[ConfidenceCurve, ...] = (),
    limits: GoodOnlyCalibration | None = LIMITS,
    seen: bytes | None = None,
    frame: np.ndarray | None = None,
) -> Path:
    """Store a bundle of the task; scores of anomaly are grey values, those of other tasks shares of white."""
    image = np.full((1, SIDE, SIDE, 3), DARK, np.uint8)
    image[:, :9, 5:20] = BRIGHT
    known = classes or {
        TaskName.ANOMALY: (ClassSpec("anomaly", threshold=100.0),),
        TaskName.CLASSIFICATION: (ClassSpec("good", defect=False), ClassSpec("spot")),
        TaskName.SEMANTIC: (ClassSpec("background", defect=False), ClassSpec("spot")),
    }.get(task, (ClassSpec("spot"),))
    settings = {"settings.json": b'{"top_share": 0.001, "nms_iou": 1.0}'}
    if task is TaskName.ANOMALY:
        shape = (CELLS, CELLS)
        settings["statistics.npz"] = npz({"mean": np.zeros(shape, np.float32), "deviation": np.ones(shape, np.float32)})
    fitted = pack(
        Contents(
            heads=(Head(task, known, "settings.json"),),
            networks={"model": Network(network(task), image)},
            settings=settings,
            preprocessing=preprocessing or Preprocessing(PixelFormat.MONO8, SIDE, SIDE),
            frame=np.full((FRAME, FRAME), DARK, np.uint8) if frame is None else frame,
            data=DataSnapshot(1, "0" * 64),
            created="2026-11-21T12:00:00Z",
            calibration=limits if limits is None or task is TaskName.ANOMALY else shares(limits),
        ),
        OnnxRuntime(),
        "f32",
    )
    files = fitted.files if seen is None else {**fitted.files, SEEN: seen}
    bundles.write(folder, replace(fitted.manifest, confidence=curves), files)
    return folder


def shares(limits: GoodOnlyCalibration) -> GoodOnlyCalibration:
    """Give limits on shares of white instead of grey values."""
    low, high = limits.accept_below / 255, limits.reject_above / 255
    return replace(limits, accept_below=low, reject_above=high, scores=tuple(one / 255 for one in limits.scores))


def picture(place: tuple[int, int] | None, level: int = BRIGHT, size: int = FRAME) -> np.ndarray:
    """Give a picture with a square of 32 px at (row, col), or without one."""
    image = np.full((size, size), DARK, np.uint8)
    if place is not None:
        image[place[0] : place[0] + 32, place[1] : place[1] + 32] = level
    return image


def write_folders(root: Path, good: int = 6, spots: Sequence[tuple[int, int]] = ((0, 0), (32, 64), (96, 96))) -> Path:
    """Store an MVTec folder with masks; each part of `groups.csv` has two pictures in the test folder."""
    lines = ["name,group"]
    for name in ("train/good", "test/good", "test/spot", "ground_truth/spot"):
        (root / name).mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(5)
    for number in range(good):
        for split in ("train", "test"):
            image = noisy(picture(None), generator)
            cv2.imwrite(str(root / split / "good" / f"{split}{number}.png"), image)
            lines.append(f"{split}{number}.png,{split}-part{number // 2}")
    for number, place in enumerate(spots):
        cv2.imwrite(str(root / "test" / "spot" / f"spot{number}.png"), noisy(picture(place), generator))
        mask = (picture(place) == BRIGHT).astype(np.uint8) * 255
        cv2.imwrite(str(root / "ground_truth" / "spot" / f"spot{number}_mask.png"), mask)
        lines.append(f"spot{number}.png,spotted{number // 2}")
    (root / "groups.csv").write_text("\n".join(lines) + "\n")
    return root


def noisy(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Add noise that keeps every picture another one."""
    return np.clip(image + generator.integers(-3, 4, image.shape), 0, 255).astype(np.uint8)


def write_coco(root: Path, spots: Sequence[tuple[int, int] | None]) -> Path:
    """Store a COCO set of one square, or none, to each picture."""
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    generator = np.random.default_rng(6)
    images, things = [], []
    for number, place in enumerate(spots, 1):
        cv2.imwrite(str(root / "images" / f"{number}.png"), noisy(picture(place), generator))
        images.append({"id": number, "file_name": f"{number}.png", "width": FRAME, "height": FRAME})
        if place is not None:
            y, x = place
            ring = [x, y, x + 32, y, x + 32, y + 32, x, y + 32]
            things.append(
                {"id": number, "image_id": number, "category_id": 1, "bbox": [x, y, 32, 32], "area": 1024}
                | {"iscrowd": 0, "segmentation": [ring]}
            )
    content = {"images": images, "annotations": things, "categories": [{"id": 1, "name": "spot"}]}
    (root / "annotations" / "test.json").write_text(json.dumps(content))
    return root
