"""Know the parts between part sensor and gate as the handshake needs them; pure."""

from msgspec import Struct

from appliance.outputs.plc.plc_trigger import BY_SENSOR, Asked
from appliance.schema.part import PartId

PARTS_UNDER_WAY = 64
"""Size of the microcontroller's part table; more cannot be between sensor and gate."""


class Way(Struct):
    """Hold what is known of a part under way."""

    asked: Asked = BY_SENSOR
    exposed: bool = False
    orphan: bool = False
    """The session was renewed while the part was on the belt."""


class UnderWay:
    """Keep the newest parts under way."""

    def __init__(self) -> None:
        self._parts: dict[PartId, Way] = {}

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def exposing(self) -> bool:
        """Whether images of a part are still to be taken."""
        return any(not part.exposed for part in self._parts.values())

    def enter(self, part: PartId, asked: Asked) -> None:
        """Learn that a part was made."""
        self._parts[part] = Way(asked)
        if len(self._parts) > PARTS_UNDER_WAY:
            del self._parts[next(iter(self._parts))]

    def exposed(self, part: PartId) -> None:
        """Learn that all images of a part are taken."""
        if part in self._parts:
            self._parts[part].exposed = True

    def leave(self, part: PartId) -> Way:
        """Take a part off; one that is not known was asked for by nobody."""
        return self._parts.pop(part, Way())

    def orphan(self) -> None:
        """Learn that the session ended: these parts are the old one's."""
        for part in self._parts.values():
            part.orphan = True
