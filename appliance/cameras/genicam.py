"""Open, set up and run one GenICam camera through Harvester and GenApi; the only importer of either.

Control goes this way; frames do not: they pass `gentl.Stream`, which calls the same loaded producer.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genicam import genapi, gentl
from harvesters.core import Harvester, ParameterKey, ParameterSet

from appliance.cameras.chunks import ChunkReader, chunk_fields
from appliance.cameras.gentl import Stream, check_loadable
from appliance.cameras.harvester_private import (
    check_versions,
    destroy,
    device_description,
    loaded_producers,
    stream_handles,
)
from appliance.cameras.messages import CameraOpened, TimeLatched
from appliance.cameras.settings import CHUNKS, Command, Setting, Value, agrees, limit_of, steps_of
from appliance.config import Camera
from appliance.ports.clock import Clock
from appliance.schema.clocks import CameraNs
from appliance.schema.errors import CameraError, ConfigError

_ERRORS = (genapi.GenericException, gentl.GenericException)
_ABSENT = (genapi.EAccessMode.NI, genapi.EAccessMode.NA)
_TAKEN = {
    gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_BUSY: "is busy",
    gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_NOACCESS: "allows no access",
    gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_READONLY: "is held by another program",
    gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_OPEN_READWRITE: "is open already",
    gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_OPEN_READONLY: "is open already",
}


class Producer:
    """Hold one loaded GenTL producer; one a process, since a second sees no devices. One thread."""

    def __init__(self, name: str, path: str) -> None:
        check_versions()
        self._name = name
        self._path = str(Path(path).resolve())
        quiet = logging.getLogger(f"{__name__}.harvesters")
        quiet.propagate = False  # what matters is raised here, with a remedy
        quiet.addHandler(logging.NullHandler())
        self._harvester = Harvester(config=ParameterSet({ParameterKey.LOGGER: quiet}))
        self._harvester.add_file(self._path)

    def open(self, camera: Camera, clock: Clock) -> "GenicamSession":
        """Look for the camera anew, open and set it up; blocks for as long as that takes.

        CameraError and ConfigError name what is wrong and what to do about it. Earlier sessions must be closed.
        """
        device = self._find(camera)
        try:
            acquirer = self._harvester.create(device)
        except _ERRORS as error:
            raise CameraError(
                f"camera {self._name}: serial {camera.serial} cannot be opened: {_text(error)}; "
                "end the program that holds it, or power-cycle the camera"
            ) from error
        try:
            return GenicamSession(self._name, self._path, camera, acquirer, clock)
        except BaseException:
            destroy(acquirer)
            raise

    def seen(self) -> list[dict[str, str]]:
        """Tell vendor, model, serial, user id and access of every device the producer sees; blocks while it looks.

        CameraError and ConfigError name a producer that is missing or does not start.
        """
        self._look()
        return [
            {
                "vendor": str(_tell(device, "vendor")),
                "model": str(_tell(device, "model")),
                "serial": str(_tell(device, "serial_number")),
                "user_id": str(_tell(device, "user_defined_name")),
                "access": _TAKEN.get(_tell(device, "access_status"), "is free"),
            }
            for device in self._harvester.device_info_list
        ]

    def close(self) -> None:
        """Unload everything."""
        self._harvester.reset()

    def _look(self) -> None:
        if not Path(self._path).is_file():
            raise ConfigError(
                f"camera {self._name}: producer {self._path} does not exist; install the camera's software or correct "
                f"camera.{self._name}.producer"
            )
        wrong = check_loadable(self._path)
        if wrong:
            raise ConfigError(
                f"camera {self._name}: producer {self._path} cannot be loaded: {wrong}; install this machine's"
            )
        self._harvester.update()
        if not loaded_producers(self._harvester):
            raise CameraError(f"camera {self._name}: producer {self._path} does not start; reinstall it")

    def _find(self, camera: Camera) -> Any:
        self._look()
        devices = {_tell(device, "serial_number"): device for device in self._harvester.device_info_list}
        if camera.serial not in devices:
            seen = ", ".join(sorted(map(str, devices))) or "none"
            raise CameraError(
                f"camera {self._name}: serial {camera.serial} is not connected, serials seen are: {seen}; "
                f"check cable and power, or correct camera.{self._name}.serial"
            )
        device = devices[camera.serial]
        status = _tell(device, "access_status")
        if status in _TAKEN:
            raise CameraError(
                f"camera {self._name}: serial {camera.serial} {_TAKEN[status]}; "
                "end the program that holds it, or power-cycle the camera"
            )
        return device


class GenicamSession:
    """Hold one open camera from its set-up to its close. One thread, but for `stream`."""

    def __init__(self, name: str, path: str, camera: Camera, acquirer: Any, clock: Clock) -> None:
        self._name = name
        self._acquirer = acquirer
        self._nodes = acquirer.remote_device.node_map
        self._clock = clock
        try:
            absent = self._apply(camera)
            fields = chunk_fields(device_description(acquirer), tuple(f"Chunk{chunk}" for chunk in CHUNKS))
            self.opened = CameraOpened(
                str(acquirer.device.model),
                camera.serial,
                self._payload_bytes(),
                absent,
                self._find("TimestampLatch") is not None and self._find("TimestampLatchValue") is not None,
            )
            self.transport = str(acquirer.device.tl_type)
            self.stream = Stream(path, *stream_handles(acquirer), ChunkReader(fields))
        except _ERRORS as error:
            raise CameraError(f"camera {name}: set-up failed: {_text(error)}; check cable and power") from error

    def start(self) -> None:
        """Lock the settings and let the camera expose; the stream runs already."""
        with self._named("AcquisitionStart"):
            self._set_lock(1)
            self._nodes.AcquisitionStart.execute()

    def stop(self) -> None:
        """Let the camera expose no more; a lost camera is left as it is."""
        with contextlib.suppress(*_ERRORS):
            self._nodes.AcquisitionStop.execute()
            self._set_lock(0)

    def trigger(self) -> None:
        """Take one frame."""
        if self._find("TriggerSoftware") is None:
            return
        with self._named("TriggerSoftware"):
            self._nodes.TriggerSoftware.execute()

    def latch(self) -> TimeLatched | None:
        """Read the camera's clock; None when it has no latch. Blocks for one round trip."""
        if not self.opened.can_latch:
            return None
        with self._named("TimestampLatch"):
            sent = self._clock.now()
            self._nodes.TimestampLatch.execute()
            received = self._clock.now()
            return TimeLatched(sent, received, CameraNs(self._nodes.TimestampLatchValue.value))

    def close(self) -> None:
        """Give the camera back; the stream must be stopped."""
        with contextlib.suppress(*_ERRORS):  # a camera that is gone cannot be told so
            destroy(self._acquirer)

    def _apply(self, camera: Camera) -> tuple[str, ...]:
        """Write all settings and read each back; gives the names of those the camera does not have."""
        absent = []
        for step in steps_of(camera):
            name = step.name if isinstance(step, Command) else step.names[0]
            selector, _, entry = step.selector.partition("=")
            with self._named(name):
                if selector and not self._select(selector, entry):
                    absent.append(f"{name}[{entry}]")
                elif isinstance(step, Command):
                    self._execute(step.name)
                elif not self._write(step):
                    absent.append(name)
        return tuple(absent)

    def _execute(self, name: str) -> None:
        node = self._find(name)
        if node is not None:
            node.execute()

    def _select(self, selector: str, entry: str) -> bool:
        node = self._find(selector)
        if node is None or entry not in node.symbolics:
            return False
        node.value = entry
        return True

    def _write(self, setting: Setting) -> bool:
        found = next(((name, node) for name in setting.names if (node := self._find(name)) is not None), None)
        if found is None:
            if setting.required:
                raise CameraError(f"camera {self._name}: has no {setting.names[0]}, it is needed; use another camera")
            return False
        name, node = found
        wanted = setting.value
        self._check_limits(name, node, wanted, setting.unit)
        if not agrees(wanted, node.value):
            node.value = wanted
        got = node.value
        if not agrees(wanted, got):
            raise ConfigError(
                f"camera {self._name}: {name} reads {got} after {wanted} {setting.unit} was written; "
                f"set camera.{self._name} to a value it keeps"
            )
        return True

    def _check_limits(self, name: str, node: Any, wanted: Value, unit: str) -> None:
        limit = ""
        if isinstance(node, genapi.IEnumeration):
            entries = [entry for entry in node.symbolics if _is_available(node, entry)]
            limit = "" if wanted in entries else "one of " + ", ".join(entries)
        elif isinstance(node, genapi.IInteger) and isinstance(wanted, int):
            limit = limit_of(wanted, node.min, node.max, node.inc)
        elif isinstance(node, genapi.IFloat) and isinstance(wanted, int | float):
            limit = limit_of(wanted, node.min, node.max, 0)
        if limit:
            raise ConfigError(
                f"camera {self._name}: {name} {wanted} {unit}".rstrip() + f", limit is {limit}; "
                f"correct [camera.{self._name}] in the station's file"
            )

    def _payload_bytes(self) -> int:
        stream = self._acquirer.data_streams[0]
        return int(stream.payload_size if stream.defines_payload_size() else self._nodes.PayloadSize.value)

    def _set_lock(self, value: int) -> None:
        node = self._find("TLParamsLocked")
        if node is not None:
            node.value = value

    def _find(self, name: str) -> Any | None:
        """Give a feature that this camera has and allows at present."""
        node = self._nodes.get_node(name) if self._nodes.has_node(name) else None
        if node is None:
            return None
        feature = getattr(self._nodes, name)
        return None if feature.get_access_mode() in _ABSENT else feature

    @contextlib.contextmanager
    def _named(self, feature: str) -> Iterator[None]:
        try:
            yield
        except _ERRORS as error:
            raise CameraError(
                f"camera {self._name}: {feature} failed: {_text(error)}; check cable and power, then its settings"
            ) from error


def _tell(device: Any, name: str) -> Any:
    """Ask a device in a list for one fact; None when its producer does not tell it."""
    try:
        return getattr(device, name)
    except _ERRORS:
        return None


def _is_available(node: Any, entry: str) -> bool:
    return node.get_entry_by_name(entry).get_access_mode() not in _ABSENT


def _text(error: Exception) -> str:
    """Give the first line of a library's message."""
    lines = str(error).splitlines() or [""]
    return lines[0].strip() or type(error).__name__
