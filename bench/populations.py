"""Draw plants: each has its own mix of defects, scores, days and troubles, and shows parts to a good model.

A plant's parameters are drawn anew for every world, so that a risk is averaged over what nobody knows of a plant before
its first year. Scores stand in units of the scatter of good pictures; higher is more suspicious.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

GOOD = -1
"""Kind of a good part; classes count from 0, the unknown one is the last."""


class Scenario(Struct, frozen=True):
    """Say what a family of plants has in common; spans are drawn from uniformly unless it is said otherwise."""

    name: str
    title: str
    holds: bool
    """Whether held-out parts and the line's are drawn alike, so that the promise must be kept."""
    views: int = 2
    defects: tuple[int, int] = (300, 1000)
    """Held-out defective parts, drawn evenly in logarithm."""
    good: tuple[int, int] = (300, 1200)
    freedom: tuple[float, float] = (4.0, 30.0)
    """Degrees of freedom of Student's t: the heavier the tails the fewer."""
    sharing: tuple[float, float] = (0.3, 0.8)
    """Share of a good picture's scatter that all pictures of a part have in common."""
    day_scatter: float = 0.0
    """Standard deviation of a day's offset of all scores."""
    days_held_out: int = 0
    """Days that the held-out parts come from; 0: as many as there are parts."""
    drift: tuple[float, float] = (0.0, 0.0)
    """Share of a defect's contrast that is lost by the end of the run."""
    lamp: tuple[float, float] = (0.0, 0.0)
    """Share of contrast lost at once, at a random instant."""
    unknown: tuple[float, float] = (0.0, 0.0)
    """Share of the line's defective parts that are of a class nobody has seen."""
    flagged_only: bool = False
    """Held-out defects are those that an earlier model flagged."""
    repeats: int = 1
    """Times that each held-out defective part stands in the data, photographed anew under another name."""


class Plant(Struct, frozen=True):
    """Hold what is true of one plant, and known to nobody in it."""

    scenario: Scenario
    defect_rate: float
    mix: Floats
    """(classes,) shares of the known classes among known defects."""
    separation: Floats
    """(classes + 1,) of their scores from the good ones where they show, the unknown class last."""
    spread: Floats
    """(classes + 1,)."""
    shows: float
    """Probability that a defect shows in a picture; it shows in one at least."""
    freedom: float
    sharing: float
    drift: float
    lamp: float
    lamp_at: float
    """Share of the run."""
    unknown: float
    strangeness: float
    """How much more unlike the known an unknown defect is."""


class Parts(Struct, frozen=True):
    """Hold parts and what the model says of their pictures."""

    kind: Integers
    """(n,) int64."""
    when: Floats
    """(n,) share of the run; nan for parts held out before it."""
    score: Floats
    """(n, views)."""
    novelty: Floats
    """(n, views)."""


def found(scenario: Scenario, generator: np.random.Generator) -> Plant:
    """Draw a plant."""
    classes = int(generator.integers(3, 7))
    separation = np.clip(generator.normal(5.2, 0.9, classes), 3.0, 9.0)
    return Plant(
        scenario=scenario,
        defect_rate=float(10 ** generator.uniform(-4, -2)),
        mix=generator.dirichlet(np.full(classes, 0.8)),
        separation=np.append(separation, max(0.0, generator.normal(1.2, 1.0))),
        spread=generator.uniform(0.6, 1.3, classes + 1),
        shows=float(generator.uniform(0.4, 1.0)),
        freedom=float(generator.uniform(*scenario.freedom)),
        sharing=float(generator.uniform(*scenario.sharing)),
        drift=float(generator.uniform(*scenario.drift)),
        lamp=float(generator.uniform(*scenario.lamp)),
        lamp_at=float(generator.uniform(0.1, 0.9)),
        unknown=float(generator.uniform(*scenario.unknown)),
        strangeness=float(generator.uniform(1.0, 6.0)),
    )


def known_defects(plant: Plant, count: int, generator: np.random.Generator) -> Integers:
    """Draw kinds as the held-out defects have them."""
    return generator.choice(plant.mix.size, count, p=plant.mix)


def line_defects(plant: Plant, count: int, generator: np.random.Generator) -> Integers:
    """Draw kinds as the line shows them."""
    known = known_defects(plant, count, generator)
    return np.where(generator.random(count) < plant.unknown, plant.mix.size, known)


def line_kinds(plant: Plant, count: int, generator: np.random.Generator) -> Integers:
    """Draw what comes down the line."""
    defective = generator.random(count) < plant.defect_rate
    return np.where(defective, line_defects(plant, count, generator), GOOD)


def shown(plant: Plant, kind: Integers, when: Floats, days: Floats, generator: np.random.Generator) -> Parts:
    """Let the model look at parts. when: (n,) share of the run, nan before it; days: (n,) offsets of their days."""
    size = (kind.size, plant.scenario.views)
    noise = _tails(plant, size, generator)
    visible = (kind >= 0)[:, None] & (generator.random(size) < plant.shows)
    visible[np.arange(kind.size), generator.integers(0, size[1], kind.size)] |= kind >= 0
    faded, brightened = _faded(plant, when)
    contrast = plant.separation[kind] * (1 - faded)
    score = np.where(visible, contrast[:, None] + plant.spread[kind][:, None] * noise, noise)
    score += (days + brightened)[:, None]
    novelty = 0.3 * noise + generator.normal(0, 1, size) + (0.5 * days + 2 * brightened)[:, None]
    novelty += np.where(visible & (kind == plant.mix.size)[:, None], plant.strangeness, 0.5 * visible)
    return Parts(kind, when, score, novelty)


def _tails(plant: Plant, size: tuple[int, int], generator: np.random.Generator) -> Floats:
    """Draw scatter of variance 1 that the pictures of a part share in part."""
    scale = np.sqrt((plant.freedom - 2) / plant.freedom)
    common = generator.standard_t(plant.freedom, (size[0], 1)) * scale
    own = generator.standard_t(plant.freedom, size) * scale
    return np.sqrt(plant.sharing) * common + np.sqrt(1 - plant.sharing) * own


def _faded(plant: Plant, when: Floats) -> tuple[Floats, Floats]:
    """Give the share of contrast lost, and by how much all scores rise with it."""
    run = np.nan_to_num(when, nan=0.0)
    after = np.where(np.isnan(when), 0.0, run >= plant.lamp_at)
    lost = plant.drift * run + plant.lamp * after
    return lost, 0.8 * lost
