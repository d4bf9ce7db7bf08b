"""Number a camera's exposures from 0, whatever its transport calls them. Pure."""

GEV_SHORT = 0xFFFF
"""GigE Vision 1.x block ids run 1 to 65535 and on to 1; 0 is never used (GigE Vision 2.0, 24.3, `block_id`)."""


class ExposureNumbers:
    """Turn transport frame ids into exposures since the acquisition start; make a new one at each start.

    transport: `TLType` of the device: `GEV` counts from 1 and may wrap at 16 bits, all others count from 0
    """

    def __init__(self, transport: str) -> None:
        self._first = 1 if transport == "GEV" else 0
        self._wraps = transport == "GEV"
        self._turns = 0
        self._last = self._first

    def number(self, frame_id: int) -> int:
        """Give the exposure's number; it only falls when the camera's own count does."""
        if self._wraps and frame_id <= GEV_SHORT and self._last - frame_id > GEV_SHORT // 2:
            self._turns += 1
        self._last = frame_id
        return self._turns * GEV_SHORT + frame_id - self._first
