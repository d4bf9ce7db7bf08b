"""Look at a window as a person would: what is cut, overlaps, is too small or too close, cannot be read."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF
from PySide6.QtGui import QAccessible, QColor
from PySide6.QtQml import QQmlExpression, qmlContext
from PySide6.QtQuick import QQuickItem

from hmi.theme import contrast
from tests.hmi.hmi_rig import Touched

SLACK_PX = 1.5
"""What rounding to whole pixels may take."""


def faults(touched: Touched, mm: float) -> list[str]:
    """Give what is wrong with the window as it stands, in words; what lies under an open sheet is out of reach."""
    sheet = next((item for item in touched.items() if item.property("isSheet")), None)
    shown = list(touched.items(sheet))
    texts = [item for item in shown if is_text(item)]
    targets = [item for item in shown if item.property("isTarget")]
    window = QRectF(0, 0, touched.window.width(), touched.window.height())
    found = [
        *itertools.chain.from_iterable(_text_faults(item, window) for item in texts),
        *_overlaps(texts),
        *itertools.chain.from_iterable(_target_faults(item, window, mm) for item in targets),
        *_too_close(targets, mm),
        *_bare_areas(shown, mm),
    ]
    return sorted(set(found))


def contrasts(touched: Touched) -> Iterator[tuple[float, str]]:
    """Yield (ratio, text) of every text that shows, against the commonest colour of the pixels behind it."""
    pixels = touched.grab()
    for item in touched.items():
        if not is_text(item):
            continue
        seen = painted(item).intersected(clip_of(item))
        patch = _patch(pixels, seen)
        if patch.size == 0:
            continue
        ground = _commonest(patch)
        yield contrast(_over(item, ground), ground), f"{item.property('text')!r} {_over(item, ground)} on {ground}"


def is_text(item: QQuickItem) -> bool:
    """Say whether an item draws a text that is not empty."""
    return item.metaObject().indexOfProperty("paintedWidth") >= 0 and bool(item.property("text"))


def painted(item: QQuickItem) -> QRectF:
    """Give where a text's letters are, window px."""
    width, height = item.property("paintedWidth"), item.property("paintedHeight")
    align, vertical = _number(item, "effectiveHorizontalAlignment"), _number(item, "verticalAlignment")
    x = {2: item.width() - width, 4: (item.width() - width) / 2}.get(align, 0.0)
    y = {64: item.height() - height, 128: (item.height() - height) / 2}.get(vertical, 0.0)
    return item.mapRectToScene(QRectF(x, y, width, height))


def clip_of(item: QQuickItem) -> QRectF:
    """Give what its parents let be seen of an item, window px."""
    seen = QRectF(-1e6, -1e6, 2e6, 2e6)  # `item.window()` would hand the window's life to Python
    parent = item.parentItem()
    while parent is not None:
        if parent.clip():
            seen = seen.intersected(_box(parent))
        parent = parent.parentItem()
    return seen


def _scrolled(item: QQuickItem) -> bool:
    """Say whether an item lies on something that is moved to be read whole."""
    parent = item.parentItem()
    while parent is not None:
        if parent.metaObject().indexOfProperty("contentY") >= 0:
            return True
        parent = parent.parentItem()
    return False


def _text_faults(item: QQuickItem, window: QRectF) -> Iterator[str]:
    name = f"text {item.property('text')!r}"
    if item.property("truncated"):
        yield f"{name}: is cut with dots"
    letters = painted(item)
    if letters.width() > item.width() + SLACK_PX:
        yield f"{name}: letters are {letters.width():.0f} px wide, its room is {item.width():.0f}"
    if letters.height() > item.height() + SLACK_PX:
        yield f"{name}: letters are {letters.height():.0f} px high, its room is {item.height():.0f}"
    if _scrolled(item):
        return
    for box in (window, clip_of(item), *_plates(item)):
        if not box.adjusted(-SLACK_PX, -SLACK_PX, SLACK_PX, SLACK_PX).contains(letters):
            yield f"{name}: at {_place(letters)} it leaves the box at {_place(box)}"
            return


def _plates(item: QQuickItem) -> Iterator[QRectF]:
    """Yield the nearest plate that a text stands on."""
    parent = item.parentItem()
    while parent is not None:
        if parent.metaObject().indexOfProperty("radius") >= 0:
            yield _box(parent)
            return
        parent = parent.parentItem()


def _overlaps(texts: list[QQuickItem]) -> Iterator[str]:
    places = [(item, painted(item).intersected(clip_of(item))) for item in texts]
    for (one, at), (other, there) in itertools.combinations(places, 2):
        shared = at.intersected(there)
        if shared.width() > 2 and shared.height() > 3 and not one.property("overlay") and not other.property("overlay"):
            yield f"text {one.property('text')!r} runs into {other.property('text')!r}"


def _target_faults(item: QQuickItem, window: QRectF, mm: float) -> Iterator[str]:
    name, box = f"key {item.property('name')!r}", _box(item)
    least = 25 if item.property("primary") else 16
    if min(box.width(), box.height()) < least * mm - SLACK_PX:
        yield f"{name}: is {box.width() / mm:.1f} x {box.height() / mm:.1f} mm, at least {least} x {least} mm"
    if not _scrolled(item) and not window.adjusted(-1, -1, 1, 1).contains(box):
        yield f"{name}: at {_place(box)} it leaves the window"
    told = QAccessible.queryAccessibleInterface(item)
    if told is None or not told.text(QAccessible.Text.Name):
        yield f"key at {_place(box)}: tells assistive technology no name"
    elif told.role() in {QAccessible.Role.NoRole, QAccessible.Role.StaticText}:
        yield f"{name}: tells assistive technology no role"


def _too_close(targets: list[QQuickItem], mm: float) -> Iterator[str]:
    places = [(item, _box(item).intersected(clip_of(item))) for item in targets]
    for (one, at), (other, there) in itertools.combinations(places, 2):
        if at.isEmpty() or there.isEmpty():
            continue
        across = max(at.left() - there.right(), there.left() - at.right())
        down = max(at.top() - there.bottom(), there.top() - at.bottom())
        if max(across, down) < 4 * mm - SLACK_PX:
            apart = max(across, down) / mm
            yield f"keys {one.property('name')!r} and {other.property('name')!r}: {apart:.1f} mm apart, at least 4"


def _bare_areas(shown: list[QQuickItem], mm: float) -> Iterator[str]:
    """Yield what can be touched, is no key of the kit, and is smaller than one."""
    for item in shown:
        touchable = item.metaObject().className().startswith("QQuickMouseArea") and item.isEnabled() and item.width()
        if touchable and min(item.width(), item.height()) < 16 * mm - SLACK_PX:
            size = f"{item.width() / mm:.1f} x {item.height() / mm:.1f}"
            yield f"area at {_place(_box(item))}: is {size} mm, at least 16 x 16"


def _number(item: QQuickItem, enumeration: str) -> int:
    """Read an enumeration's value, which Python cannot."""
    value, _ = QQmlExpression(qmlContext(item), item, enumeration).evaluate()
    return int(value)


def _box(item: QQuickItem) -> QRectF:
    return item.mapRectToScene(QRectF(0, 0, item.width(), item.height()))


def _place(box: QRectF) -> str:
    return f"{box.x():.0f},{box.y():.0f} {box.width():.0f}x{box.height():.0f}"


def _patch(pixels: NDArray[np.uint8], box: QRectF) -> NDArray[np.uint8]:
    top, left = max(0, int(box.top())), max(0, int(box.left()))
    return pixels[top : max(top, int(box.bottom())), left : max(left, int(box.right()))].reshape(-1, 3)


def _commonest(patch: NDArray[np.uint8]) -> str:
    values, counts = np.unique(patch, axis=0, return_counts=True)
    red, green, blue = values[np.argmax(counts)]
    return f"#{red:02X}{green:02X}{blue:02X}"


def _over(item: QQuickItem, ground: str) -> str:
    """Give the colour of a text as it is seen: through its own and its parents' opacity."""
    ink, behind = QColor(item.property("color")), QColor(ground)
    opacity, parent = ink.alphaF(), item
    while parent is not None:
        opacity *= parent.opacity()
        parent = parent.parentItem()
    mixed: list[Any] = [
        round(255 * (one * opacity + other * (1 - opacity)))
        for one, other in zip(ink.getRgbF()[:3], behind.getRgbF()[:3], strict=True)
    ]
    return "#{:02X}{:02X}{:02X}".format(*mixed)
