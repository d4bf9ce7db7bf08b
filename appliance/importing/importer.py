"""Import a foreign ONNX model: recognise it, rewrite it, prove it on sample images, and give the bundle."""

import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.importing import parity, settings, summary
from appliance.importing.decoding import Decoding, Results, decode, settle
from appliance.importing.feed import Feed, make_feed, tensor
from appliance.importing.mapping import BOXES, Description, merge, read_mapping, render
from appliance.importing.opening import open_source
from appliance.importing.original import Original
from appliance.importing.parity import ImageParity, ParityReport
from appliance.importing.recognise import Recognised, recognise
from appliance.importing.rewrite import check_sizes, rewrite
from appliance.importing.samples import Sample, Samples, read_samples
from appliance.importing.source import Source, read_source
from appliance.ports.runtime import Runtime, Session
from appliance.schema.bundle import ClassSpec, DataSnapshot, Head, Preprocessing
from appliance.schema.errors import ConfigError
from appliance.training.package import Contents, FittedBundle, Network, pack
from kernels.preprocess import Preprocessor
from kernels.reference import preprocess

PARITY = "evidence/parity.json"
MAPPING = "evidence/mapping.toml"
VERSIONS = ("numpy", "onnx", "onnxruntime")
COARSE = ("f16", "bf16")
Images = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""An input image by our kernel and by plain numpy."""


class Imported(Struct, frozen=True):
    """Hold the bundle, ready to be stored, and what a person should know of it."""

    bundle: FittedBundle
    report: ParityReport
    summary: tuple[str, ...]
    warnings: tuple[str, ...]


def import_model(
    onnx: Path,
    mapping: Path | None,
    images: Sequence[Path],
    runtime: Runtime,
    precision: str,
    created: str,
    threads: int = 2,
    progress: Callable[[str], None] | None = None,
) -> Imported:
    """Give the bundle of a foreign model, proven on the images; blocks for seconds; writes nothing.

    precision: of the runtime, `auto` for its best. created: UTC, ISO 8601. ConfigError when file, mapping or images
    cannot be used or the parity check fails, MappingNeeded when a person must say more, RuntimeFault when the runtime
    does not take the model.
    """
    tell = progress or _silent
    ready = _ready(onnx, mapping, images, threads, tell)
    source, how, outputs = ready.source, ready.how, ready.expected[0]
    tell("rewriting the graph")
    model = rewrite(source, ready.feed, how, outputs)
    chosen = runtime.choose(precision)
    tell("proving the import")
    graph = _proven(ready, runtime.load(model, "f32", threads)) if chosen in COARSE else ()
    session = runtime.load(model, chosen, threads)
    report = _report(ready, session, _proven(ready, session), graph)
    tell("packing the bundle")
    contents = _contents(ready, model, report, created)
    fitted = pack(contents, runtime, chosen, threads)
    whole = replace(fitted, manifest=replace(fitted.manifest, versions=fitted.manifest.versions | _origin(source)))
    told = summary.lines(ready.known, how, ready.taxonomy, report, ready.samples)
    return Imported(whole, report, told, summary.warnings(source))


class Ready(Struct, frozen=True):
    """Hold all that is known once the original has seen the samples."""

    source: Source
    known: Recognised
    feed: Feed
    how: Decoding
    taxonomy: tuple[ClassSpec, ...]
    samples: Samples
    images: tuple[Images, ...]
    expected: tuple[Results, ...]
    """Canonical outputs of each sample, from the original."""
    notes: tuple[str, ...]


def _ready(
    onnx: Path, mapping: Path | None, images: Sequence[Path], threads: int, tell: Callable[[str], None]
) -> Ready:
    tell("reading the model")
    source = read_source(onnx)
    said = read_mapping(mapping) if mapping else Description()
    opened = open_source(source, said)
    samples = read_samples(images, said.pixel_format)
    check_sizes(source, opened)
    tell("running the original")
    original = Original(source, opened.image, opened.constants, threads)
    probe = np.zeros(opened.shape, opened.kind)
    shapes = {name: result.shape for name, result in original.run(probe).items()}
    known = recognise(source, opened, shapes, said)
    feed = make_feed(source, opened, known.description)
    pairs = tuple(_images(source, sample, said.roi, samples, feed) for sample in samples.samples)
    results = [original.run(tensor(feed, reference)) for _, reference in pairs]
    how, settled = settle(source, known, results)
    taxonomy = settings.classes(source, known.description)
    notes = (*known.notes, *settled, *summary.aspect(samples, said.roi, feed))
    expected = tuple(decode(how, result) for result in results)
    return Ready(source, known, feed, how, taxonomy, samples, pairs, expected, notes)


def _images(
    source: Source, sample: Sample, roi: tuple[int, int, int, int] | None, samples: Samples, feed: Feed
) -> Images:
    """Give the input image of a frame twice: by our kernel and by plain numpy."""
    frame, size = sample.frame, feed.opened.size
    image = np.empty((*size, 3), np.uint8)
    try:
        kernel = Preprocessor((frame.shape[0], frame.shape[1]), samples.pixel_format, roi, size)
        kernel.run(frame, image)
        reference = preprocess(frame, samples.pixel_format, kernel.roi, size)
    except ValueError as cause:
        raise ConfigError(f"import {source.name}: sample {sample.name}: {cause}") from cause
    return image, reference


def _proven(ready: Ready, session: Session) -> tuple[ImageParity, ...]:
    trials = zip(ready.samples.samples, ready.images, ready.expected, strict=True)
    return tuple(_prove(ready, session, *trial) for trial in trials)


def _prove(ready: Ready, session: Session, sample: Sample, images: Images, expected: Results) -> ImageParity:
    kernel, reference = images
    names = list(expected)
    differences = parity.compare(ready.how, expected, parity.run(session, reference, names))
    same = np.array_equal(kernel, reference)
    end_to_end = differences if same else parity.compare(ready.how, expected, parity.run(session, kernel, names))
    levels = int(np.abs(kernel.astype(np.int16) - reference).max(initial=0))
    one = ImageParity(sample.name, levels, differences, end_to_end)
    parity.refuse_beyond(ready.source.name, one, parity.limits(session.precision, expected))
    return one


def _report(
    ready: Ready, session: Session, images: tuple[ImageParity, ...], graph: tuple[ImageParity, ...]
) -> ParityReport:
    source = ready.source
    return ParityReport(
        source=source.name,
        source_sha256=source.sha256,
        family=ready.known.family,
        producer=source.producer,
        licence=source.copyleft,
        metadata=source.metadata,
        runtime=session.runtime,
        precision=session.precision,
        versions={name: importlib.metadata.version(name) for name in VERSIONS},
        limits=parity.limits(session.precision, ready.expected[0]),
        notes=ready.notes,
        images=images,
        graph=graph,
    )


def _contents(ready: Ready, model: bytes, report: ParityReport, created: str) -> Contents:
    samples, facts = ready.samples, ready.known.description
    how = Preprocessing(samples.pixel_format, *ready.feed.opened.size, facts.roi, mm_per_px=facts.mm_per_px)
    unordered = parity.ROWS if ready.how.unordered else ()
    return Contents(
        heads=(Head(ready.how.task, ready.taxonomy, settings.SETTINGS),),
        networks={"model": Network(model, np.stack([kernel for kernel, _ in ready.images]), unordered)},
        settings={**settings.files(ready.how, facts), PARITY: _json(report), MAPPING: _effective(ready)},
        preprocessing=how,
        frame=samples.samples[0].frame,
        data=DataSnapshot(len(samples.samples), samples.sha256),
        created=created,
        evidence=(PARITY, MAPPING),
    )


def _origin(source: Source) -> dict[str, str]:
    """Give what the manifest records of where the model came from."""
    origin = {"source": source.producer, "source.sha256": source.sha256, "source.opset": str(source.opset)}
    return origin | ({"source.licence": source.copyleft} if source.copyleft else {})


def _effective(ready: Ready) -> bytes:
    """Give the mapping that makes the same bundle again."""
    how, facts = ready.how, ready.known.description
    boxes = Description(box_unit=how.box_unit) if how.layout in BOXES else Description()
    full = merge(merge(facts, boxes), Description(scores=how.scores, pixel_format=ready.samples.pixel_format))
    return render(f"mapping that {ready.source.name} was imported with", full).encode()


def _silent(step: str) -> None:
    """Take the place of a progress bar."""


def _json(report: ParityReport) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report))
