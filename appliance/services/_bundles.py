"""Keep the judge's bundles: the active one, the one before it, and the one that is made ready beside them."""

from collections.abc import Sequence

from msgspec import Struct

from appliance.ports.inspector import Inspector
from appliance.ports.node import Output, Publish, Send
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs
from appliance.schema.command import Accepted, ActivateBundle, RefusedReply, Reply, RollbackBundle, StageBundle
from appliance.schema.health import Alarm, Component, Condition
from appliance.schema.topics import ALARM, AUDIT
from appliance.services._staging import Answer, Retire, Stage, Staged, StagingStep

STAGER = "stager"
"""Name of the stager among the judge's devices."""

JUDGE = "judge"
NONE = "none"
"""What the audit chain says where there is no bundle."""

BundleCommand = StageBundle | ActivateBundle | RollbackBundle


class _Wanted(Struct):
    """Hold what is being staged, for whom, and how far it is."""

    path: str
    actor: str
    step: str = "waiting for the stager"


class Bundles:
    """Grant or refuse wishes about bundles; a swap is one assignment, so it always falls between two messages."""

    def __init__(self, active: Inspector | None) -> None:
        """Take the bundle to begin with; None: nothing is accepted until one is activated."""
        self.active = active
        self.previous: Inspector | None = None
        self.staged: Staged | None = None
        self._wanted: _Wanted | None = None
        self._failure = ""
        self._fault = ("", "")

    def start(self) -> Sequence[Output]:
        """Put the bundle into the audit chain."""
        return [_audit(f"service:{JUDGE}", "bundle_loaded", JUDGE, "", _id(self.active))]

    def command(self, command: BundleCommand) -> tuple[Reply, Sequence[Output]]:
        """Grant or refuse; a refusal changes nothing."""
        if not command.actor:
            return RefusedReply(f"{type(command).__name__} without an actor; say who asks"), ()
        match command:
            case StageBundle():
                return self._stage(command)
            case ActivateBundle():
                return self._activate(command)
            case RollbackBundle():
                return self._roll_back(command)

    def answer(self, message: Answer, now: HostNs) -> Sequence[Output]:
        """Take what the stager says; the active bundle stays whatever it is."""
        wanted = self._wanted
        if wanted is None or message.path != wanted.path:
            return ()
        if isinstance(message, StagingStep):
            wanted.step = message.step
            return ()
        self._wanted = None
        if isinstance(message, Staged):
            self.staged = message
            return [_audit(wanted.actor, "bundle_staged", wanted.path, "", message.inspector.bundle)]
        self._failure = f"{wanted.path} cannot be used: {message.reason}"
        return [
            _audit(wanted.actor, "bundle_refused", wanted.path, "", message.reason),
            Publish(ALARM + JUDGE, Alarm(JUDGE, "bundle_refused", self._failure, at=now)),
        ]

    def failed(self, inspector: Inspector, fault: str) -> None:
        """Take note that a bundle could not judge a frame."""
        self._fault = (inspector.bundle, fault)

    def components(self) -> tuple[Component, Component]:
        """Say how the active bundle is, and what is staged."""
        return self._active_component(), Component("staging", Condition.OK, self._staging())

    def _stage(self, command: StageBundle) -> tuple[Reply, Sequence[Output]]:
        if self._wanted is not None:
            return RefusedReply(f"{self._wanted.path} is being staged ({self._wanted.step}); ask again after it"), ()
        retired = _retire(self.staged.inspector if self.staged else None)
        self._wanted = _Wanted(command.path, command.actor)
        self.staged = None
        self._failure = ""
        asked = _audit(command.actor, "bundle_staging_asked", command.path)
        return Accepted(f"staging {command.path}"), [asked, *retired, Send(STAGER, Stage(command.path))]

    def _activate(self, command: ActivateBundle) -> tuple[Reply, Sequence[Output]]:
        if self.staged is None:
            return RefusedReply(f"{command.bundle}: nothing is staged{self._why_not()}; stage it first"), ()
        known = (self.staged.inspector.bundle, self.staged.path)
        if command.bundle not in known:
            return RefusedReply(f"{command.bundle}: staged is {known[0]} from {known[1]}; name that or stage yours"), ()
        staged, self.staged = self.staged.inspector, None
        retired = _retire(self.previous)
        reply, outputs = self._swap(staged, "bundle_activated", command.actor)
        return reply, [*outputs, *retired]

    def _roll_back(self, command: RollbackBundle) -> tuple[Reply, Sequence[Output]]:
        if self.previous is None:
            return RefusedReply("no bundle was active before this one; stage the one you want"), ()
        return self._swap(self.previous, "bundle_rolled_back", command.actor)

    def _swap(self, following: Inspector, action: str, actor: str) -> tuple[Reply, Sequence[Output]]:
        before, self.previous, self.active = _id(self.active), self.active, following
        return Accepted(following.bundle), [_audit(actor, action, JUDGE, before, following.bundle)]

    def _why_not(self) -> str:
        if self._wanted is not None:
            return f" yet, {self._wanted.path} is on its way ({self._wanted.step})"
        return f", {self._failure}" if self._failure else ""

    def _active_component(self) -> Component:
        if self.active is None:
            return Component(
                "bundle", Condition.FAILED, "no bundle is loaded", "stage and activate one; all parts reject"
            )
        bundle, fault = self._fault
        if bundle == self.active.bundle:
            return Component("bundle", Condition.DEGRADED, fault, "see the log; roll the bundle back")
        if not self.active.limits.calibrated:
            told = f"{self.active.bundle} is uncalibrated in {self.active.precision}: nothing is accepted"
            remedy = "calibrate it on good parts, or run it in the precision that it was calibrated in"
            return Component("bundle", Condition.DEGRADED, told, remedy)
        return Component("bundle", Condition.OK, self.active.bundle)

    def _staging(self) -> str:
        if self._wanted is not None:
            return f"{self._wanted.path}: {self._wanted.step}"
        if self.staged is not None:
            return f"{self.staged.inspector.bundle} from {self.staged.path} is ready to be activated"
        return self._failure or (f"{self.previous.bundle} is kept for a rollback" if self.previous else "")


def _audit(actor: str, action: str, subject: str, before: str = "", after: str = "") -> Output:
    return Publish(AUDIT + JUDGE, AuditRequest(actor, action, subject, before, after))


def _retire(inspector: Inspector | None) -> list[Output]:
    return [Send(STAGER, Retire(inspector))] if inspector is not None else []


def _id(inspector: Inspector | None) -> str:
    return inspector.bundle if inspector is not None else NONE
