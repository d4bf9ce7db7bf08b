"""Read and write two tags of a Logix controller; the only importer of pycomm3.

pycomm3 would upload the definitions of all tags first, which takes a large project half a minute. A structure needs
only its handle, and reading the tag gives it: the reply begins with 0xA0 0x02 and the handle (Rockwell publication
1756-PM020, "CIP Services"). That the members lie where `FirstshiftResult` has them is proven by a probe instead.
"""

import logging
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pycomm3 import LogixDriver
from pycomm3.cip import DINT, n_bytes
from pycomm3.exceptions import PycommError
from pycomm3.packets import ReadTagRequestPacket, WriteTagRequestPacket

from appliance.outputs.logix_results import probes
from appliance.outputs.logix_type import FILE, MEMBERS, NAME, SIZE, Member, pack, read_word, unpack
from appliance.schema.errors import LinkError

STRUCTURE = b"\xa0\x02"
"""Type code of a structure in replies and requests."""

ATOMIC_CODES = {b"\xc4\x00": "DINT", b"\xca\x00": "REAL"}

FAULTS = (PycommError, OSError, struct.error, ValueError, TypeError, LookupError, AttributeError)
"""What pycomm3 raises when a controller breaks off or answers nonsense."""


class Controller:
    """Own one connection; every call blocks up to its timeout, LinkError when it fails. One thread."""

    def __init__(self, path: str, tag: str, timeout_s: float) -> None:
        """Connect; `path`: address, or address/slot."""
        logging.getLogger("pycomm3").propagate = False  # what fails is told by our own errors
        self._path, self._tag = path, tag
        self._handle = b""
        self._number = 0
        try:
            self._driver = LogixDriver(path, init_tags=False)
        except FAULTS as error:
            raise LinkError(f"controller {path}: {_reason(error)}; write address/slot") from error
        self._driver.socket_timeout = timeout_s
        try:
            is_open = self._driver.open()
        except FAULTS as error:
            self.close()
            raise LinkError(f"controller {path}: {_reason(error)}; check logix.host and slot") from error
        if not is_open:
            self.close()
            raise LinkError(f"controller {path}: refused a session; check logix.host and slot")

    def read(self) -> dict[str, float]:
        """Give the structure's members as they stand."""
        data = self._read(self._tag)
        if data[:2] != STRUCTURE or len(data) != SIZE + 4:
            found = f"{len(data) - 4} bytes" if data[:2] == STRUCTURE else f"type {data[:2].hex()}"
            raise LinkError(
                f"controller {self._path}: tag {self._tag} is no {NAME} of {SIZE} bytes ({found}); import {FILE.name}"
            )
        self._handle = data[2:4]
        return unpack(data[4:])

    def read_number(self) -> int:
        """Give the number that the controller's program wrote to the acknowledgement tag."""
        name = f"{self._tag}Ack"
        data = self._read(name)
        if ATOMIC_CODES.get(data[:2]) != "DINT" or len(data) != 6:
            raise LinkError(f"controller {self._path}: tag {name} is no DINT; make it one")
        return int(DINT.decode(data[2:]))

    def write(self, values: Mapping[str, float]) -> None:
        """Write the whole structure in one request."""
        info = {
            "tag_type": "struct",
            "data_type_name": NAME,
            "data_type": {"template": {"structure_handle": int.from_bytes(self._handle, "little")}},
        }
        request = WriteTagRequestPacket(
            self._driver._sequence,  # noqa: SLF001  pycomm3 counts its requests there
            self._tag,
            1,
            info,
            self._next(),
            False,
            pack(values),
        )
        self._send(request, f"cannot write {self._tag}")

    def prove(self) -> None:
        """Write different numbers and read each member by its name; LinkError names the first that lies elsewhere."""
        for member in MEMBERS:
            self._member(member)  # all are there before anything is written
        for wanted in probes():
            self.write(wanted)
            for member in MEMBERS:
                found = self._member(member)
                if found != wanted[member.name]:
                    self.write({})
                    name = f"{self._tag}.{member.name}"
                    raise LinkError(
                        f"controller {self._path}: {name} is {found:g}, not {wanted[member.name]:g}: members are"
                        f" not in order; import {FILE.name} again"
                    )

    def close(self) -> None:
        """End the connection, or what is left of it."""
        with suppress(*FAULTS):
            self._driver.close()

    def _member(self, member: Member) -> float:
        name = f"{self._tag}.{member.name}"
        data = self._read(name)
        kind = ATOMIC_CODES.get(data[:2], data[:2].hex())
        if kind != member.kind or len(data) != 6:
            raise LinkError(f"controller {self._path}: {name} is {kind}, not {member.kind}; import {FILE.name} again")
        return read_word(member.kind, data[2:])

    def _read(self, name: str) -> bytes:
        info = {"data_type_name": name, "type_class": n_bytes(-1), "data_type": {"attributes": []}}
        request = ReadTagRequestPacket(self._driver._sequence, name, 1, info, self._next(), False)  # noqa: SLF001
        response = self._send(request, f"cannot read {name}")
        return bytes(response.data or b"")

    def _send(self, request: Any, deed: str) -> Any:
        try:
            response = self._driver.send(request)
        except FAULTS as error:
            raise LinkError(
                f"controller {self._path}: {deed}: {_reason(error)}; check the network to the controller"
            ) from error
        status = getattr(response, "service_status", None)
        if status != 0:
            reason = response.error or "no answer"
            raise LinkError(
                f"controller {self._path}: {deed}: {reason}; check the tag's name, type and external access"
            )
        return response

    def _next(self) -> int:
        self._number += 1
        return self._number


def _reason(error: BaseException) -> str:
    """Give the innermost reason: pycomm3 wraps the socket's error twice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
