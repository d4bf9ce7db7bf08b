"""Protect the watchdog: a service that makes no progress must not look alive."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.schema.errors import ConfigError
from appliance.services._notify import STATUS_LIMIT, Notifier, Watchdog, socket_address


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Play the service manager's end of the datagram socket, under both kinds of address."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@firstshift-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(socket_address(address))
        end.setblocking(False)
        yield address, end


def received(end: socket.socket) -> list[str]:
    lines = []
    while True:
        try:
            lines.append(end.recv(4096).decode())
        except BlockingIOError:
            return lines


def test_life_of_a_service(manager: tuple[str, socket.socket]) -> None:
    """Each state reaches the manager as one datagram in the protocol's words."""
    address, end = manager
    notifier = Notifier(address)
    notifier.ready()
    notifier.status("ok: camera top")
    notifier.alive()
    notifier.stopping()
    notifier.close()

    assert received(end) == ["READY=1", "STATUS=ok: camera top", "WATCHDOG=1", "STOPPING=1"]


def test_watchdog_needs_growth(manager: tuple[str, socket.socket]) -> None:
    """The watchdog is fed only by a counter that has grown; repeated, lower and starting values feed nothing."""
    address, end = manager
    notifier = Notifier(address)
    watchdog = Watchdog(notifier)
    fed = [watchdog.progress(count) for count in (0, 1, 1, 1, 2, 1, 2, 3)]
    notifier.close()

    assert fed == [False, True, False, False, True, False, False, True]
    assert received(end) == ["WATCHDOG=1"] * 3


@given(st.lists(st.integers(min_value=0, max_value=20)))
def test_watchdog_feeds_once_per_record_high(counts: list[int]) -> None:
    """Over any history, the number of feeds is the number of new maxima above 0."""
    watchdog = Watchdog(Notifier(""))
    fed = sum(watchdog.progress(count) for count in counts)

    assert fed == len({max(counts[: index + 1]) for index in range(len(counts))} - {0})


def test_status_cannot_smuggle_a_second_field(manager: tuple[str, socket.socket]) -> None:
    """A cause with line breaks must not feed the watchdog, and a long one must not be too long to send."""
    address, end = manager
    notifier = Notifier(address)
    notifier.status("broken\nWATCHDOG=1")
    notifier.status("x" * 100_000)
    notifier.close()

    assert received(end) == ["STATUS=broken WATCHDOG=1", "STATUS=" + "x" * STATUS_LIMIT]


def test_no_manager_is_silent() -> None:
    """A service started from a shell works without a manager."""
    notifier = Notifier("")
    notifier.ready()
    notifier.close()

    assert notifier.unsent == 0


def test_lost_manager_does_not_end_the_service(tmp_path: Path) -> None:
    """A manager that went away is counted and never raised into the service."""
    notifier = Notifier(str(tmp_path / "nobody"))
    notifier.ready()
    notifier.close()

    assert notifier.unsent == 1


def test_foreign_address_is_refused() -> None:
    """An address that is no local socket is a ConfigError that names it."""
    with pytest.raises(ConfigError, match="vsock:2:1234"):
        socket_address("vsock:2:1234")


def test_address_comes_from_the_environment(
    manager: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an argument the address is the one systemd hands over."""
    address, end = manager
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notifier = Notifier()
    notifier.ready()
    notifier.close()

    assert received(end) == ["READY=1"]
