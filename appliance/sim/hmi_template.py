"""Make the folder that sample stations are copied from: bundle, record database, images, and what the bus said last."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

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
from appliance.schema.clocks import CameraNs, HostNs, UtcNs
from appliance.schema.codec import pack
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat
from appliance.schema.label import GOOD
from appliance.schema.part import PartExposed
from appliance.schema.policy import Mode
from appliance.schema.verdict import Disposition, InspectionResult
from appliance.sim import hmi_crew
from appliance.sim import hmi_history as made
from appliance.sim.hmi_history import AT, HOST
from appliance.sim.parts.truth import DEFECTS
from appliance.sim.station import BUILD
from appliance.storage import bundle
from appliance.storage.blobs import encode
from appliance.storage.image_messages import ImageKept
from appliance.storage.record_store import UNNUMBERED, RecordStore

FORMAT = 1
"""Grows when what is cached must be made anew although no source of it has changed."""

KEPT_S = 24 * 3600
"""Age at which a template goes when another is made."""

MOMENT, DRAWN = "moment.msgpack", "drawn.npy"

SHOWN = 12
"""Parts that are on the bus at the moment."""


class Newest(Struct, frozen=True, array_like=True):
    """Hold what the bus said of one of the last parts."""

    number: int
    picture: int
    exposed_at: HostNs
    said: tuple[bytes, ...]
    """Packed envelopes."""


def template(mode: Mode, waiting: int) -> Path:
    """Give the folder that samples are copied from; made where it is not there yet."""
    home = BUILD / "hmi_sample"
    folder = home / f"{_digest(mode, waiting)}"
    if folder.is_dir():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
    _fill(unfinished, mode, waiting)
    try:
        unfinished.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(unfinished)
    _tidy(home, folder.stat().st_mtime - KEPT_S)
    return folder


def _tidy(home: Path, before: float) -> None:
    """Remove what older sources led to, and what a killed process left."""
    for old in [path for path in home.iterdir() if path.stat().st_mtime < before]:
        shutil.rmtree(old, ignore_errors=True)


def _digest(mode: Mode, waiting: int) -> str:
    """Stand for everything that a template is made from."""
    root = Path(__file__).resolve().parents[1]
    sources = [*(root / "sim").glob("hmi_*.py"), *(root / "sim" / "parts").glob("*.py")]
    sources += [*(root / "schema").glob("*.py"), *(root / "storage").glob("*.py")]
    text = hashlib.sha256(f"{FORMAT} {mode} {waiting}".encode())
    for source in sorted(sources):
        text.update(source.read_bytes())
    return text.hexdigest()[:16]


def _fill(folder: Path, mode: Mode, waiting: int) -> None:
    """Write bundle, record database and images of a template."""
    judged = bundle.write(folder / "bundles" / made.BUNDLE, *_bundle())
    store = RecordStore(folder, 0)
    try:
        began = UtcNs(AT - made.SHIFTS * made.SHIFT_NS)
        store.audit("service:record", "chain_started", "station demo", "", "config 0", began)
        told = list(made.history(mode, waiting, judged))
        (folder / MOMENT).write_bytes(msgspec.msgpack.encode(tuple(map(_newest, told[-SHOWN:]))))
        np.save(folder / DRAWN, np.stack([item.raw for item in made.pictures()]))
        facts = [fact for item in told for fact in item.facts]
        facts += [("label", label) for label in hmi_crew.more_labels(told)]
        people = [("person", person) for person in hmi_crew.people()]
        numbered = [(topic, 1, number, fact) for number, (topic, fact) in enumerate(hmi_crew.alarms())]
        refused = store.write([(topic, 0, UNNUMBERED, fact) for topic, fact in (*people, *facts)] + numbered, AT, HOST)
        if refused:
            raise ValueError(f"sample station: {refused[0]}")
        store.image_rows(list(_kept(store, told)), AT, HOST)
    finally:
        store.close()


def _newest(item: made.Told) -> Newest:
    said = [(topic, fact) for topic, fact in item.facts if isinstance(fact, made.Heard | InspectionResult)]
    packed = tuple(pack(topic, 0, number, fact) for number, (topic, fact) in enumerate(said))
    return Newest(item.part.number, item.picture, _exposed_at(item), packed)


def _exposed_at(item: made.Told) -> HostNs:
    return next(fact.at for _, fact in item.facts if isinstance(fact, PartExposed))


def _kept(store: RecordStore, told: list[made.Told]) -> Iterator[ImageKept]:
    """Keep the picture of every part that was not accepted, and of one accepted in ten."""
    width, height = made.SIZE
    files = {}
    for number, item in enumerate(told):
        accepted = item.disposition is Disposition.ACCEPT
        if accepted and number % 10:
            continue
        at = _exposed_at(item)
        name = (item.picture, accepted)
        if name not in files:
            encoded = encode(made.pictures()[item.picture].raw, PixelFormat.BAYER_RG8, item.disposition)
            files[name] = (store.blobs.keep(encoded.data, encoded.extension, AT), encoded.encoding)
        blob, encoding = files[name]
        frame = FrameReady(
            made.CAMERA,
            made.NO_SLOT,
            number,
            CameraNs(0),
            at,
            1000,
            None,
            at,
            height,
            width,
            PixelFormat.BAYER_RG8,
            900.0,
            0.0,
            0,
            FrameCounts(),
        )
        yield ImageKept(item.part, frame, item.disposition, blob.path, blob.sha256, blob.size, encoding)


def _bundle() -> tuple[Manifest, dict[str, bytes]]:
    """Give the manifest of the bundle that judged: its classes and limits; there is no network in it."""
    scores = tuple(float(score) for score in np.linspace(0.04, made.ACCEPT_BELOW, 40))
    limits = GoodOnlyCalibration(40, made.ACCEPT_BELOW, made.REJECT_ABOVE, 0.012, 0.072, scores)
    classes = (ClassSpec(GOOD, defect=False), *(ClassSpec(kind) for kind in DEFECTS))
    head = Head(TaskName.ANOMALY, classes, "head.json", calibration=None)
    how = Preprocessing(PixelFormat.BAYER_RG8, 256, 256, golden="golden.json")
    tensor = TensorSpec("image", "uint8", (1, 256, 256, 3))
    network = ModelSpec("network", "network.onnx", tensor, (TensorSpec("map", "float32", (1, 64, 64)),), "golden.json")
    manifest = Manifest(
        bundle.FORMAT,
        "2026-11-12T09:00:00Z",
        (head,),
        (network,),
        how,
        "openvino",
        Precision.F32,
        DataSnapshot(40, "0" * 64),
        limits,
        {"firstshift": "0.1.0"},
    )
    return manifest, {"head.json": b"{}", "network.onnx": b"", "golden.json": msgspec.json.encode({"images": 0})}
