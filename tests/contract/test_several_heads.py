"""A bundle whose heads share one backbone pass is read in one run, the first head deciding."""

import msgspec
import numpy as np
import pytest

from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import ClassSpec, DataSnapshot, Head, Preprocessing, TaskName
from appliance.schema.frame import PixelFormat
from appliance.services._inspector import load_bundle
from appliance.storage import bundle
from appliance.tasks.reading import WholeReader
from appliance.training import anomaly_graph, semantic_graph, weights
from appliance.training.anomaly_graph import Memory, add_anomaly_head
from appliance.training.heads import HeadPlan, multi_head_model
from appliance.training.linear import Linear
from appliance.training.package import Contents, Network, npz, pack
from appliance.training.semantic_graph import SemanticWeights, add_semantic_head
from kernels.preprocess import Preprocessor
from tests.contract.task_rig import frames

SIZE = (128, 160)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """Pack an anomaly head and a semantic head, both drawn at random, over one backbone."""
    random = np.random.default_rng(0)
    unit = np.ones(anomaly_graph.CHANNELS, np.float32)
    memory = Memory(0 * unit, unit, random.normal(size=(50, anomaly_graph.CHANNELS)).astype(np.float32))
    drawn = random.normal(0, 0.05, (semantic_graph.CHANNELS, 3)).astype(np.float32)
    cells = SemanticWeights(Linear(drawn, np.zeros(3, np.float32)))
    plans = {
        "anomaly.": HeadPlan(anomaly_graph.TAPS_USED, lambda g, taps, p: add_anomaly_head(g, taps, memory, p)),
        "semantic.": HeadPlan(semantic_graph.TAPS_USED, lambda g, taps, p: add_semantic_head(g, taps, cells, p)),
    }
    model = multi_head_model(weights.efficientnet_lite0(), SIZE, plans)
    images = np.stack([prepared(frame) for frame in frames()])
    maps = {"mean": np.zeros((16, 20), np.float32), "deviation": np.ones((16, 20), np.float32)}
    kinds = (
        ClassSpec("background", defect=False),
        ClassSpec("scratch", threshold=0.34),
        ClassSpec("dent", threshold=0.34),
    )
    contents = Contents(
        heads=(
            Head(TaskName.ANOMALY, (ClassSpec("anomaly", threshold=1e9),), "anomaly.json", "anomaly."),
            Head(TaskName.SEMANTIC, kinds, "semantic.json", "semantic."),
        ),
        networks={"model": Network(model, images)},
        settings={
            "anomaly.json": msgspec.json.encode({"top_share": 0.01}),
            "semantic.json": msgspec.json.encode({"fewest_cells": 1}),
            "statistics.npz": npz(maps),
        },
        preprocessing=Preprocessing(PixelFormat.BAYER_RG8, *SIZE),
        frame=frames()[0],
        data=DataSnapshot(len(images), "0" * 64),
        created="2026-01-01T00:00:00+00:00",
    )
    made = pack(contents, OpenVinoRuntime(), "f32")
    where = tmp_path_factory.mktemp("heads") / "b"
    bundle.write(where, made.manifest, made.files)
    return where


def prepared(frame: np.ndarray) -> np.ndarray:
    image = np.empty((*SIZE, 3), np.uint8)
    Preprocessor(frame.shape, "BayerRG8", None, SIZE).run(frame, image)  # type: ignore[arg-type]
    return image


def test_one_run_serves_every_head(folder) -> None:
    """The network runs once a frame; the first head gives the score, all heads give findings."""
    loaded = load_bundle(folder, OpenVinoRuntime(), "f32", 1)
    reader = loaded.reader(frames()[0].shape)  # type: ignore[arg-type]
    assert isinstance(reader, WholeReader)
    session, runs = loaded.sessions["model"], []
    reader._session = type("Counted", (), {"input": session.input, "run": lambda _: runs.append(1) or session.run()})()
    reading = reader.read(frames()[1])
    session.input[0] = prepared(frames()[1])
    largest = np.sort(session.run()["anomaly.map"].ravel())[-3:].mean()

    assert 1 == len(runs)
    assert pytest.approx(float(largest), rel=1e-4) == reading.score
    assert {"scratch", "dent"} >= {finding.kind for finding in reading.findings}
    assert reading.findings


def test_nan_of_any_head_is_no_score(folder) -> None:
    """The heads share a backbone: where one gives no numbers, none is believed."""
    loaded = load_bundle(folder, OpenVinoRuntime(), "f32", 1)
    reader = loaded.reader(frames()[0].shape)  # type: ignore[arg-type]
    assert isinstance(reader, WholeReader)
    session = loaded.sessions["model"]

    def spoilt(_: object) -> dict[str, np.ndarray]:
        tensors = {name: np.array(tensor) for name, tensor in session.run().items()}
        tensors["semantic.probabilities"][..., 0, 0] = np.nan
        return tensors

    reader._session = type("Spoilt", (), {"input": session.input, "run": spoilt})()

    assert np.isnan(reader.read(frames()[1]).score)
