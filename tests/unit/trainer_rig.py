"""Make small labelled folders: pictures of plates with dark spots, several of each part."""

from pathlib import Path

import cv2
import numpy as np

from appliance.datasets.sample import Sample, Split

SIDE_PX = 96


def plate(seed: int, part: int, spot: bool) -> tuple[np.ndarray, np.ndarray]:
    """Give a picture and the mask of its spot; pictures of one part share their texture."""
    texture = np.random.default_rng((7, part)).normal(0, 6, (SIDE_PX, SIDE_PX))
    light = np.random.default_rng((seed, part))
    picture = 128 + cv2.GaussianBlur(texture, (0, 0), 2) * 3 + light.normal(0, 2, texture.shape) + light.uniform(-8, 8)
    mask = np.zeros(picture.shape, np.uint8)
    if spot:
        centre = tuple(int(place) for place in light.integers(24, SIDE_PX - 24, 2))
        cv2.circle(mask, centre, 7, 255, -1)
        picture[mask > 0] -= 70
    return np.clip(picture, 0, 255).astype(np.uint8), mask


def folders(root: Path, parts: int = 30, pictures: int = 2, spotted_every: int = 3) -> Path:
    """Write MVTec-style folders, train and test, with groups.csv."""
    rows = ["name,group"]
    for part in range(parts):
        spot = part % spotted_every == 0
        split = "test" if spot or part % 4 == 1 else "train"
        kind = "spot" if spot else "good"
        for number in range(pictures):
            picture, mask = plate(number, part, spot)
            path = root / split / kind / f"part{part:02}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture)
            rows.append(f"{path.relative_to(root).as_posix()},part{part:02}")
            if spot:
                truth = root / "ground_truth" / kind / f"part{part:02}_{number}_mask.png"
                truth.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(truth), mask)
    (root / "groups.csv").write_text("\n".join(rows) + "\n")
    return root


def sample(number: int, group: str, label: str = "good", split: Split = Split.ANY) -> Sample:
    """Name a picture that does not exist."""
    return Sample(f"{number}.png", Path(f"{number}.png"), group, split, label)
