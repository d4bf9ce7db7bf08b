"""A loaded model may judge only after it gave its golden tensors, and a refusal names the first wrong one."""

import io
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.schema.bundle import (
    ClassSpec,
    DataSnapshot,
    Head,
    Manifest,
    ModelSpec,
    Precision,
    Preprocessing,
    TaskName,
    TensorSpec,
)
from appliance.schema.errors import RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle, golden
from appliance.training.package import golden_preprocessing
from kernels.preprocess import Preprocessor

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
FRAME = np.random.default_rng(1).integers(0, 256, (90, 122), dtype=np.uint8)


class Twin:
    """A session whose outputs are block means, times a factor, and their classes, some of them turned over."""

    def __init__(self, precision: str = "f32", factor: float = 1.0, turned: int = 0, size=(32, 48), batch=1) -> None:
        self.runtime, self.precision, self.factor, self.turned = "onnx", precision, factor, turned
        self.input = np.zeros((batch, *size, 3), np.uint8)

    def run(self) -> dict[str, np.ndarray]:
        blocks = self.input[..., 0].reshape(len(self.input), self.input.shape[1] // 4, 4, -1, 4).mean(axis=(2, 4))
        classes = (blocks > 128).astype(np.uint8)
        classes.reshape(len(classes), -1)[:, : self.turned] ^= 1
        return {"map": (blocks * self.factor).astype(np.float32), "classes": classes}


def npz(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def outputs() -> dict[str, np.ndarray]:
    twin = Twin()
    runs = []
    for image in IMAGES:
        twin.input[...] = image
        runs.append(twin.run())
    return {name: np.stack([run[name][0] for run in runs]) for name in runs[0]}


SPEC = ModelSpec(
    "model",
    "model.onnx",
    TensorSpec("image", "uint8", (1, 32, 48, 3)),
    (TensorSpec("map", "float32", (1, 8, 12)), TensorSpec("classes", "uint8", (1, 8, 12), "share")),
    "golden_model.npz",
)
HOW = Preprocessing(PixelFormat.BAYER_RG8, 32, 48, golden="golden_preprocessing.npz")


def stored(folder: Path, spec: ModelSpec = SPEC, precision: Precision = Precision.F32, **files: bytes) -> bundle.Bundle:
    manifest = Manifest(
        format=bundle.FORMAT,
        created="2026-11-21T12:00:00Z",
        heads=(Head(TaskName.SEMANTIC, (ClassSpec("good", defect=False), ClassSpec("scratch")), "settings.json"),),
        models=(spec,),
        preprocessing=HOW,
        runtime="onnx",
        precision=precision,
        data=DataSnapshot(3, "0" * 64),
        calibration=None,
        versions={},
    )
    content = {
        "model.onnx": b"x",
        "settings.json": b"{}",
        "golden_model.npz": npz(images=IMAGES, **outputs()),
        "golden_preprocessing.npz": npz(**golden_preprocessing(FRAME, HOW)),
    }
    bundle.write(folder, manifest, content | {name.replace("__", "."): data for name, data in files.items()})
    return bundle.read(folder)


def test_golden_outputs_pass(tmp_path) -> None:
    """A session that computes what was calibrated passes, and the largest difference is told."""
    kept = stored(tmp_path / "b")

    assert 0.0 == golden.verify_session(kept, SPEC, Twin()).largest
    assert pytest.approx(5e-4, rel=1e-2) == golden.verify_session(kept, SPEC, Twin(factor=1.0005)).worst["map"]


@pytest.mark.parametrize("factor", [1.002, 0.0, float("nan"), float("inf")])
def test_other_values_are_refused(tmp_path, factor: float) -> None:
    """A session that computes something else, zeros and nan included, is refused by the tensor's number and name."""
    with pytest.raises(
        RuntimeFault, match=r"golden tensor 1 of `map` \(model\.onnx\) differs by .*, limit 0\.001 in f32"
    ):
        golden.verify_session(stored(tmp_path / "b"), SPEC, Twin(factor=factor))


def test_the_first_wrong_tensor_is_named(tmp_path) -> None:
    """Of several images the first wrong one is named, not the worst."""
    results = outputs()
    results["map"][2] += 50
    results["map"][1] += 5
    kept = stored(tmp_path / "b", golden_model__npz=npz(images=IMAGES, **results))
    with pytest.raises(RuntimeFault, match="golden tensor 2 of `map`"):
        golden.verify_session(kept, SPEC, Twin())


def test_classes_are_compared_by_share(tmp_path) -> None:
    """A map of classes may differ in a few cells, in its precision's share of them and no more."""
    loose = replace(SPEC, outputs=(SPEC.outputs[0], replace(SPEC.outputs[1], limit=0.05)))
    kept = stored(tmp_path / "b", loose)

    assert pytest.approx(4 / 96) == golden.verify_session(kept, loose, Twin(turned=4)).worst["classes"]
    with pytest.raises(RuntimeFault, match="of `classes`"):
        golden.verify_session(kept, loose, Twin(turned=5))
    with pytest.raises(RuntimeFault, match=r"of `classes` .* limit 0\.002"):
        golden.verify_session(stored(tmp_path / "c"), SPEC, Twin(turned=1))


def test_a_bundle_cannot_wave_itself_through(tmp_path) -> None:
    """However wide a bound the manifest states, an output of zeros is refused."""
    wide = replace(SPEC, outputs=tuple(replace(spec, limit=1e308) for spec in SPEC.outputs))
    with pytest.raises(RuntimeFault, match=r"of `map` .* limit 0\.5"):
        golden.verify_session(stored(tmp_path / "b", wide), wide, Twin(factor=0.0))


@pytest.mark.parametrize("precision", ["bf16", "f16", "int8"])
def test_other_precision_is_refused(tmp_path, precision: str) -> None:
    """Limits hold for the precision they were calibrated in, even when the numbers look alike."""
    kept = stored(tmp_path / "b")
    with pytest.raises(RuntimeFault, match=f"calibrated in f32, onnx runs it in {precision}"):
        golden.verify_session(kept, SPEC, Twin(precision))

    assert 0.0 == golden.verify_session(kept, SPEC, Twin(precision), any_precision=True).largest
    with pytest.raises(RuntimeFault, match=r"limit 0\.5"):
        golden.verify_session(kept, SPEC, Twin(precision, factor=1.6), any_precision=True)


def test_every_entry_of_a_batch_is_compared(tmp_path) -> None:
    """A batch in which only the second entry is wrong is refused."""
    wide = replace(
        SPEC,
        input=TensorSpec("image", "uint8", (2, 32, 48, 3)),
        outputs=tuple(replace(spec, shape=(2, *spec.shape[1:])) for spec in SPEC.outputs),
    )
    kept = stored(tmp_path / "b", wide)

    assert 0.0 == golden.verify_session(kept, wide, Twin(batch=2)).largest

    class SecondWrong(Twin):
        def run(self) -> dict[str, np.ndarray]:
            results = super().run()
            results["map"][1] *= 0.9
            return results

    with pytest.raises(RuntimeFault, match="golden tensor 1 of `map`"):
        golden.verify_session(kept, wide, SecondWrong(batch=2))


def test_shapes_and_names_must_be_the_manifests(tmp_path) -> None:
    """A network with another input, or without an output, is refused by name before anything runs on it."""
    kept = stored(tmp_path / "b")
    with pytest.raises(RuntimeFault, match=r"takes \(1, 64, 48, 3\) uint8, the manifest says \(1, 32, 48, 3\)"):
        golden.verify_session(kept, SPEC, Twin(size=(64, 48)))
    renamed = replace(SPEC, outputs=(replace(SPEC.outputs[0], name="heat"),))
    named = stored(tmp_path / "c", renamed, golden_model__npz=npz(images=IMAGES, heat=outputs()["map"]))
    with pytest.raises(RuntimeFault, match="output `heat` is missing"):
        golden.verify_session(named, renamed, Twin())


@pytest.mark.parametrize("missing", ["images", "map", "classes"])
def test_incomplete_golden_file_is_refused(tmp_path, missing: str) -> None:
    """A golden file without one of its arrays proves nothing."""
    content = {"images": IMAGES, **outputs()}
    del content[missing]
    kept = stored(tmp_path / "b", golden_model__npz=npz(**content))
    with pytest.raises(RuntimeFault, match=f"`{missing}` of .* is missing"):
        golden.verify_session(kept, SPEC, Twin())


def test_preprocessing_is_proven(tmp_path) -> None:
    """The kernel that the line uses gives the golden image."""
    assert 0 == golden.verify_preprocessing(stored(tmp_path / "b"))


class _Swapped(Preprocessor):
    def run(self, frame: np.ndarray, out: np.ndarray) -> None:
        super().run(frame, out)
        out[...] = out[..., ::-1].copy()


class _Shifted(Preprocessor):
    def run(self, frame: np.ndarray, out: np.ndarray) -> None:
        super().run(np.roll(frame, 2, axis=1), out)


class _Darker(Preprocessor):
    def run(self, frame: np.ndarray, out: np.ndarray) -> None:
        super().run(frame, out)
        np.subtract(out, np.minimum(out, 3), out=out)


@pytest.mark.parametrize("planted", [_Swapped, _Shifted, _Darker])
def test_planted_preprocessing_is_caught(tmp_path, planted: type[Preprocessor]) -> None:
    """Red for blue, a shift by one Bayer quad, or three grey levels: each is caught at load."""
    with pytest.raises(RuntimeFault, match=r"golden_preprocessing\.npz: .* differs by \d+ grey levels, limit 1"):
        golden.verify_preprocessing(stored(tmp_path / "b"), planted)


@pytest.mark.parametrize("content", [{"frame": FRAME}, {"frame": FRAME.astype(np.float32), "image": IMAGES[0]}])
def test_incomplete_preprocessing_golden_is_refused(tmp_path, content: dict) -> None:
    """A golden frame without its image, or of other values than pixels, is refused."""
    with pytest.raises(RuntimeFault, match="lacks `frame` and `image`"):
        golden.verify_preprocessing(stored(tmp_path / "b", golden_preprocessing__npz=npz(**content)))
