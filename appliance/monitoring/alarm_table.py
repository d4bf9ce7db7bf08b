"""Rationalise every alarm that the station's services can raise; a test reads their source so that none is missing.

An alarm asks a person to act. What asks for nothing is a notice: drift of the model and a new model are.
"""

from appliance.monitoring.alarm_row import ABSENT, AlarmRow, Priority, Source
from appliance.monitoring.alarm_table_plant import PLANT
from appliance.schema.person import Role

NOTICES = frozenset({"drift", "model_staged", "model_activated"})
"""Kinds of `Alarm` that ask nobody to act now; they stand in the journal and the trends."""

_H, _M, _L = Priority.HIGH, Priority.MEDIUM, Priority.LOW
_MESSAGE, _COMPONENT, _ABSENCE = Source.MESSAGE, Source.COMPONENT, Source.ABSENCE
_OPERATOR, _LEAD, _QUALITY, _MAINTENANCE = Role.OPERATOR, Role.LEAD, Role.QUALITY, Role.MAINTENANCE

CALL = "Call maintenance."
QUALITY = "Tell the quality engineer."
FIND = "Find the part and set it aside."
SHARE = "Decide waiting parts; ask for a second person."
WAIT = "Wait one minute; call maintenance if it stays."
SPACE = "Call maintenance to free disk space."
BELT = "Clear the belt, then reset the fault."
STOP = "Stop the line and tell the shift lead."

_ANY_CAMERA = ("acquire.camera", f"acquire.{ABSENT}")

_LINE = (
    AlarmRow("line", "accepted_without_verdict", _MESSAGE, _H, "Part passed without an accept",
             "a part that nobody accepted is among the good ones",
             "the gate or its wiring acts by itself", STOP, 1, _LEAD),
    AlarmRow("line", ABSENT, _ABSENCE, _H, "Line control does not answer", "every part is a reject",
             "the service stopped or hangs", WAIT, 2, _MAINTENANCE),
    AlarmRow("line", "mcu", _COMPONENT, _H, "Gate controller not ready", "every part is a reject",
             "cable, power, a latched fault, or a unit that it waits for", BELT, 3, _MAINTENANCE,
             follows=(f"judge.{ABSENT}", f"record.{ABSENT}", *_ANY_CAMERA)),
    AlarmRow("line", "mcu_fault", _MESSAGE, _H, "Gate controller not ready", "every part is a reject",
             "the microcontroller latched a fault", BELT, 3, _MAINTENANCE, point="mcu"),
    AlarmRow("line", "mcu_configuration", _MESSAGE, _L, "Gate controller refused its settings",
             "every part is a reject",
             "station file and firmware do not fit", CALL, 15, _MAINTENANCE, follows=("line.mcu",)),
    AlarmRow("line", "actuation_lost", _MESSAGE, _M, "Parts with unknown lane", "a part may lie in the wrong lane",
             "an event of the gate was lost", FIND, 5, _OPERATOR, follows=("line.mcu",)),
    AlarmRow("line", "plc", _COMPONENT, _M, "PLC not ready", "every part is a reject where the PLC is required",
             "the PLC stopped, or does not take results over", CALL, 10, _MAINTENANCE, follows=("line.mcu",)),
    AlarmRow("line", "belt_too_fast", _MESSAGE, _L, "Belt faster than set",
             "parts come to the gate before their verdict",
             "belt speed or encoder setting", CALL, 30, _MAINTENANCE),
    AlarmRow("line", "trigger_missed", _MESSAGE, _L, "PLC trigger refused", "a part was not inspected and is a reject",
             "the PLC asked while the line was not ready", CALL, 30, _MAINTENANCE, follows=("line.plc", "line.mcu")),
    AlarmRow("line", "mcu_events_lost", _MESSAGE, _L, "Events of the gate controller lost", "single parts reject",
             "the serial link is disturbed", CALL, 60, _MAINTENANCE, follows=("line.mcu",), hidden_by=("line.mcu",)),
    AlarmRow("line", "plc_foreign", _MESSAGE, _L, "Unknown device on the PLC port", "none; it was refused",
             "a device that is not in plc.allow", CALL, 240, _MAINTENANCE),
    AlarmRow("line", "plc_full", _MESSAGE, _L, "Too many devices on the PLC port", "a new device gets no connection",
             "tools left connected", CALL, 240, _MAINTENANCE),
    AlarmRow("line", "plc_noise", _MESSAGE, _L, "Damaged messages on the PLC port", "none; the device was cut off",
             "a device that speaks no Modbus", CALL, 240, _MAINTENANCE),
    AlarmRow("line", "recipe_change_refused", _MESSAGE, _L, "Recipe change refused", "the recipe before stays in force",
             "the recipe's files, or a unit that could not take it", QUALITY, 30, _QUALITY),
)  # fmt: skip

_CAMERAS = (
    AlarmRow("acquire", ABSENT, _ABSENCE, _M, "Camera service does not answer",
             "its view is missing: no part is accepted",
             "the service stopped or hangs", WAIT, 3, _MAINTENANCE),
    AlarmRow("acquire", "camera", _COMPONENT, _M, "Camera lost", "its view is missing: no part is accepted",
             "cable, power or the camera itself", CALL, 5, _MAINTENANCE),
    AlarmRow("acquire", "camera_lost", _MESSAGE, _M, "Camera lost", "its view is missing: no part is accepted",
             "cable, power or the camera itself", CALL, 5, _MAINTENANCE, point="camera"),
    AlarmRow("acquire", "frame_id_went_back", _MESSAGE, _L, "Camera restarted by itself", "single parts reject",
             "the camera's power supply", CALL, 60, _MAINTENANCE, follows=("acquire.camera",)),
    AlarmRow("acquire", "frame_lost", _MESSAGE, _L, "Pictures lost", "single parts reject",
             "network or processor load", CALL, 60, _MAINTENANCE, follows=("acquire.ring", "acquire.camera"),
             hidden_by=("acquire.ring",)),
    AlarmRow("acquire", "lease_expired", _MESSAGE, _L, "A service holds pictures too long", "single parts reject",
             "a service that hangs", CALL, 60, _MAINTENANCE, follows=(f"judge.{ABSENT}", f"record.{ABSENT}")),
    AlarmRow("acquire", "slots_exhausted", _MESSAGE, _L, "Picture memory full",
             "pictures are lost, single parts reject",
             "load, or a service that hangs", CALL, 30, _MAINTENANCE, point="ring"),
    AlarmRow("acquire", "ring", _COMPONENT, _L, "Picture memory full", "pictures are lost, single parts reject",
             "load, or a service that hangs", CALL, 30, _MAINTENANCE, follows=(f"judge.{ABSENT}", f"record.{ABSENT}")),
    AlarmRow("acquire", "clock", _COMPONENT, _L, "Camera clock cannot be read", "parts must lie farther apart",
             "the camera has no timestamp latch", CALL, 480, _MAINTENANCE),
)  # fmt: skip

_JUDGE = (
    AlarmRow("judge", ABSENT, _ABSENCE, _M, "Inspection does not answer", "no verdicts: every part is a reject",
             "the service stopped or hangs", WAIT, 3, _MAINTENANCE),
    AlarmRow("judge", "bundle", _COMPONENT, _M, "Model does not work", "nothing is accepted",
             "the model's files or its runtime", QUALITY, 10, _QUALITY),
    AlarmRow("judge", "bundle_refused", _MESSAGE, _L, "New model refused", "the model before stays in use",
             "the model's files or its golden pictures", QUALITY, 240, _QUALITY),
    AlarmRow("judge", "policy", _COMPONENT, _L, "Limits missing", "nothing is accepted",
             "the model was not calibrated for this recipe", QUALITY, 15, _QUALITY),
    AlarmRow("judge", "novelty", _COMPONENT, _L, "Unknown parts cannot be told", "nothing is accepted",
             "the model has no detector of unknown parts", QUALITY, 15, _QUALITY),
    AlarmRow("judge", "promise", _COMPONENT, _L, "Promised escape rate void", "nothing is accepted",
             "another model, or drift since the limits were found", QUALITY, 15, _QUALITY),
    AlarmRow("judge", "promise_not_stored", _MESSAGE, _L, "Void promise not stored",
             "after a restart the void limits would count again", "the disk", CALL, 60, _MAINTENANCE,
             follows=("record.disk",)),
    AlarmRow("judge", "frames", _COMPONENT, _L, "Pictures not reachable", "no verdicts: every part is a reject",
             "a camera service that has not started", WAIT, 10, _MAINTENANCE, follows=_ANY_CAMERA),
    AlarmRow("judge", "pairing_mismatch", _MESSAGE, _L, "Picture and part do not fit", "the part is held back",
             "a lost trigger, or a camera that missed one", CALL, 30, _MAINTENANCE,
             follows=_ANY_CAMERA, hidden_by=("acquire.camera",)),
    AlarmRow("judge", "pairing_unproven", _MESSAGE, _L, "First picture of a camera unproven", "the part is held back",
             "the camera started; it ends by itself", CALL, 60, _MAINTENANCE,
             follows=_ANY_CAMERA, hidden_by=("acquire.camera",)),
    AlarmRow("judge", "pairing_ambiguous", _MESSAGE, _L, "Picture fits two parts", "the parts are held back",
             "parts too close, or the clock of the camera", CALL, 30, _MAINTENANCE,
             follows=_ANY_CAMERA, hidden_by=("acquire.camera",)),
    AlarmRow("judge", "staging", _COMPONENT, _L, "New model not ready", "the model before stays in use",
             "the model's files", QUALITY, 240, _QUALITY),
    AlarmRow("judge", "decision", _COMPONENT, _L, "Decisions disturbed", "parts may be held back",
             "the judge itself", QUALITY, 60, _QUALITY),
    AlarmRow("shadow", ABSENT, _ABSENCE, _L, "Shadow model does not answer", "none for the line; no comparison",
             "the service stopped", QUALITY, 480, _QUALITY),
    AlarmRow("shadow", "bundle", _COMPONENT, _L, "Shadow model does not work", "none for the line; no comparison",
             "the shadow model's files", QUALITY, 480, _QUALITY),
    AlarmRow("shadow", "comparison", _COMPONENT, _L, "Shadow comparison disturbed", "none for the line; no comparison",
             "frames were missed", QUALITY, 480, _QUALITY),
)  # fmt: skip

_RECORD = (
    AlarmRow("record", "seed_accepted", _MESSAGE, _H, "A known defect was accepted",
             "defects of this kind pass, and the part is among the good ones", "model or person did not see it",
             "Find the part and tell the quality engineer.", 1, _QUALITY),
    AlarmRow("record", ABSENT, _ABSENCE, _M, "Recording does not answer",
             "nothing is kept; waiting parts cannot be decided",
             "the service stopped or hangs", WAIT, 3, _MAINTENANCE),
    AlarmRow("record", "database", _COMPONENT, _M, "Database disturbed", "what happens now may not be kept",
             "disk full, or a damaged file", SPACE, 10, _MAINTENANCE, follows=("record.disk",)),
    AlarmRow("record", "store_failed", _MESSAGE, _M, "Database disturbed", "what happens now may not be kept",
             "disk full, or a damaged file", SPACE, 10, _MAINTENANCE, point="database"),
    AlarmRow("record", "facts_lost", _MESSAGE, _M, "Records lost", "these parts have no evidence",
             "recording was down too long", QUALITY, 60, _QUALITY, follows=("record.database", f"record.{ABSENT}")),
    AlarmRow("record", "review", _COMPONENT, _M, "Too many parts wait", "further parts go into quarantine",
             "more doubt than people", SHARE, 10, _LEAD),
    AlarmRow("record", "review_full", _MESSAGE, _M, "Too many parts wait", "further parts go into quarantine",
             "more doubt than people", SHARE, 10, _LEAD, point="review"),
    AlarmRow("record", "disk", _COMPONENT, _L, "Disk nearly full", "no picture is kept; rows still are",
             "pictures of many parts, or another program", SPACE, 60, _MAINTENANCE),
    AlarmRow("record", "images", _COMPONENT, _L, "Pictures not kept", "these parts have no picture",
             "disk space or load", SPACE, 60, _MAINTENANCE, follows=("record.disk",), hidden_by=("record.disk",)),
    AlarmRow("record", "image_not_kept", _MESSAGE, _L, "Pictures not kept", "these parts have no picture",
             "disk space or load", SPACE, 60, _MAINTENANCE, point="images"),
    AlarmRow("record", "fact_refused", _MESSAGE, _L, "Contradicting record refused", "the first record stands",
             "two services told differently of one part", QUALITY, 240, _QUALITY),
    AlarmRow("record", "review_expired", _MESSAGE, _L, "Parts waited too long", "they are in quarantine",
             "nobody decided them in time", SHARE, 60, _LEAD, follows=("record.review",)),
)  # fmt: skip

ROWS = (*_LINE, *_CAMERAS, *_JUDGE, *_RECORD, *PLANT)
"""Every alarm of the station, once."""

UNKNOWN = {Source.ABSENCE: "Service does not answer", Source.MESSAGE: "Alarm without instructions"}
"""Titles of what nobody rationalised."""

_BY_NAME = {(row.unit, row.kind): row for row in ROWS}


def row_of(unit: str, kind: str) -> AlarmRow:
    """Give the row of an alarm; one that nobody rationalised is of low priority, and says so."""
    service = unit.partition("@")[0]
    found = _BY_NAME.get((service, kind))
    if found is not None:
        return found
    source = Source.ABSENCE if kind == ABSENT else Source.MESSAGE
    title = UNKNOWN[source]
    return AlarmRow(service, kind, source, _L, title, "", "", CALL, 60, _MAINTENANCE)
