"""Protect the loop on real sockets: it wakes, delivers, heals gaps, tells its manager the truth, dies in the open."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import zmq

from appliance.bus.channel import Subscriber
from appliance.bus.control import ask, control_address
from appliance.schema.actuation import Actuation
from appliance.schema.codec import unpack
from appliance.schema.command import Accepted, ActivateBundle, Drain, Replay, Replayed
from appliance.schema.errors import LinkError, Refused
from appliance.schema.health import Condition, Health

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("loop_node.py")
PATIENCE_S = 30.0
"""Longest wait for a process of a busy machine; a test never waits longer than it must."""


class Services:
    """Start services as processes, and end those that a test left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = zmq.Context()
        self.started: list[subprocess.Popen[str]] = []
        (folder / "kept.txt").touch()

    def start(self, role: str, notify: str = "") -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": notify}
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), role, str(self.folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def ask(self, unit: str, command: object) -> Accepted | Replayed:
        """Ask until the unit has come up."""
        return until(lambda: self._ask(unit, command))

    def _ask(self, unit: str, command: object) -> Accepted | Replayed | None:
        try:
            return ask(self.context, self.folder, unit, command, 500)
        except LinkError:
            return None

    def kept(self) -> list[list[str]]:
        return [line.split() for line in (self.folder / "kept.txt").read_text().splitlines()]

    def numbers(self) -> list[int]:
        return [int(line[2]) for line in self.kept() if line[0] != "lost"]

    def end(self, process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End a process; gives its exit code and all it said."""
        process.send_signal(how)
        said, _ = process.communicate(timeout=PATIENCE_S)
        return process.returncode, said

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.context.destroy(linger=0)


def until(look: Callable[[], T]) -> T:
    """Look until there is something; TimeoutError when there is nothing for too long."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.005)
    raise TimeoutError("nothing came")


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    made = Services(tmp_path)
    yield made
    made.close()


def test_a_node_wakes_publishes_and_stops(services: Services) -> None:
    """The loop calls `wake` when it is due, carries what the node says, and ends with 0 on a stop signal."""
    process = services.start("writer")
    subscriber = Subscriber(services.context, services.folder, ("line",), ("actuation", "status."))
    got = []
    while len([message for message in got if isinstance(message, Actuation)]) < 5:
        assert subscriber.socket.poll(int(PATIENCE_S * 1000))
        got += [message for _, message in subscriber.drain(64)]
    subscriber.close()
    code, said = services.end(process)
    numbers = [message.part.number for message in got if isinstance(message, Actuation)]

    assert list(range(numbers[0], numbers[0] + len(numbers))) == numbers
    assert Condition.OK in {message.condition for message in got if isinstance(message, Health)}
    assert (0, 1) == (code, said.count("service_started"))


def test_wishes_are_answered(services: Services) -> None:
    """The node grants or refuses; the loop itself answers a replay, and refuses what it does not understand."""
    services.start("writer")
    until(lambda: int(services.ask("line", Replay("actuation", 0)).next_sequence) > 5)
    told = services.ask("line", Replay("actuation", 3))
    with pytest.raises(Refused, match="line: ActivateBundle refused: only Drain is for this unit"):
        ask(services.context, services.folder, "line", ActivateBundle("x", "operator-7"), 5000)
    stranger = services.context.socket(zmq.REQ)
    stranger.connect(control_address(services.folder, "line"))
    stranger.send(b"\xc1")

    assert stranger.poll(int(PATIENCE_S * 1000))
    assert b"not a command of this version" in stranger.recv()
    stranger.close(linger=0)
    assert isinstance(told, Replayed)
    assert 3 == unpack(bytes(told.messages[0]))[0].sequence
    assert int(services.ask("line", Drain()).detail) > 5


def test_a_node_hears_what_became_of_its_wishes(services: Services) -> None:
    """Each wish is answered once, and silence is told as a refusal: who waits for an answer never waits for ever."""
    services.start("writer")
    services.ask("line", Replay("actuation", 0))
    process = services.start("asker")
    answers = until(lambda: len(services.kept()) >= 3 and services.kept())
    code, _ = services.end(process)

    expected = [
        ["reply:judge", "3", "RefusedReply"],
        ["reply:line", "1", "Accepted"],
        ["reply:line", "2", "RefusedReply"],
    ]
    assert expected == sorted(answers)
    assert 0 == code


def test_a_keeper_misses_nothing(services: Services) -> None:
    """A process that keeps records and is killed twice holds every fact once, in order, when it is back."""
    services.start("writer")
    for _ in range(2):
        keeper = services.start("keeper")
        known = len(services.numbers())
        until(lambda known=known: len(services.numbers()) > known + 20)
        services.end(keeper, signal.SIGKILL)
    last = until(lambda: services.ask("line", Replay("actuation", 0))).next_sequence
    services.start("keeper")
    total = int(services.ask("line", Drain()).detail)
    until(lambda: services.numbers() and services.numbers()[-1] == total)

    assert total >= last > 40
    assert list(range(1, total + 1)) == services.numbers()
    assert [] == [line for line in services.kept() if line[0] == "lost"]


def test_a_keeper_hears_of_a_restarted_writer(services: Services) -> None:
    """A new run of the writer is a new epoch, and its facts are held from its first one on."""
    writer = services.start("writer")
    services.start("keeper")
    until(lambda: len(services.numbers()) > 5)
    services.end(writer, signal.SIGKILL)
    services.start("writer")
    until(lambda: len({line[0] for line in services.kept() if line[0] != "lost"}) == 2)
    total = int(services.ask("line", Drain()).detail)
    until(lambda: services.numbers()[-1] == total)
    epochs = {line[0]: None for line in services.kept() if line[0] != "lost"}
    second = [int(line[2]) for line in services.kept() if line[0] == list(epochs)[1]]

    assert list(range(1, total + 1)) == second


def test_a_listener_is_told_of_a_gap(services: Services) -> None:
    """A node that keeps nothing asks for nothing again; a stopped reader loses nothing that its queue can hold."""
    services.start("writer")
    listener = services.start("listener")
    until(lambda: len(services.numbers()) > 5)
    first = services.numbers()[0]
    listener.send_signal(signal.SIGSTOP)
    before = services.ask("line", Replay("actuation", 0)).next_sequence
    until(lambda: services.ask("line", Replay("actuation", 0)).next_sequence > before + 20)
    listener.send_signal(signal.SIGCONT)
    total = int(services.ask("line", Drain()).detail)
    until(lambda: services.numbers()[-1] == total)

    assert list(range(first, total + 1)) == services.numbers()


@pytest.mark.parametrize(
    ("role", "code", "event", "text"),
    [
        ("broken", 70, "service_broken", "a mistake of ours"),
        ("unlucky", 1, "service_failed", "mcu: the cable is out; put it in"),
    ],
)
def test_an_error_ends_the_process_with_one_line(
    services: Services, role: str, code: int, event: str, text: str
) -> None:
    """A broken invariant is 70, a known error 1; the log says once what it was, and the manager restarts the unit."""
    process = services.start(role)
    said, _ = process.communicate(timeout=PATIENCE_S)

    assert code == process.returncode
    assert 1 == said.count(event)
    assert text in said


def test_the_manager_is_told_the_truth(services: Services, tmp_path: Path) -> None:
    """READY once when the node says that it works, the watchdog while its progress grows, STOPPING at the end."""
    address = str(tmp_path / "notify")
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.bind(address)
    end.settimeout(PATIENCE_S)
    process = services.start("writer", address)
    heard: list[str] = []
    while heard.count("WATCHDOG=1") < 5:
        heard.append(end.recv(4096).decode())
    services.ask("line", Drain())
    services.end(process)
    end.setblocking(False)
    while not heard or heard[-1] != "STOPPING=1":
        heard.append(end.recv(4096).decode())
    end.close()

    assert ["STATUS=starting: work 0 done", "READY=1"] == heard[:2]
    assert heard.count("READY=1") == 1
    assert heard.index("READY=1") < heard.index("WATCHDOG=1")


def test_the_watchdog_is_not_fed_without_progress(services: Services, tmp_path: Path) -> None:
    """A node that wakes and does no work feeds nothing, however often it says that it is well."""
    address = str(tmp_path / "notify")
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.bind(address)
    end.settimeout(PATIENCE_S)
    process = services.start("listener", address)
    heard = [end.recv(4096).decode() for _ in range(20)]
    services.end(process)
    end.close()

    assert "READY=1" in heard
    assert "WATCHDOG=1" not in heard
