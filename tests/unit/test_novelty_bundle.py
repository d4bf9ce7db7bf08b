"""A bundle carries its detector whole: one more output, proven by golden tensors, read on every frame."""

import hashlib
import json

import cv2
import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from onnx import TensorProto, helper

from appliance.cli import main
from appliance.decision.novelty import is_unknown, p_value
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import ConfidenceCurve, Manifest, Precision
from appliance.schema.errors import RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.services._inspector import load_bundle
from appliance.storage import bundle
from appliance.training import weights
from appliance.training.anomaly import fit_anomaly
from appliance.training.anomaly_update import update_anomaly
from appliance.training.backbone import efficientnet_lite
from appliance.training.novelty import FEWEST_PARTS, FILE, inherited, reason_without, with_novelty
from appliance.training.novelty_graph import OUTPUT, with_features
from tests.unit.anomaly_rig import OPTIONS, RUN, part, rgb
from tests.unit.test_bundle import FILES, MANIFEST

PARTS = 24
SIZE = (64, 80)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [part(seed) for seed in range(PARTS)]


@pytest.fixture(scope="module")
def plain(frames):
    return fit_anomaly(frames, PixelFormat.MONO8, RUN.runtime, RUN.precision, RUN.created, OPTIONS)


@pytest.fixture(scope="module")
def stored(frames, plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "b"
    fitted = with_novelty(plain, frames, ["good"] * PARTS, RUN)
    bundle.write(folder, fitted.manifest, fitted.files)
    return folder


def test_output_is_what_the_stages_show() -> None:
    """The output holds mean and largest value of the two coarsest stages, and the other outputs stay as they were."""
    state, image = weights.efficientnet_lite0(), rgb(part(1))
    model = efficientnet_lite(state, SIZE, ("s8", "s16", "s32"))
    session = OnnxRuntime().load(with_features(model), "f32", 1)
    before = OnnxRuntime().load(model, "f32", 1)
    for one in (session, before):
        one.input[0] = image
    found, expected = session.run(), before.run()
    pooled = [kind(expected[tap][0], axis=(1, 2)) for kind in (np.mean, np.max) for tap in ("s16", "s32")]

    assert (1, 2 * (112 + 320)) == found[OUTPUT].shape
    np.testing.assert_allclose(np.concatenate(pooled), found[OUTPUT][0], rtol=1e-4, atol=1e-4)
    for tap in ("s8", "s16", "s32"):
        np.testing.assert_allclose(expected[tap], found[tap], rtol=1e-5, atol=1e-5)


def test_shallow_network_shows_its_own_coarsest_stages() -> None:
    """Nothing deeper than the task needs is computed: where stride 16 is the last stage, 8 and 16 tell."""
    model = onnx.load_model_from_string(with_features(efficientnet_lite(weights.efficientnet_lite0(), SIZE)))
    before = onnx.load_model_from_string(efficientnet_lite(weights.efficientnet_lite0(), SIZE))

    assert [node.op_type for node in before.graph.node if node.op_type == "Conv"] == [
        node.op_type for node in model.graph.node if node.op_type == "Conv"
    ]
    (own,) = (one for one in model.graph.output if one.name == OUTPUT)
    assert [1, 2 * (40 + 112)] == [dim.dim_value for dim in own.type.tensor_type.shape.dim]


def test_foreign_network_stays_as_it_is() -> None:
    """A network without our backbone has no such output; one that has it gets no second one."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 4, 4])
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["out"])], "other", [image], [result])
    foreign = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    own = with_features(efficientnet_lite(weights.efficientnet_lite0(), SIZE))

    assert foreign == with_features(foreign)
    assert own == with_features(own)


def test_known_part_is_known_and_another_product_is_not(stored) -> None:
    """On the line a new good part ranks among the known ones; another picture altogether ranks behind them all."""
    loaded = load_bundle(stored, RUN.runtime, RUN.precision, 1)
    scores = loaded.manifest.novelty.scores
    reader = loaded.reader(SIZE)
    ranks = [p_value(reader.read(part(1000 + seed)).novelty, scores) for seed in range(40)]
    chequers = (np.indices(SIZE).sum(axis=0) // 4 % 2 * 255).astype(np.uint8)
    strange = [p_value(reader.read(frame).novelty, scores) for frame in (chequers, np.zeros(SIZE, np.uint8))]

    assert PARTS == len(scores)
    assert sum(is_unknown(p, PARTS, 0.05) for p in ranks) <= 0.3 * len(ranks)
    assert [True, True] == [is_unknown(p, PARTS, 0.01) for p in strange]


def test_infer_calls_unknown_what_the_line_would(stored, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture of another product is unknown whatever its score says; a known part is judged by its limits."""
    other = np.random.default_rng(0).integers(0, 255, SIZE, np.uint8)
    for name, picture in (("known", part(100)), ("other", other)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    pictures = [str(tmp_path / f"{name}.png") for name in ("known", "other")]

    assert 0 == main(["infer", str(stored), *pictures, "--json", "-"])
    known, strange = json.loads(capsys.readouterr().out)["images"]
    assert ("unknown", "unknown_defect") == (strange["disposition"], strange["reason"])
    assert "unknown" != known["disposition"]


def test_golden_tensors_cover_the_features(stored) -> None:
    """A runtime that computes other features than at fitting is not let in."""
    found = bundle.read(stored)
    (spec,) = (one for one in found.manifest.models[0].outputs if one.name == OUTPUT)

    assert (spec.shape[1],) == bundle.arrays(found, found.manifest.models[0].golden)[OUTPUT].shape[1:]


def test_another_precision_has_no_novelty(stored) -> None:
    """Scores of one precision say nothing in another, so there is none."""
    loaded = load_bundle(stored, RUN.runtime, RUN.precision, 1)
    loaded.precision = "bf16"

    assert loaded.reader(SIZE).read(part(1)).novelty is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scores": ()}, "at least 1"),
        ({"scores": (2.0, 1.0)}, "ascending"),
        ({"output": "nothing"}, "nothing"),
        ({"file": "absent.npz"}, "absent.npz"),
    ],
)
def test_detector_that_knows_no_rank_is_refused(stored, tmp_path, change: dict, said: str) -> None:
    """A manifest whose detector could call nothing unknown is damaged, not silent."""
    good = bundle.read(stored)
    damaged = replace(good.manifest, novelty=replace(good.manifest.novelty, **change))
    bundle.write(tmp_path / "b", damaged, good.files)

    with pytest.raises(RuntimeFault, match=said):
        bundle.read(tmp_path / "b")


def test_detector_of_other_features_is_refused(stored, tmp_path) -> None:
    """A detector made for another network is found out when the bundle is loaded."""
    good = bundle.read(stored)
    arrays = bundle.arrays(good, FILE)
    file = tmp_path / "novelty.npz"
    np.savez(file, **{**arrays, "mean": arrays["mean"][1:]})
    bundle.write(tmp_path / "b", good.manifest, {**good.files, FILE: file.read_bytes()})

    with pytest.raises(RuntimeFault, match="mean"):
        load_bundle(tmp_path / "b", RUN.runtime, RUN.precision, 1)


def test_few_parts_make_no_detector(frames, plain) -> None:
    """Too few known parts: the bundle has none, and says why; pictures of one part are no parts."""
    groups = [f"part {min(index, FEWEST_PARTS - 2)}" for index in range(PARTS)]
    fitted = with_novelty(plain, frames, ["good"] * PARTS, RUN, groups)

    assert fitted.manifest.novelty is None
    assert str(FEWEST_PARTS) in reason_without(plain.manifest, FEWEST_PARTS - 1)
    assert "" == reason_without(plain.manifest, FEWEST_PARTS)


def test_updated_bundle_keeps_its_detector(stored) -> None:
    """Good images added later change the memory and not the backbone: what was known stays known."""
    good = bundle.read(stored)
    updated = update_anomaly(good.manifest, good.files, [part(500 + seed) for seed in range(3)], RUN)

    assert (good.manifest.novelty, good.files[FILE]) == (updated.manifest.novelty, updated.files[FILE])


def test_detector_of_another_precision_is_not_inherited(stored, plain) -> None:
    """Features of another precision have other ranks."""
    good = bundle.read(stored)
    other = replace(good.manifest, precision=Precision.BF16)

    assert inherited(plain, other, good.files).manifest.novelty is None


def test_frames_the_network_cannot_read_are_left_out(frames, plain) -> None:
    """A frame larger than the input image has no verdict on the line, and teaches the detector nothing."""
    how = replace(plain.manifest.preprocessing, keep_aspect=True, shrink=1.0)
    canvas = replace(plain, manifest=replace(plain.manifest, preprocessing=how))
    larger = [*frames, part(99, shape=(128, 160))]

    assert PARTS == len(with_novelty(canvas, larger, ["good"] * len(larger), RUN).manifest.novelty.scores)


# What the code before there was a detector gave for these manifests.
OLD_IDS = (
    "07fba85ec7340d1024889e4520c331e9ef867131c04cede2195692211760825f",
    "d0fec3a96977e378e1d7b29f81a13d0b755c430433321a70bf6d283c3a132372",
)


def old_manifests() -> tuple[Manifest, Manifest]:
    curve = ConfidenceCurve("", (0.0, 1.0), (0.1, 0.9), 40, 20, 0.05)
    return MANIFEST, replace(MANIFEST, confidence=(curve,))


@pytest.mark.parametrize("place", [0, 1])
def test_bundles_made_before_keep_their_ids(place: int) -> None:
    """Fields that came later are not written at their defaults: ids, signatures and files of older bundles hold."""
    content = bundle.canonical(old_manifests()[place])

    assert OLD_IDS[place] == hashlib.sha256(content).hexdigest()


def test_null_detector_is_no_canonical_form(tmp_path) -> None:
    """One manifest has one form: a written-out default was put there by another hand."""
    bundle.write(tmp_path / "b", MANIFEST, FILES)
    place = tmp_path / "b" / bundle.MANIFEST
    place.write_bytes(json.dumps({**json.loads(place.read_bytes()), "novelty": None}, sort_keys=True).encode())

    with pytest.raises(RuntimeFault, match="canonical"):
        bundle.read(tmp_path / "b")
