"""PINs and badges."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.governance import credentials
from appliance.governance.credentials import (
    CHEAP,
    COST,
    Cost,
    badge_digest,
    key_password,
    matches,
    pin_fault,
    secret_of,
)
from appliance.schema.person import Secret

PINS = st.text("0123456789", min_size=4, max_size=8)


@given(PINS, PINS, st.binary(min_size=16, max_size=16))
def test_only_the_same_pin_matches(pin: str, other: str, salt: bytes) -> None:
    """A PIN matches its own secret, another does not, and without a secret none does."""
    secret = secret_of(pin, salt, CHEAP)

    assert matches(pin, secret) is True
    assert (other == pin) == matches(other, secret)
    assert pin.encode() not in secret.digest


def test_the_digest_is_scrypt_of_rfc_7914() -> None:
    """The published vector of RFC 7914 section 12 comes out, so that another program can check a PIN."""
    secret = secret_of("", b"", Cost(16, 1, 1))

    assert "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442" == secret.digest.hex()


def test_the_full_cost_matches_and_is_what_the_source_asks_for() -> None:
    """The cost in force is one of the five of equal strength; a secret carries its own."""
    secret = secret_of("482913", b"s" * 16)

    assert (1 << 15, 8, 3) == (secret.n, secret.r, secret.p) == (COST.n, COST.r, COST.p)
    assert matches("482913", secret)


def test_no_secret_costs_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a secret the digest is worked out all the same and the answer is no; the compare is constant in time."""
    costs: list[Cost] = []
    compared: list[bool] = []
    digest, compare = credentials._digest, hmac.compare_digest
    monkeypatch.setattr(credentials, "_digest", lambda pin, salt, cost: costs.append(cost) or digest(pin, salt, CHEAP))
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(True) or compare(a, b))

    assert matches("482913", None) is False
    assert [COST] == costs
    assert [True] == compared


@pytest.mark.parametrize("cost", [(0, 8, 1), (1 << 30, 8, 1), (16, 1 << 20, 1 << 9)])
def test_a_cost_that_is_none_of_ours_is_refused(cost: tuple[int, int, int]) -> None:
    """A secret that asks for no work, or for all the memory, lets nobody in."""
    assert matches("482913", Secret(b"s" * 16, b"d" * 32, *cost)) is False


@pytest.mark.parametrize(
    "pin",
    [
        *("", "123", "123456789", "12a4", "4 71", "\u0661\u0662\u0663\u0664"),  # no 4 to 8 digits
        *("1111", "1234", "9876", "7890", "0987", "1212", "123123", "2580", "1984", "2026"),
    ],
)
def test_a_pin_tried_first_is_refused(pin: str) -> None:
    """Wrong length, other signs, one digit, rows, repetitions and years are no PIN; the message repeats none."""
    fault = pin_fault(pin)

    assert fault != ""
    assert not pin or pin not in fault


@pytest.mark.parametrize("pin", ["4711", "482913", "10293847", "3197"])
def test_another_pin_is_taken(pin: str) -> None:
    """What is none of these is a PIN, unless it stands in the id or on the badge."""
    assert pin_fault(pin) == ""
    assert pin_fault(pin, person=f"o-{pin}") != ""
    assert pin_fault(pin, badge=f"00{pin}9") != ""


def test_a_badge_is_known_by_its_digest() -> None:
    """What the reader types around it changes nothing, and nothing typed is no badge."""
    assert hashlib.sha256(b"04A1B2").hexdigest() == badge_digest(" 04A1B2\r\n")
    assert badge_digest("  \n") == ""


def test_a_key_needs_pin_and_station(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key file opens with the PIN, the station's secret and the person together."""
    monkeypatch.setattr(credentials, "COST", CHEAP)
    own = key_password("482913", b"a" * 32, "q-quin")

    assert own == key_password("482913", b"a" * 32, "q-quin")
    others = {
        key_password("482914", b"a" * 32, "q-quin"),
        key_password("482913", b"b" * 32, "q-quin"),
        key_password("482913", b"a" * 32, "q-other"),
    }
    assert own not in others
    assert len(others) == 3
