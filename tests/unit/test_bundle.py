"""A bundle is what its manifest says, every byte of it, or it is refused."""

import io
import os

import msgspec
import numpy as np
import pytest

from appliance.schema.bundle import (
    ClassSpec,
    DataSnapshot,
    GoodOnlyCalibration,
    Head,
    Manifest,
    ModelSpec,
    Precision,
    Preprocessing,
    TaskName,
    TensorSpec,
)
from appliance.schema.errors import Refused, RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)


def npz(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


FILES = {
    "model.onnx": b"\x08\x08" + bytes(200),
    "golden_model.npz": npz(images=IMAGES, map=np.ones((2, 4, 6), np.float32)),
    "golden_preprocessing.npz": npz(frame=np.zeros((8, 8), np.uint8), image=np.zeros((4, 4, 3), np.uint8)),
    "settings.json": b'{"top_share": 0.01}',
}
MANIFEST = Manifest(
    format=3,
    created="2026-11-21T12:00:00Z",
    heads=(Head(TaskName.ANOMALY, (ClassSpec("anomaly", min_size_mm=0.2),), "settings.json"),),
    models=(
        ModelSpec(
            "model",
            "model.onnx",
            TensorSpec("image", "uint8", (1, 32, 48, 3)),
            (TensorSpec("map", "float32", (1, 4, 6)),),
            "golden_model.npz",
        ),
    ),
    preprocessing=Preprocessing(PixelFormat.BAYER_RG8, 32, 48, golden="golden_preprocessing.npz"),
    runtime="onnx",
    precision=Precision.F32,
    data=DataSnapshot(20, "0" * 64),
    calibration=GoodOnlyCalibration(20, 1.0, 1.5, 1 / 21, 0.14, tuple(range(20))),
    versions={"onnx": "1", "numpy": "2"},
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
    bundle.write(tmp_path / "b", msgspec.structs.replace(MANIFEST, format=4), FILES)
    with pytest.raises(RuntimeFault, match="format 4, this version reads 3"):
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


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"heads": ()}, "a head or a model"),
        ({"models": ()}, "a head or a model"),
        ({"evidence": ("parity.json",)}, "parity.json"),
        ({"heads": (Head(TaskName.OCR, (), "letters.json"),)}, "letters.json"),
    ],
)
def test_what_the_manifest_speaks_of_must_be_there(tmp_path, change: dict, named: str) -> None:
    """A manifest that names a file it does not list, or nothing that judges, is refused."""
    bundle.write(tmp_path / "b", msgspec.structs.replace(MANIFEST, **change), FILES)
    with pytest.raises(RuntimeFault, match=named):
        bundle.read(tmp_path / "b")


@pytest.mark.parametrize("text", ["two\nlines", "bell\a", "end\u2028"])
def test_text_that_would_break_a_line_is_refused(tmp_path, text: str) -> None:
    """What stands in a manifest stands in messages and in the audit chain: one line each."""
    bundle.write(tmp_path / "b", msgspec.structs.replace(MANIFEST, versions={"made by": text}), FILES)
    with pytest.raises(RuntimeFault, match=r"^[^\n]*unprintable text[^\n]*$"):
        bundle.read(tmp_path / "b")


@pytest.mark.parametrize("what", ["heads", "models"])
def test_nothing_is_listed_twice(tmp_path, what: str) -> None:
    """Two networks of one name, or two heads of one prefix, leave open which is meant."""
    doubled = msgspec.structs.replace(MANIFEST, **{what: getattr(MANIFEST, what) * 2})
    bundle.write(tmp_path / "b", doubled, FILES)
    with pytest.raises(RuntimeFault, match="twice"):
        bundle.read(tmp_path / "b")


def test_an_earlier_format_names_both_numbers(tmp_path) -> None:
    """A bundle of format 1, whose manifest had other keys, is refused for its format and nothing else."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.json").write_text('{"format":1,"task":"anomaly"}')
    with pytest.raises(RuntimeFault, match="format 1, this version reads 3"):
        bundle.read(tmp_path / "b")


def test_unknown_network_is_refused(folder) -> None:
    """Asking for a network that the bundle does not have names those that it has."""
    assert "model.onnx" == bundle.read(folder).model("model").file
    with pytest.raises(RuntimeFault, match="no network 'recognition', there are model"):
        bundle.read(folder).model("recognition")


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
