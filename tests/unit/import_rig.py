"""Import a model of `foreign_models` into a folder, with a few sample images."""

from pathlib import Path

import cv2
import numpy as np
import onnx

from appliance.importing.command import ImportOptions, run_import
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.storage import bundle

FRAME = (240, 320)
IMAGENET = 'colour = "RGB"\ndivisor = 255\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n'
PLAIN = 'colour = "RGB"\ndivisor = 255\nmean = [0]\nstd = [1]\n'


def names(count: int) -> str:
    """Give a mapping's lines of classes, the first of which is good."""
    return "classes = [" + ", ".join(f'"c{number}"' for number in range(count)) + ']\nnot_defects = ["c0"]\n'


class Desk:
    """Hold a folder with sample images, and import models into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = OpenVinoRuntime()
        self.images = folder / "images"
        self.images.mkdir()
        random = np.random.default_rng(3)
        for number in range(2):
            coarse = random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
            cv2.imwrite(str(self.images / f"{number}.png"), cv2.resize(coarse, FRAME[::-1]))

    def write(self, model: onnx.ModelProto | bytes, mapping: str = "") -> ImportOptions:
        """Store a model and its mapping, and give what imports them."""
        file, out = self.folder / "model.onnx", self.folder / "bundle"
        file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        said = self.folder / "mapping.toml"
        said.write_text(mapping)
        return ImportOptions(file, self.images, out, said if mapping else None)

    def take(self, model: onnx.ModelProto | bytes, mapping: str = "") -> bundle.Bundle:
        """Import a model and read the bundle back."""
        options = self.write(model, mapping)
        assert 0 == run_import(options, self.runtime, bundle.write)
        return bundle.read(options.out)

    def frames(self) -> list[np.ndarray]:
        """Give the sample frames, (rows, cols, 3) uint8 RGB."""
        return [cv2.imread(str(path))[:, :, ::-1].copy() for path in sorted(self.images.iterdir())]
