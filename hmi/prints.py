"""Make pictures for the items on the screen: copy frames while they lie in their rings, and let a worker print them."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Protocol

from PySide6.QtCore import QObject
from shiboken6 import isValid

from appliance.config import Loaded
from appliance.schema.errors import StoreError
from appliance.schema.frame import FrameName, FrameReady
from appliance.storage.places import IMAGES
from hmi.darkroom import Darkroom, Key, Pane, name_of, step_aside
from hmi.held import Read
from hmi.worker import Done, Worker

MOST_FRAMES = 4
"""Frames copied at a time; those before them are not."""

FramesOf = Callable[[str, str], FrameReady | None]
"""Gives the frame of a part, by the part's name and the camera's; None where none is known."""


class Shows(Protocol):
    """Say what `Pictures` asks of an item."""

    @property
    def live_camera(self) -> str:
        """Camera whose newest frame is shown; empty: something else is."""

    @property
    def follows_frames(self) -> bool:
        """Whether frames must be copied while they lie in their rings."""

    def awaits(self, names: Collection[FrameName]) -> bool:
        """Say whether one of these frames is the picture that is missing here."""

    def want(self) -> None:
        """Ask for the picture as it should be now."""

    def turn(self) -> None:
        """Take a step; some 40 times a second."""


class Pictures(QObject):
    """Make pictures for the items on the screen, on one worker thread; belongs to the GUI's."""

    def __init__(self, loaded: Loaded, query: Callable[[Read, Done], None], frame_of: FramesOf) -> None:
        super().__init__()
        self.query = query
        self._frame_of = frame_of
        self._darkroom = Darkroom(loaded.runtime, loaded.state / IMAGES)
        self._worker = Worker("pictures", step_aside)
        self._items: list[Shows] = []
        self._offered: list[FrameReady] = []
        self._newest: dict[str, FrameName] = {}
        self._keeping = False
        self.gone = 0
        """Frames that were overwritten before they were copied."""

    def offer(self, frame: FrameReady) -> None:
        """Take note of a frame that lies in its ring now."""
        self._offered = [*self._offered, frame][-MOST_FRAMES:]

    def deliver(self) -> None:
        """Copy what was offered, hand over what was made; never blocks."""
        self._items = [item for item in self._items if isValid(item)]
        self._worker.deliver()
        if not any(item.follows_frames for item in self._items):
            self._offered = []
        elif self._offered and not self._keeping:
            self._keeping = True
            self._worker.ask(partial(self._keep, tuple(self._offered)), self._kept)
            self._offered = []
        for item in tuple(self._items):
            item.turn()

    def load(self, path: str, done: Done) -> None:
        """Decode a stored image; `done` gets (rows, cols) or (rows, cols, 3) uint8 RGB to be read only, or StoreError.

        path: in the image folder.
        """
        self._worker.ask(partial(_or_error, partial(self._darkroom.whole, path)), done)

    def make(self, key: Key, pane: Pane, done: Done) -> None:
        """Make a picture; `done` gets a Print, None where the frame is not held any more, or a StoreError."""
        self._worker.ask(partial(_or_error, partial(self._darkroom.develop, key, pane)), done)

    def newest(self, camera: str) -> FrameName | None:
        """Name the newest frame of a camera that was copied."""
        return self._newest.get(camera)

    def frame_of(self, part: str, camera: str) -> FrameName | None:
        """Name the frame of a part; None where none is known."""
        frame = self._frame_of(part, camera)
        return name_of(frame) if frame is not None else None

    def join(self, item: Shows) -> None:
        """Serve an item from now on."""
        if item not in self._items:
            self._items.append(item)

    def leave(self, item: Shows) -> None:
        """Serve an item no longer."""
        if item in self._items:
            self._items.remove(item)

    def settle(self, timeout_s: float) -> bool:
        """Wait until the worker is idle; False when that took too long."""
        return self._worker.settle(timeout_s)

    def close(self) -> None:
        """End the worker and give the rings back."""
        self._items.clear()
        self._worker.close()
        self._darkroom.close()

    def _keep(self, frames: tuple[FrameReady, ...]) -> tuple[tuple[FrameReady, ...], int]:
        return frames, self._darkroom.keep(frames)

    def _kept(self, result: tuple[tuple[FrameReady, ...], int]) -> None:
        frames, gone = result
        self._keeping = False
        self.gone += gone
        for frame in frames:
            self._newest[frame.camera] = name_of(frame)
        cameras, names = {frame.camera for frame in frames}, {name_of(frame) for frame in frames}
        for item in tuple(self._items):
            if item.live_camera in cameras or item.awaits(names):
                item.want()


def _or_error(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except StoreError as error:
        return error
