"""Turn a stored bundle into an inspector: bundle, preprocessing, runtime sessions and task joined once."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.decision import rules as logic
from appliance.decision import text_rules
from appliance.decision.calibration import conformal_p_value
from appliance.decision.disposition import judge_view
from appliance.decision.novelty import Known, p_value, read_known
from appliance.decision.standing import limits_of
from appliance.imaging.geometry import in_mm
from appliance.imaging.heat import shrink
from appliance.learning.confidence import confidence_of
from appliance.ports.inspector import Inspection
from appliance.ports.runtime import Runtime, Session
from appliance.ports.task import FrameReader, Reading
from appliance.schema.bundle import Manifest, TaskName
from appliance.schema.clocks import HostNs
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.finding import Box, Finding, HeadScore, ViewResult
from appliance.schema.frame import FrameReady
from appliance.schema.policy import Policy
from appliance.schema.rule import Code, Rule, Text
from appliance.schema.verdict import Disposition
from appliance.services._runtimes import open_runtime
from appliance.storage import bundle as bundles
from appliance.storage import golden
from appliance.tasks.codes import CodeReader
from appliance.tasks.confidence import ConfidentReader
from appliance.tasks.novelty import FeatureSession, NovelReader
from appliance.tasks.opening import Parts, open_reader


class RecipeView(Struct, frozen=True):
    """Say what the recipe asks of the views beside the model's score."""

    rules: tuple[Rule, ...] = ()
    mm_per_px: Mapping[str, float] = {}
    """Scale of each view that has one."""
    serials: Mapping[str, frozenset[str]] = {}
    """Allowed texts by the name of their list."""
    policy: Policy = Policy()


class LoadedBundle:
    """Hold a verified bundle with its compiled networks; one thread at a time."""

    def __init__(self, bundle: bundles.Bundle, sessions: Mapping[str, Session]) -> None:
        """Take a bundle and the sessions that its golden tensors were checked on, by the names of its networks."""
        self.bundle, self.manifest, self.sessions = bundle, bundle.manifest, sessions
        first = next(iter(sessions.values()))
        self.runtime, self.precision = first.runtime, first.precision
        self._known = _known(bundle)

    @property
    def calibration_holds(self) -> bool:
        """Whether it runs in the precision that it was calibrated in; in any other it is uncalibrated."""
        return self.precision == self.manifest.precision

    def reader(
        self,
        frame_shape: tuple[int, int],
        regions: Sequence[Box] = (),
        patterns: Mapping[Box | None, Sequence[str]] | None = None,
    ) -> FrameReader:
        """Make the stages for frames of (rows, cols).

        regions: where text is looked for, the whole view if none. patterns: what rules ask of the text in each region,
        None standing for the whole view.
        """
        sessions, watched = self.sessions, None
        if self.manifest.novelty is not None and self.calibration_holds:
            name = self.manifest.models[0].name
            watched = FeatureSession(sessions[name], self.manifest.novelty.output)
            sessions = {**sessions, name: watched}
        parts = Parts(self.manifest, self.bundle.files, lambda path: bundles.arrays(self.bundle, path), sessions)
        try:
            reader = open_reader(parts, frame_shape, tuple(regions), patterns)
        except ValueError as cause:
            raise RuntimeFault(f"bundle {self.bundle.folder}: {cause}") from cause
        if watched is not None and self._known is not None:
            reader = NovelReader(reader, watched, self._known)
        curves = self.manifest.confidence
        return ConfidentReader(reader, curves) if curves and self.calibration_holds else reader


def _known(bundle: bundles.Bundle) -> Known | None:
    """Give what known parts look like; RuntimeFault when the detector and the network do not fit together."""
    novelty = bundle.manifest.novelty
    if novelty is None:
        return None
    spec = next(one for one in bundle.manifest.models[0].outputs if one.name == novelty.output)
    try:
        return read_known(bundles.arrays(bundle, novelty.file), spec.shape[-1])
    except RuntimeFault as cause:
        raise RuntimeFault(f"bundle {bundle.folder}: {novelty.file}: {cause}") from cause


class _View:
    """Hold the stages of one camera and frame shape."""

    def __init__(self, camera: str, frame: FrameReady, loaded: LoadedBundle, recipe: RecipeView) -> None:
        shape = (frame.rows, frame.columns)
        self.rules = tuple(rule for rule in recipe.rules if rule.view == camera)
        texts = [rule for rule in self.rules if isinstance(rule, Text)]
        regions = [rule.region for rule in texts if rule.region is not None]
        # One rule that looks everywhere needs everything read.
        patterns = _patterns(texts) if texts else None
        self.reader = loaded.reader(shape, regions if len(regions) == len(texts) else (), patterns)
        codes = [rule for rule in self.rules if isinstance(rule, Code)]
        self.codes = [CodeReader(rule.symbologies, rule.region, frame.pixel_format) for rule in codes]
        self.mm_per_px = recipe.mm_per_px.get(camera)


def _patterns(rules: Sequence[Text]) -> dict[Box | None, list[str]]:
    """Give what is asked of the text in each region; where one rule takes any text, nothing is."""
    everywhere = any(rule.region is None for rule in rules)
    asked: dict[Box | None, list[str]] = {}
    for rule in rules:
        asked.setdefault(None if everywhere else rule.region, []).append(rule.pattern)
    return {region: own for region, own in asked.items() if all(own)}


class BundleInspector:
    """Inspect frames with one bundle; used by one thread."""

    def __init__(
        self, loaded: LoadedBundle, recipe: RecipeView | None = None, today: Callable[[], date] | None = None
    ) -> None:
        """Take a verified bundle, what the recipe asks beside it, and the calendar that expiry dates are held against.

        ConfigError when a rule asks for text and the bundle reads none, or the policy names what the bundle has not.
        """
        self._loaded, self._recipe = loaded, recipe or RecipeView()
        self._today = today or (lambda: datetime.now(UTC).date())
        holds, calibration = loaded.calibration_holds, loaded.manifest.calibration
        self.bundle = loaded.bundle.id
        self.runtime = loaded.runtime
        self.precision = loaded.precision
        self.limits = limits_of(loaded.manifest, holds=holds)
        self._scores = calibration.scores if calibration and holds else ()
        self._curve = next((curve for curve in loaded.manifest.confidence if holds and not curve.kind), None)
        self._known = loaded.manifest.novelty if holds else None
        self._format = loaded.manifest.preprocessing.pixel_format
        self._views: dict[tuple[str, int, int], _View] = {}
        for rule in self._recipe.rules:
            _check_rule(rule, loaded, self._recipe.rules)
        _check_policy(self._recipe.policy, loaded.manifest, loaded.bundle.folder.name)

    def inspect(self, frame: FrameReady, pixels: NDArray[np.uint8]) -> Inspection:
        """Inspect borrowed pixels; RuntimeFault when the frame is not of the bundle's format or the model fails."""
        if frame.pixel_format != self._format:
            raise RuntimeFault(
                f"camera {frame.camera}: delivers {frame.pixel_format}, the bundle was calibrated on {self._format}; "
                "set the camera's pixel_format or fit a bundle for it"
            )
        view = self._view(frame)
        reading = view.reader.read(pixels)
        codes = tuple(finding for reader in view.codes for finding in reader.read(pixels))
        findings = in_mm((*reading.findings, *codes), view.mm_per_px)
        result = ViewResult(
            camera=frame.camera,
            epoch=frame.ref.epoch,
            frame_id=frame.frame_id,
            score=reading.score,
            p_value=conformal_p_value(reading.score, self._scores) if self._scores else None,
            findings=findings,
            broken_rules=self._broken(view, frame.camera, findings),
            probability=confidence_of(self._curve, reading.score) if self._curve else None,
            novelty=reading.novelty,
            novelty_p=p_value(reading.novelty, self._known.scores) if self._known else None,
            heads=self._others(reading),
        )
        if reading.surfaces and not self._clearly_good(result):
            result = replace(result, heat=shrink(reading.surfaces))
        return Inspection(result, reading.preprocess_ms, reading.inference_ms, HostNs(time.monotonic_ns()))

    def __del__(self) -> None:
        """Give device memory back with the last reference: a part on the belt may hold one after a swap."""
        for session in self._loaded.sessions.values():
            close = getattr(session, "close", None)
            if close is not None:
                close()

    def warm(self, frame: FrameReady) -> None:
        """Make the stages for frames like this one and run each once, so that the first part finds them ready."""
        shape = (frame.rows, frame.columns, 3) if frame.pixel_format.channels == 3 else (frame.rows, frame.columns)
        self.inspect(frame, np.zeros(shape, np.uint8))

    def _view(self, frame: FrameReady) -> _View:
        key = (frame.camera, frame.rows, frame.columns)
        if key not in self._views:
            self._views[key] = _View(frame.camera, frame, self._loaded, self._recipe)
        return self._views[key]

    def _clearly_good(self, view: ViewResult) -> bool:
        """Say whether the view is accepted for itself: nobody asks where such a one is suspicious."""
        said, _ = judge_view(view, self.limits, self._recipe.policy, self.bundle, self.precision)
        return said is Disposition.ACCEPT

    def _others(self, reading: Reading) -> tuple[HeadScore, ...]:
        """Give what the heads behind the deciding one say, with their own limits."""
        found = []
        for head, score in zip(self._loaded.manifest.heads[1:], reading.others, strict=False):
            own = head.calibration if self._loaded.calibration_holds else None
            limits = (own.accept_below, own.reject_above) if own else (None, None)
            found.append(HeadScore(head.task, score, *limits))
        return tuple(found)

    def _broken(self, view: _View, camera: str, findings: tuple[Finding, ...]) -> tuple[str, ...]:
        if not view.rules:
            return ()
        read = (
            text_rules.broken(rule, findings, self._recipe.serials.get(rule.serials, frozenset()), self._today())
            for rule in view.rules
            if isinstance(rule, Text | Code)
        )
        return (
            *logic.broken(view.rules, camera, findings, view.mm_per_px),
            *(line for line in read if line is not None),
        )


def _check_rule(rule: Rule, loaded: LoadedBundle, rules: Sequence[Rule]) -> None:
    """Refuse a rule that this bundle cannot speak of: a misspelt class would never be found, and never be missed."""
    name = loaded.bundle.folder.name
    reads = {head.task for head in loaded.manifest.heads}
    if isinstance(rule, Text | Code):
        fault = text_rules.fault(rule)
        if fault:
            raise ConfigError(f"recipe: rule {rule.name}: {fault}")
        if isinstance(rule, Text) and TaskName.OCR not in reads:
            raise ConfigError(
                f"recipe: rule {rule.name} asks for text, bundle {name} reads none ({', '.join(sorted(reads))}); use a "
                "bundle of task ocr or remove the rule"
            )
        return
    known = {item.name for head in loaded.manifest.heads for item in head.classes}
    known |= {"code"} if any(isinstance(other, Code) for other in rules) else set()
    for kind in logic.kinds_of(rule):
        if kind not in known:
            raise ConfigError(
                f"recipe: rule {rule.name}: {kind!r} is no class of bundle {name}, classes are "
                f"{', '.join(sorted(known))}; correct the spelling or use another bundle"
            )


def _check_policy(policy: Policy, manifest: Manifest, name: str) -> None:
    """Refuse bands of a class, or a role of a head, that the bundle has not: misspelt they would never be used."""
    classes = {item.name for head in manifest.heads for item in head.classes}
    tasks = {head.task.value for head in manifest.heads}
    for what, named, known in (("class_bands", policy.class_bands, classes), ("heads", policy.heads, tasks)):
        odd = next((one for one in named if one not in known), None)
        if odd is not None:
            raise ConfigError(
                f"recipe: policy.{what}: {odd!r} is not in bundle {name}, known are {', '.join(sorted(known))}; "
                "correct the spelling or use another bundle"
            )


def load_bundle(
    folder: Path, runtime: Runtime, precision: str, threads: int, *, any_precision: bool = False
) -> LoadedBundle:
    """Read, compile and prove a bundle; blocks for about a second.

    any_precision: it may be looked at in another precision than it was calibrated in. RuntimeFault when a byte differs
    from the manifest or a golden tensor from its bound.
    """
    bundle = bundles.read(folder)
    golden.verify_preprocessing(bundle)
    sessions = {}
    for model in bundle.manifest.models:
        session = runtime.load(bundle.files[model.file], precision, threads)
        golden.verify_session(bundle, model, session, any_precision=any_precision)
        sessions[model.name] = session
    return LoadedBundle(bundle, sessions)


def load_inspector(
    folder: Path,
    runtime: str,
    precision: str,
    threads: int,
    recipe: RecipeView | None = None,
    *,
    allow_cpu: bool = False,
    engines: Path | None = None,
) -> BundleInspector:
    """Read, verify and compile a bundle; blocks for about a second. engines: folder where a GPU's are kept.

    RuntimeFault when a byte differs from the manifest or a golden tensor from its bound, ConfigError when a rule of the
    recipe cannot be met by this bundle.
    """
    opened = open_runtime(runtime, allow_cpu=allow_cpu, engines=engines)
    return BundleInspector(load_bundle(folder, opened, precision, threads), recipe)


def verify_bundle(folder: Path) -> str:
    """Check every byte and every golden tensor of a bundle; gives one line, RuntimeFault says what is wrong."""
    bundle = bundles.read(folder)
    manifest = bundle.manifest
    golden.verify_preprocessing(bundle)
    runtime = open_runtime(manifest.runtime)
    proofs = [
        golden.verify_session(bundle, model, runtime.load(bundle.files[model.file], manifest.precision, 1))
        for model in manifest.models
    ]
    worst = max(proof.largest for proof in proofs)
    return (
        f"{bundle.id}: {len(manifest.files)} files as the manifest says; golden tensors differ by at most {worst:.1e} "
        f"of their largest value in {manifest.runtime} {manifest.precision}"
    )
