"""Describe a foreign model in the words of a bundle: the mapping file, and what is left to ask of a person."""

import json
import tomllib
from collections.abc import Iterable
from collections.abc import Mapping as Table
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import asdict

from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Side = Annotated[int, Meta(ge=8, le=4096)]
Share = Annotated[float, Meta(ge=0, le=1)]
Axes = Literal["NCHW", "NHWC"]
Colour = Literal["RGB", "BGR", "GREY"]
Activation = Literal["as-is", "sigmoid", "softmax"]
BoxFormat = Literal["cxcywh", "xyxy"]
BoxUnit = Literal["px", "share"]
Channels = Annotated[tuple[float, ...], Meta(min_length=1, max_length=3)]
LARGEST_BYTES = 1 << 20


class Layout(StrEnum):
    """Name how a model writes its results; N rows, C classes, K mask coefficients."""

    MAP = "map"
    """`map` (1, 1, rows, cols) or (1, rows, cols): anomaly."""
    VECTOR = "vector"
    """`scores` (1, C): classification."""
    PLANES = "planes"
    """`scores` (1, C, rows, cols): semantic."""
    COLUMNS = "columns"
    """`rows` (1, 4 + C + K, N), one column per box, and `prototypes` (1, K, rows, cols) for masks."""
    ROWS = "rows"
    """`rows` (1, N, 4 + C + K), one row per box, and `prototypes`."""
    SORTED = "sorted"
    """`rows` (1, N, 6 + K) of box, score, class, coefficients, and `prototypes`."""
    QUERIES = "queries"
    """`boxes` (1, N, 4) and `scores` (1, N, C), or (1, N, C + 1) with "no object" last."""
    LABELLED = "labelled"
    """`boxes` (1, N, 4), `scores` (1, N) and `labels` (1, N)."""


ROLES = {
    Layout.MAP: ("map",),
    Layout.VECTOR: ("scores",),
    Layout.PLANES: ("scores",),
    Layout.COLUMNS: ("rows",),
    Layout.ROWS: ("rows",),
    Layout.SORTED: ("rows",),
    Layout.QUERIES: ("boxes", "scores"),
    Layout.LABELLED: ("boxes", "scores", "labels"),
}
PROTOTYPES = "prototypes"
BOXES = (Layout.COLUMNS, Layout.ROWS, Layout.SORTED, Layout.QUERIES, Layout.LABELLED)
LAYOUTS = {
    TaskName.ANOMALY: (Layout.MAP,),
    TaskName.CLASSIFICATION: (Layout.VECTOR,),
    TaskName.SEMANTIC: (Layout.PLANES,),
    TaskName.DETECTION: BOXES,
    TaskName.INSTANCE: (Layout.COLUMNS, Layout.ROWS, Layout.SORTED),
}


class Description(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Say what is known of a model, from its file or from a mapping file; None is not known."""

    task: TaskName | None = None
    classes: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=4096)] | None = None
    """In the order of the outputs."""
    not_defects: tuple[Name, ...] | None = None
    """Classes that are no defect: the good class, background, features that rules count."""
    input: Name | None = None
    """Name of the image input."""
    size: tuple[Side, Side] | None = None
    """(rows, columns) of the image input, px."""
    axes: Axes | None = None
    colour: Colour | None = None
    divisor: Annotated[float, Meta(gt=0, le=65536)] | None = None
    """The network sees (pixel / divisor - mean) / std, pixels in 0 to 255."""
    mean: Channels | None = None
    std: Channels | None = None
    constants: dict[str, list[Any]] | None = None
    """What any other input is always given."""
    layout: Layout | None = None
    outputs: dict[str, Name] | None = None
    """Role, as the layout says, -> name of the model's output."""
    scores: Activation | None = None
    """What turns the scores into probabilities."""
    objectness: bool | None = None
    """Whether a fifth number multiplies the scores of each box."""
    box_format: BoxFormat | None = None
    box_unit: BoxUnit | None = None
    """Pixels of the image input, or share of its sides."""
    threshold: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    """Raw score from which something is a finding."""
    thresholds: dict[str, Annotated[float, Meta(ge=0, le=1e6)]] | None = None
    """The same for single classes."""
    nms_iou: Share | None = None
    """Boxes of one class that overlap by more are one; 1: the model has done that itself."""
    pixel_format: PixelFormat | None = None
    """Of the frames on the line."""
    roi: tuple[int, int, int, int] | None = None
    """(x, y, width, height) in frame pixels."""
    mm_per_px: Annotated[float, Meta(gt=0, le=100)] | None = None


NOTES = {
    "task": "classification, detection, semantic, instance or anomaly",
    "classes": "names in the order of the outputs",
    "not_defects": "classes that are no defect: good, background, features to count",
    "size": "rows, columns of the image input, px",
    "axes": "NCHW or NHWC",
    "colour": "RGB, BGR or GREY: what the model was trained on",
    "divisor": "the network sees (pixel / divisor - mean) / std",
    "mean": "of the training, one number or one per channel",
    "std": "of the training, one number or one per channel",
    "layout": ", ".join(Layout),
    "outputs": "role = name of the model's output",
    "scores": "as-is, sigmoid or softmax: what turns the scores into probabilities",
    "box_format": "cxcywh or xyxy",
    "box_unit": "px of the image input, or share of its sides",
    "threshold": "raw score from which something is a finding",
    "nms_iou": "boxes that overlap by more are one; 1: the model has done that",
    "constants": "what the other inputs are always given",
}


class MappingNeeded(ConfigError):
    """The file does not say all that a bundle needs; `template` is the mapping file that would."""

    def __init__(self, message: str, template: str) -> None:
        super().__init__(message)
        self.template = template


def read_mapping(path: Path) -> Description:
    """Read a mapping file; ConfigError in one line when it cannot be used."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ConfigError(f"mapping {path}: over {LARGEST_BYTES} bytes; give the mapping file of the model")
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), type=Description)
    except OSError as cause:
        raise ConfigError(f"mapping {path}: {cause.strerror}; give a file that can be read") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise ConfigError(f"mapping {path}: is not TOML: {_line(cause)}; correct it") from cause
    except msgspec.ValidationError as cause:
        raise ConfigError(f"mapping {path}: {_line(cause)}; correct it") from cause


def merge(found: Description, said: Description) -> Description:
    """Give what is found with what a person said in its place."""
    return msgspec.structs.replace(found, **known(said))


def known(description: Description) -> dict[str, object]:
    """Give what is not None."""
    return {key: value for key, value in asdict(description).items() if value is not None}


def render(title: str, description: Description, missing: Iterable[str] = (), guesses: Table[str, object] = {}) -> str:
    """Give a mapping file with what is known; what is missing stands in comments, with a guess where there is one."""
    values, absent = known(description), list(missing)
    lines = [f"# {line}" for line in title.splitlines()]
    # Tables come last: what follows a table's head would belong to it.
    for key in sorted([*values, *absent], key=lambda key: isinstance(values.get(key, guesses.get(key)), dict)):
        if key in absent:
            guess = f"{toml(guesses[key])}  # a guess" if key in guesses else "?"
            lines.append(f"# {key} = {guess}  # to fill in: {NOTES.get(key, key)}")
        else:
            lines.append(f"{key} = {toml(values[key])}")
    return "\n".join(lines) + "\n"


def toml(value: object) -> str:
    """Give a value as TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(value)
    # JSON leaves DEL as it is, TOML does not take it.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _line(cause: object) -> str:
    return " ".join(str(cause).split())[:300]
