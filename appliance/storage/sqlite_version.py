"""Know which releases of SQLite have the WAL-reset bug."""

WAL_RESET_FIXED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""First releases of three lines without the WAL-reset bug, which came with WAL in 3.7.0."""


def wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Say whether a release can lose commits when two connections write and checkpoint at the same moment."""
    if not (3, 7, 0) <= version < WAL_RESET_FIXED[-1]:
        return False
    return not any(version[:2] == fixed[:2] and version >= fixed for fixed in WAL_RESET_FIXED)
