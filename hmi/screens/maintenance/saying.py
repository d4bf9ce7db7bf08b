"""Put into words what the maintenance screen shows. No Qt."""

import math
from collections.abc import Iterable
from typing import Any, Final, Protocol

from appliance.config import Camera, Config
from appliance.imaging.photometry import MOST_SATURATED, Reference, drift, evenness
from appliance.schema.clocks import S, UtcNs
from appliance.schema.command import TriedOutput
from appliance.schema.health import Component, Condition
from appliance.schema.line import LineState, Wires
from hmi.header import Speaks
from hmi.screens.maintenance.camera_aid import Advice, Look
from hmi.screens.maintenance.check_run import Found
from hmi.screens.maintenance.machine import Machine, resident_mb
from hmi.screens.maintenance.plc_names import CONTROL, STATUS, signals
from hmi.state import Presence, Service, StationState

Row = dict[str, Any]


class Tells(Speaks, Protocol):
    """What words are asked for here."""

    def moment(self, utc_ns: int) -> str:
        """Write date, hour and minute."""
        ...


WORD: Final = {
    Condition.OK: "good",
    Condition.STARTING: "starting",
    Condition.DEGRADED: "degraded",
    Condition.FAILED: "failed",
}
MOST_BLACK: Final = 0.01
"""A dark corner of the scene is none of a technician's cares."""

SILENT: Final = "silent"
COLOUR: Final = {"red": "Red", "green": "Green", "blue": "Blue", "grey": "Grey"}
OUTPUT: Final = {
    TriedOutput.GATE_ACCEPT: ("Gate to accept", "the gate moves"),
    TriedOutput.CAMERA0: ("Camera and lamp: {camera}", "one flash"),
    TriedOutput.CAMERA1: ("Camera and lamp: {camera}", "one flash"),
    TriedOutput.RUN_PERMIT: ("Run permit", "the belt may start"),
}
FIELDS: Final = (
    ("Part sensor", "parts"),
    ("Gate sensor", "gate_edges"),
    ("Encoder", "encoder"),
    ("Run permit", "run_permit"),
    ("Microcontroller", "state"),
    ("Latched fault", "fault"),
    ("Clock error", "clock"),
    ("Belt until empty", "way"),
    ("Missed at gate", "missing"),
    ("Extra at gate", "extra"),
    ("Encoder errors", "encoder_errors"),
    ("Flashes withheld", "strobes_refused"),
    ("Bad frames", "damaged"),
    ("Lost frames", "dropped"),
)
BAD: Final = frozenset({"missing", "extra", "encoder_errors", "strobes_refused", "damaged", "dropped"})
COMPUTER: Final = ("Memory", "Disk", "Load", "Running since")
SAYS: Final = (
    "Check", "Cameras", "Inputs and outputs", "Services", "Lamp or camera exchanged", "Gate does not move",
    "After a repair", "Planned maintenance", "good", "starting", "degraded", "failed", "silent", "Red", "Green", "Blue",
    "Grey", "Gate to accept", "the gate moves", "Camera and lamp: {camera}", "one flash", "Run permit",
    "the belt may start", "Part sensor", "Gate sensor", "Encoder", "Microcontroller", "Latched fault",
    "Clock error", "Belt until empty", "Missed at gate", "Extra at gate", "Encoder errors",
    "Flashes withheld", "Bad frames", "Lost frames", "Memory", "Disk", "Load", "Running since",
)  # fmt: skip
"""Texts of tables, here and in the view; a test compares them."""


def check_rows(found: Found | None, words: Speaks) -> list[Row]:
    """Give every component of a check, the worst first."""
    if found is None:
        return []
    order = list(Condition)
    worst_first = sorted(found.components, key=lambda item: -order.index(item.condition))
    return [_component(item, words) for item in worst_first]


def check_text(found: Found | None, now: UtcNs, words: Speaks) -> str:
    """Say when the last check was, and how it ended."""
    if found is None:
        return words.tr("No check was run yet")
    if found.fault:
        return found.fault
    bad = sum(item.condition is not Condition.OK for item in found.components)
    if bad:
        said = words.tr("{bad} of {all} need attention").format(bad=bad, all=len(found.components))
    else:
        said = words.tr("All {all} are good").format(all=len(found.components))
    return words.tr("{said}, {age} ago").format(said=said, age=words.span(max(0.0, (now - found.at) / S)))


def channel_rows(look: Look | None, words: Speaks) -> list[Row]:
    """Give each channel's histogram, heights 0 to 1 by the root of the share, and what is clipped in it."""
    rows = []
    for one in look.channels if look is not None else ():
        highest = max(one.histogram) or 1.0
        clipped = [words.tr("{share} white").format(share=words.percent(one.saturated))]
        if one.black > MOST_BLACK:
            clipped.append(words.tr("{share} black").format(share=words.percent(one.black)))
        rows.append(
            {
                "name": words.tr(COLOUR[one.name]),
                "bars": [round(math.sqrt(share / highest), 3) for share in one.histogram],
                "text": " · ".join(clipped),
                "bad": one.saturated > MOST_SATURATED,
            }
        )
    return rows


def focus_texts(look: Look | None, peak: float, reference: Reference | None, words: Speaks) -> Row:
    """Say how sharp the picture is against the best since the peak was begun, and against the reference."""
    now = look.focus if look is not None else 0.0
    share = now / peak if peak > 0 else 0.0
    best = words.tr("{share} of the best").format(share=words.percent(share, 0)) if peak > 0 else "-"
    if reference is None or reference.focus <= 0 or look is None:
        kept = words.tr("no reference is kept")
    else:
        kept = words.tr("{share} of the reference").format(share=words.percent(now / reference.focus, 0))
    return {"focus": min(share, 1.0), "focusText": best, "focusKept": kept}


def exposure_texts(look: Look | None, advised: Advice | None, camera: Camera, words: Speaks) -> Row:
    """Say which value to set in the station file; nothing is changed from here."""
    if look is None or advised is None:
        return {"exposure": words.tr("No picture was measured yet"), "blur": "", "adjust": False}
    if advised.wish == advised.now:
        said = words.tr("Exposure is right")
    else:
        said = words.tr("Set {key} = {wish} (now {now})").format(
            key=advised.key, wish=_plain(advised.wish), now=_plain(advised.now)
        )
    way = advised.blur_mm / camera.mm_per_px if camera.mm_per_px > 0 else 0.0
    blur = words.tr("parts move {mm} mm").format(mm=words.number(advised.blur_mm, 2))
    if way:
        blur = words.tr("parts move {px} px").format(px=words.number(way, 1))
    return {"exposure": said, "blur": blur, "adjust": advised.wish != advised.now}


def light_texts(look: Look | None, reference: Reference | None, words: Tells) -> Row:
    """Say how even the light is, and how much of it there is, against the reference."""
    if look is None:
        return {"light": "-", "lightKept": ""}
    even = evenness(look.light, reference.light if reference is not None else None)
    shown = words.tr("{share} even").format(share=words.percent(even, 0)) if not math.isnan(even) else "-"
    if reference is None:
        return {"light": shown, "lightKept": words.tr("show a white sheet")}
    kept = words.tr("against {person}, {moment}").format(person=reference.person, moment=words.moment(reference.at))
    amount = drift(look.light, reference.light)
    if (look.exposure_us, look.gain_db) == (reference.exposure_us, reference.gain_db) and not math.isnan(amount):
        shown += " · " + words.tr("{share} of the light").format(share=words.percent(amount, 0))
    return {"light": shown, "lightKept": kept}


def wire_rows(wires: Wires | None, before: Wires | None, counts_per_mm: float, words: Speaks) -> list[Row]:
    """Give each input with its value; `moved`: it differs from what was told before, `bad`: it should be 0."""
    return [
        {
            "name": name,
            "caption": words.tr(caption),
            "value": _wire(wires, name, counts_per_mm, words) if wires is not None else "-",
            "moved": wires is not None and before is not None and _raw(wires, name) != _raw(before, name),
            "bad": wires is not None and name in BAD and _raw(wires, name) > 0,
        }
        for caption, name in FIELDS
    ]


def plc_rows(line: LineState | None) -> list[Row]:
    """Give the bits and values between appliance and PLC, by the names of the PLC's program."""
    if line is None:
        return []
    pairs = (("arrow-left", signals(line.control, CONTROL)), ("arrow-right", signals(line.words, STATUS)))
    return [
        {"name": item.name, "way": way, "bit": item.is_bit, "on": bool(item.value), "value": str(item.value)}
        for way, found in pairs
        for item in sorted(found, key=lambda item: not item.is_bit)
    ]


def output_rows(config: Config, words: Speaks) -> list[Row]:
    """Give the outputs that this station has."""
    cameras = {TriedOutput(f"camera{camera.mcu_line}"): name for name, camera in config.camera.items()}
    rows = []
    for output, (text, caption) in OUTPUT.items():
        is_camera = output in (TriedOutput.CAMERA0, TriedOutput.CAMERA1)
        if not is_camera or output in cameras:
            said = words.tr(text).format(camera=cameras.get(output, ""))
            rows.append({"name": output.value, "text": said, "caption": words.tr(caption)})
    return rows


def held_text(person: str, line: LineState, words: Speaks) -> str:
    """Say who holds the line, and what was tried last; each kept in one piece within a sentence of either direction."""
    said = words.tr("{person} tries outputs: nothing is inspected").format(person=f"\u2068{person}\u2069")
    return f"{said} · \u2068{line.test}\u2069" if line.test else said


def service_rows(state: StationState, words: Speaks) -> list[Row]:
    """Give every unit: how it is, since when it is silent, its process, and the first thing that is wrong with it."""
    return [_service(unit, words) for unit in sorted(state.services.values(), key=lambda unit: not unit.absent)]


def machine_rows(found: Machine | None, words: Speaks) -> list[Row]:
    """Give the computer's figures."""
    if found is None:
        return []
    of = words.tr("{free} of {all} GB free")
    values = (
        of.format(free=_gb(found.memory_free_mb, words), all=_gb(found.memory_mb, words)),
        of.format(free=_gb(found.disk_free_mb, words), all=_gb(found.disk_mb, words)),
        words.tr("{load} on {cores} cores").format(
            load="-" if math.isnan(found.load) else words.number(found.load, 1), cores=found.cores
        ),
        words.span(found.up_s),
    )
    said: list[Row] = [
        {"caption": words.tr(caption), "value": value} for caption, value in zip(COMPUTER, values, strict=True)
    ]
    versions = "  ".join(f"{name}\u00a0{value or '-'}" for name, value in found.versions)
    return [*said, {"caption": words.tr("Versions"), "value": versions}]


def _component(item: Component, words: Speaks) -> Row:
    return {
        "name": item.name,
        "state": item.condition.value,
        "word": words.tr(WORD[item.condition]),
        "cause": item.cause,
        "remedy": item.remedy,
    }


def _service(unit: Service, words: Speaks) -> Row:
    health = unit.health
    worst = _worst(health.components) if health is not None else None
    silent = unit.presence is Presence.ABSENT
    awaited = unit.presence is Presence.AWAITED
    told = words.tr("said {age} ago").format(age=words.span(unit.silent_s)) if health is not None else ""
    pid = health.pid if health is not None and not silent else 0
    process = words.tr("process {pid}, {mb} MB").format(pid=pid, mb=resident_mb(pid)) if pid else ""
    return {
        "name": unit.unit,
        "state": SILENT if silent else "starting" if awaited else str(unit.condition),
        "word": words.tr(
            SILENT if silent else "starting" if awaited or unit.condition is None else WORD[unit.condition]
        ),
        "told": " · ".join(filter(None, (told, process))),
        "cause": worst.cause if worst is not None and not silent else "",
        "remedy": f"systemctl restart firstshift-{unit.unit}" if silent else worst.remedy if worst is not None else "",
    }


def _worst(components: Iterable[Component]) -> Component | None:
    order = list(Condition)
    bad = [item for item in components if item.condition is not Condition.OK]
    return max(bad, key=lambda item: order.index(item.condition)) if bad else None


def _raw(wires: Wires, name: str) -> int:
    if name == "clock":
        return wires.clock_error_ns
    if name == "way":
        return wires.way_left
    value = getattr(wires, name)
    return value if isinstance(value, int) else hash(value)


def _wire(wires: Wires, name: str, counts_per_mm: float, words: Speaks) -> str:
    match name:
        case "state" | "fault":
            return str(getattr(wires, name))
        case "run_permit":
            return words.tr("on") if wires.run_permit else words.tr("off")
        case "clock":
            return f"± {words.number(wires.clock_error_ns / 1000, 0)} µs" if wires.clock_error_ns >= 0 else "-"
        case "way":
            return f"{words.number(wires.way_left / counts_per_mm)} mm" if wires.way_left >= 0 else "-"
        case "encoder":
            return f"{words.number(wires.encoder / counts_per_mm)} mm"
    return words.number(_raw(wires, name))


def _plain(value: float) -> str:
    """Write a value as the station file takes it."""
    return f"{value:g}" if value < 1e6 else f"{value:.0f}"


def _gb(mb: int, words: Speaks) -> str:
    return words.number(mb / 1000, 1)
