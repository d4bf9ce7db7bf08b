"""Say who may connect to the Modbus server, and cut its byte stream into requests; pure."""

import ipaddress
from collections.abc import Iterable
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

TOLD_AGAIN_S = 60.0
"""A refused neighbour that tries again and again is told of once in this time; in between it is only counted."""

REGISTER_CODES = frozenset({3, 4, 6, 16, 22, 23})
"""Function codes that read and write registers; there is nothing else to read or write."""

_HEADER = 6
_CODE = 7
_ILLEGAL_FUNCTION = b"\x01"
_LONGEST = 254
"""Unit identifier and PDU, bytes (Modbus Messaging on TCP/IP Implementation Guide 1.0b, 3.1.2 and 4.1)."""


class Refusal(StrEnum):
    """Name why a connection is closed; the kind of its alarm follows `plc_`."""

    FOREIGN = "foreign"
    FULL = "full"
    NOISE = "noise"


_TEXTS = {
    Refusal.FOREIGN: "is not in plc.allow and was refused; add it there if it is the PLC, else find out what it is",
    Refusal.FULL: "was refused, since all places are taken by clients that speak; end one of them",
    Refusal.NOISE: "sent bytes that are no Modbus and was cut off; find out what it is",
}


class Refused(Struct, frozen=True):
    """State that a connection was closed, and how many were for this reason so far."""

    why: Refusal
    address: str
    n: int

    @property
    def text(self) -> str:
        """Give cause and remedy for a technician."""
        return f"plc: {self.address} {_TEXTS[self.why]}; {self.n} so far"


class Refusals:
    """Count refused connections, and choose which of them are worth an alarm."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(Refusal, 0)
        self._quiet_until = dict.fromkeys(Refusal, 0.0)

    def add(self, why: Refusal, address: str, at_s: float) -> Refused | None:
        """Count one; None when its kind was told of less than a minute ago."""
        self.counts[why] += 1
        if at_s < self._quiet_until[why]:
            return None
        self._quiet_until[why] = at_s + TOLD_AGAIN_S
        return Refused(why, address, self.counts[why])


def networks(allow: Iterable[str]) -> tuple[Network, ...]:
    """Read `plc.allow`; ValueError when an entry is no address or network."""
    return tuple(ipaddress.ip_network(entry) for entry in allow)


def admits(allowed: Iterable[Network], peer: str, own: str) -> bool:
    """Tell whether `peer` may connect to the address `own`: this computer always may, others only when allowed."""
    address = _address(peer)
    return address.is_loopback or address == _address(own) or any(address in network for network in allowed)


def first_request(received: bytes) -> bytes:
    """Give the first whole request of what was received, empty when it is not all there.

    ValueError when it cannot become one.
    """
    if int.from_bytes(received[2:4], "big"):
        raise ValueError(f"modbus: protocol identifier {received[2:4].hex()}, 0000 is Modbus")
    if len(received) < _HEADER:
        return b""
    length = int.from_bytes(received[4:_HEADER], "big")
    if not 2 <= length <= _LONGEST:
        raise ValueError(f"modbus: a request of {length} bytes, 2 to {_LONGEST} are possible")
    return received[: _HEADER + length] if len(received) >= _HEADER + length else b""


def refusal(request: bytes) -> bytes:
    """Give the answer, exception 1, to a request whose function code is none of registers; empty for the others."""
    code = request[_CODE]
    if code in REGISTER_CODES:
        return b""
    return request[:4] + b"\x00\x03" + request[_HEADER:_CODE] + bytes((code | 0x80,)) + _ILLEGAL_FUNCTION


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an address; one of IPv4 that arrived at an IPv6 socket is one of IPv4."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
