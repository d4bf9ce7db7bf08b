"""Prove a loaded model on the golden tensors of its bundle before it may judge a part.

A runtime can be wrong without an error: another order of channels, a broken kernel, an engine of zeros. Limits and
thresholds mean something only while the same image gives the same numbers.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from appliance.decision.agreement import SCORES, row_differences, share_difference, value_difference
from appliance.imaging.template import compose, read_template
from appliance.ports.runtime import Session
from appliance.schema.bundle import ModelSpec, Precision, TensorSpec
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.storage.bundle import Bundle, arrays
from kernels.canvas import CanvasPreprocessor
from kernels.preprocess import Preprocessor

IMAGES = "images"
PREPROCESSING_BOUND = 1
"""Grey levels: the bound that every preprocessing kernel keeps (kernels/README.md)."""

VALUE_LIMIT = {Precision.F32: 1e-3, Precision.F16: 1e-2, Precision.BF16: 3e-2, Precision.INT8: 5e-2}
"""Largest difference of a golden output in the same precision, relative to its largest value: two CPUs add in different
orders. Beyond it the limits no longer mean what they promise, and the bundle must be calibrated on the machine."""

SHARE_LIMIT = {Precision.F32: 2e-3, Precision.F16: 1e-2, Precision.BF16: 2e-2, Precision.INT8: 5e-2}
"""Share of cells whose class may differ in the same precision."""

OTHER_PRECISION = 0.5
"""Both, when a bundle is looked at in another precision than its own. bf16 moves the worst cell of a map by 15 %, of a
text map by 30 %, and a close class by 35 % (training/README.md), so this catches a broken model and no more: such a run
may be compared, and never judges parts."""


class Proof:
    """Collect the largest difference seen, per output."""

    def __init__(self) -> None:
        self.worst: dict[str, float] = {}

    @property
    def largest(self) -> float:
        """Largest of all, 0 when nothing was compared."""
        return max(self.worst.values(), default=0.0)

    def add(self, name: str, difference: float) -> None:
        """Take one more difference of an output."""
        self.worst[name] = max(difference, self.worst.get(name, 0.0))


def verify_session(bundle: Bundle, model: ModelSpec, session: Session, *, any_precision: bool = False) -> Proof:
    """Run every golden image and give the largest difference of each output, all within their bounds.

    Another runtime is fine when it passes; another precision only with `any_precision`, against wider bounds, to
    compare and never to judge. Raises RuntimeFault with the name of the first wrong tensor.
    """
    _check_precision(bundle, session, any_precision=any_precision)
    _check_input(bundle, model, session)
    golden = arrays(bundle, model.golden)
    images, shape = golden.get(IMAGES), tuple(model.input.shape[1:])
    if images is None or images.shape[1:] != shape or images.dtype != np.uint8 or not len(images):
        raise RuntimeFault(
            f"bundle {bundle.folder}: {model.golden}: `{IMAGES}` of {shape} uint8 is missing; build the bundle again"
        )
    if not model.outputs:
        raise RuntimeFault(f"bundle {bundle.folder}: {model.file} names 0 outputs to prove; build the bundle again")
    proof = Proof()
    for number, image in enumerate(images):
        session.input[...] = image
        results = session.run()
        for entry in range(len(session.input)):  # every entry of a batch saw the same image, so each must agree
            expected = {spec.name: _expected(bundle, model, golden, spec, number) for spec in model.outputs}
            actual = {spec.name: _actual(bundle, model, spec, results)[entry] for spec in model.outputs}
            for name, difference in _differences(model, expected, actual).items():
                _judge(bundle, model, name, number, difference, session.precision)
                proof.add(name, difference)
    return proof


def verify_preprocessing(bundle: Bundle, make: Callable[..., Preprocessor] = Preprocessor) -> int:
    """Turn the golden frame into an input image and give the largest difference in grey levels, 0 or 1.

    make: the kernel to prove. RuntimeFault when a pixel differs by more: the model would see what it was never shown.
    """
    how = bundle.manifest.preprocessing
    golden = arrays(bundle, how.golden)
    frame, expected = golden.get("frame"), golden.get("image")
    bytes_both = frame is not None and expected is not None and frame.dtype == expected.dtype == np.uint8
    if frame is None or expected is None or not bytes_both or frame.ndim < 2 or expected.ndim != 3:
        raise RuntimeFault(f"bundle {bundle.folder}: {how.golden} lacks `frame` and `image`; build the bundle again")
    raw, wanted = _compared(bundle, frame.astype(np.uint8, copy=False)), expected.astype(np.int16)
    pixel_format = how.pixel_format if how.template is None else PixelFormat.RGB8
    image = np.empty(expected.shape, np.uint8)
    try:
        shape, size = (frame.shape[0], frame.shape[1]), (expected.shape[0], expected.shape[1])
        if how.keep_aspect:
            CanvasPreprocessor(shape, pixel_format, None, size, how.shrink, make).run(raw, image)
        else:
            make(shape, pixel_format, None, size).run(raw, image)
    except ValueError as cause:
        raise RuntimeFault(f"bundle {bundle.folder}: {how.golden}: {cause}; build the bundle again") from cause
    worst = int(np.abs(image.astype(np.int16) - wanted).max(initial=0))
    if worst > PREPROCESSING_BOUND:
        raise RuntimeFault(
            f"bundle {bundle.folder}: {how.golden}: preprocessing of the golden frame differs by {worst} grey levels, "
            f"limit {PREPROCESSING_BOUND}; install the version that the bundle was built with"
        )
    return worst


def _compared(bundle: Bundle, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give what preprocessing scales: the frame itself, or the frame beside its template."""
    how = bundle.manifest.preprocessing.template
    if how is None:
        return frame
    try:
        return compose(frame, read_template(arrays(bundle, how.file), how.file), how)
    except ConfigError as cause:
        raise RuntimeFault(f"bundle {bundle.folder}: golden frame: {cause}; build the bundle again") from cause


def _check_precision(bundle: Bundle, session: Session, *, any_precision: bool) -> None:
    calibrated = bundle.manifest.precision
    if session.precision != calibrated and not any_precision:
        raise RuntimeFault(
            f"bundle {bundle.folder}: calibrated in {calibrated}, {session.runtime} runs it in "
            f"{session.precision}; load it as calibrated or calibrate again"
        )


def _check_input(bundle: Bundle, model: ModelSpec, session: Session) -> None:
    found = session.input
    if found.shape != tuple(model.input.shape) or found.dtype != np.uint8:
        raise RuntimeFault(
            f"bundle {bundle.folder}: {model.file} takes {found.shape} {found.dtype}, the manifest says "
            f"{tuple(model.input.shape)} {model.input.dtype}; build the bundle again"
        )


def _expected(
    bundle: Bundle, model: ModelSpec, golden: Mapping[str, NDArray[np.generic]], spec: TensorSpec, number: int
) -> NDArray[np.generic]:
    stored = golden.get(spec.name)
    if (
        stored is None
        or stored.ndim == 0
        or stored.shape[1:] != tuple(spec.shape[1:])
        or stored.dtype.name != spec.dtype
        or number >= len(stored)
    ):
        raise RuntimeFault(
            f"bundle {bundle.folder}: {model.golden}: `{spec.name}` of {tuple(spec.shape[1:])} is missing; build the "
            "bundle again"
        )
    result: NDArray[np.generic] = stored[number]
    return result


def _actual(
    bundle: Bundle, model: ModelSpec, spec: TensorSpec, results: Mapping[str, NDArray[np.generic]]
) -> NDArray[np.generic]:
    found = results.get(spec.name)
    if found is None or found.shape != tuple(spec.shape) or found.dtype.name != spec.dtype:
        told = "missing" if found is None else f"{found.shape} {found.dtype}"
        raise RuntimeFault(
            f"bundle {bundle.folder}: {model.file}: output `{spec.name}` is {told}, the manifest says "
            f"{tuple(spec.shape)} {spec.dtype}; build the bundle again"
        )
    return found


def _differences(
    model: ModelSpec, expected: Mapping[str, NDArray[np.generic]], actual: Mapping[str, NDArray[np.generic]]
) -> dict[str, float]:
    """Give how far each output of one image is from its golden tensor, in the order of the manifest."""
    rows = [spec.name for spec in model.outputs if spec.compare == "rows"]
    found = {}
    if SCORES in rows:
        found = row_differences({name: expected[name] for name in rows}, {name: actual[name] for name in rows})
    for spec in model.outputs:
        if spec.name not in found:
            differ = share_difference if spec.compare == "share" else value_difference
            found[spec.name] = differ(expected[spec.name], actual[spec.name])
    return {spec.name: found[spec.name] for spec in model.outputs}


def _judge(bundle: Bundle, model: ModelSpec, name: str, number: int, difference: float, precision: str) -> None:
    spec = next(item for item in model.outputs if item.name == name)
    limit = _limit(bundle.manifest.precision, precision, spec)
    if not difference <= limit:  # nan fails too
        raise RuntimeFault(
            f"bundle {bundle.folder}: golden tensor {number + 1} of `{name}` ({model.file}) differs by "
            f"{difference:.2g}, limit {limit:g} in {precision}; calibrate the bundle on this machine"
        )


def _limit(calibrated: Precision, precision: str, spec: TensorSpec) -> float:
    if precision != calibrated:
        return OTHER_PRECISION
    if spec.limit is not None:
        return min(spec.limit, OTHER_PRECISION)  # a bundle cannot wave itself through
    return (SHARE_LIMIT if spec.compare == "share" else VALUE_LIMIT)[calibrated]
