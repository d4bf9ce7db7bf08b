"""Fixtures of the guard's tests: a station with narrow limits, and a client that it trusts."""

from collections.abc import Iterator

import pytest

from tests.contract.opcua_foreign import LIMITS
from tests.contract.opcua_rig import (
    Client,
    GuardedStation,
    add_people,
    cheap_hashes,
    furnish_probe,
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(tmp_path_factory.mktemp("client") / "trusted")


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Iterator[GuardedStation]:
    root = tmp_path_factory.mktemp("station") / "opcua"
    client.trust_by_hand(root)
    with cheap_hashes():
        add_people(root)
        made = GuardedStation(root, furnish_probe, LIMITS, pending_s=1.0)
        made.start()
        yield made
        made.stop()
    made.close()


@pytest.fixture
def nothing_held(station: GuardedStation) -> Iterator[None]:
    """Fail a test after which a client still holds something."""
    before = station.held()
    yield

    assert before == station.settled(before, 8.0)
