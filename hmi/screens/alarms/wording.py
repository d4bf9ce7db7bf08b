"""Put alarms, and what people did about them, into the words of the screen. No Qt."""

from collections.abc import Sequence
from typing import Any, Protocol

from appliance.monitoring.alarm_list import PER_HOUR, followers, per_hour
from appliance.monitoring.alarm_row import Priority
from appliance.monitoring.alarm_states import SHELVE_MINUTES, AlarmBoard, AlarmPoint, AlarmState
from appliance.monitoring.alarm_table import row_of
from appliance.schema.clocks import S, UtcNs
from appliance.schema.health import AlarmDeed, AlarmStep
from appliance.schema.person import Role
from appliance.storage.alarm_queries import Raised

HOURS = 12
"""Hours of alarms that are counted on the screen."""

PRIORITIES = {
    Priority.HIGH: ("High", "alarm", "alarm"),
    Priority.MEDIUM: ("Medium", "warning", "warning"),
    Priority.LOW: ("Low", "bell", ""),
}
"""Word, shape and ground of each priority."""

STATES = {
    AlarmState.NORMAL: "Normal",
    AlarmState.UNACKNOWLEDGED: "New",
    AlarmState.ACKNOWLEDGED: "Seen",
    AlarmState.RETURNED: "Over, not seen",
    AlarmState.SHELVED: "Shelved",
    AlarmState.SUPPRESSED: "Part of another alarm",
    AlarmState.OUT_OF_SERVICE: "Out of service",
}
DEEDS = {
    AlarmDeed.ACKNOWLEDGED: "Acknowledged",
    AlarmDeed.SHELVED: "Shelved",
    AlarmDeed.UNSHELVED: "Taken back from the shelf",
    AlarmDeed.OUT_OF_SERVICE: "Out of service",
    AlarmDeed.IN_SERVICE: "Back in service",
}
ROLES = {
    Role.OPERATOR: "Operator",
    Role.LEAD: "Shift lead",
    Role.QUALITY: "Quality engineer",
    Role.MAINTENANCE: "Maintenance",
}
SHELVINGS = (15, 60, 240, 480)
"""Minutes that are offered; a priority may allow fewer."""


class Speaks(Protocol):
    """Say what wording needs of `hmi.words.Words`."""

    def tr(self, text: str) -> str:
        """Translate."""

    def number(self, value: float, decimals: int = 0) -> str:
        """Write a number."""

    def clock(self, utc_ns: int) -> str:
        """Write a time of the day."""

    def moment(self, utc_ns: int) -> str:
        """Write date and time."""

    def span(self, seconds: float) -> str:
        """Write a length of time."""

    def percent(self, share: float, decimals: int = 1) -> str:
        """Write a share in percent."""

    def day(self, utc_ns: int) -> str:
        """Write a date."""


def name_of(unit: str, kind: str, words: Speaks) -> str:
    """Give an alarm's title, with the camera it is of."""
    camera = unit.partition("@")[2]
    title = words.tr(row_of(unit, kind).title)
    return f"{title}: {camera}" if camera else title


def entry(point: AlarmPoint, cause: AlarmPoint | None, chosen: str, now: UtcNs, words: Speaks) -> dict[str, Any]:
    """Give one row of the list."""
    word, icon, tone = PRIORITIES[point.row.priority]
    said = [words.tr(STATES[point.state]), words.tr("for {span}").format(span=words.span((now - point.since) / S))]
    if point.state is AlarmState.SHELVED:
        said[1] = words.tr("until {time}").format(time=words.clock(point.shelved_until))
    elif point.state is AlarmState.OUT_OF_SERVICE:
        said[1] = point.person
    if point.count > 1:
        said.append(words.tr("{n} times").format(n=words.number(point.count)))
    key = f"{point.unit} {point.kind}"
    return {
        "key": key,
        "title": name_of(point.unit, point.kind, words),
        "said": " · ".join(filter(None, said)),
        "priority": words.tr(word),
        "icon": icon,
        "tone": tone,
        "seen": point.seen,
        "first": words.tr("First cause") if cause is not None and cause.key == point.key else "",
        "chosen": key == chosen,
    }


def details(point: AlarmPoint, board: AlarmBoard, cause: AlarmPoint | None, words: Speaks) -> dict[str, Any]:
    """Give what is known of one alarm, and what can be done about it."""
    row = point.row
    follow = followers(board, point) if cause is not None and cause.key == point.key else ()
    explains = words.tr("Explains: {names}").format(names=", ".join(name_of(*one.key, words) for one in follow))
    return {
        "title": name_of(point.unit, point.kind, words),
        "remedy": words.tr(row.remedy),
        "explains": explains if follow else "",
        "who": words.tr(ROLES.get(row.who, "Maintenance")),
        "within": words.span(row.minutes * 60),
        "text": point.text,
        "part": point.part,
        "why": "; ".join(filter(None, (row.consequence, row.cause))),
        "can_acknowledge": not point.seen and point.state in {AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED},
        "shelved": point.state is AlarmState.SHELVED,
        "out": point.state is AlarmState.OUT_OF_SERVICE,
        "shelvings": [
            {"minutes": minutes, "text": words.span(minutes * 60)}
            for minutes in SHELVINGS
            if minutes <= SHELVE_MINUTES[row.priority]
        ],
    }


def journal(alarms: Sequence[Raised], steps: Sequence[AlarmStep], words: Speaks) -> list[dict[str, Any]]:
    """Give what came and what people did about it, newest first."""
    rows = [
        (
            one.at,
            f"a{one.id}",
            name_of(one.unit, one.kind, words),
            PRIORITIES[row_of(one.unit, one.kind).priority],
            one.text,
        )
        for one in alarms
    ]
    rows += [
        (one.at, one.step_id, name_of(one.unit, one.kind, words), (DEEDS[one.deed], "person", ""), _did(one, words))
        for one in steps
    ]
    return [
        {
            "key": key,
            "when": words.moment(at),
            "title": title,
            "kind": words.tr(word),
            "icon": icon,
            "text": text,
        }
        for at, key, title, (word, icon, _), text in sorted(rows, key=lambda row: (row[0], row[1]), reverse=True)
    ]


def load(calls: Sequence[UtcNs], now: UtcNs, words: Speaks) -> dict[str, Any]:
    """Give the alarms of the last hours against what one person can deal with."""
    counts = per_hour(calls, now, HOURS)
    told = words.tr("{n} alarms in the last hour, {limit} are what one person can deal with")
    return {
        "counts": list(counts),
        "limit": PER_HOUR,
        "text": told.format(n=words.number(counts[-1]), limit=words.number(PER_HOUR)),
        "over": counts[-1] > PER_HOUR,
    }


def _look(unit: str, kind: str) -> tuple[str, str, str]:
    return PRIORITIES[row_of(unit, kind).priority]


def _did(step: AlarmStep, words: Speaks) -> str:
    until = words.tr("until {time}").format(time=words.moment(step.until)) if step.until else ""
    return " · ".join(filter(None, (step.person, until, step.why)))
