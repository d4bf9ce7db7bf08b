"""Make up the people of a sample station, their second opinions, and the alarms of its last day."""

from collections.abc import Iterator

from msgspec import Struct

from appliance.governance.credentials import CHEAP, SALT_BYTES, badge_digest, secret_of
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.health import Alarm, AlarmDeed, AlarmStep
from appliance.schema.label import UNSURE, Label, LabelLevel, Purpose, Shown
from appliance.schema.part import PartId
from appliance.schema.person import Person, Role
from appliance.schema.topics import ALARM
from appliance.sim.hmi_history import AT, BOOT, HOST, Told, other, sample_id

PINS = {
    "o-anna": "4711",
    "o-ben": "5823",
    "l-clara": "6934",
    "q-dora": "7045",
    "m-emil": "8156",
    "a-frida": "9267",
    "x-gustav": "2378",
}
"""PINs of the sample's people by operator id."""

_NAMES = {
    "o-anna": ("Anna Berger", Role.OPERATOR, LabelLevel.CONFIRM, "en"),
    "o-ben": ("Ben Ortiz", Role.OPERATOR, LabelLevel.CONFIRM, "es"),
    "l-clara": ("Clara Weiß", Role.LEAD, LabelLevel.CLASSIFY, "de"),
    "q-dora": ("Dora Lindqvist", Role.QUALITY, LabelLevel.EXPERT, "en"),
    "m-emil": ("Emil Haddad", Role.MAINTENANCE, LabelLevel.CONFIRM, "ar"),
    "a-frida": ("Frida Chen", Role.ADMIN, LabelLevel.CONFIRM, "zh"),
    "x-gustav": ("Gustav Moreau", Role.AUDITOR, LabelLevel.CONFIRM, "en"),
}


def people() -> Iterator[Person]:
    """Yield the people of the sample station; the admin first, who enrols the others."""
    for number, operator in enumerate(sorted(PINS, key=lambda one: one != "a-frida")):
        name, role, level, language = _NAMES[operator]
        secret = secret_of(PINS[operator], operator.encode().ljust(SALT_BYTES, b".")[:SALT_BYTES], CHEAP)
        at = UtcNs(AT - 30 * 24 * 3600 * S + number * 60 * S)
        badge = badge_digest(f"BADGE-{operator}")
        yield Person(
            sample_id("person", number, at), operator, name, role, level, badge, secret, language, True, "a-frida", at
        )


def alarms() -> Iterator[tuple[str, Struct]]:
    """Yield alarms of the last day and what people did about them, oldest first."""
    seeded = PartId(BOOT, 640)
    rows = (
        (1380, "acquire@top", "frame_lost", "camera top: exposures 20311 to 20312 never came; check cable and load"),
        (760, "record", "review_full", "200 parts wait for a person, limit 200; decide some, or raise review_limit"),
        (310, "judge", "pairing_mismatch", "camera top: frame and trigger counts disagree; the count starts anew"),
        (42, "record", "seed_accepted", f"part {seeded} is a known dent, put there as a test, and was accepted"),
        (
            3,
            "acquire@top",
            "slots_exhausted",
            "camera top: no free slot for 2 exposures; raise slots",
        ),
    )
    for minutes, unit, kind, text in rows:
        yield ALARM + unit, Alarm(unit, kind, text, "", HostNs(HOST - minutes * 60 * S))
    for number, (minutes, unit, kind) in enumerate(
        ((1375, "acquire@top", "frame_lost"), (750, "record", "review_full"))
    ):
        at = UtcNs(AT - minutes * 60 * S)
        yield "alarm_step", AlarmStep(sample_id("step", number, at), unit, kind, AlarmDeed.ACKNOWLEDGED, "l-clara", at)


def more_labels(told: list[Told]) -> Iterator[Label]:
    """Yield second opinions on parts that people have decided: audits, contradictions, doubts, and how they ended."""
    seen = [item for item in told if any(isinstance(fact, Label) for _, fact in item.facts)]
    for number, item in enumerate(seen[:: max(1, len(seen) // 24)]):
        first = next(fact for _, fact in item.facts if isinstance(fact, Label))
        person = "o-ben" if first.person != "o-ben" else "o-anna"
        wrong = number % 6 in {1, 4}
        kind = (UNSURE if number % 12 == 7 else other(first.kind)) if wrong else first.kind
        at = UtcNs(first.at + 1800 * S)
        audit = _label("audit", item, person, kind, at, LabelLevel.CONFIRM, Purpose.AUDIT, 7.5, shown=False)
        yield audit
        if number % 12 == 1:
            later, level = UtcNs(at + 3600 * S), LabelLevel.CLASSIFY
            yield _label("settle", item, "q-dora", item.kind, later, level, Purpose.DISAGREEMENT, 41.0, shown=True)


def _label(
    word: str,
    item: Told,
    person: str,
    kind: str,
    at: UtcNs,
    level: LabelLevel,
    purpose: Purpose,
    seconds: float,
    *,
    shown: bool,
) -> Label:
    said = Shown(item.disposition.value) if shown else None
    name = sample_id(word, item.part.number, at)
    return Label(name, item.part, level, person, kind, seconds, shown, at, purpose, shown=said, terminal="line-1")
