"""Let maintenance check the station, look through its cameras, see its wires and try its outputs."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from PySide6.QtCore import Property, QObject, Signal, Slot
from PySide6.QtGui import QImage

from appliance.config import environment
from appliance.governance.rights import Right
from appliance.imaging.photometry import Reference
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import BeginTests, EndTests, RefusedReply, Reply, TriedOutput, TryOutput
from appliance.schema.frame import FrameName
from appliance.schema.line import Wires
from hmi.darkroom import name_of
from hmi.desk import FOLDER
from hmi.screens.maintenance import saying, zebra_layer
from hmi.screens.maintenance.camera_aid import Look, advice, keep_references, look, read_references
from hmi.screens.maintenance.check_run import CheckRun, check_command, last_found
from hmi.screens.maintenance.machine import Machine, machine
from hmi.screens.told import Told
from hmi.session import Answer

TABS: Final = {
    "check": ("Check", "check-list"),
    "camera": ("Cameras", "camera"),
    "wires": ("Inputs and outputs", "wrench"),
    "services": ("Services", "run"),
}
REASONS: Final = ("Lamp or camera exchanged", "Gate does not move", "After a repair", "Planned maintenance")
LOOK_NS: Final = 300 * MS
"""Time between two measured frames: a hand on a lens follows 3 a second, and inspection keeps its cores."""
MACHINE_NS: Final = 2 * S
FLASH_NS: Final = 1 * S
"""A value that moved is marked so long."""
GATE_MS: Final = 400
CAMERA_MS: Final = 1
PERMIT_MS: Final = 500
LASTS: Final = {TriedOutput.GATE_ACCEPT: GATE_MS, TriedOutput.RUN_PERMIT: PERMIT_MS}

zebra_layer.register()


class MaintenanceView(QObject):
    """Hold what the maintenance screen shows."""

    cleared = Signal()
    """The pads are to be emptied."""

    changed = Signal()
    tabsChanged = Signal()  # noqa: N815  QML's way, as below
    componentsChanged = Signal()  # noqa: N815
    camerasChanged = Signal()  # noqa: N815
    channelsChanged = Signal()  # noqa: N815
    wiresChanged = Signal()  # noqa: N815
    plcChanged = Signal()  # noqa: N815
    outputsChanged = Signal()  # noqa: N815
    servicesChanged = Signal()  # noqa: N815
    machineChanged = Signal()  # noqa: N815
    reasonsChanged = Signal()  # noqa: N815
    linesChanged = Signal()  # noqa: N815
    zebraChanged = Signal()  # noqa: N815

    def __init__(self, desk: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._folder = desk.loaded.state / FOLDER
        self._told = Told()
        self._tab, self._panel, self._why, self._said = "check", "", "", ""
        self._busy = False
        self._reason = self._began_by = ""
        by_unit = environment("NOTIFY_SOCKET") is not None
        self._check = CheckRun(self._folder, check_command(desk.loaded.path), by_unit=by_unit)
        self._found = last_found(self._folder)
        self._camera = next(iter(desk.loaded.config.camera))
        self._look: Look | None = None
        self._looking: FrameName | None = None
        self._look_at = self._machine_at = HostNs(0)
        self._peak = 0.0
        self._references = dict(read_references(self._folder))
        self._zebra = QImage()
        self._machine: Machine | None = None
        self._wires: Wires | None = None
        self._before: Wires | None = None
        self._moved: dict[str, HostNs] = {}
        self._show()

    def _list(name: str, changed: Signal) -> Property:  # type: ignore[misc]  # noqa: N805
        return Property("QVariantList", lambda view: view._told.lists.get(name, []), notify=changed)  # type: ignore[arg-type]  # noqa: SLF001

    shown = Property("QVariantMap", lambda view: view._told.texts, notify=changed)  # type: ignore[arg-type]  # noqa: SLF001
    tabs = _list("tabs", tabsChanged)
    components = _list("components", componentsChanged)
    cameras = _list("cameras", camerasChanged)
    channels = _list("channels", channelsChanged)
    wires = _list("wires", wiresChanged)
    plc = _list("plc", plcChanged)
    outputs = _list("outputs", outputsChanged)
    services = _list("services", servicesChanged)
    machine = _list("machine", machineChanged)
    reasons = _list("reasons", reasonsChanged)
    lines = _list("lines", linesChanged)
    zebra = Property(QImage, lambda view: view._zebra, notify=zebraChanged)  # noqa: SLF001
    del _list

    def enter(self) -> None:
        """Look at once."""
        self._look_at = self._machine_at = HostNs(0)
        self.refresh()

    def leave(self) -> None:
        """End what was begun: a check that runs, and tests of outputs."""
        self._check.stop()
        self._close()
        if self._began_by and self._began_by == self._held_by:  # whether or not that session goes on
            self._desk.ask("line", EndTests(self._began_by), self._answered)
        self._began_by = ""

    def refresh(self) -> None:
        """Follow the check, the camera, the wires and the computer."""
        now = self._desk.now()
        found = self._check.poll(now, self._desk.utc())
        self._found = found or self._found
        if self._tab == "camera":
            self._measure(now)
        if self._tab == "services" and now >= self._machine_at:
            self._machine_at = HostNs(now + MACHINE_NS)
            self._machine = machine(self._desk.loaded.state)
        self._follow_wires(now)
        self._show()

    @Slot(str)
    def openTab(self, name: str) -> None:  # noqa: N802  QML's way
        """Show another page."""
        self._tab, self._said, self._looking = name, "", None
        self.refresh()

    @Slot()
    def check(self) -> None:
        """Run the check; it changes nothing and takes some seconds."""
        if self._desk.session.demand(Right.TEST_MACHINE):
            self._found = self._check.begin(self._desk.now(), self._desk.utc()) or self._found
        self._show()

    @Slot(str)
    def aim(self, camera: str) -> None:
        """Look through another camera."""
        if camera in self._desk.loaded.config.camera and camera != self._camera:
            self._camera, self._look, self._looking = camera, None, None
            self._peak, self._look_at = 0.0, HostNs(0)
            self._set_zebra(QImage())
        self._show()

    @Slot()
    def newPeak(self) -> None:  # noqa: N802  QML's way
        """Begin the best focus anew."""
        self._peak = self._look.focus if self._look is not None else 0.0
        self._show()

    @Slot()
    def keepReference(self) -> None:  # noqa: N802  QML's way
        """Remember how this camera sees its station now; the deed is audited."""
        seen = self._look
        if seen is None or not self._desk.session.demand(Right.TEST_MACHINE):
            return
        before = self._references.get(seen.camera)
        kept = Reference(
            seen.focus, seen.light, seen.exposure_us, seen.gain_db, self._desk.session.who, self._desk.utc()
        )
        fault = keep_references(self._folder, {**self._references, seen.camera: kept})
        if fault:
            self._said = fault
        else:
            self._references[seen.camera] = kept
            self._desk.note("camera_reference_kept", seen.camera, _worded(before), _worded(kept))
        self._show()

    @Slot()
    def holdLine(self) -> None:  # noqa: N802  QML's way
        """Begin tests of outputs: first the reason, then the PIN."""
        if self._desk.session.demand(Right.TEST_MACHINE):
            self._open("reason")

    @Slot(str)
    def reason(self, text: str) -> None:
        """Take the reason; empty: it is to be typed."""
        self._reason = text.strip()
        self._open("confirm" if self._reason else "words")

    @Slot(str)
    def give(self, pin: str) -> None:
        """Take the PIN of who tests."""
        self.cleared.emit()
        if self._panel == "confirm" and not self._busy:
            self._busy = True
            self._desk.session.confirm(pin, self._confirmed)
        self._show()

    @Slot()
    def back(self) -> None:
        """Change nothing."""
        self._close()
        self._show()

    @Slot(str)
    def tryOutput(self, name: str) -> None:  # noqa: N802  QML's way
        """Drive one output for a moment; the line has the last word."""
        if self._mine and self._desk.session.demand(Right.TEST_MACHINE):
            output = TriedOutput(name)
            wish = TryOutput(output, LASTS.get(output, CAMERA_MS), self._desk.session.who)
            self._desk.ask("line", wish, self._answered)

    @Slot()
    def endTests(self) -> None:  # noqa: N802  QML's way
        """Let the line work again; anybody may end what is held."""
        line = self._desk.state.line
        who = self._desk.session.who or (line.tested_by if line is not None else "")
        self._desk.ask("line", EndTests(who), self._answered)

    @property
    def _held_by(self) -> str:
        state = self._desk.state
        return "" if state.line is None or state.line_stale else state.line.tested_by

    @property
    def _mine(self) -> bool:
        return bool(self._held_by) and self._held_by == self._desk.session.who

    def _confirmed(self, answer: Answer) -> None:
        self._busy = False
        if not answer.right:
            self._why = answer.why
        elif self._panel == "confirm" and self._desk.session.demand(Right.TEST_MACHINE):
            self._began_by = self._desk.session.who
            self._desk.ask("line", BeginTests(self._began_by, self._reason), self._answered)
            self._close()
        self._show()

    def _answered(self, reply: Reply) -> None:
        self._said = reply.reason if isinstance(reply, RefusedReply) else ""
        self._show()

    def _measure(self, now: HostNs) -> None:
        """Have the newest frame measured on the desk's worker thread."""
        frame = self._desk.state.frames.get(self._camera)
        if frame is None or now < self._look_at or name_of(frame) == self._looking:
            return
        self._look_at, self._looking = HostNs(now + LOOK_NS), name_of(frame)
        self._desk.pictures.offer(frame)  # one that came before this page was shown
        self._desk.session.run(partial(look, self._desk.loaded.runtime, frame), self._looked)

    def _looked(self, found: Look | None) -> None:
        if found is None or found.camera != self._camera:
            return
        self._look, self._peak = found, max(self._peak, found.focus)
        self._set_zebra(zebra_layer.stripes(found.zebra) if found.zebra.any() else QImage())
        self._show()

    def _set_zebra(self, zebra: QImage) -> None:
        if not (zebra.isNull() and self._zebra.isNull()):
            self._zebra = zebra
            self.zebraChanged.emit()

    def _follow_wires(self, now: HostNs) -> None:
        line = self._desk.state.line
        told = line.wires if line is not None else None
        if told is not None and told is not self._wires:
            self._before, self._wires = self._wires, told
            rows = saying.wire_rows(told, self._before, self._per_mm, self._desk.words)
            self._moved |= {row["name"]: HostNs(now + FLASH_NS) for row in rows if row["moved"]}

    @property
    def _per_mm(self) -> float:
        return float(self._desk.loaded.config.mcu.counts_per_mm)

    def _open(self, panel: str) -> None:
        self._panel, self._why = panel, ""
        self.cleared.emit()
        self._show()

    def _close(self) -> None:
        self._panel, self._why, self._reason = "", "", ""
        self.cleared.emit()

    def _show(self) -> None:
        lists: dict[str, Any] = {
            "tabs": self.tabsChanged,
            "components": self.componentsChanged,
            "cameras": self.camerasChanged,
            "channels": self.channelsChanged,
            "wires": self.wiresChanged,
            "plc": self.plcChanged,
            "outputs": self.outputsChanged,
            "services": self.servicesChanged,
            "machine": self.machineChanged,
            "reasons": self.reasonsChanged,
            "lines": self.linesChanged,
        }
        tr = self._desk.words.tr
        values = {
            "tab": self._tab,
            "tabs": [{"name": name, "text": tr(text), "icon": icon} for name, (text, icon) in TABS.items()],
            "said": self._said,
            "rtl": bool(self._desk.words.rtl),
            **self._checked(),
            **self._seen(),
            **self._wired(),
            **self._panelled(tr),
        }
        on = self._tab == "services"
        values["services"] = saying.service_rows(self._desk.state, self._desk.words) if on else []
        values["machine"] = saying.machine_rows(self._machine, self._desk.words) if on else []
        values["wal"] = self._machine is not None and self._machine.wal_bug
        self._told.take(values, self.changed, lists)

    def _checked(self) -> dict[str, Any]:
        words = self._desk.words
        return {
            "running": self._check.running,
            "checked": saying.check_text(self._found, self._desk.utc(), words),
            "components": saying.check_rows(self._found, words),
        }

    def _seen(self) -> dict[str, Any]:
        words, config, state = self._desk.words, self._desk.loaded.config, self._desk.state
        camera, reference = config.camera[self._camera], self._references.get(self._camera)
        advised = (
            advice(self._camera, camera, config.mcu.belt_mm_s, self._look.factor) if self._look is not None else None
        )
        age = state.frame_ages_s.get(self._camera)
        cameras = list(config.camera)
        return {
            "camera": self._camera,
            "cameras": [{"name": name, "text": name} for name in cameras] if len(cameras) > 1 else [],
            "source": f"live:{self._camera}" if self._tab == "camera" else "",
            "channels": saying.channel_rows(self._look, words),
            "stale": words.tr("The newest picture is {age} old").format(age=words.span(age))
            if age is not None and state.frame_stale(self._camera)
            else "",
            "measured": self._look is not None,
            **saying.focus_texts(self._look, self._peak, reference, words),
            **saying.exposure_texts(self._look, advised, camera, words),
            **saying.light_texts(self._look, reference, words),
        }

    def _wired(self) -> dict[str, Any]:
        words, state, now = self._desk.words, self._desk.state, self._desk.now()
        line = state.line if not state.line_stale else None
        on = self._tab == "wires"
        rows = saying.wire_rows(line.wires if line is not None else None, None, self._per_mm, words) if on else []
        for row in rows:
            row["moved"] = self._moved.get(row["name"], 0) > now
        held = self._held_by
        return {
            "wires": rows,
            "plc": saying.plc_rows(line) if on else [],
            "outputs": saying.output_rows(self._desk.loaded.config, words) if on else [],
            "held": bool(held),
            "mine": self._mine,
            "heldText": saying.held_text(held, line, words) if line is not None and held else "",
            "may": self._desk.session.may(Right.TEST_MACHINE),
        }

    def _panelled(self, tr: Callable[[str], str]) -> dict[str, Any]:
        wait = self._desk.session.wait_s(self._desk.session.who) if self._panel == "confirm" else 0.0
        lines = [
            f"{tr('Reason')}: {tr(self._reason)}",
            tr("The line inspects nothing until the tests are ended; every part is rejected."),
            tr("Gate, lamp and belt may move: keep hands clear."),
        ]
        return {
            "panel": self._panel,
            "reasons": [{"name": text, "text": tr(text)} for text in REASONS] if self._panel == "reason" else [],
            "lines": lines if self._panel == "confirm" else [],
            "why": tr(self._why) if self._why else "",
            "wait": f"{int(wait) // 60}:{int(wait) % 60:02}" if wait > 0 else "",
            "busy": self._busy,
        }


def _worded(reference: Reference | None) -> str:
    if reference is None:
        return ""
    return f"focus {reference.focus:.3g}, {reference.exposure_us:g} us, {reference.gain_db:g} dB"
