"""Damage a bundle's manifest and arrays in every way: it is read as a bundle, or refused in one line, nothing else."""

import copy
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import ClassSpec, DataSnapshot, Head, Preprocessing, TaskName
from appliance.schema.errors import RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle, golden
from appliance.storage.bundle import Bundle
from appliance.training.package import PREPROCESSING_GOLDEN, Contents, Network, npz, pack

SIDE = 8
BUDGET_S = 600.0
"""Of the slow run, over all properties together."""
AWKWARD = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 0.5, -0.0, 1e308, "", ".", "..", "../x", "/etc/passwd", "a\\b",
    "a//b", "a\0b", "\ud7ff", "\U0010ffff", "manifest.json", "model.onnx", "settings.json", "x" * 300, [], {}, [[]],
    {"": {}},
)  # fmt: skip


def model() -> bytes:
    """Give a model with one output of numbers and one of classes."""
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["map"], axes=[3], keepdims=0),
        helper.make_node("ArgMax", ["floats"], ["top"], axis=3, keepdims=0),
        helper.make_node("Cast", ["top"], ["classes"], to=TensorProto.UINT8),
    ]
    taken = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, SIDE, SIDE, 3])
    given_out = [
        helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, SIDE, SIDE]),
        helper.make_tensor_value_info("classes", TensorProto.UINT8, [1, SIDE, SIDE]),
    ]
    graph = helper.make_graph(nodes, "small", [taken], given_out)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


@cache
def whole() -> Bundle:
    """Give a valid bundle in a folder of its own; never changed."""
    random = np.random.default_rng(5)
    contents = Contents(
        heads=(Head(TaskName.ANOMALY, (ClassSpec("anomaly"),), "settings.json"),),
        networks={"model": Network(model(), random.integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8))},
        settings={"settings.json": b'{"top_share": 0.01}', "evidence/parity.json": b"{}"},
        preprocessing=Preprocessing(PixelFormat.MONO8, SIDE, SIDE),
        frame=random.integers(0, 256, (16, 20), dtype=np.uint8),
        data=DataSnapshot(2, "0" * 64),
        created="2026-11-21T12:00:00+00:00",
        evidence=("evidence/parity.json",),
    )
    made = pack(contents, OnnxRuntime(), "f32", 1)
    folder = FOLDER / "whole"
    bundle.write(folder, made.manifest, made.files)
    return bundle.read(folder)


FOLDER = Path(tempfile.mkdtemp(prefix="manifest-fuzz-"))


@pytest.fixture(scope="module", autouse=True)
def folder_goes() -> Iterator[None]:
    yield
    shutil.rmtree(FOLDER, ignore_errors=True)
    whole.cache_clear()


@cache
def session() -> Any:
    return OnnxRuntime().load(whole().files["model.onnx"], "f32", 1)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of every value inside a JSON document."""
    keys = node.keys() if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(node[key], (*path, key))


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


VALUES = st.one_of(
    st.sampled_from(AWKWARD),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=4
    ),
)


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Draw a manifest with one to four values replaced, removed, doubled, added or taken from elsewhere."""
    document = json.loads(bundle.canonical(whole().manifest))
    for _ in range(draw(st.integers(1, 4))):
        paths = list(places(document))
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        parent, key = at(document, path[:-1]), path[-1]
        kind = draw(st.sampled_from(["replace", "remove", "double", "add", "elsewhere"]))
        if kind == "replace":
            parent[key] = copy.deepcopy(draw(VALUES))
        elif kind == "remove":
            del parent[key]
        elif kind == "double" and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        elif kind == "add" and isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = copy.deepcopy(draw(VALUES))
        else:
            parent[key] = copy.deepcopy(at(document, draw(st.sampled_from(paths[:200]))) if path in paths else None)
    return document


@st.composite
def bytes_of(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw damaged bytes."""
    damaged = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(damaged) - 1)))
        kind = draw(st.sampled_from(["flip", "set", "cut", "end", "insert"]))
        if kind == "flip" and damaged:
            damaged[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and damaged:
            damaged[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del damaged[place : place + draw(st.integers(1, 30))]
        elif kind == "end":
            del damaged[place:]
        else:
            damaged[place:place] = draw(st.binary(max_size=12))
    return bytes(damaged)


def read_with(content: bytes) -> Bundle | None:
    """Read the bundle with another manifest; None when it is refused, in one line."""
    folder = FOLDER / "damaged"
    if not folder.exists():
        shutil.copytree(whole().folder, folder)
    (folder / bundle.MANIFEST).write_bytes(content)
    return or_fault(lambda: bundle.read(folder))


def or_fault(run: Callable[[], Any]) -> Any:
    """Give the result; None for a RuntimeFault of one line; anything else is a failure of the test."""
    try:
        return run()
    except RuntimeFault as fault:
        line = str(fault)
    assert line.strip()
    assert "\n" not in line
    return None


def use(found: Bundle) -> None:
    """Do with a bundle what the judge does at its start."""
    or_fault(lambda: golden.verify_preprocessing(found))
    for name in [spec.name for spec in found.manifest.models]:
        or_fault(lambda name=name: golden.verify_session(found, found.model(name), session()))


def same(content: bytes) -> bool:
    return content == bundle.canonical(whole().manifest)


def a_changed_manifest(document: Any) -> None:
    try:
        # Canonical where it can be, so that what lies behind that check is reached.
        content = bundle.canonical(msgspec.convert(document, type=type(whole().manifest)))
    except (msgspec.ValidationError, UnicodeEncodeError):
        content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")
    found = read_with(content)
    if found is not None:
        assert (found.id == whole().id) == same(content)
        assert found.id == bundle.bundle_id(found.manifest)
        use(found)


def damaged_manifest_bytes(content: bytes) -> None:
    found = read_with(content)
    if found is not None:
        assert (found.id == whole().id) == same(content)
        use(found)


def damaged_file(case: tuple[str, bytes]) -> None:
    path, content = case
    folder = FOLDER / "damaged"
    read_with(bundle.canonical(whole().manifest))
    (folder / path).write_bytes(content)
    found = or_fault(lambda: bundle.read(folder))
    (folder / path).write_bytes(whole().files[path])
    assert (found is None) == (content != whole().files[path])


def damaged_arrays(case: tuple[str, bytes]) -> None:
    """Use a file whose hash is right and whose content is not: made wrong, or by someone else."""
    path, content = case
    found = msgspec.structs.replace(whole(), files={**whole().files, path: content})
    or_fault(lambda: bundle.arrays(found, path))
    use(found)


NPZ = ("golden_model.npz", PREPROCESSING_GOLDEN)
DTYPES = ("uint8", "int8", "bool", "int64", "float32", "float64", "complex64", "U3", "S2", "datetime64[s]", "V4")


@st.composite
def array_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw an npz with arrays of other shapes, types and names, or damaged bytes of a right one."""
    path = draw(st.sampled_from(NPZ))
    if draw(st.booleans()):
        return path, draw(bytes_of(whole().files[path]))
    content = dict(bundle.arrays(whole(), path))
    for name in draw(st.lists(st.sampled_from([*content, "other"]), min_size=1, max_size=3)):
        shape = draw(st.lists(st.integers(0, 9), max_size=5))
        kind = draw(st.sampled_from(["type", "shape", "fill", "gone", "new"]))
        if kind == "gone" or name not in content:
            content.pop(name, None)
        elif kind == "type":
            content[name] = np.zeros(content[name].shape, draw(st.sampled_from(DTYPES)))
        elif kind == "shape":
            content[name] = np.zeros(shape, content[name].dtype)
        elif kind == "fill" and content[name].dtype.kind == "f":
            content[name] = np.full_like(content[name], draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e38, 0.0])))
        else:
            content[name] = np.zeros(shape, draw(st.sampled_from(DTYPES)))
    return path, npz(content)


def settings_and_others() -> st.SearchStrategy[tuple[str, bytes]]:
    paths = st.sampled_from(sorted(whole().files))
    return paths.flatmap(lambda path: st.tuples(st.just(path), bytes_of(whole().files[path])))


PROPERTIES: dict[str, tuple[Callable[[Any], None], Callable[[], st.SearchStrategy[Any]]]] = {
    "manifest": (a_changed_manifest, documents),
    "bytes": (damaged_manifest_bytes, lambda: bytes_of(bundle.canonical(whole().manifest))),
    "raw": (damaged_manifest_bytes, lambda: st.binary(max_size=200)),
    "files": (damaged_file, settings_and_others),
    "arrays": (damaged_arrays, array_files),
}


def check(name: str, examples: int) -> None:
    run, cases = PROPERTIES[name]
    quiet = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    quiet(given(cases())(run))()


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_damaged_bundle_is_refused_in_one_line_or_is_another_bundle(name: str) -> None:
    """Whatever is changed: a bundle with another id, or one line that names what is wrong; never the same id."""
    check(name, 120)


def test_every_byte_of_the_manifest_is_in_the_id() -> None:
    """No single changed byte leaves the bundle what it was."""
    content = bundle.canonical(whole().manifest)
    for place in range(len(content)):
        found = read_with(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])

        assert found is None or found.id != whole().id


@pytest.mark.parametrize("path", ["a\0b", "a/../../b", "/etc/hostname", "manifest.json/x", "x" * 5000])
def test_a_file_name_that_is_none_is_refused(path: str) -> None:
    """A manifest may not name what is no file of the bundle, however it is written."""
    manifest = whole().manifest
    strange = msgspec.structs.replace(
        manifest, files=(*manifest.files, msgspec.structs.replace(manifest.files[0], path=path))
    )

    assert read_with(bundle.canonical(strange)) is None


def test_a_model_without_outputs_proves_nothing() -> None:
    """Golden tensors that compare nothing are no proof."""
    silent = msgspec.structs.replace(whole().manifest.models[0], outputs=())

    assert or_fault(lambda: golden.verify_session(whole(), silent, session())) is None


def test_arrays_that_hold_objects_are_never_opened() -> None:
    """Nothing in a bundle is unpickled."""
    file = io.BytesIO()
    np.savez(file, images=np.array([{"a": 1}], dtype=object), allow_pickle=True)

    assert or_fault(lambda: bundle.arrays(
        msgspec.structs.replace(whole(), files={**whole().files, NPZ[0]: file.getvalue()}), NPZ[0]
    )) is None  # fmt: skip


@pytest.mark.slow
def test_damaged_bundles_for_ten_minutes(request: pytest.FixtureRequest) -> None:
    """The same in new places, as long as the budget lasts."""
    seed = request.config.getoption("--seed") * 1000
    end = time.monotonic() + BUDGET_S
    while time.monotonic() < end:
        for run, cases in PROPERTIES.values():
            quiet = settings(
                max_examples=300,
                deadline=None,
                database=None,
                derandomize=False,
                suppress_health_check=list(HealthCheck),
            )
            hypothesis.seed(seed)(quiet(given(cases())(run)))()
            seed += 1
