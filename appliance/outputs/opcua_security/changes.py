"""Write down who changed whom the server trusts, before it is changed; the service carries it into the audit chain.

The log stands beside what it speaks of, so that a change made while no service runs is not forgotten.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import S, UtcNs
from appliance.schema.errors import ConfigError

LOG = "changes.jsonl"
LOCK = ".lock"


@contextmanager
def changing(root: Path) -> Iterator[None]:
    """Let one process at a time change the folder."""
    try:
        with (root / LOCK).open("w") as file:
            give_to_owner(root / LOCK)
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except PermissionError as cause:
        raise ConfigError(f"{root}: cannot be changed ({cause.strerror}); run it as the services' user") from cause


def note(root: Path, actor: str, action: str, subject: str, before: str, after: str, at: UtcNs) -> None:
    """Append a change, durable when it returns; its instant makes each entry one of a kind."""
    when = datetime.fromtimestamp(at / S, UTC).isoformat()
    request = AuditRequest(actor, f"opcua_{action}", subject, before, f"{after}, at {when}")
    try:
        with (root / LOG).open("ab+") as file:
            file.write(_end_torn_line(file) + msgspec.json.encode(request) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        give_to_owner(root / LOG)
    except OSError as cause:
        raise ConfigError(f"{root / LOG}: cannot be written ({cause.strerror}); nothing was changed") from cause


def changes(root: Path) -> list[AuditRequest]:
    """Give every change, oldest first; a line torn by a power loss was never acted on and is left out.

    ConfigError when the log cannot be read.
    """
    try:
        lines = (root / LOG).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as cause:
        raise ConfigError(f"{root / LOG}: cannot be read ({cause.strerror}); restore it from a backup") from cause
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=AuditRequest))
        except msgspec.DecodeError:
            found.append(AuditRequest("service:opcua", "opcua_log_damaged", LOG, "", line.decode(errors="replace")))
    return found


def _end_torn_line(file: BinaryIO) -> bytes:
    """Give the end of a line that a power loss tore."""
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def write_secret(place: Path, content: bytes) -> None:
    """Write a file that its owner alone may read, whole or not at all, durable when it returns."""
    unfinished = place.with_name(f".{place.name}.part")
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        give_to_owner(unfinished)
        unfinished.replace(place)
    except OSError as cause:
        raise ConfigError(
            f"{place}: cannot be written ({cause.strerror}); check the folder's owner and space"
        ) from cause


def give_to_owner(path: Path) -> None:
    """Let what root has written belong to its folder's owner, so that the service can read it."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
