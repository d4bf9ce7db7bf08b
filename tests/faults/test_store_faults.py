"""What the store said it holds is held after a kill, and a full disk leaves nothing half written."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from appliance.governance import audit_chain
from appliance.schema.errors import StoreError
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.part import PartEntered, PartId
from appliance.storage import queries
from appliance.storage.database import open_reader
from appliance.storage.record_store import RecordStore

UTC = 1_763_000_000_000_000_000
ROUNDS = 6

_WRITER = """
    import sys
    from pathlib import Path
    import numpy as np
    from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
    from appliance.schema.part import PartEntered, PartId
    from appliance.storage.record_store import RecordStore

    store = RecordStore(Path(sys.argv[1]), 16)
    store.scrub({utc})
    number = int(sys.argv[2])
    rng = np.random.default_rng(number)
    while True:
        number += 1
        part = PartId(1, number)
        store.write([("part.entered", 5, number, PartEntered(part, 1, 1, 1, 1, 1, ("top",)))], {utc})
        store.audit("op-1", "limit_changed", str(number), "a", "b", {utc})
        frame = FrameReady("top", SlotRef(1, 0, 1), number, 0, 1, 1, None, 1, 64, 64, PixelFormat.MONO8, 1.0, 0.0, 0,
                           FrameCounts())
        digest = store.image(frame, str(part), "reject", rng.integers(0, 256, (64, 64), dtype=np.uint8), {utc})
        print("acknowledged", number, digest, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path):
    """Power cut or crash: every fact, link and image that was acknowledged is there, whole, and nothing else is."""
    acknowledged = []
    for turn in range(ROUNDS):
        last = acknowledged[-1][0] if acknowledged else 0
        acknowledged += _write_and_kill(tmp_path, last, 10 + 3 * turn)
    store = RecordStore(tmp_path, 16)
    store.scrub(UTC)
    reader = open_reader(store.path)
    named = {row[0] for row in reader.execute("SELECT path FROM images")}
    parts = {row[0] for row in reader.execute("SELECT number FROM parts JOIN entered ON entered.part = parts.id")}
    images = {row[0] for row in reader.execute("SELECT sha256 FROM images")}
    entries = list(queries.audit_entries(reader))
    check = reader.execute("PRAGMA integrity_check").fetchone()[0]
    reader.close()
    store.close()
    files = {path.relative_to(tmp_path / "images").as_posix() for path in _files(tmp_path / "images")}

    assert set() == {number for number, _ in acknowledged} - parts
    assert set() == {digest for _, digest in acknowledged} - images
    assert (named, "ok", None) == (files, check, audit_chain.verify(entries))
    assert len(acknowledged) <= len(entries)


def _write_and_kill(folder, last, count):
    """Let a writer acknowledge `count` rows, kill it in the middle of the next one, give what it acknowledged."""
    code = textwrap.dedent(_WRITER).format(utc=UTC)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(last)], stdout=subprocess.PIPE, text=True
    ) as writer:
        lines = []
        for line in writer.stdout:
            if line.startswith("acknowledged"):
                lines.append(line)
            if len(lines) == count:
                os.kill(writer.pid, signal.SIGKILL)
                break
        lines += [line for line in writer.stdout if line.startswith("acknowledged") and line.endswith("\n")]
    return [(int(line.split()[1]), line.split()[2]) for line in lines]


def _files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def small_disk(tmp_path):
    """Give a disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("needs root to mount a small disk")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this machine does not let a small disk be mounted")
    yield folder
    subprocess.run([shutil.which("umount"), str(folder)], check=True)


def _frame(number):
    return FrameReady(
        "top", SlotRef(1, 0, 1), number, 0, 1, 1, None, 1, 512, 512, PixelFormat.MONO8, 1.0, 0.0, 0, FrameCounts()
    )


def _entered(number):
    return ("part.entered", 5, number, PartEntered(PartId(1, number), 1, 1, 1, 1, 1, ("top",)))


def test_a_disk_that_fills_up_keeps_whole_facts_and_whole_images(small_disk, rng):
    """Images stop first, then rows; what is there is whole, and it goes on when space is freed."""
    store = RecordStore(small_disk, 0)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(600_000))
    pixels = rng.integers(0, 256, (512, 512), dtype=np.uint8)
    digests = []
    failures = []
    for number in range(8):
        pixels = np.roll(pixels, 1)
        try:
            digests.append(store.image(_frame(number), f"00000001-{number:06d}", "reject", pixels, UTC))
        except StoreError as error:
            failures.append(str(error))
    written, fault = _write_until_full(store)
    ballast.unlink()
    store.write([_entered(10_000)], UTC)
    reader = open_reader(store.path)
    parts = {row[0] for row in reader.execute("SELECT number FROM parts JOIN entered ON entered.part = parts.id")}
    rows = [dict(row) for row in reader.execute("SELECT path, not_kept FROM images")]
    check = reader.execute("PRAGMA integrity_check").fetchone()[0]
    reader.close()
    files = {path.relative_to(small_disk / "images").as_posix() for path in _files(small_disk / "images")}
    store.close()

    assert 0 < sum(bool(digest) for digest in digests) < 8
    assert {row["path"] for row in rows if row["path"]} == files
    assert all("No space left" in row["not_kept"] for row in rows if not row["path"])
    assert "free disk space" in fault
    assert all("free disk space" in failure for failure in failures)
    assert (written | {10_000}, "ok") == (parts, check)


def _write_until_full(store):
    written = set()
    for number in range(100_000):
        batch = [_entered(number * 50 + offset + 100_000) for offset in range(50)]
        try:
            store.write(batch, UTC)
        except StoreError as error:
            return written, str(error)
        written |= {place[3].part.number for place in batch}
    raise AssertionError("the disk did not fill up")
