"""Know which part belongs to which client's job, and when all its images were taken; pure."""

from collections import OrderedDict
from typing import TypeVar

import msgspec

from appliance.outputs.opcua.messages import AcquisitionDone, ResultReady
from appliance.outputs.part_report import PARTS_HELD
from appliance.schema.clocks import UtcNs
from appliance.schema.command import StartJob
from appliance.schema.line import JobMode, LineState
from appliance.schema.part import PartEntered, PartExposed, PartId

JOBS_HELD = 64
"""Jobs whose names are remembered: a part may be on the belt long after its job has ended."""


_Held = TypeVar("_Held")


class Jobs:
    """Follow the line's jobs from part sensor to gate."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, StartJob] = OrderedDict()
        self._parts: OrderedDict[PartId, str] = OrderedDict()
        self._waiting: OrderedDict[PartId, set[str]] = OrderedDict()
        self._running = ""
        self._mode = JobMode.IDLE
        self._taken = ""
        """Single job that has its part."""

    def start(self, job: str, command: StartJob) -> None:
        """Remember what a client called its job."""
        self._names[job] = command
        while len(self._names) > JOBS_HELD:
            self._names.popitem(last=False)

    def follow(self, line: LineState | None) -> None:
        """Take the line's newest state."""
        self._mode = line.mode if line is not None else JobMode.IDLE
        self._running = line.job if line is not None else ""

    def enter(self, entered: PartEntered) -> None:
        """Take a part that entered now."""
        job = self._running if self._mode in {JobMode.SINGLE, JobMode.CONTINUOUS} else ""
        if job and self._mode is JobMode.SINGLE:
            job = "" if job == self._taken else job
            self._taken = job or self._taken
        _put(self._parts, entered.part, job)
        _put(self._waiting, entered.part, set(entered.cameras))

    def expose(self, exposed: PartExposed, at: UtcNs) -> AcquisitionDone | None:
        """Take an image; gives the event when it was the part's last."""
        missing = self._waiting.get(exposed.part)
        if missing is None:
            return None
        missing.discard(exposed.camera)
        if missing:
            return None
        del self._waiting[exposed.part]
        return AcquisitionDone(exposed.part, self._parts.get(exposed.part, ""), at)

    def complete(self, result: ResultReady) -> ResultReady:
        """Give a result with its job and what the client called things; the part is forgotten."""
        self._waiting.pop(result.report.part, None)
        job = self._parts.pop(result.report.part, "")
        known = self._names.get(job)
        if known is None:
            return msgspec.structs.replace(result, job=job)
        names = {"measurement": known.measurement, "product": known.product}
        part_name = known.part if known.single else ""
        return msgspec.structs.replace(result, job=job, part_name=part_name, **names)


def _put(held: OrderedDict[PartId, _Held], part: PartId, value: _Held) -> None:
    held[part] = value
    if len(held) > PARTS_HELD:
        held.popitem(last=False)
