"""Protect the words that a technician reads when the microcontroller stops the line."""

import pytest

from appliance.schema.health import Condition
from appliance.services._line_health import REMEDY, mcu_alarm, mcu_health
from firmware_bridge.messages import EncoderFault, Fault, FaultEvent, State


@pytest.mark.parametrize("fault", set(Fault) - {Fault.NONE})
def test_every_fault_has_a_name_and_a_remedy(fault: Fault) -> None:
    """A latched fault is FAILED, named, and says what to do."""
    component = mcu_health(7, State.FAULT, fault, 0, ())

    assert (Condition.FAILED, REMEDY[fault]) == (component.condition, component.remedy)
    assert f"fault {fault.name.lower()} is latched" in component.cause


@pytest.mark.parametrize(
    ("fault", "detail", "words"),
    [
        (Fault.SYNC_LOST, 12, "sync_lost: part 12 never came to the gate"),
        (Fault.SYNC_LOST, 0, "sync_lost: one part too many at the gate"),
        (Fault.ENCODER, EncoderFault.BACKWARDS, "encoder: backwards"),
        (Fault.ENCODER, 99, "encoder; "),
        (Fault.STACK, 3, "stack; "),
    ],
)
def test_the_alarm_says_what_the_microcontroller_knows(fault: Fault, detail: int, words: str) -> None:
    """The detail is worded, and one of a later firmware does no harm."""
    alarm = mcu_alarm(FaultEvent(1, fault, detail, 0))

    assert alarm is not None
    assert "mcu_fault" == alarm[0]
    assert words in alarm[1]
