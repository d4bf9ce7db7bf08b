"""Hold what every test gets: a printed seed, quiet property tests, and a guard against what a test leaves running."""

import os
import threading
import zlib
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

JOIN_S = 2.0
"""Time a thread may take to end after it was told to, s; one that ends in time was not left behind."""

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

# A shared machine stalls for seconds, so time is no property. `ci` repeats itself; `deep` looks in new places.
settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "deep", deadline=None, max_examples=1000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be repeated with another seed."""
    parser.addoption("--seed", type=int, default=1, help="seed of the `rng` fixture")


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed."""
    return f"seed: {config.getoption('--seed')}"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Give a generator seeded by the run's seed and the test's name, so that the order of tests does not matter."""
    seed = [request.config.getoption("--seed"), zlib.crc32(request.node.nodeid.encode())]
    print(f"rng seed: {seed}")  # noqa: T201  pytest shows it when the test fails
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fail a test that leaves a thread or a child process behind."""
    threads, children = set(threading.enumerate()), child_processes()
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(JOIN_S)
    left = [thread.name for thread in threading.enumerate() if thread not in threads]
    left += [f"process {child} {command(child)}" for child in sorted(child_processes() - children)]

    assert [] == left


def child_processes() -> set[int]:
    """Give the ids of this process's children, dead ones that nobody waited for included."""
    tracker = getattr(resource_tracker._resource_tracker, "_pid", None)  # one for the whole run, made on demand
    threads = list(Path("/proc/self/task").iterdir())
    return {int(child) for thread in threads for child in _children(thread)} - {tracker}


def _children(thread: Path) -> list[str]:
    """Give the ids of the children of a thread, none of one that has ended meanwhile."""
    try:
        return (thread / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def command(process: int) -> str:
    """Give a process's command line, empty for a dead one."""
    path = Path(f"/proc/{process}/cmdline")
    return path.read_text().replace("\0", " ").strip() if path.exists() else ""


@pytest.fixture(scope="session")
def fitted_station(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fit the day-one bundle of a simulated station once for all tests; not to be written to."""
    from tests.faults.station_rig import fit

    return fit(tmp_path_factory.mktemp("fitted"))
