"""Fit what describes good parts, once on all and once without each fold, and judge each by what never saw it."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision import anomaly_map
from appliance.decision.anomaly_map import BorderTables, MapStatistics, MapView, Placement
from appliance.ports.runtime import Session, Tensors
from appliance.training import weights
from appliance.training.anomaly_graph import (
    CELL_PX,
    Good,
    Marker,
    PatchPlan,
    anomaly_model,
    channels_of,
    feature_model,
    positions,
)
from appliance.training.anomaly_input import Cutter, Defect, Frame, Image, Picture, marked_pictures, repainted
from appliance.training.anomaly_marker import MOST_DEFECTIVE, MOST_GOOD, fit_marker, scaled, targets
from appliance.training.anomaly_memory import Reservoir, Rows, fit_gaussian, fit_memory, joined
from appliance.training.anomaly_resume import KEPT_EVERY, keep, resume
from appliance.training.coreset import MOST_CANDIDATES
from appliance.training.fit_run import FitRun
from appliance.training.package import GOLDEN_IMAGES

# Good images whose scores set the limits, spread over the parts: more cost time and hardly sharpen a share of 5 %.
MOST_SCORED = 2000
# Of the time left, the share after which no further frame is looked at, so that the rest can be done.
LOOK_SHARE = 0.4
# Markers that the folds share: each fold is judged by one that saw nothing of it.
MARKER_FOLDS = 3
# Good frames on which the final model is compared with those of the folds.
MOST_COMPARED = 100
# Rows of each fold that the scales of a marker are taken from.
SCALE_ROWS = 1500


class Method(StrEnum):
    """Name what describes good patches."""

    MEMORY = "memory"
    """Chosen good patches; the distance is that of the nearest."""
    GAUSSIAN = "gaussian"
    """One normal distribution; where a fixture holds the part, with a mean for each place."""


class Recipe(Struct, frozen=True):
    """Hold what the folds and the final model have in common."""

    plan: PatchPlan
    method: Method
    patches: int
    placement: Placement
    painted: int
    marker_weight: float
    seed: int
    threads: int


class Fitted(Struct, frozen=True):
    """Hold what makes a map of an image's features."""

    good: Good
    marker: Marker | None


class HeldOut(Struct, frozen=True):
    """Hold the map of one input image from a model that did not see it."""

    frame: int
    """Place among the frames scored."""
    fold: int
    view: MapView
    map: NDArray[np.float32]
    """(rows, cols) of the whole input image."""


class CrossFit:
    """Look at all frames once, then at those scored once more; one thread."""

    def __init__(
        self,
        frames: Sequence[Frame],
        cutter: Cutter,
        size: tuple[int, int],
        folds: NDArray[np.intp],
        recipe: Recipe,
        run: FitRun,
    ) -> None:
        """Take the good frames, what cuts them into images of `size`, and each frame's fold."""
        self._frames, self._cutter, self._size, self._folds, self._run = frames, cutter, size, folds, run
        self._recipe = recipe
        self._random = np.random.default_rng(recipe.seed)
        self._state = weights.efficientnet_lite0()
        self._count = int(folds.max()) + 1
        chosen = np.arange(len(folds))
        if len(chosen) > MOST_SCORED:
            chosen = np.sort(self._random.choice(chosen, MOST_SCORED, replace=False))
        self.scored: tuple[int, ...] = tuple(int(index) for index in chosen)
        """Frames whose held-out scores set the limits."""
        each = MOST_CANDIDATES // max(1, self._count - 1) + 1
        self._good = [Reservoir(each, self._random) for _ in range(self._count)]
        self._plain = [Reservoir(MOST_GOOD // MARKER_FOLDS, self._random) for _ in range(MARKER_FOLDS)]
        self._defective = [Reservoir(MOST_DEFECTIVE // MARKER_FOLDS, self._random) for _ in range(MARKER_FOLDS + 1)]
        cells = (size[0] // CELL_PX, size[1] // CELL_PX)
        self._cells = cells
        self._channels = channels_of(self._state, recipe.plan)
        self._by_place = recipe.placement is Placement.POSITION and recipe.method is Method.GAUSSIAN
        self._sums = np.zeros((self._count, self._channels, *cells) if self._by_place else 0, np.float32)
        self._seen = np.zeros(self._count)
        self._examples: list[Image] = []

    def look(self, defects: Sequence[Defect] = ()) -> None:
        """Sample the patches of all good frames, of painted copies, and of labelled defects."""
        recipe, run = self._recipe, self._run
        session = run.runtime.load(
            feature_model(self._state, self._size, 1, recipe.plan), run.precision, recipe.threads
        )
        enough = run.left_s() * (1 - LOOK_SHARE)
        order = self._random.permutation(len(self._frames))
        first = self._resumed()
        for done, index in enumerate(order.tolist()):
            if done < first:
                continue
            if run.left_s() < enough and self._every_fold_is_known():
                break
            run.tell(f"frame {done + 1}", 0.02 + 0.3 * done / len(order))
            self._see(session, index, sparsely=bool(defects) and not recipe.painted)
            if run.folder is not None and (done + 1) % KEPT_EVERY == 0:
                more = {"sums": self._sums, "seen": self._seen, "examples": self.images()}
                keep(run.folder, done + 1, self._reservoirs(), more, self._random)
        for number, defect in enumerate(defects):
            run.tell(f"defect {number + 1}", 0.33)
            for picture, marks in marked_pictures(self._cutter, defect, number):
                self._learn(session, picture, picture.image, marks, MARKER_FOLDS, number)

    def cross_fit(self) -> list[HeldOut]:
        """Give the maps of the frames scored, each from a model of the other folds."""
        run, recipe = self._run, self._recipe
        markers = self._markers()
        goods = [self._describe([f for f in range(self._count) if f != fold]) for fold in range(self._count)]
        self._scales = [
            (self._good[fold].rows()[:SCALE_ROWS], goods[fold], markers[fold % MARKER_FOLDS])
            for fold in range(self._count)
            if markers and self._good[fold].passed
        ]
        held: list[HeldOut] = []
        for fold in range(self._count):
            members = [place for place, index in enumerate(self.scored) if self._folds[index] == fold]
            if not members:
                continue
            run.tell("cross-fit", 0.35 + 0.5 * fold / self._count)
            marker = self._scaled(markers[fold % MARKER_FOLDS]) if markers else None
            model = anomaly_model(self._state, self._size, goods[fold], 1, recipe.plan, marker)
            session = run.runtime.load(model, run.precision, recipe.threads)
            for place in members:
                index = self.scored[place]
                for picture in self._cutter.pictures(self._frames[index], index):
                    found = _run(session, picture.image)["map"][0].copy()
                    held.append(HeldOut(place, fold, picture.view, found))
        return held

    def judge(self, held: Sequence[HeldOut], top_share: float) -> tuple[list[float], NDArray[np.float64]]:
        """Give score and strongest cell of each frame scored; each map is judged by statistics of the other folds."""
        scores = np.full(len(self.scored), -np.inf)
        peaks = np.full(len(self.scored), -np.inf)
        for fold in sorted({one.fold for one in held}):
            known = self.statistics([one for one in held if one.fold != fold])
            for one in held:
                if one.fold == fold:
                    found = anomaly_map.deviations(one.view.cut(one.map), laid_out(known, one.view))
                    scores[one.frame] = max(scores[one.frame], anomaly_map.image_score(found, top_share))
                    peaks[one.frame] = max(peaks[one.frame], found.max())
        return scores.tolist(), peaks

    def strictness(
        self, final: Fitted, held: Sequence[HeldOut], scores: Sequence[float], peaks: NDArray[np.float64], top: float
    ) -> tuple[float, float]:
        """Give how much higher the final model scores good frames than the folds' models did: image score and peak.

        A memory is a draw: six folds of 60 rendered parts differed by 0.1 of a standard deviation, and a final one that
        was 0.25 stricter than its folds held back 21 of 40 good parts where 5 % were promised. Medians over frames that
        the final model has seen, so what is found is no more than what is there; 0 where it is less strict.
        """
        known = self.statistics(held)
        model = anomaly_model(self._state, self._size, final.good, 1, self._recipe.plan, final.marker)
        session = self._run.runtime.load(model, self._run.precision, self._recipe.threads)
        count = min(len(self.scored), MOST_COMPARED)
        gaps = []
        for place in np.linspace(0, len(self.scored) - 1, count).round().astype(int).tolist():
            index = self.scored[place]
            score, peak = -np.inf, -np.inf
            for picture in self._cutter.pictures(self._frames[index], index):
                cells = picture.view.cut(_run(session, picture.image)["map"][0])
                found = anomaly_map.deviations(cells, laid_out(known, picture.view))
                score, peak = max(score, anomaly_map.image_score(found, top)), max(peak, float(found.max()))
            gaps.append((score - scores[place], peak - peaks[place]))
        first, second = np.median(gaps, axis=0)
        return max(0.0, float(first)), max(0.0, float(second))

    def statistics(self, held: Sequence[HeldOut]) -> MapStatistics | BorderTables:
        """Give what is natural for good maps, by place or by distance from the border."""
        if self._recipe.placement is Placement.POSITION:
            return anomaly_map.statistics(np.stack([one.map for one in held]), Placement.POSITION)
        return anomaly_map.border_tables((one.view.cut(one.map) for one in held), (one.view for one in held))

    def final(self, without: frozenset[int]) -> Fitted:
        """Give what describes all good frames but for some, places among those scored."""
        left_out = frozenset(self.scored[place] for place in without)
        good = self._describe(list(range(self._count)), left_out)
        if not self._scales:
            return Fitted(good, None)
        defective = joined(self._defective)
        marker = fit_marker(defective[:, :-1], defective[:, -1], joined(self._plain), self._recipe.seed)
        return Fitted(good, self._scaled(marker))

    def images(self) -> NDArray[np.uint8]:
        """Give some input images of good frames, (images, rows, cols, 3) uint8."""
        return np.stack(self._examples)

    def _see(self, session: Session, index: int, *, sparsely: bool) -> None:
        """Sample the patches of one good frame; sparsely: some of them also stand against labelled defects."""
        fold = int(self._folds[index])
        for picture in self._cutter.pictures(self._frames[index], index):
            self._examples += [picture.image] if len(self._examples) < GOLDEN_IMAGES else []
            rows = rows_of(session, picture, picture.image, self._recipe.plan)
            self._good[fold].add(rows, index)
            if self._by_place:
                self._sums[fold] += _run(session, picture.image)["features"][0]
                self._seen[fold] += 1
            for _ in range(self._recipe.painted):
                image, marks = repainted(picture, self._random)
                self._learn(session, picture, image, marks, fold % MARKER_FOLDS, index)
            if sparsely:
                self._plain[fold % MARKER_FOLDS].add(rows[:: max(1, len(rows) // 200)], index)

    def _reservoirs(self) -> dict[str, list[Reservoir]]:
        return {"good": self._good, "plain": self._plain, "defective": self._defective}

    def _resumed(self) -> int:
        """Give how many frames an earlier run of the same fit has seen, with what it kept of them taken over."""
        if self._run.folder is None:
            return 0
        done, more = resume(self._run.folder, self._reservoirs(), self._random)
        if done:
            self._sums, self._seen = more["sums"].astype(np.float32), more["seen"].astype(np.float64)
            self._examples = [image.astype(np.uint8) for image in more["examples"]]
        return done

    def _every_fold_is_known(self) -> bool:
        return all(one.passed for one in self._good)

    def _learn(self, session: Session, picture: Picture, image: Image, marks: Image, part: int, owner: int) -> None:
        """Take the cells of a marked image as examples of defects, those that show none as examples of good ones."""
        rows = rows_of(session, picture, image, self._recipe.plan)[:, : self._channels]
        wanted = picture.view.cut(targets(marks, self._cells)).ravel()
        known = np.isfinite(wanted)
        bad = known & (wanted > 0)
        if bad.any():
            self._defective[part].add(np.concatenate([rows[bad], wanted[bad, None]], axis=1), owner)
        clean = np.flatnonzero(known & (wanted == 0))
        if len(clean) and part < MARKER_FOLDS:
            some = self._random.choice(clean, min(len(clean), 200), replace=False)
            self._plain[part].add(rows[some], owner)

    def _describe(self, folds: list[int], without: frozenset[int] = frozenset()) -> Good:
        recipe = self._recipe
        rows = joined((self._good[fold] for fold in folds), without)
        if recipe.method is Method.MEMORY:
            return fit_memory(rows, recipe.patches, self._random, rows.shape[1] - self._channels)
        if self._by_place:
            mean_map = self._sums[folds].sum(axis=0) / np.float32(self._seen[folds].sum())
            return fit_gaussian(rows[:, : self._channels], mean_map)
        return fit_gaussian(rows[:, : self._channels])

    def _markers(self) -> list[Marker]:
        """Give a marker without each part of the folds, all with the labelled defects; none where nobody showed any."""
        if not any(one.passed for one in self._defective):
            return []
        fitted = []
        for part in range(MARKER_FOLDS):
            self._run.tell("defects", 0.34)
            others = [one for index, one in enumerate(self._defective) if index != part]
            defective = joined(others)
            good = joined(one for index, one in enumerate(self._plain) if index != part)
            fitted.append(fit_marker(defective[:, :-1], defective[:, -1], good, self._recipe.seed + part))
        return fitted

    def _scaled(self, marker: Marker) -> Marker:
        return scaled(marker, self._scales, self._recipe.marker_weight)


def rows_of(session: Session, picture: Picture, image: Image, plan: PatchPlan) -> Rows:
    """Give (cells looked at, channels) float32 of an image that stands as `picture` does, positions last.

    session: of `feature_model` with the same plan.
    """
    features = _run(session, image)["features"][0]
    rows = np.moveaxis(picture.view.cut(features), 0, -1).reshape(-1, len(features))
    if not plan.position_weight:
        return np.ascontiguousarray(rows, np.float32)
    cells = (features.shape[1], features.shape[2])
    places = positions(cells, plan.position_weight).T.reshape(2, *cells)
    return np.concatenate([rows, picture.view.cut(places).reshape(2, -1).T], axis=1, dtype=np.float32)


def laid_out(known: MapStatistics | BorderTables, view: MapView) -> MapStatistics:
    """Give the statistics of each cell of a view."""
    if isinstance(known, BorderTables):
        return anomaly_map.lay_out(known, view)
    return MapStatistics(view.cut(known.mean), view.cut(known.deviation))


def _run(session: Session, image: Image) -> Tensors:
    session.input[0] = image
    return session.run()
