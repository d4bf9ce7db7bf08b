"""Turn labelled frames into what the classification head reads, several copies of each, computed once and kept."""

import hashlib
import time
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.runtime import Session
from appliance.schema.bundle import DataSnapshot, Precision, Preprocessing
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training.augmentation import change_frame, draw_change
from appliance.training.backbone import stages_of
from appliance.training.classification_graph import BENT, BODY, POOLED_FEATURES, pooled_model, tap_model
from appliance.training.classification_options import ClassificationOptions
from appliance.training.feature_store import FeatureStore
from appliance.training.fit_run import FitRun
from appliance.training.labelled import Frame, run_each
from appliance.training.linear import Linear, random_layer
from appliance.training.package import GOLDEN_IMAGES
from appliance.training.semantic_canvas import canvas_for
from appliance.training.weights import SHA256
from kernels.canvas import CanvasPreprocessor
from kernels.preprocess import Preprocessor

# (rows, cols) of the input image where all frames are of one shape.
STRETCHED = (224, 224)
# Images whose cells show the random layer where to bend.
SAMPLED_IMAGES = 32
# Copies are for small data sets: softmax regression holds all rows in memory, 4.5 kB each, about three times.
MOST_ROWS = 40_000
# Share of the time left that features may take.
TIME_SHARE = 0.6
# Share of the blocks that fine-tuning changes.
TUNED_SHARE = 0.2
DIGEST = "digest"

State = dict[str, NDArray[np.generic]]


class Pictures:
    """Give input images of raw frames one at a time; holds no frame but those that cannot be asked for again."""

    def __init__(
        self, frames: Iterable[Frame], count: int, pixel_format: PixelFormat, options: ClassificationOptions, seed: int
    ) -> None:
        """Take frames, best a sequence that reads from disk: an iterator's are kept in memory."""
        self._frames: Sequence[Frame] = frames if isinstance(frames, Sequence) else list(frames)
        if len(self._frames) != count or not count:
            raise ConfigError(
                f"classification training: {len(self._frames)} frames for {count} labels; give one label per frame"
            )
        self._format, self._options, self._seed = pixel_format, options, seed
        random = np.random.default_rng(seed)
        self.sampled = {
            int(place): self._frames[place] for place in np.sort(random.permutation(count)[:SAMPLED_IMAGES])
        }
        """Some of the frames, by place."""
        self.how = self._preprocessing()
        """How a frame becomes an input image."""
        self.size = (self.how.rows, self.how.columns)
        self._preprocessors: dict[tuple[int, ...], Preprocessor | CanvasPreprocessor] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, index: int) -> Frame:
        """Give one raw frame."""
        return self._frames[index]

    def image(self, index: int, frame: Frame | None = None, copy: int = 0) -> NDArray[np.uint8]:
        """Give the input image of one copy, (rows, cols, 3) uint8; ConfigError names a frame that does not fit.

        frame: of that index where it is at hand. Copy 0 is as on the line; the bits of the others say which way they
        are mirrored.
        """
        options = self._options
        raw = self._frames[index] if frame is None else frame
        image = np.empty((*self.size, 3), np.uint8)
        try:
            if options.augmentation is not None and copy:
                raw = change_frame(raw, draw_change(options.augmentation, self._seed, index, copy), self._format)
            self._preprocessor((raw.shape[0], raw.shape[1])).run(raw, image)
        except ValueError as cause:
            raise ConfigError(f"classification training: frame {index + 1}: {cause}") from cause
        if not options.mirrored:
            return image
        return image[:: -1 if copy & 2 else 1, :: -1 if copy & 1 else 1]

    def golden(self) -> NDArray[np.uint8]:
        """Give input images spread over all, for the bundle to be proven on."""
        chosen = np.unique(np.linspace(0, len(self) - 1, GOLDEN_IMAGES).round().astype(int))
        return np.stack([self.image(int(index)) for index in chosen])

    def _preprocessing(self) -> Preprocessing:
        """Stretch frames of one shape; keep the aspect of others, for which every frame is looked at once."""
        options = self._options
        shapes = {frame.shape[:2] for frame in self.sampled.values()}
        if options.size is not None or len(shapes) == 1:
            return Preprocessing(self._format, *(options.size or STRETCHED), options.roi)
        every = {self._frames[index].shape[:2] for index in range(len(self))}
        return canvas_for(every, None, None, options.most_px, options.roi).preprocessing(self._format)

    def _preprocessor(self, shape: tuple[int, int]) -> Preprocessor | CanvasPreprocessor:
        if shape not in self._preprocessors:
            how = self.how
            self._preprocessors[shape] = (
                CanvasPreprocessor(shape, self._format, how.roi, self.size, how.shrink)
                if how.keep_aspect
                else Preprocessor(shape, self._format, how.roi, self.size)
            )
        return self._preprocessors[shape]


class Features(Struct, frozen=True):
    """Hold what was computed from the pictures."""

    hidden: Linear
    pooled: NDArray[np.float16]
    """(images, rows, features): copies in the line's precision, the unchanged one first and once more, in f32, at the
    end, so that what only the precision changes is no sign of a class."""
    body: NDArray[np.float16] | None
    """(images, copies, channels, rows, cols): what the first block that fine-tuning changes reads."""
    first_tuned: int
    """Number of that block."""
    data: DataSnapshot


def compute_features(
    pictures: Pictures, labels: NDArray[np.intp], state: State, run: FitRun, options: ClassificationOptions
) -> Features:
    """Give the features of all pictures; blocks for about 10 ms per copy of each, less what an earlier run kept."""
    shown = np.stack([pictures.image(index, frame) for index, frame in pictures.sampled.items()])
    cells = run_each(run.runtime.load(tap_model(state, pictures.size), run.precision, run.threads), shown, BENT)
    random = np.random.default_rng(run.seed)
    hidden = random_layer(np.moveaxis(cells, 1, -1).reshape(-1, cells.shape[1]), options.hidden, random).rounded()

    first_tuned = _first_tuned(options)
    model, shapes = pooled_model(
        state, pictures.size, hidden, maxima=options.maxima, body=first_tuned if options.finetune else 0
    )
    both = 2 * len(pictures) <= MOST_ROWS
    precisions = dict.fromkeys((run.precision, Precision.F32) if both else (run.precision,))
    sessions = [run.runtime.load(model, known, run.threads) for known in precisions]
    began = time.monotonic()
    for session in sessions:
        run_each(session, shown[:2], POOLED_FEATURES)
    copies = _copies(len(pictures), len(sessions), (time.monotonic() - began) / 2, run, options)

    kept = {POOLED_FEATURES: (copies + len(sessions) - 1, shapes[POOLED_FEATURES][1]), DIGEST: (32,)}
    if options.finetune:
        kept[BODY] = (copies, *shapes[BODY][1:])
    store = FeatureStore(run.folder, _key(pictures, labels, run, options, copies), len(pictures), kept)
    for index in range(store.done, len(pictures)):
        frame = pictures.frame(index)
        images = [pictures.image(index, frame, copy) for copy in range(copies)]
        found = [_run(sessions[0], image) for image in images] + [_run(one, images[0]) for one in sessions[1:]]
        row: dict[str, NDArray[np.generic]] = {POOLED_FEATURES: np.stack([one[POOLED_FEATURES] for one in found])}
        if options.finetune:
            row[BODY] = np.stack([one[BODY] for one in found[:copies]])
        row[DIGEST] = np.frombuffer(_digest(frame, int(labels[index])), np.uint8)
        store.append(row)
        run.tell("features", (index + 1) / len(pictures))
    digest = hashlib.sha256(store[DIGEST].astype(np.uint8).tobytes()).hexdigest()
    return Features(
        hidden=hidden,
        pooled=np.asarray(store[POOLED_FEATURES], np.float16),
        body=np.asarray(store[BODY], np.float16) if options.finetune else None,
        first_tuned=first_tuned,
        data=DataSnapshot(len(pictures), digest, options.synthetic_share),
    )


def _run(session: Session, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float16]]:
    """Give the outputs for one image as they are stored; the session reuses its own memory."""
    session.input[0] = image
    return {name: tensor[0].astype(np.float16) for name, tensor in session.run().items()}


def _first_tuned(options: ClassificationOptions) -> int:
    blocks = sum(stage.blocks for stage in stages_of(options.variant))
    return blocks - round(TUNED_SHARE * blocks)


def _copies(count: int, sessions: int, image_s: float, run: FitRun, options: ClassificationOptions) -> int:
    """Give as many copies as memory and time allow."""
    wanted = options.copies if options.mirrored or options.augmentation is not None else 1
    in_time = TIME_SHARE * run.left_s() / max(count * image_s, 1e-9)
    return max(1, int(min(wanted, MOST_ROWS // count - sessions + 1, in_time)))


def _key(pictures: Pictures, labels: NDArray[np.intp], run: FitRun, options: ClassificationOptions, copies: int) -> str:
    """Name what the features depend on; of the pictures the sampled ones stand for all."""
    digest = hashlib.sha256(msgspec.json.encode(options, order="sorted"))
    about = (run.runtime.name, run.precision, run.seed, copies, SHA256[options.variant], pictures.how)
    digest.update(repr(about).encode() + labels.astype("<i8").tobytes())
    for frame in pictures.sampled.values():
        digest.update(_digest(frame, 0))
    return f"classification-{digest.hexdigest()[:24]}"


def _digest(frame: Frame, label: int) -> bytes:
    digest = hashlib.sha256(f"{frame.shape} {label}".encode())
    digest.update(np.ascontiguousarray(frame).data)
    return digest.digest()
