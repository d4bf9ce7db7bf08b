"""Hand a data set's samples to the fit of its task; pictures are read when the fit asks for them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.datasets.pictures import as_frame, read_picture
from appliance.datasets.sample import DataSet, Sample
from appliance.datasets.splitting import split_by_group
from appliance.datasets.truth import class_mask, load_frame, things_of
from appliance.decision.calibration import FEWEST_GOOD_IMAGES
from appliance.schema.bundle import ClassSpec, TaskName, Template
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.trainer.partition import is_good
from appliance.trainer.wishes import (
    Wishes,
    anomaly_options,
    blob_options,
    classification_options,
    detection_options,
    instance_options,
    ocr_options,
    semantic_options,
)
from appliance.training.anomaly import fit_anomaly_bundle
from appliance.training.anomaly_input import Defect
from appliance.training.classification import fit_classification_bundle
from appliance.training.detection import fit_detection_bundle
from appliance.training.detection_cells import Instances
from appliance.training.fit_run import FitRun
from appliance.training.instance import fit_instance_bundle
from appliance.training.ocr_fit import fit_ocr_bundle
from appliance.training.package import FittedBundle
from appliance.training.semantic import fit_semantic_bundle
from appliance.training.template import TEMPLATE_FILE, composed, with_template
from appliance.training.template_blobs import fit_blob_bundle

NONE = Wishes()


class Lazy(Sequence[Any]):
    """Give one item per sample, read from disk each time it is asked for."""

    def __init__(self, samples: Sequence[Sample], read: Callable[[Sample], Any]) -> None:
        """Take the samples and what reads one."""
        self._samples, self._read = samples, read

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: Any) -> Any:
        chosen = self._samples[index]
        return self._read(chosen) if isinstance(chosen, Sample) else Lazy(chosen, self._read)

    def __iter__(self) -> Iterator[Any]:
        return (self._read(sample) for sample in self._samples)


def fit(
    data: DataSet, samples: Sequence[Sample], run: FitRun, wishes: Wishes = NONE, defects: Sequence[Sample] = ()
) -> FittedBundle:
    """Give the bundle of the data set's task fitted to some of its samples; blocks for seconds to minutes.

    defects: labelled ones with masks, which an anomaly model is shown too. ConfigError when the samples do not suffice.
    """
    if data.task is TaskName.ANOMALY:
        return _anomaly(data, samples, run, wishes, defects)
    return _FITS[data.task](data, list(samples), run, wishes)


def frames_of(data: DataSet, samples: Sequence[Sample]) -> Lazy:
    """Give the raw frame of each sample, (rows, cols) or (rows, cols, 3) uint8."""
    return Lazy(samples, lambda sample: load_frame(sample, data.pixel_format))


def _anomaly(
    data: DataSet, samples: Sequence[Sample], run: FitRun, wishes: Wishes, defects: Sequence[Sample]
) -> FittedBundle:
    marked = [sample for sample in defects if sample.mask is not None or sample.things]
    shown = Lazy(marked, lambda sample: Defect(load_frame(sample, data.pixel_format), class_mask(sample, data) > 0))
    options = anomaly_options(wishes, run.seed, run.threads)
    frames = frames_of(data, samples)
    return fit_anomaly_bundle(frames, data.pixel_format, run, options, _groups(samples), tuple(shown))


def _classification(data: DataSet, samples: Sequence[Sample], run: FitRun, wishes: Wishes) -> FittedBundle:
    labels = [sample.label for sample in samples]
    return fit_classification_bundle(
        frames_of(data, samples),
        labels,
        data.classes,
        data.pixel_format,
        run,
        classification_options(wishes),
        _groups(samples),
    )


def _semantic(data: DataSet, samples: Sequence[Sample], run: FitRun, wishes: Wishes) -> FittedBundle:
    masks = Lazy(samples, lambda sample: class_mask(sample, data))
    return fit_semantic_bundle(
        frames_of(data, samples),
        masks,
        data.classes,
        data.pixel_format,
        run,
        semantic_options(wishes),
        _groups(samples),
    )


def _detection(data: DataSet, samples: Sequence[Sample], run: FitRun, wishes: Wishes) -> FittedBundle:
    learned, limits = _good_apart(samples, run.seed)
    if all(sample.template is not None for sample in samples):
        return _compared(data, learned, limits, run, wishes)
    return fit_detection_bundle(
        frames_of(data, learned),
        _truths(data, learned),
        _kinds(data),
        data.pixel_format,
        run,
        detection_options(wishes),
        _groups(learned),
        good=frames_of(data, limits),
    )


def _compared(
    data: DataSet, learned: Sequence[Sample], limits: Sequence[Sample], run: FitRun, wishes: Wishes
) -> FittedBundle:
    """Fit to what differs from the template; the first template becomes the bundle's own."""
    how = Template(TEMPLATE_FILE)
    shown = [composed(frames_of(data, samples), Lazy(samples, template_of), how) for samples in (learned, limits)]
    fitted = fit_blob_bundle(shown[0], _truths(data, learned), _kinds(data), run, blob_options(wishes), shown[1])
    first = learned[0]
    frame = load_frame(first, data.pixel_format)
    return with_template(fitted, frame, data.pixel_format, template_of(first), how)


def template_of(sample: Sample) -> NDArray[np.uint8]:
    """Give a sample's template, (rows, cols) uint8; ConfigError without one."""
    if sample.template is None:
        raise ConfigError(f"{sample.name}: no picture of that name in templates/; add one, or remove the folder")
    return as_frame(read_picture(sample.template), PixelFormat.MONO8)


def _instance(data: DataSet, samples: Sequence[Sample], run: FitRun, wishes: Wishes) -> FittedBundle:
    frames, truths = frames_of(data, samples), _truths(data, samples)
    options, groups = instance_options(wishes), _groups(samples)
    return fit_instance_bundle(frames, truths, _kinds(data), data.pixel_format, run, options, groups)


def _kinds(data: DataSet) -> tuple[ClassSpec, ...]:
    return tuple(ClassSpec(name) for name in data.classes)


def _truths(data: DataSet, samples: Sequence[Sample]) -> Lazy:
    return Lazy(samples, lambda sample: instances(sample, data))


def _good_apart(samples: Sequence[Sample], seed: int) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Keep half of the good parts for the limits, where they are enough for some."""
    good = [sample for sample in samples if is_good(sample)]
    if len({sample.group for sample in good}) < 2 or len(good) < 2 * FEWEST_GOOD_IMAGES:
        return samples, []
    _, limits = split_by_group(good, 0.5, seed)
    names = {sample.name for sample in limits}
    groups = {sample.group for sample in limits}
    return [sample for sample in samples if sample.name not in names and sample.group not in groups], limits


def _ocr(data: DataSet, samples: Sequence[Sample], run: FitRun, wishes: Wishes) -> FittedBundle:
    texts = [sample.text or "" for sample in samples]
    return fit_ocr_bundle(
        frames_of(data, samples), texts, data.pixel_format, run, ocr_options(wishes), _groups(samples)
    )


def instances(sample: Sample, data: DataSet) -> Instances:
    """Give what is true of a sample as the fits take it."""
    kinds, boxes, masks = things_of(sample, data)
    return Instances(np.asarray(kinds, np.intp), np.asarray(boxes, np.float64).reshape(-1, 4), tuple(masks))


def _groups(samples: Sequence[Sample]) -> list[str]:
    return [sample.group for sample in samples]


_FITS: dict[TaskName, Callable[[DataSet, Sequence[Sample], FitRun, Wishes], FittedBundle]] = {
    TaskName.CLASSIFICATION: _classification,
    TaskName.DETECTION: _detection,
    TaskName.INSTANCE: _instance,
    TaskName.OCR: _ocr,
    TaskName.SEMANTIC: _semantic,
}
