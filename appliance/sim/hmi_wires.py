"""Give what the sample station's wires say, and what its last check found."""

from pathlib import Path

import msgspec

from appliance.outputs.plc.registers import (
    Control,
    ControlBit,
    State,
    Status,
    StatusBit,
    pack_control,
    pack_status,
)
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.health import Component, Condition
from appliance.schema.line import Wires
from hmi.desk import FOLDER
from hmi.screens.maintenance.check_run import FILE, Found

BOOT = 0x5EED
SESSION = 1
STATUS = pack_status(
    Status(
        bits=StatusBit.ONLINE | StatusBit.TRIGGER_READY | StatusBit.EXPOSING | StatusBit.BUSY,
        state=State.ACQUIRING,
        session=SESSION,
        entered_boot=BOOT,
        entered_number=770,
        active_recipe=1,
    )
)
CONTROL = pack_control(Control(bits=ControlBit.ENABLE, session_echo=SESSION, ack_sequence=769))
CHECKED_BEFORE = 25 * 60 * S

COMPONENTS = (
    Component("configuration", Condition.OK, "station.toml, recipe day-one, digest 5f0c31a9e2b7"),
    Component("bundle", Condition.OK, "sha256:2f6d0c91be47 anomaly, openvino f32"),
    Component("runtime folder", Condition.OK, "/run/firstshift on tmpfs, frame rings need 20 MB of 806 MB"),
    Component("producer of top", Condition.OK, "/opt/vendor/lib/producer.cti"),
    Component("kernels", Condition.OK, "libkernels.so"),
    Component("processor", Condition.OK, "computes in f32"),
    Component(
        "state folder",
        Condition.DEGRADED,
        "/var/lib/firstshift has 1820 MB free, images are kept above 512 MB",
        "free disk space soon: export and remove old images",
    ),
    Component("sqlite", Condition.OK, "3.51.3"),
    Component("mcu", Condition.OK, "armed, boot 00005eed"),
    Component(
        "mqtt",
        Condition.FAILED,
        "127.0.0.1:1883: connection refused",
        "start the broker or correct [mqtt] host and port",
    ),
)


def wires(now: HostNs, parts: int) -> Wires:
    """Give what the microcontroller says after so many parts."""
    return Wires(
        at=now,
        boot=BOOT,
        state="armed",
        fault="none",
        tick=now // 1000,
        clock_error_ns=38_000,
        encoder=parts * 1000,
        parts=parts,
        gate_edges=parts - 1,
        accepts=parts - 41,
        rejects=40,
        missing=0,
        extra=0,
        encoder_errors=0,
        strobes_refused=0,
        damaged=2,
        stale=0,
        dropped=0,
        late=0,
        run_permit=True,
        way_left=3600,
    )


def leave_check(state: Path, at: UtcNs) -> None:
    """Write what the last check found, as the touchscreen keeps it."""
    folder = state / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    found = Found(UtcNs(at - CHECKED_BEFORE), 3.4, COMPONENTS)
    (folder / FILE).write_bytes(msgspec.json.encode(found))
