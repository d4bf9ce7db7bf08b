"""Say which part a touch means; pure.

A touch means the part whose picture stood on the screen when the finger came down. It counts when the finger is lifted
inside the same target, the same appearance of the picture is still shown, and the picture had been shown for
`GUARD_NS` at the press. Each appearance has a number of its own: a part that went and came back between press and
release is not the picture that was pressed.
"""

from msgspec import Struct

from appliance.schema.clocks import MS, HostNs

GUARD_NS = 300 * MS
"""A touch within this time of a new picture was meant for the one before: a person needs 200 ms and more to see a
change and hold the finger back."""


class Showing(Struct, frozen=True):
    """State which picture is on the screen, and since when."""

    subject: str = ""
    """What an answer would be about, for example a part's id; empty: nothing is shown."""
    since: HostNs = HostNs(0)
    number: int = 0
    """Appearances so far; each names one."""


def show(showing: Showing, subject: str, now: HostNs) -> Showing:
    """Follow a picture's appearance; an empty subject takes it away. The same subject shown anew counts anew."""
    return Showing(subject, now, showing.number + 1)


def guarded(showing: Showing, now: HostNs) -> bool:
    """Say whether a press at `now` would mean nothing."""
    return not showing.subject or now - showing.since < GUARD_NS


def bind(showing: Showing, now: HostNs) -> str:
    """Give what a press at `now` is bound to; empty: to nothing."""
    return "" if guarded(showing, now) else f"{showing.number}/{showing.subject}"


def meant(showing: Showing, bound: str) -> str:
    """Give the subject that a release inside means, by what its press was bound to; empty: none, it does not count."""
    return showing.subject if bound and bound == f"{showing.number}/{showing.subject}" else ""
