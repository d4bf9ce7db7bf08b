"""Whatever happens to broker, network and disk: nothing lost, nothing doubled by sequence, order kept."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from appliance.sim.broker import mosquitto_path
from appliance.sim.plant_network import Authority, PlantBroker
from tests.contract.mqtt_rig import Mes, Proxy, Station, running, settings

pytestmark = pytest.mark.skipif(not mosquitto_path(), reason="mosquitto is not installed")
RATE_HZ = 400.0
"""Eight times the fastest line, so that a fault of a second leaves hundreds waiting."""

SETTLE_S = 0.4
"""Pause after a fault: long enough for the station to be back, shorter than a slow receiver takes."""

LIMIT_S = 60.0


class Mishaps:
    """Play a day's faults at the places of a day's results."""

    def __init__(self, results, kills, rng, broker, proxy, disk):
        self.killed = self.cut = self.swallowed = self.filled = 0
        self._broker, self._proxy, self._disk = broker, proxy, disk
        places = sorted(rng.sample(range(results // 20, results), kills + 3))
        deeds = [self._kill] * kills + [self._cut, self._swallow, self._fill]
        rng.shuffle(deeds)
        self._due = [*zip(places, deeds, strict=True)]
        self._free_at = 0.0
        self._mend = None

    def at(self, number, now_s):
        """Let happen what is due at this result; one fault at a time, and a moment of work between two."""
        if self._mend is not None and now_s >= self._free_at:
            self._mend()
            self._mend, self._free_at = None, now_s + SETTLE_S
        if self._mend is None and now_s >= self._free_at and self._due and number >= self._due[0][0]:
            deed = self._due.pop(0)[1]
            pause_s, self._mend = deed()
            self._free_at = now_s + pause_s

    def holds_back(self, number):
        """Say whether the line waits, so that every fault meets a line at work."""
        return bool(self._due) and number >= self._due[0][0]

    def move_to(self, outbox):
        """Follow the station through a restart."""
        if isinstance(self._disk, FullPages):
            self._disk = FullPages(outbox)

    @property
    def are_over(self):
        return not self._due and self._mend is None

    def _kill(self):
        self.killed += 1
        self._broker.kill()
        return 0.15, self._broker.start

    def _cut(self):
        self.cut += 1
        self._proxy.cut()
        return 0.5, self._proxy.carry

    def _swallow(self):
        self.swallowed += 1
        self._proxy.swallow()
        return 3.5, self._proxy.carry

    def _fill(self):
        self.filled += 1
        self._disk.fill()
        return 1.5, self._disk.free


class FullPages:
    """Let the outbox's file grow no further: SQLite says what it says on a full disk."""

    def __init__(self, outbox):
        self._outbox = outbox

    def fill(self):
        (pages,) = self._outbox._database.execute("PRAGMA page_count").fetchone()
        self._outbox._database.execute(f"PRAGMA max_page_count={pages}")

    def free(self):
        self._outbox._database.execute("PRAGMA max_page_count=1000000")


class SmallDisk:
    """Fill a file system of its own to the last byte."""

    def __init__(self, folder):
        self._ballast = folder / "ballast"

    def fill(self):
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def free(self):
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, *, real: bool) -> Iterator[tuple[Path, bool]]:
    """Give a folder on a file system of 64 MB, or any folder where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder]
    mounted = real and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield folder, mounted
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


def live_through(tmp_path, results, kills, rng, *, keeps, real_disk=False):
    """Let results meet the gate while everything around fails; gives receiver, mishaps and the outbox's account.

    keeps: False for a broker that forgets sessions too, while the receiver is slower to come back than the station.
    """
    plant = Authority(tmp_path / "plant")
    broker = PlantBroker(tmp_path / "broker", plant, keeps=keeps)
    broker.start()
    proxy = Proxy(broker.port)
    full = False
    try:
        with (
            small_disk(tmp_path / "disk", real=real_disk) as (folder, is_real),
            Mes(broker.port, plant, back_s=0.1 if keeps else 1.0) as mes,
            ExitStack() as stack,
        ):
            station = stack.enter_context(Station(folder, settings(proxy.port, plant)))
            crash_at = results // 2
            mishaps = Mishaps(
                results, kills, rng, broker, proxy, SmallDisk(folder) if is_real else FullPages(station.outbox)
            )
            number, next_at = 0, 0.0
            while number < results or not mishaps.are_over:
                now_s, wait_s = time.monotonic(), 0.002
                if number < results and now_s >= next_at and not mishaps.holds_back(number):
                    number, next_at, wait_s = number + 1, now_s + 1 / RATE_HZ, 0.0
                    station.result(number)
                mishaps.at(number, now_s)
                if number == crash_at:
                    crash_at = 0
                    stack.pop_all()
                    station = stack.enter_context(station.crash())
                    mishaps.move_to(station.outbox)
                station.turn(wait_s)
                mes.ask_again()
                full |= bool(station.node._fault)
            deadline = time.monotonic() + LIMIT_S
            while len(mes.results) < results:
                assert time.monotonic() < deadline, (len(mes.results), station.state, station.outbox.counts)
                station.turn()
                mes.ask_again()
            station.until(lambda: station.outbox.counts.pending == 0)
            return mes, mishaps, station.outbox.counts, full
    finally:
        proxy.close()
        broker.stop()


def check(results, mes, mishaps, counts, full, kills):
    parts = [told["part"] for told in mes.results]

    assert [*range(1, results + 1)] == [told["sequence"] for told in mes.results]
    assert [f"a0b1c2d3-{number:06d}" for number in range(1, results + 1)] == parts
    assert (results, results, 0, 0, 0) == (counts.put, counts.acked, counts.pending, counts.dropped, counts.expired)
    assert (kills, 1, 1, 1, True) == (mishaps.killed, mishaps.cut, mishaps.swallowed, mishaps.filled, full)
    assert [] == mes.ledger.given_up


def test_a_bad_quarter_of_an_hour_loses_nothing(tmp_path):
    """1,000 results, a broker that forgets killed 4 times, network cut and half open, disk full, station killed."""
    mes, mishaps, counts, full = live_through(tmp_path, 1_000, 4, random.Random(7), keeps=False)

    check(1_000, mes, mishaps, counts, full, 4)
    assert mes.asked >= 1


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [True, False], ids=["as_recommended", "forgetful_broker"])
def test_ten_thousand_results_through_twenty_broker_deaths(keeps, tmp_path):
    """The same for a whole shift, on a disk of its own where one can be mounted."""
    mes, mishaps, counts, full = live_through(tmp_path, 10_000, 20, random.Random(11), keeps=keeps, real_disk=True)

    check(10_000, mes, mishaps, counts, full, 20)


def test_a_broker_forgets_what_it_acknowledged_and_the_receiver_gets_it_back(tmp_path):
    """An acknowledgement is no delivery: without reconciliation messages are missing, with it none, in order.

    The last messages are the ones that went: no later number shows the gap, the station's state does.
    """
    plant = Authority(tmp_path / "plant")
    broker = PlantBroker(tmp_path / "broker", plant, keeps=False)
    with running(broker), Station(tmp_path, settings(broker.port, plant)) as station:
        with Mes(broker.port, plant) as mes:
            station.result(1)
            station.until(lambda: len(mes.results) == 1)
        for number in range(2, 202):
            station.result(number)
        station.until(lambda: station.outbox.counts.acked == 201)
        broker.kill()
        broker.start()
        with Mes(broker.port, plant) as mes:
            mes.silent = True
            station.until(lambda: mes.states and mes.states[-1].get("newest", {}).get("result") == 201)
            before = len(mes.results)
            mes.silent = False

            def complete():
                mes.ask_again()
                return len(mes.results) == 201

            station.until(complete)
            told, asked = mes.results, mes.asked

    assert before == 0 < asked
    assert [*range(1, 202)] == [message["sequence"] for message in told]
