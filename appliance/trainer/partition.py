"""Choose what a model learns from, what its confidence is fitted on, and what it is judged by: never the same part."""

from collections.abc import Sequence

from msgspec import Struct

from appliance.datasets.sample import GOOD, DataSet, Sample, Split
from appliance.datasets.splitting import split_by_group
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError

# Shares of the groups where the data set itself does not say.
TEST_SHARE, CALIBRATION_SHARE = 0.2, 0.2
DEFECT_SHARE = 0.5
# With fewer groups nothing is held out: the data sheet then says that nothing was measured.
FEWEST_GROUPS = 4
OWN_TEST = "the data set's own test pictures"
DRAWN_TEST = "groups drawn at random and held out"
NO_TEST = "none: too few groups to hold some out"


class Partition(Struct, frozen=True):
    """Divide the samples of a data set; the three parts share no group."""

    fit: tuple[Sample, ...]
    calibration: tuple[Sample, ...]
    """For confidences; empty: none are fitted."""
    test: tuple[Sample, ...]
    test_origin: str
    """For people."""
    defects: tuple[Sample, ...] = ()
    """Labelled defects that an anomaly model is shown beside the good parts."""


def partition(data: DataSet, seed: int) -> Partition:
    """Divide by what the data set says and, where it does not, by group; ConfigError when nothing is to be learned."""
    test = tuple(sample for sample in data.samples if sample.split is Split.TEST)
    own = tuple(sample for sample in data.samples if sample.split is Split.VALIDATION)
    rest = tuple(sample for sample in data.samples if sample.split not in {Split.TEST, Split.VALIDATION})
    origin = OWN_TEST
    if data.task is TaskName.ANOMALY:
        return _good_only(data, rest, test, own, seed)
    if not test:
        rest, test, origin = _drawn(rest, TEST_SHARE, seed)
    calibration = own
    if not calibration:
        rest, calibration, _ = _drawn(rest, CALIBRATION_SHARE, seed + 1)
    if not rest:
        raise ConfigError(f"{data.root}: 0 pictures to learn {data.task} from; add labelled pictures to train/")
    return Partition(rest, calibration, test, origin)


def is_good(sample: Sample) -> bool:
    """Say whether a picture is known to show no defect."""
    return sample.label == GOOD or (not sample.label and not sample.things and sample.mask is None)


def _good_only(
    data: DataSet, rest: Sequence[Sample], test: tuple[Sample, ...], own: tuple[Sample, ...], seed: int
) -> Partition:
    if not test:
        kept, test, origin = _drawn(tuple(rest), TEST_SHARE, seed)
    else:
        kept, origin = tuple(rest), OWN_TEST
    good = tuple(sample for sample in kept if is_good(sample))
    if not good:
        raise ConfigError(
            f"{data.root}: 0 good pictures among {len(kept)} to learn from, anomaly learns from good parts alone; put "
            "them into train/good"
        )
    # Labelled defects outside the test: one half shows the model what to look for, the other what a score means.
    defects = tuple(sample for sample in kept if not is_good(sample))
    if not defects:
        return Partition(good, own, test, origin)
    shown, held, _ = _drawn(defects, DEFECT_SHARE, seed + 1)
    good, fair, _ = _drawn(good, CALIBRATION_SHARE, seed + 2)
    return Partition(good, (*own, *fair, *held), test, origin, shown)


def _drawn(samples: tuple[Sample, ...], share: float, seed: int) -> tuple[tuple[Sample, ...], tuple[Sample, ...], str]:
    """Hold out a share of the groups; nothing where they are few."""
    if len({sample.group for sample in samples}) < FEWEST_GROUPS:
        return samples, (), NO_TEST
    kept, held_out = split_by_group(samples, share, seed)
    return tuple(kept), tuple(held_out), DRAWN_TEST
