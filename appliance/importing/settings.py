"""Give the settings files that the tasks read from a bundle."""

import msgspec
import numpy as np

from appliance.importing.decoding import Decoding
from appliance.importing.mapping import Description
from appliance.importing.recognise import NO_DEFECT
from appliance.importing.source import Source
from appliance.schema.bundle import ClassSpec, TaskName
from appliance.schema.errors import ConfigError
from appliance.training.package import npz

SETTINGS = "settings.json"
STATISTICS = "statistics.npz"
TOP_SHARE = 0.01
"""Share of the map whose mean is the image score, as for our own models (training/anomaly.py)."""
THRESHOLD = 0.5


def classes(source: Source, facts: Description) -> tuple[ClassSpec, ...]:
    """Give the taxonomy; a class is a defect unless its name or the mapping says otherwise."""
    names = facts.classes or ()
    thresholds, harmless = facts.thresholds or {}, facts.not_defects
    for key, said in (("thresholds", thresholds), ("not_defects", harmless or ())):
        strange = sorted(set(said) - set(names))
        if strange:
            raise ConfigError(
                f"import {source.name}: {key} names {strange[0]!r}, the classes are {', '.join(names[:8])}; "
                "correct the mapping"
            )
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ConfigError(f"import {source.name}: class {twice!r} stands twice in classes; give each its own name")
    usual = THRESHOLD if facts.threshold is None else facts.threshold
    taxonomy = tuple(
        ClassSpec(
            name,
            defect=name not in harmless if harmless is not None else name.lower() not in NO_DEFECT,
            threshold=thresholds.get(name, usual),
        )
        for name in names
    )
    _check_roles(source, facts.task, taxonomy)
    return taxonomy


def _check_roles(source: Source, task: TaskName | None, taxonomy: tuple[ClassSpec, ...]) -> None:
    """Refuse a taxonomy whose score would mean nothing: every part, or none, would be suspicious."""
    defects = [one.defect for one in taxonomy]
    if task is TaskName.SEMANTIC and (defects[0] or not any(defects)):
        raise ConfigError(
            f"import {source.name}: class 0 is {taxonomy[0].name!r}, {sum(defects)} of {len(defects)} classes are "
            "defects; class 0 must be the background and one other a defect, state not_defects in the mapping"
        )
    if task is TaskName.CLASSIFICATION and (all(defects) or not any(defects)):
        raise ConfigError(
            f"import {source.name}: {sum(defects)} of {len(defects)} classes are defects, needs a good class and "
            "a defect; state not_defects in the mapping"
        )


def files(how: Decoding, facts: Description) -> dict[str, bytes]:
    """Give the settings of the head and what belongs to them."""
    if how.task is TaskName.ANOMALY:
        # The map is taken as it is: mean 0 and deviation 1 everywhere.
        shape = how.shapes["map"][-2:]
        return {
            SETTINGS: _json({"top_share": TOP_SHARE, "finding_level": facts.threshold}),
            STATISTICS: npz({"mean": np.zeros(shape, np.float32), "deviation": np.ones(shape, np.float32)}),
        }
    if how.task in {TaskName.DETECTION, TaskName.INSTANCE}:
        return {SETTINGS: _json({"nms_iou": facts.nms_iou})}
    return {SETTINGS: _json({})}


def _json(content: dict[str, object]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content, order="sorted"))
