"""Do slow things on one other thread, and hand what came of them to the GUI's."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

Work = Callable[[], Any]
Done = Callable[[Any], None]


class Worker:
    """Own one thread; every method belongs to the GUI's."""

    def __init__(self, name: str, begin: Callable[[], None] | None = None) -> None:
        """Name the thread; `begin` is called on it before anything else."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=begin)
        self._asked: dict[Done, Future[Any]] = {}

    def ask(self, work: Work, done: Done) -> None:
        """Have `work` done; `deliver` hands its value to `done`. Of those with the same `done` the newest counts."""
        old = self._asked.pop(done, None)
        if old is not None:
            old.cancel()
        self._asked[done] = self._thread.submit(work)

    def deliver(self) -> None:
        """Hand over what is done, in the order in which it was asked; never blocks. What broke is raised here."""
        for done, future in [item for item in self._asked.items() if item[1].done()]:
            if self._asked.get(done) is future:
                del self._asked[done]
                done(future.result())

    def settle(self, timeout_s: float) -> bool:
        """Wait until all that was asked is done; False when that took too long."""
        return not wait(self._asked.values(), timeout_s).not_done

    def close(self) -> None:
        """End the thread after what it is at; the rest is forgotten."""
        self._asked.clear()
        self._thread.shutdown(wait=True, cancel_futures=True)
