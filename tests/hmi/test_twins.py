"""The twin shown beside a part looks like it, to a person and not only to a computer."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.schema.finding import Box
from hmi.labelling.twins import Album, Candidate, Traits, alike, alike_whole, nearest, traits

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TILES, BOARDS = DATA / "mt", DATA / "deeppcb"


def part(seed: int, kind: str = "good", shift: int = 0) -> np.ndarray:
    """Draw a brushed plate, (120, 160) uint8, with a dark dot, a bright scratch or nothing."""
    noise = np.random.default_rng(seed).normal(0, 4, (120, 1))
    plate = np.clip(120 + noise + np.random.default_rng(seed + 1).normal(0, 2, (120, 160)), 0, 255).astype(np.uint8)
    if kind == "dot":
        cv2.circle(plate, (80 + shift, 60), 6, 40, -1)
    if kind == "scratch":
        cv2.line(plate, (66 + shift, 56), (94 + shift, 64), 210, 1)
    return plate


PLACE = Box(64, 50, 32, 20)


def test_the_nearest_defect_is_of_the_same_kind() -> None:
    """Among drawn dots and scratches, each part's twin is of its own class, whatever the noise."""
    known = [
        (Candidate(f"{kind}{seed}", "top", "", kind), traits(part(seed, kind), PLACE))
        for kind in ("dot", "scratch")
        for seed in range(20, 30)
    ]
    found = [
        nearest(traits(part(seed, kind, 2), PLACE), known, alike) for kind in ("dot", "scratch") for seed in range(10)
    ]

    assert ["dot"] * 10 + ["scratch"] * 10 == [twin.candidate.kind if twin else "" for twin in found]


def test_a_picture_is_its_own_twin() -> None:
    """Nothing is nearer than the same picture; its distance is 0."""
    own = traits(part(3, "dot"), PLACE)
    others = [(Candidate(str(seed), "top", "", "good"), traits(part(seed), PLACE)) for seed in range(4, 9)]
    twin = nearest(own, [*others, (Candidate("own", "top", "", "dot"), own)], alike_whole)

    assert ("own", 0.0) == ((twin.candidate.part, twin.distance) if twin else ("", 1.0))


def test_without_candidates_there_is_no_twin() -> None:
    """A new station says that it knows none, and shows no stranger."""

    assert nearest(traits(part(1), None), [], alike) is None


@pytest.mark.parametrize("place", [None, Box(-5, -5, 3, 3), Box(158, 118, 2, 2), Box(0, 0, 160, 120)])
def test_any_place_can_be_described(place: Box | None) -> None:
    """A mark at the edge, of no size or of the whole picture has finite traits."""
    seen = traits(np.dstack([part(5)] * 3), place)

    assert all(np.isfinite(block).all() for block in (*seen.cut, seen.whole))


def test_an_album_reads_each_picture_once_and_not_more_than_asked() -> None:
    """A search in the background goes on where it stopped, and keeps only so many."""
    read: list[str] = []

    def load(path: str) -> np.ndarray:
        read.append(path)
        return part(len(path))

    album = Album(load, most=3)
    wanted = [(name, None) for name in ("a", "bb", "ccc", "a", "dddd")]
    left = [album.describe(wanted, 2), album.describe(wanted, 2)]

    assert ([2, 0], ["a", "bb", "ccc", "dddd"], None) == (left, read, album.get("a", None))


Marked = tuple[Traits, str, str]


def same_class(pictures: list[Marked]) -> tuple[int, int, float]:
    """Count twins of the same class, never of the same group; and the share that chance would give."""
    hits, chance = 0, 0.0
    for mine, kind, group in pictures:
        others = [(Candidate(g, "", "", k), seen) for seen, k, g in pictures if g != group]
        twin = nearest(mine, others, alike)
        hits += twin is not None and twin.candidate.kind == kind
        chance += sum(candidate.kind == kind for candidate, _ in others) / len(others)
    return hits, len(pictures), chance / len(pictures)


def groups_of(folder: Path) -> dict[str, str]:
    with (folder / "groups.csv").open(encoding="utf-8") as file:
        return {row["name"]: row["group"] for row in csv.DictReader(file)}


@pytest.mark.skipif(not TILES.is_dir(), reason="pictures of tiles are not part of the project (../shared/data)")
def test_twins_of_magnetic_tiles() -> None:
    """The nearest defect of other tiles is of the same class in two of three cases, where chance gives one in five."""
    groups, pictures = groups_of(TILES), []
    for file in sorted(path for path in (TILES / "test").glob("*/*.jpg") if path.parent.name != "good"):
        kind = file.parent.name
        mask = cv2.imread(str(TILES / "ground_truth" / kind / f"{file.stem}_mask.png"), cv2.IMREAD_GRAYSCALE)
        found = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8), connectivity=8)[2][1:]
        if len(found):
            x, y, width, height, _ = found[np.argmax(found[:, 4])].tolist()
            image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            pictures.append((traits(image, Box(x, y, width, height)), kind, groups[file.name]))
    hits, count, chance = same_class(pictures)

    assert hits / count > 0.6 > 2 * chance


@pytest.mark.skipif(not BOARDS.is_dir(), reason="board pictures are not part of the project (../shared/data)")
def test_twins_of_printed_boards() -> None:
    """The nearest defect of other boards is of the same class in seven of ten cases, where chance gives one in six."""
    groups, pictures = groups_of(BOARDS), []
    said = json.loads((BOARDS / "annotations" / "instances.json").read_text("utf-8"))
    names = {image["id"]: Path(image["file_name"]).name for image in said["images"]}
    kinds = {kind["id"]: kind["name"] for kind in said["categories"]}
    order = np.random.default_rng(20261122).permutation(len(said["annotations"]))[:400]
    for thing in (said["annotations"][place] for place in order):
        name = names[thing["image_id"]]
        image = cv2.imread(str(BOARDS / "images" / name), cv2.IMREAD_GRAYSCALE)
        pictures.append((traits(image, Box(*thing["bbox"])), kinds[thing["category_id"]], groups[name]))
    hits, count, chance = same_class(pictures)

    assert hits / count > 0.7 > 2 * chance
