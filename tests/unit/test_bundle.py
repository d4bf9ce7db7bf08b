"""A bundle is what its manifest says, every byte of it, or it is refused."""

import io
import os

import msgspec
import numpy as np
import pytest

from appliance.schema.bundle import GoodOnlyCalibration, Manifest
from appliance.schema.errors import Refused, RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)


class Twin:
    """A session whose output is the mean of each 8 x 8 block of the first channel, times a factor."""

    def __init__(self, runtime: str = "onnx", precision: str = "f32", factor: float = 1.0, size=(32, 48)) -> None:
        self.runtime, self.precision, self.factor = runtime, precision, factor
        self.input = np.zeros((1, *size, 3), np.uint8)

    def run(self) -> dict[str, np.ndarray]:
        blocks = self.input[0, ..., 0].reshape(self.input.shape[1] // 8, 8, -1, 8).mean(axis=(1, 3))
        return {"map": (blocks * self.factor)[None].astype(np.float32)}


def npz(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def golden_map() -> np.ndarray:
    twin = Twin()
    maps = []
    for image in IMAGES:
        twin.input[0] = image
        maps.append(twin.run()["map"][0])
    return np.stack(maps)


FILES = {
    "model.onnx": b"\x08\x08" + bytes(200),
    "golden.npz": npz(images=IMAGES, map=golden_map()),
    "settings.json": b'{"roi": null}',
}
MANIFEST = Manifest(
    format=1,
    task="anomaly",
    created="2026-11-21T12:00:00Z",
    input_rows=32,
    input_columns=48,
    pixel_format=PixelFormat.BAYER_RG8,
    runtime="onnx",
    precision="f32",
    training_images=20,
    training_sha256="0" * 64,
    calibration=GoodOnlyCalibration(20, 1.0, 1.5, 1 / 21, 0.14, tuple(range(20))),
    versions={"onnx": "1", "numpy": "2"},
    files=(),
)


@pytest.fixture
def folder(tmp_path):
    bundle.write(tmp_path / "b", MANIFEST, FILES)
    return tmp_path / "b"


def test_what_was_written_is_read(tmp_path) -> None:
    """Files and manifest come back as they were, under the id that writing gave."""
    name = bundle.write(tmp_path / "b", MANIFEST, FILES)
    stored = bundle.read(tmp_path / "b")

    assert (name, FILES) == (stored.id, stored.files)
    assert name == bundle.bundle_id(stored.manifest)
    assert MANIFEST == msgspec.structs.replace(stored.manifest, files=())


def test_id_does_not_depend_on_order(tmp_path) -> None:
    """The same content in another order is the same bundle; another content is not."""
    swapped = dict(reversed(FILES.items()))
    versions = msgspec.structs.replace(MANIFEST, versions=dict(reversed(MANIFEST.versions.items())))
    name = bundle.write(tmp_path / "a", MANIFEST, FILES)

    assert name == bundle.write(tmp_path / "b", versions, swapped)
    assert name != bundle.write(tmp_path / "c", MANIFEST, {**FILES, "settings.json": b"{}"})


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_one_changed_byte_is_refused(folder, name: str) -> None:
    """Flipping any single byte of any file is found, or changes the id."""
    before = bundle.read(folder).id
    path = folder / name
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 97)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            changed = bundle.read(folder).id
        except RuntimeFault:
            continue
        assert changed != before
        assert name == "manifest.json"


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_missing_and_truncated_files_are_refused(folder, name: str) -> None:
    """A file that is gone or cut short is named."""
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(RuntimeFault, match=name.replace(".", r"\.")):
        bundle.read(folder)
    (folder / name).unlink()
    with pytest.raises(RuntimeFault, match=name.replace(".", r"\.")):
        bundle.read(folder)


def test_added_file_is_refused(folder) -> None:
    """Nothing lies in a bundle that its manifest does not name."""
    (folder / "more.bin").write_bytes(b"x")
    with pytest.raises(RuntimeFault, match=r"more\.bin is not in the manifest"):
        bundle.read(folder)


def test_link_is_refused(folder, tmp_path) -> None:
    """A file of a bundle is a file, not a link to elsewhere."""
    (tmp_path / "elsewhere").write_bytes(FILES["settings.json"])
    (folder / "settings.json").unlink()
    (folder / "settings.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RuntimeFault, match="is a link"):
        bundle.read(folder)


def test_reformatted_manifest_is_refused(folder) -> None:
    """A manifest with the same meaning but other bytes was edited by someone."""
    path = folder / "manifest.json"
    path.write_bytes(msgspec.json.format(path.read_bytes()))
    with pytest.raises(RuntimeFault, match="canonical"):
        bundle.read(folder)


def test_other_format_is_refused(tmp_path) -> None:
    """A bundle of a later format names both numbers."""
    bundle.write(tmp_path / "b", msgspec.structs.replace(MANIFEST, format=2), FILES)
    with pytest.raises(RuntimeFault, match="format 2, this version reads 1"):
        bundle.read(tmp_path / "b")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../x", "a//x", "a\\x", "", "./x"])
def test_names_cannot_leave_the_folder(tmp_path, name: str) -> None:
    """No file name leads outside the bundle, and a refused bundle leaves nothing behind."""
    with pytest.raises(RuntimeFault, match="leaves the bundle's folder"):
        bundle.write(tmp_path / "in" / "b", MANIFEST, {**FILES, name: b"x"})

    assert [] == [entry.name for entry in tmp_path.rglob("*") if entry.is_file()]


def test_bundles_are_never_overwritten(folder) -> None:
    """A second bundle at the same place is refused and the first stays."""
    before = bundle.read(folder).id
    with pytest.raises(Refused, match="never overwritten"):
        bundle.write(folder, MANIFEST, {**FILES, "settings.json": b"{}"})

    assert before == bundle.read(folder).id


def test_failed_write_leaves_nothing(tmp_path, monkeypatch) -> None:
    """When the disk fails in the middle, no half bundle and no scratch folder remain."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        bundle.write(tmp_path / "b", MANIFEST, FILES)

    assert [] == list(tmp_path.iterdir())


def test_golden_outputs_pass(folder) -> None:
    """A session that computes what was calibrated passes, and the difference is told."""
    assert 0.0 == bundle.verify_session(bundle.read(folder), Twin())
    assert pytest.approx(5e-4, rel=1e-2) == bundle.verify_session(bundle.read(folder), Twin(factor=1.0005))


@pytest.mark.parametrize("factor", [1.002, 0.0, float("nan"), float("inf")])
def test_other_outputs_are_refused(folder, factor: float) -> None:
    """A session that computes something else, nan included, is refused."""
    with pytest.raises(RuntimeFault, match="golden outputs differ"):
        bundle.verify_session(bundle.read(folder), Twin(factor=factor))


def test_other_runtime_must_give_the_same(folder) -> None:
    """Another runtime in the same precision is held to the same golden outputs, no more and no less."""
    assert 0.0 == bundle.verify_session(bundle.read(folder), Twin("openvino"))
    with pytest.raises(RuntimeFault, match="golden outputs differ"):
        bundle.verify_session(bundle.read(folder), Twin("openvino", factor=1.01))


@pytest.mark.parametrize(("runtime", "precision"), [("openvino", "bf16"), ("onnx", "bf16"), ("tensorrt", "f16")])
def test_other_precision_is_refused(folder, runtime: str, precision: str) -> None:
    """Limits hold for the precision they were calibrated in, even when the numbers look alike."""
    with pytest.raises(RuntimeFault, match="calibrated in f32"):
        bundle.verify_session(bundle.read(folder), Twin(runtime, precision))


def test_other_input_size_is_refused(folder) -> None:
    """A model of another input size does not belong to this bundle."""
    with pytest.raises(RuntimeFault, match="golden images are"):
        bundle.verify_session(bundle.read(folder), Twin(size=(64, 48)))


def test_objects_in_arrays_are_refused(tmp_path) -> None:
    """An npz that holds Python objects, which only pickle could read, is refused."""
    content = io.BytesIO()
    np.savez(content, mean=np.array([print], dtype=object), allow_pickle=True)
    bundle.write(tmp_path / "b", MANIFEST, {**FILES, "statistics.npz": content.getvalue()})
    stored = bundle.read(tmp_path / "b")
    with pytest.raises(RuntimeFault, match="holds no plain arrays"):
        bundle.arrays(stored, "statistics.npz")
    with pytest.raises(RuntimeFault, match=r"no other\.npz"):
        bundle.arrays(stored, "other.npz")
