"""Say how a service is doing, in words a technician can act on."""

from enum import StrEnum

from msgspec import Struct

from appliance.schema.clocks import HostNs, UtcNs


class Condition(StrEnum):
    """Order how a component is doing, worst last."""

    OK = "ok"
    STARTING = "starting"
    DEGRADED = "degraded"
    FAILED = "failed"


class Component(Struct, frozen=True):
    """State one component's condition with its cause and remedy."""

    name: str
    condition: Condition
    cause: str = ""
    remedy: str = ""


class Health(Struct, frozen=True, tag=True):
    """State a service's health. Topic `status.<unit>`, written by that unit, at every change and once a second."""

    unit: str
    condition: Condition
    components: tuple[Component, ...]
    progress: int
    """Grows with real work or a real idle check; the watchdog is fed only when it grew."""
    at: HostNs
    pid: int = 0
    recipe_hash: int = 0
    """First 32 bit of SHA-256 of the recipe that the unit runs; 0: it depends on none."""


class Alarm(Struct, frozen=True, tag=True):
    """State that someone must act. Topic `alarm.<unit>`."""

    unit: str
    kind: str
    """Stable name, for example `pairing_mismatch`."""
    text: str
    part: str = ""
    at: HostNs = HostNs(0)


class AlarmDeed(StrEnum):
    """Say what a person did about an alarm (ISA-18.2)."""

    ACKNOWLEDGED = "acknowledged"
    SHELVED = "shelved"
    UNSHELVED = "unshelved"
    OUT_OF_SERVICE = "out_of_service"
    IN_SERVICE = "in_service"


class AlarmStep(Struct, frozen=True, tag=True):
    """State what a person did about an alarm; kept by `record`, on no topic."""

    step_id: str
    """UUID version 7."""
    unit: str
    kind: str
    """With `unit` it names the alarm."""
    deed: AlarmDeed
    person: str
    at: UtcNs
    until: UtcNs = UtcNs(0)
    """End of shelving; 0: none."""
    why: str = ""
