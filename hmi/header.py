"""Word what stands above every screen: where we are, how the shift goes, what waits, what is absent. No Qt."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

from appliance.monitoring.alarm_row import Priority
from appliance.monitoring.alarm_table import row_of
from appliance.schema.policy import Mode
from hmi.state import StationState

SAYS: Final = (
    "Nothing is inspected: every part is rejected",
    "The microcontroller rejects every part by itself",
    "Parts go on; what you enter is kept here until it is back",
    "No picture: every part is rejected",
    "Inspection goes on without it",
    "Nobody's decision can be taken: every part is rejected.",
    "The line runs on; the model's opinion is missing.",
)
"""What a silent service means, for who stands at the line."""

_MEANING: Final = {"judge": SAYS[0], "line": SAYS[1], "record": SAYS[2], "acquire": SAYS[3]}
_PARALLEL: Final = {**_MEANING, "judge": SAYS[6], "record": SAYS[5]}


class Speaks(Protocol):
    """What words are asked for here."""

    def tr(self, text: str) -> str:
        """Translate."""
        ...

    def number(self, value: float, decimals: int = 0) -> str:
        """Write a number."""
        ...

    def percent(self, share: float, decimals: int = 1) -> str:
        """Write a share."""
        ...

    def clock(self, utc_ns: int) -> str:
        """Write hour and minute."""
        ...

    def span(self, seconds: float) -> str:
        """Write a length of time."""
        ...


def fields(desk: Any, words: Speaks) -> dict[str, Any]:
    """Give the texts of the header; `stale` marks those that `line` no longer backs."""
    state: StationState = desk.state
    recipe, counts, review, person = desk.loaded.recipe, state.counts, state.review, desk.session.person
    share = words.percent(counts.accepted / counts.parts) if counts.parts else "\u2013"
    resting = desk.session.resting
    return {
        "station": desk.loaded.config.station.name,
        "clock": words.clock(state.utc),
        "recipe": f"{recipe.name} v{recipe.version}",
        "model": recipe.bundle,
        "shift": words.tr("{n} parts").format(n=words.number(counts.parts)),
        "share": words.tr("{share} accepted").format(share=share),
        "review": words.number(review.waiting) if review is not None else "\u2013",
        "unknown": words.tr("{n} unknown").format(n=words.number(review.unknown)) if review is not None else "",
        "person": person.name
        if person is not None
        else words.tr("Locked")
        if resting is not None
        else words.tr("Sign in"),
        "signed": person is not None,
        "locked": resting is not None,
        "stale": state.line_stale,
        "age": words.span(min(state.line_age_s, 359_999)) if state.line_stale and state.line is not None else "",
    }


def alarm_field(desk: Any, words: Speaks) -> dict[str, Any]:
    """Give the alarm key: how many nobody has acknowledged, the one to look at first, how bad."""
    watch = desk.alarms
    if watch.top is None:
        return {"text": words.tr("No alarm"), "count": 0, "icon": "tick", "tone": ""}
    bad = watch.worst is Priority.HIGH
    return {
        "text": words.tr(row_of(watch.top.unit, watch.top.kind).title),
        "count": watch.unacknowledged,
        "icon": "alarm" if bad else "bell",
        "tone": "alarm" if bad else "warning",
    }


def banners(desk: Any, words: Speaks) -> Iterator[dict[str, str]]:
    """Yield what must be read before anything else, worst first."""
    state: StationState = desk.state
    if state.absent:
        yield {
            "kind": "alarm",
            "icon": "absent",
            "text": absence(state.absent, words, parallel=state.mode is Mode.PARALLEL),
        }
    if state.mode is Mode.PARALLEL:
        text = words.tr("PARALLEL MODE: people decide every part; the model only watches")
        yield {"kind": "notice", "icon": "people", "text": text}
    elif state.mode is None and "line" not in state.absent:
        yield {
            "kind": "warning",
            "icon": "warning",
            "text": words.tr("The line runs another recipe than this screen has read"),
        }
    if desk.fault:
        yield {"kind": "warning", "icon": "warning", "text": desk.fault}
    if state.refused:
        text = words.tr("{n} entries were refused; look at Review").format(n=words.number(state.refused))
        yield {"kind": "warning", "icon": "warning", "text": text}


def absence(units: tuple[str, ...], words: Speaks, *, parallel: bool = False) -> str:
    """Say which services are silent, and what the worst of them means."""
    kinds = [unit.partition("@")[0] for unit in units]
    order = ("line", "acquire", "record", "judge") if parallel else ("line", "acquire", "judge", "record")
    worst = next((kind for kind in order if kind in kinds), "")
    meaning = words.tr((_PARALLEL if parallel else _MEANING).get(worst, SAYS[4]))
    return words.tr("No answer from {units}: {meaning}").format(units=", ".join(units), meaning=meaning)
