"""Paint small pictures and lay them out as users do."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = (48, 64)
"""Rows and columns of the pictures."""


def texture(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Give a picture of its own, (rows, cols) uint8: smooth blobs, so that it survives being re-encoded."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    return cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def store(path: Path, picture: NDArray[np.uint8]) -> Path:
    """Write a picture, with the folders before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    return path


def mask_of(box: tuple[int, int, int, int], size: tuple[int, int] = SIZE, value: int = 255) -> NDArray[np.uint8]:
    """Give a mask with one rectangle x1, y1, x2, y2."""
    mask = np.zeros(size, np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = value
    return mask


def mvtec(
    root: Path, train: int = 6, good: int = 3, of_each: int = 3, kinds: Sequence[str] = ("crack", "dent")
) -> Path:
    """Lay out MVTec folders with masks; every picture differs."""
    names = [f"train/good/t{i}" for i in range(train)] + [f"test/good/g{i}" for i in range(good)]
    names += [f"test/{kind}/{kind}{i}" for kind in kinds for i in range(of_each)]
    for seed, name in enumerate(names):
        store(root / f"{name}.png", texture(seed))
        kind = name.split("/")[1]
        if kind != "good":
            store(root / "ground_truth" / kind / f"{Path(name).name}_mask.png", mask_of((5, 6, 15, 12)))
    return root


def coco(
    root: Path, pictures: int, annotations: Sequence[Mapping[str, Any]], file: str = "annotations/all.json"
) -> Path:
    """Lay out COCO; ids and categories (1 crack, 2 dent) are set, annotations give what they say."""
    images = []
    for number in range(1, pictures + 1):
        store(root / "images" / f"p{number}.png", texture(number))
        images.append({"id": number, "file_name": f"p{number}.png", "width": SIZE[1], "height": SIZE[0]})
    categories = [{"id": 1, "name": "crack"}, {"id": 2, "name": "dent"}]
    numbered = [{"id": i, "iscrowd": 0, **annotation} for i, annotation in enumerate(annotations, 1)]
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": numbered, "categories": categories}), "utf-8")
    return root


def write(path: Path, text: str) -> Path:
    """Write a text file, with the folders before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path
