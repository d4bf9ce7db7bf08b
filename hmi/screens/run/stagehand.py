"""Change pictures without a blank between: the new one is set behind and comes forward once it stands. No Qt."""


class Stagehand:
    """Say which of two pictures is in front and what each shows; one thread."""

    def __init__(self) -> None:
        self.sources = ["", ""]
        """What the two pictures show."""
        self.front = 0
        """Which of them people see."""
        self.standing = ""
        """What really stands in front; empty: nothing yet."""

    @property
    def shown(self) -> str:
        """What people see, or wait for where nothing stands yet."""
        return self.sources[self.front]

    def aim(self, source: str) -> None:
        """Want another picture; the one in front stays until the new one stands."""
        behind = 1 - self.front
        if source == self.shown:
            self.sources[behind] = ""
        elif not self.standing:
            self.sources[self.front] = source
        else:
            self.sources[behind] = source

    def stands(self, place: int, source: str) -> bool:
        """Take note that a picture stands; True when it is the one in front now."""
        if not self._comes(place, source):
            return False
        self.standing = source
        return True

    def lacks(self, place: int, source: str) -> bool:
        """Take note that there is no such picture; True when its empty place is the one in front now."""
        if not self._comes(place, source):
            return False
        self.standing = ""
        return True

    def _comes(self, place: int, source: str) -> bool:
        """Bring a place forward, if it still has what was wanted there."""
        if not source or self.sources[place] != source:
            return False
        if place != self.front:
            self.sources[self.front] = ""
            self.front = place
        return True
