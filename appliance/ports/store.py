"""Say what the record service asks of its store."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.audit import AuditEntry
from appliance.schema.clocks import UtcNs
from appliance.schema.frame import FrameReady


class Store(Protocol):
    """Keep facts for ever; one process writes. Each method is durable when it returns; StoreError when it cannot be."""

    def write(self, facts: Sequence[tuple[str, int, int, Struct]], at: UtcNs) -> None:
        """Keep facts as (topic, epoch, sequence, message) in one transaction; a fact already held is left as it is."""

    def position(self, topic: str) -> tuple[int, int] | None:
        """Give (epoch, sequence) of the newest fact held of a topic; None when there is none."""

    def image(self, frame: FrameReady, part: str, disposition: str, pixels: NDArray[np.uint8], at: UtcNs) -> str:
        """Keep an image: file durable first, then the row that names it; gives the file's SHA-256."""

    def audit(self, actor: str, action: str, subject: str, before: str, after: str, at: UtcNs) -> AuditEntry:
        """Append a link to the audit chain."""

    def close(self) -> None:
        """Flush and give the files back."""
