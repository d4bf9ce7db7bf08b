"""Draw views as a camera sees flat things with edges: a board, a print, a label; move, light and damage them."""

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]

SHAPE = (240, 320)
KINDS = ("board", "print", "label")


def drawn(kind: str, seed: int, shape: tuple[int, int] = SHAPE) -> Grey:
    """Give a view without a defect, (rows, cols) uint8, drawn at three times its size so that edges are soft."""
    random = np.random.default_rng(seed)
    rows, cols = (3 * length for length in shape)
    paper, ink = {"board": (225, 30), "print": (205, 70), "label": (240, 15)}[kind]
    picture = np.full((rows, cols), paper, np.uint8)
    for _ in range(14):
        x, y = (int(random.integers(30, length - 30)) for length in (cols, rows))
        if kind == "board":
            bend = (int(random.integers(30, cols - 30)), y)
            end = (bend[0], int(random.integers(30, rows - 30)))
            cv2.polylines(picture, [np.array([(x, y), bend, end])], isClosed=False, color=ink, thickness=18)
            cv2.circle(picture, (x, y), 30, ink, -1)
            cv2.circle(picture, (x, y), 10, paper, -1)
        elif kind == "print":
            cv2.ellipse(picture, (x, y), (60, 30), float(random.integers(180)), 0, 360, ink, -1)
        else:
            text = "".join(random.choice(list("ABCEFHKLMNPRSTXZ2345789"), 7))
            cv2.putText(picture, text, (max(10, x - 200), y), cv2.FONT_HERSHEY_DUPLEX, 2.2, ink, 6)
    return np.asarray(cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def move(
    shape: tuple[int, int], x_px: float, y_px: float, turn_deg: float = 0.0, scale: float = 1.0
) -> NDArray[np.float64]:
    """Give the matrix (2, 3) that turns and scales about the middle and shifts."""
    matrix = cv2.getRotationMatrix2D(((shape[1] - 1) / 2, (shape[0] - 1) / 2), turn_deg, scale)
    matrix[:, 2] += x_px, y_px
    return np.asarray(matrix, np.float64)


def seen(
    template: Grey, matrix: NDArray[np.float64], gain: float = 1.0, noise: float = 0.0, defects: int = 0, seed: int = 0
) -> Grey:
    """Give the frame that shows a template moved, in another light, with noise (grey levels) and spots."""
    random = np.random.default_rng(seed)
    size = template.shape[::-1]
    moved = cv2.warpAffine(template, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    for _ in range(defects):
        place = tuple(int(random.integers(10, length - 10)) for length in size)
        cv2.circle(moved, place, int(random.integers(3, 9)), int(random.choice((5, 250))), -1)
    lit = moved * gain + random.normal(0, max(noise, 1e-9), moved.shape)
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def error_px(found: NDArray[np.float64], true: NDArray[np.float64], shape: tuple[int, int]) -> float:
    """Give the largest distance between where two matrices put the corners, px."""
    corners = np.array([[x, y, 1] for x in (0, shape[1] - 1) for y in (0, shape[0] - 1)], np.float64).T
    return float(np.linalg.norm((found - true) @ corners, axis=0).max())
