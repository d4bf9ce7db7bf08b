"""What the touchscreen hears becomes alarms: from messages, from components, from silence, and from the store."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from appliance.monitoring.alarm_row import ABSENT, Priority
from appliance.monitoring.alarm_states import AlarmState, point_of
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.health import Alarm, AlarmDeed, AlarmStep, Component, Condition, Health
from appliance.storage.alarm_queries import Raised
from hmi.alarm_watch import AlarmWatch
from hmi.state import Counts, HeardAlarm, Presence, Service, StationState

MINUTE = 60 * S
OK, FAILED, STARTING = Condition.OK, Condition.FAILED, Condition.STARTING


def state(services: Mapping[str, Condition | None] = {}, alarms: tuple[HeardAlarm, ...] = ()) -> StationState:
    """Give a state in which each unit's one component stands so; None: it is absent."""
    found = {}
    for unit, condition in services.items():
        presence = Presence.ABSENT if condition is None else Presence.PRESENT
        name = {"acquire@top": "camera", "line": "mcu"}.get(unit, "mqtt")
        part = Component(name, condition or OK, f"{name} is bad", "mend it")
        health = None if condition is None else Health(unit, condition, (part,), 1, HostNs(1))
        found[unit] = Service(unit, presence, health, 0.0)
    nothing = StationState(HostNs(0), UtcNs(0), None, {}, None, 0.0, {}, {}, (), Counts(UtcNs(0)), None, (), 0)
    return replace(nothing, services=found, alarms=alarms)


def heard(number: int, unit: str, kind: str, minute: float, text: str = "") -> HeardAlarm:
    return HeardAlarm(number, UtcNs(round(minute * MINUTE)), Alarm(unit, kind, text or f"{kind} {number}"))


def at(minute: float) -> UtcNs:
    return UtcNs(round(minute * MINUTE))


def test_a_component_is_an_alarm_while_it_is_bad() -> None:
    """It stands with cause and remedy, and once it is well it waits until somebody has seen it."""
    watch = AlarmWatch()
    watch.refresh(state({"publish": FAILED}), at(1))
    standing = watch.standing
    watch.refresh(state({"publish": OK}), at(2))

    assert ["mqtt is bad; mend it"] == [one.text for one in standing]
    assert [AlarmState.RETURNED] == [one.state for one in watch.standing]
    assert (0, 1) == (watch.active, watch.unacknowledged)


def test_a_silent_service_is_an_alarm_and_hides_what_it_said() -> None:
    """The silence stands, and its component, of which nobody knows, does not stand beside it."""
    watch = AlarmWatch()
    watch.refresh(state({"acquire@top": FAILED}), at(1))
    watch.refresh(state({"acquire@top": None}), at(2))

    assert [("acquire@top", ABSENT)] == [one.key for one in watch.standing]
    assert AlarmState.SUPPRESSED is point_of(watch.board, ("acquire@top", "camera")).state


def test_starting_for_ever_is_an_alarm() -> None:
    """A component that starts is none; one that is still starting after half a minute is."""
    watch = AlarmWatch()
    for minute in (1, 1.4):
        watch.refresh(state({"publish": STARTING}), at(minute))
    early = watch.active
    watch.refresh(state({"publish": STARTING}), at(1.5))

    assert (0, 1) == (early, watch.active)


def test_an_alarm_is_heard_once() -> None:
    """Told again by the bus, or by the store a moment apart, it counts once; told anew it counts again."""
    watch = AlarmWatch()
    first = heard(1, "judge", "bundle_refused", 1, "x")
    watch.refresh(state(alarms=(first,)), at(1))
    watch.refresh(state(alarms=(first,)), at(2))
    watch.remember([Raised(7, "judge", "bundle_refused", "x", "", UtcNs(first.at + S))], [], at(2))
    once = watch.standing[0].count
    watch.refresh(state(alarms=(first, heard(2, "judge", "bundle_refused", 9, "x"))), at(9))

    assert (1, 2) == (once, watch.standing[0].count)


def test_one_fault_is_one_alarm() -> None:
    """The message of a lost camera and the camera's own health are one alarm, acknowledged by either name."""
    watch = AlarmWatch()
    watch.refresh(state({"acquire@top": FAILED}, (heard(1, "acquire@top", "camera_lost", 1),)), at(1))
    keys = [one.key for one in watch.standing]
    watch.step(AlarmStep("s1", "acquire@top", "camera_lost", AlarmDeed.ACKNOWLEDGED, "o-anna", at(2)))
    watch.refresh(state({"acquire@top": FAILED}), at(2))

    assert [("acquire@top", "camera")] == keys
    assert [AlarmState.ACKNOWLEDGED] == [one.state for one in watch.standing]


def test_the_store_is_told_in_its_order() -> None:
    """What was raised and acknowledged before the touchscreen started does not stand; what came after does."""
    watch = AlarmWatch()
    alarms = [
        Raised(2, "line", "actuation_lost", "part 9", "", at(30)),
        Raised(1, "record", "fact_refused", "part 3", "", at(10)),
    ]
    steps = [
        AlarmStep("a", "record", "fact_refused", AlarmDeed.ACKNOWLEDGED, "l-clara", at(12)),
        AlarmStep("b", "line", "actuation_lost", AlarmDeed.ACKNOWLEDGED, "l-clara", at(12)),
    ]
    watch.remember(alarms, steps, at(40))
    watch.remember(alarms, steps, at(40))

    assert [("line", "actuation_lost")] == [one.key for one in watch.standing]
    assert 1 == watch.unacknowledged


@pytest.mark.parametrize("kind", ["drift", "model_activated"])
def test_a_notice_is_no_alarm(kind: str) -> None:
    """Drift of the model and a new model ask nobody to act at once."""
    watch = AlarmWatch()
    watch.refresh(state(alarms=(heard(1, "judge", kind, 1),)), at(1))

    assert () == watch.standing


def test_the_header_names_the_first_cause() -> None:
    """The alarm that explains another is on top, whatever its priority; `changed` grows with what is shown alone."""
    watch = AlarmWatch()
    watch.refresh(state({"line": FAILED}), at(1))
    alone = watch.top
    watch.refresh(state({"line": FAILED, "acquire@top": FAILED}), at(2))
    before = watch.changed
    watch.refresh(state({"line": FAILED, "acquire@top": FAILED}), at(3))

    assert before == watch.changed
    assert [("line", "mcu"), ("acquire@top", "camera")] == [one.key for one in (alone, watch.top) if one is not None]
    assert Priority.HIGH is watch.worst
