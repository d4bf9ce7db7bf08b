"""Say what the judge asks of the memory in which a broken promise outlives it."""

from typing import Protocol


class Promise(Protocol):
    """Remember for which bundles one recipe version's promise of an escape rate no longer stands."""

    def cause(self, bundle: str) -> str:
        """Give why the promise is void for a bundle; empty: it stands. Not blocking."""

    def void(self, bundle: str, cause: str) -> None:
        """Hold the promise void for a bundle from now on, until a newer version of the recipe makes a new one.

        StoreError when that will not outlive the process; it holds within it all the same.
        """
