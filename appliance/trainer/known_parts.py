"""Show the detector of unknown parts every part whose class is known and that the bundle is not judged by."""

from collections.abc import Sequence

from appliance.datasets.sample import GOOD, DataSet, Sample
from appliance.evaluation.judging import defects_of
from appliance.schema.bundle import TaskName
from appliance.trainer.fits import frames_of
from appliance.trainer.partition import Partition, is_good
from appliance.training.fit_run import FitRun
from appliance.training.novelty import with_novelty
from appliance.training.package import FittedBundle


def with_detector(data: DataSet, chosen: Partition, fitted: FittedBundle, run: FitRun) -> FittedBundle:
    """Give the bundle with a detector of unknown parts, where its network and the number of parts allow one."""
    samples = known_samples(data.task, chosen)
    labels = [kind_of(sample, data) for sample in samples]
    return with_novelty(fitted, frames_of(data, samples), labels, run, [sample.group for sample in samples])


def known_samples(task: TaskName, chosen: Partition) -> Sequence[Sample]:
    """Give what may count as known: to an anomaly model a defective part is not, whatever it was shown."""
    samples = (*chosen.fit, *chosen.calibration)
    return tuple(filter(is_good, samples)) if task is TaskName.ANOMALY else samples


def kind_of(sample: Sample, data: DataSet) -> str:
    """Name the class of a part: good, or its first defect."""
    return next(iter(defects_of(sample, data)), GOOD)
