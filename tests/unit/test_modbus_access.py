"""Who may connect, what is counted and told of, and how a byte stream becomes requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.outputs.plc.modbus_access import (
    REGISTER_CODES,
    TOLD_AGAIN_S,
    Refusal,
    Refusals,
    admits,
    first_request,
    networks,
    refusal,
)

PLC_NETWORK = networks(("192.168.10.0/24", "10.0.0.7", "fd00:10::/64"))


@pytest.mark.parametrize(
    ("peer", "own", "admitted"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.8.9.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("192.168.10.44", "192.168.10.2", True),
        ("192.168.11.44", "192.168.10.2", False),
        ("10.0.0.7", "10.0.0.1", True),
        ("10.0.0.8", "10.0.0.1", False),
        ("10.0.0.1", "10.0.0.1", True),  # this computer by its own address
        ("::ffff:10.0.0.7", "::ffff:10.0.0.1", True),  # IPv4 at an IPv6 socket
        ("::ffff:10.0.0.8", "::ffff:10.0.0.1", False),
        ("fd00:10::5", "fd00:10::1", True),
        ("fd00:11::5", "fd00:10::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", False),
    ],
)
def test_allow_list(peer: str, own: str, *, admitted: bool) -> None:
    """Only this computer and what `plc.allow` names may connect."""

    assert admitted == admits(PLC_NETWORK, peer, own)


def test_empty_list_admits_this_computer_alone() -> None:
    """Without `plc.allow` no other computer gets in."""

    assert not admits((), "192.168.10.44", "192.168.10.2")
    assert admits((), "127.0.0.1", "127.0.0.1")


@given(host=st.integers(0, 2**32 - 1))
def test_an_address_is_admitted_iff_its_network_is_listed(host: int) -> None:
    """Of all addresses of IPv4 exactly the listed network, the listed address, loopback and our own get in."""
    peer = ".".join(str(host >> shift & 0xFF) for shift in (24, 16, 8, 0))
    listed = host >> 8 == 0xC0A80A or host == 0x0A000007 or host >> 24 == 127 or host == 0xC0A80A02

    assert listed == admits(PLC_NETWORK, peer, "192.168.10.2")


def test_one_alarm_a_minute_for_each_reason() -> None:
    """Each refused connection is counted, but told of once a minute; another reason is told of at once."""
    refusals = Refusals()
    told = [refusals.add(Refusal.FOREIGN, f"10.0.0.{n}", n * 0.1) for n in range(100)]
    full = refusals.add(Refusal.FULL, "10.0.0.1", 1.0)
    again = refusals.add(Refusal.FOREIGN, "10.9.9.9", TOLD_AGAIN_S)

    assert 1 == sum(item is not None for item in told)
    assert full is not None
    assert again is not None
    assert ("10.9.9.9", 101) == (again.address, again.n)
    assert "plc: 10.9.9.9 is not in plc.allow and was refused; add it there" in again.text
    assert "101 so far" in again.text
    assert (101, 1, 0) == tuple(refusals.counts[why] for why in (Refusal.FOREIGN, Refusal.FULL, Refusal.NOISE))


def frame(pdu: bytes, transaction: int = 7) -> bytes:
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + b"\1" + pdu


@given(pdus=st.lists(st.binary(min_size=1, max_size=253), max_size=6), rest=st.integers(0, 300))
def test_a_stream_is_cut_into_its_requests(pdus: list[bytes], rest: int) -> None:
    """Requests come out whole and in order, however many arrived at once; an unfinished one waits."""
    last = frame(b"\3" * 200)
    stream = b"".join(frame(pdu, place) for place, pdu in enumerate(pdus)) + last[: rest % len(last)]
    taken = []
    while request := first_request(stream):
        taken.append(request)
        stream = stream[len(request) :]

    assert [frame(pdu, place) for place, pdu in enumerate(pdus)] == taken
    assert last[: rest % len(last)] == stream


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.0\r\n", b"\0\1\0\0\0\1\1", b"\0\1\0\0\0\xff\1\3", b"\0\1\0\0\xff\xff\1", b"\0\0\1"]
)
def test_noise_is_told_from_a_request(noise: bytes) -> None:
    """Bytes that can never become a request are refused as soon as they can be told, not waited on."""

    with pytest.raises(ValueError, match="modbus: "):
        first_request(noise)


@given(code=st.integers(0, 255))
def test_only_register_codes_reach_the_registers(code: int) -> None:
    """Every other function code is answered with exception 1, its own transaction and unit."""
    answer = refusal(frame(bytes((code, 0, 0, 0, 1)), 513))

    assert (b"" if code in REGISTER_CODES else b"\2\1\0\0\0\3\1" + bytes((code | 0x80, 1))) == answer
