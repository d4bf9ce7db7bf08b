"""Protect the way to an engine: built in a staging process, cached with what it was built for, never trusted."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.runtimes.engine_cache import EngineCache, EngineKey
from appliance.runtimes.tensorrt import TensorRtRuntime
from appliance.runtimes.tensorrt_build import BuildOrder, BuildProgress
from appliance.runtimes.tensorrt_stage import build_in_stage
from appliance.schema.errors import RuntimeFault
from tests.trt import fake_tensorrt, models
from tests.trt.host_driver import HostDriver

ROOT = Path(__file__).resolve().parents[2]
ORDER = BuildOrder(fake_tensorrt.__name__, fake_tensorrt.__version__, ((8, 9),))


class Station:
    """Hold a cache folder and load models as a service does at each of its starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []

    def load(self, driver: HostDriver | None = None, content: bytes | None = None, limit_s: float = 60.0) -> list[str]:
        """Load once; gives what was said about it."""
        self.said = []
        self.runtime(driver or HostDriver(), limit_s).load(content or models.small(), "f32", 1)
        return self.said

    def runtime(self, driver: HostDriver, limit_s: float = 60.0) -> TensorRtRuntime:
        return TensorRtRuntime(
            fake_tensorrt, driver, self.folder, report=lambda item: self.said.append(item.phase), limit_s=limit_s
        )

    def file(self, suffix: str) -> Path:
        (path,) = self.folder.glob(f"*{suffix}")
        return path


@pytest.fixture
def station(tmp_path) -> Station:
    return Station(tmp_path / "engines")


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    """Give a cache with the engine of the small model."""
    folder = tmp_path_factory.mktemp("full") / "engines"
    Station(folder).load()
    return folder


@pytest.fixture
def used(full: Path, tmp_path) -> Station:
    """Give a station that has built its engine."""
    return Station(shutil.copytree(full, tmp_path / "engines"))


def built(said: list[str]) -> bool:
    return "Building" in said


def test_built_once(station: Station) -> None:
    """The first start builds and reports its steps; the next one finds the engine."""
    assert ["Building"] * 4 == station.load()
    assert [] == station.load()


def test_prepared_beside_a_running_session(station: Station) -> None:
    """`prepare` fills the cache and touches no device, so a swap finds the engine built."""
    driver = HostDriver()
    station.runtime(driver).prepare(models.small(), "f32")

    assert [] == driver.calls
    assert [] == station.load()


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (HostDriver(name="Host 2"), "built for gpu Host 1, here is Host 2"),
        (HostDriver(compute_capability=(9, 0)), "built for compute_capability 8.9, here is 9.0"),
    ],
)
def test_engine_of_another_gpu(used: Station, driver: HostDriver, reason: str) -> None:
    """An engine of another GPU is refused by name, built again, and replaced."""
    name = used.file(".engine").name
    said = used.load(driver)

    assert f"engine {name}: {reason}; it is built again" == said[0]
    assert built(said)
    assert [] == used.load(driver)


def test_engine_of_another_driver_or_library(used: Station) -> None:
    """An update of the driver or of TensorRT builds again."""
    driver = HostDriver()
    driver.driver_version = "590.2"

    assert "built for driver 580.1, here is 590.2" in used.load(driver)[0]
    key = EngineKey("0" * 64, "f32", "tensorrt 10.3.0", "Host 1", "8.9", "580.1", {"image": (1, 16, 16, 3)})
    cache = EngineCache(used.folder)
    cache.keep(key, b"plan")
    for field, value in {"tensorrt": "tensorrt 11.4.0", "shapes": {"image": (2, 16, 16, 3)}}.items():
        other = EngineKey(**{**{name: getattr(key, name) for name in key.__struct_fields__}, field: value})
        with pytest.raises(RuntimeFault, match=rf"built for {field} "):
            cache.find(other)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: b"", "has 0 bytes"),
        (lambda content: content[: len(content) // 2], r"has \d+ bytes"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "its bytes are not those that were built"),
    ],
)
def test_damaged_engine(used: Station, damage, reason: str) -> None:
    """An empty, truncated or changed engine is refused by name and built again."""
    path = used.file(".engine")
    path.write_bytes(damage(path.read_bytes()))
    said = used.load()

    assert re.fullmatch(rf"engine {re.escape(path.name)}: {reason}[^\n]*; it is built again", said[0])
    assert built(said)
    assert [] == used.load()


@pytest.mark.parametrize("content", [b"", b"{", b'{"key": {}}', b"\xff\x00"])
def test_damaged_manifest(used: Station, content: bytes) -> None:
    """A manifest that cannot be read is refused by name; an engine without one is not there."""
    used.file(".json").write_bytes(content)
    said = used.load()

    assert "manifest is damaged" in said[0]
    assert built(said)
    used.file(".json").unlink()
    assert built(used.load())


def test_engine_that_does_not_load_is_built_again(used: Station) -> None:
    """A plan that TensorRT itself refuses is built again, once."""
    path = used.file(".engine")
    runtime = used.runtime(HostDriver())
    _, _, key = runtime._ready(models.small(), "f32")
    EngineCache(used.folder).keep(key, b"of another kind")
    said = used.load()

    assert said[0].startswith(f"engine {path.name}: ")
    assert "does not load; it said cudaError 35" in said[0]
    assert built(said)


def test_half_written_engine_is_never_used(used: Station) -> None:
    """A crash between the two files leaves no engine, and leftovers of a crash do no harm."""
    used.file(".json").unlink()
    (used.folder / ".1234.part").write_bytes(b"half")

    assert built(used.load())
    assert [] == used.load()


def test_full_disk_is_a_fault(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that cannot be stored is a fault that says so, and no half of it stays."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RuntimeFault, match=r"\.engine: No space left on device; make room in [^\n]*$"):
        station.load()

    assert [] == list(station.folder.iterdir())


def test_folder_that_cannot_be_made_is_a_fault(tmp_path) -> None:
    """A cache below something that is no folder is a fault with its name."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RuntimeFault, match=r"^engines [^\n]*/file/engines: Not a directory; make it writable$"):
        Station(tmp_path / "file" / "engines").load()


def test_timing_cache_is_kept(used: Station) -> None:
    """The second model's build starts from the measurements of the first; damaged ones are left out."""
    cache = used.file(".cache")
    once = cache.read_bytes()
    used.load(content=models.small(2))
    twice = cache.read_bytes()

    assert (b"timed;", b"timed;timed;") == (once[32:], twice[32:])
    cache.write_bytes(twice[:-3])
    used.load(content=models.small(3))
    assert b"timed;" == cache.read_bytes()[32:]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("crash", "the builder died of SIGSEGV"),
        ("none", "no plan was built; it said no kernel fits"),
        ("refuse", "model is refused: Assertion failed: no such operator"),
        ("hang", "the builder was not done after 1 s and was ended"),
    ],
)
def test_builder_never_touches_its_caller(
    used: Station, monkeypatch: pytest.MonkeyPatch, mode: str, reason: str
) -> None:
    """A builder that crashes, refuses or hangs is a fault of one line; the next try starts afresh."""
    monkeypatch.setenv("FAKE_TENSORRT", mode)
    with pytest.raises(RuntimeFault, match=rf"^tests\.trt\.fake_tensorrt 10\.3\.0: {reason}[^\n]*$"):
        used.load(content=models.small(2), limit_s=1.0 if mode == "hang" else 60.0)

    assert [] == list(used.folder.glob("timing-*"))
    monkeypatch.delenv("FAKE_TENSORRT")
    assert built(used.load(content=models.small(2)))


def test_words_of_the_library_are_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library prints by itself is not taken for a message."""
    monkeypatch.setenv("FAKE_TENSORRT", "noise")
    steps: list[BuildProgress] = []
    done = build_in_stage(ORDER, models.small(), b"", steps.append)

    assert fake_tensorrt.MAGIC == done.plan[:4]
    assert [("Building", 0, 3), ("Building", 0, 3), ("Building", 1, 3), ("Building", 2, 3)] == [
        (item.phase, item.done, item.of) for item in steps
    ]


def test_missing_library_is_a_fault() -> None:
    """A module that the staging process cannot import is named."""
    with pytest.raises(RuntimeFault, match=r"^No module named 'no_tensorrt'$"):
        build_in_stage(BuildOrder("no_tensorrt", "1", ()), models.small(), b"", lambda _: None)


CALLER = """
import sys
from appliance.runtimes.tensorrt_build import BuildOrder
from appliance.runtimes.tensorrt_stage import build_in_stage
from tests.trt import models
order = BuildOrder("tests.trt.fake_tensorrt", "10.3.0", ())
build_in_stage(order, models.small(), b"", lambda step: print(step.phase, flush=True))
"""


def test_builder_ends_with_its_caller() -> None:
    """A caller that is killed leaves no builder behind."""
    environment = {**os.environ, "FAKE_TENSORRT": "hang"}
    caller = subprocess.Popen([sys.executable, "-c", CALLER], cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    with caller:
        assert b"Hanging\n" == caller.stdout.readline()
        (builder,) = Path(f"/proc/{caller.pid}/task/{caller.pid}/children").read_text().split()
        caller.send_signal(signal.SIGKILL)

    assert wait_for(lambda: not running(builder))


def wait_for(condition, seconds: float = 20.0):
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    return None


def running(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
