"""Know which rows are on their way to the broker, and what it said to them until the outbox has that."""

from msgspec import Struct

from appliance.outputs.outbox import Outbox, Waiting
from appliance.schema.clocks import HostNs


class _Sent(Struct, frozen=True):
    at: HostNs
    row: Waiting


class Flight:
    """Hold rows from their sending until the outbox has noted the broker's answer; by the number of the message."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._sent: dict[int, _Sent] = {}
        self._taken: list[int] = []
        self._refused: list[int] = []

    def __len__(self) -> int:
        """Rows that must not be sent again now."""
        return len(self._sent) + len(self._taken) + len(self._refused)

    @property
    def is_answered(self) -> bool:
        """Whether nothing waits for the broker."""
        return not self._sent

    @property
    def is_noted(self) -> bool:
        """Whether nothing waits for the outbox."""
        return not self._taken and not self._refused

    def rows(self) -> list[int]:
        """Give the ids of the rows that must not be sent again now."""
        return [item.row.id for item in self._sent.values()] + self._taken + self._refused

    def add(self, mid: int, row: Waiting, now: HostNs) -> None:
        """Note that a row is on its way."""
        self._sent[mid] = _Sent(now, row)

    def answer(self, mid: int, *, is_failure: bool) -> str | None:
        """Take the broker's answer; gives the row's topic, None for a message that was no row."""
        item = self._sent.pop(mid, None)
        if item is None:
            return None
        (self._refused if is_failure else self._taken).append(item.row.id)
        return item.row.topic

    def note(self) -> None:
        """Put what the broker said into the outbox; StoreError when it cannot be, then it waits on."""
        if self._taken:
            self._outbox.done(*self._taken)
            self._taken = []
        if self._refused:
            self._outbox.refused(*self._refused)
            self._refused = []

    def silence(self, now: HostNs) -> int:
        """Give how long the oldest row has waited for the broker's answer, ns."""
        return now - min((item.at for item in self._sent.values()), default=now)

    def clear(self) -> None:
        """Forget what was on its way: the connection is gone, the outbox has it still."""
        self._sent.clear()
