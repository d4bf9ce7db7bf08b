"""Make another of the station's recipes ready to be in force, in a thread that the line's loop never waits for.

What is asked for is read whole, proven to be allowed and its bundle found, and only then the file that names the recipe
in force is written. Services that start from then on start with it; those that run learn of it from the line.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from appliance.config import Loaded, in_force
from appliance.governance.approval import Primary, check_bundle
from appliance.schema.clocks import HostNs
from appliance.schema.errors import ApplianceError
from appliance.schema.recipe import Recipe
from appliance.storage import bundle as bundles
from appliance.storage.whole_file import write_whole

DEVICE = "recipes"
"""Name of the shelf of recipes among the line's devices."""


class ChangeTo(Struct, frozen=True, tag=True):
    """Ask for the recipe of a number to be in force."""

    number: int
    actor: str


class Changed(Struct, frozen=True, tag=True):
    """State that a recipe is in force for every service that starts from now on."""

    number: int
    actor: str
    recipe: Recipe
    recipe_hash: int
    recipe_sha256: str
    primary: Primary | None
    """Proof that the model may decide; None: parallel mode."""


class NotChanged(Struct, frozen=True, tag=True):
    """State why nothing was changed."""

    number: int
    actor: str
    reason: str


class RecipeShelf:
    """Change recipes one after the other; a Device: called from the loop's thread, never blocks but in `close`."""

    def __init__(
        self,
        read: Callable[[int], Loaded],
        prove: Callable[[Loaded], Primary | None],
        name: Callable[[Recipe], tuple[int, str]],
    ) -> None:
        """Take the ways to read a recipe by its number, to prove who decides by it, and to give its hash and digest."""
        self._read, self._prove, self._name = read, prove, name
        self._changes: deque[tuple[ChangeTo, Future[Changed]]] = deque()
        self._worker = ThreadPoolExecutor(1, "recipes")
        self._ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Descriptor that is readable when a change is made or refused."""
        return self._ready

    @property
    def wake_at(self) -> HostNs | None:
        """Nothing is due by time."""
        return None

    def read(self, now: HostNs) -> Sequence[Struct]:
        """Give `Changed` and `NotChanged`, one for each wish."""
        if self._ready < 0:
            return ()
        try:
            os.eventfd_read(self._ready)
        except BlockingIOError:
            return ()
        answers: list[Struct] = []
        while self._changes and self._changes[0][1].done():
            answers.append(_answer(*self._changes.popleft()))
        return answers

    def write(self, message: Struct, now: HostNs) -> None:
        """Take a `ChangeTo`."""
        if not isinstance(message, ChangeTo):
            raise TypeError(f"recipes: {message!r:.80} is no ChangeTo; name the number of a recipe")
        change = self._worker.submit(self._changed, message)
        self._changes.append((message, change))
        change.add_done_callback(lambda _change: os.eventfd_write(self._ready, 1))

    def close(self) -> None:
        """Wait for the change under way; may be called twice."""
        self._worker.shutdown(wait=True)
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1

    def _changed(self, wish: ChangeTo) -> Changed:
        loaded = self._read(wish.number)
        primary = self._prove(loaded)
        installed = bundles.read(loaded.state / "bundles" / loaded.recipe.bundle)
        if primary is not None:
            check_bundle(primary, installed.id)
        write_whole(in_force(loaded.state), f"{_file(loaded)}\n".encode())
        return Changed(wish.number, wish.actor, loaded.recipe, *self._name(loaded.recipe), primary)


def _answer(wish: ChangeTo, change: "Future[Changed]") -> Changed | NotChanged:
    """Give what became of a wish; the PLC waits for an answer, whatever went wrong."""
    error = change.exception()
    if error is None:
        return change.result()
    reason = str(error) if isinstance(error, ApplianceError) else f"recipe {wish.number}: cannot be read: {error!r}"
    return NotChanged(wish.number, wish.actor, reason)


def _file(loaded: Loaded) -> Path:
    return loaded.recipe_path.relative_to(loaded.path.parent)
