"""Serve OPC UA (OPC 40100-1 Machine Vision) in a process of its own."""

import hashlib
import os
import socket
from collections import deque
from collections.abc import Sequence

import msgspec
import structlog
from msgspec import Struct

from appliance.config import Loaded
from appliance.outputs.opcua.messages import Answered, Noted, ResultReady, Served, Snapshot, Wish
from appliance.outputs.opcua.narration import Heard, narrate
from appliance.outputs.opcua.seam import Security
from appliance.outputs.opcua.server import NAME, OpcuaServer
from appliance.outputs.opcua.states import Cause, machine
from appliance.outputs.opcua_security.certificates import application_uri
from appliance.outputs.opcua_security.security import prepare
from appliance.outputs.part_report import Identity, PartJoin, report
from appliance.ports.clock import Clock
from appliance.ports.device import Device
from appliance.ports.node import Ask, Output, Publish, Replied, Send
from appliance.schema.actuation import Actuation
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import AbortJob, Accepted, Command, RefusedReply, Reply, StartJob
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.line import LineState
from appliance.schema.part import PartEntered, PartExposed
from appliance.schema.topics import (
    ACTUATION,
    ALARM,
    AUDIT,
    LINE_STATE,
    PART_ENTERED,
    PART_EXPOSED,
    RESULT,
    STATUS,
    VERDICT,
)
from appliance.services._opcua_audit import AuditCarrier
from appliance.services._opcua_health import Counts, component
from appliance.services._opcua_jobs import Jobs

LINE = "line"

SILENT = 3 * S
"""`line` states itself once a second; after this time nothing it said is believed."""

GRACE = 250 * MS
"""Longest wait for a verdict that the gate acted on: judge and line speak on different sockets."""

STATUS_PERIOD = 1 * S
WARN_AGAIN = 86_400 * S

log = structlog.get_logger()


class _Due(Struct, frozen=True):
    """Hold an actuation whose verdict may still be on its way."""

    actuation: Actuation
    until: HostNs


class OpcuaNode:
    """Tell the line's states and one result per actuation, in their order, and carry clients' wishes to `line`.

    What the line said before this service began is fetched and kept for GetResultById, and told to nobody: no result is
    told twice. What the model would have decided in parallel mode is never heard here.
    """

    name = "opcua"
    topics = (PART_ENTERED, PART_EXPOSED, RESULT, VERDICT, ACTUATION, LINE_STATE, ALARM)

    def __init__(self, identity: Identity, security: Security, carrier: AuditCarrier, clock: Clock) -> None:
        self._identity = identity
        self._security = security
        self._carrier = carrier
        self._clock = clock
        self._parts = PartJoin()
        self._jobs = Jobs()
        self._due: deque[_Due] = deque()
        self._heard = Heard()
        self._heard_at = self._since = self._status_at = self._warn_at = HostNs(0)
        self._wishes: dict[int, Command] = {}
        self._cause = Cause.ITSELF
        self._refusal = ""
        self._counts = Counts()

    @property
    def wake_at(self) -> HostNs | None:
        """Next result or status."""
        return min(self._status_at, self._due[0].until) if self._due else self._status_at

    def positions(self) -> dict[str, tuple[int, int]]:
        """Hold nothing over a restart: facts that the writers still have are fetched whole."""
        return {}

    def start(self, now: HostNs) -> Sequence[Output]:
        """Begin: what happened before this instant is told to nobody."""
        self._since = self._heard_at = now
        return [self._show(), *self._status(now)]

    def receive_envelope(self, topic: str, epoch: int, sequence: int, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a message; its place does not matter here."""
        return self.receive(topic, message, now)

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a fact, the line's state, a client's wish or the answer to it."""
        if self._parts.take(message):
            return [*self._follow_part(message, now), *self._flush(now, now)]
        match message:
            case LineState():
                return self._hear(Heard(message), now)
            case Actuation():
                self._due.append(_Due(message, HostNs(now + GRACE)))
                return self._flush(now, now)
            case Alarm() if topic != f"{ALARM}{self.name}":
                return [Send(NAME, Noted(message.unit, message.kind, message.text, self._clock.utc()))]
            case Wish():
                return self._wish(message)
            case Replied():
                return self._answer(message)
            case Served():
                self._counts = self._counts.after(message, now)
        return ()

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Count results that were never heard of; the record database has them."""
        if topic != ACTUATION:
            return ()
        self._counts = self._counts.miss(count, now)
        text = f"{count} results were not told to OPC UA clients; read them from the record database"
        return [self._alarm("results_lost", text, now)]

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Refuse: this service owns nothing that anybody could wish for."""
        return RefusedReply(f"opcua: {type(command).__name__} is not for this service; ask its owner"), ()

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Tell results whose grace is over, notice a silent line, and tell how it goes."""
        outputs = self._flush(now, now)
        if not self._heard.is_silent and now >= self._heard_at + SILENT:
            outputs += self._hear(Heard(self._heard.line, is_silent=True), now)
        if now >= self._status_at:
            outputs += self._status(now)
        return outputs

    def finish(self, now: HostNs) -> None:
        """Nothing is kept."""

    def _hear(self, heard: Heard, now: HostNs) -> list[Output]:
        if not heard.is_silent:
            self._heard_at = now
        before, self._heard = self._heard, heard
        self._jobs.follow(heard.current)
        told = narrate(before, heard, self._cause, self._clock.utc())
        if machine(before.current) != machine(heard.current):
            self._cause = Cause.ITSELF
        return [self._show(), *(Send(NAME, event) for event in told)]

    def _show(self) -> Output:
        line = self._heard.current
        return Send(NAME, Snapshot(machine(line), line, self._refusal))

    def _follow_part(self, message: Struct, now: HostNs) -> Sequence[Output]:
        """Tell when every image of a part that entered since the start was taken."""
        if isinstance(message, PartEntered) and message.at >= self._since:
            self._jobs.enter(message)
        elif isinstance(message, PartExposed):
            done = self._jobs.expose(message, self._clock.utc())
            return (Send(NAME, done),) if done is not None else ()
        return ()

    def _flush(self, until: HostNs, now: HostNs) -> list[Output]:
        """Tell all actuations whose facts are complete or whose grace is over, in order."""
        outputs: list[Output] = []
        while self._due and (self._due[0].until <= until or self._parts.is_complete(self._due[0].actuation)):
            actuation = self._due.popleft().actuation
            utc = self._clock.utc()
            told = report(self._identity, actuation, self._parts.facts(actuation.part), utc, now)
            self._parts.drop(actuation.part)
            result = ResultReady(told, utc, telling=actuation.at >= self._since)
            outputs.append(Send(NAME, self._jobs.complete(result)))
        return outputs

    def _wish(self, wish: Wish) -> Sequence[Output]:
        """Pass a client's wish on; `line` may show what it did before its answer comes, so the cause is noted now."""
        self._wishes[wish.ticket] = wish.command
        self._cause = Cause.ABORT if isinstance(wish.command, AbortJob) else Cause.METHOD
        return (Ask(LINE, wish.command, wish.ticket),)

    def _answer(self, replied: Replied) -> Sequence[Output]:
        command = self._wishes.pop(replied.ticket, None)
        if command is None:
            return ()
        reply, kind = replied.reply, type(command).__name__
        granted = isinstance(reply, Accepted)
        detail = reply.detail if isinstance(reply, Accepted) else getattr(reply, "reason", "no answer")
        if isinstance(command, StartJob) and granted:
            self._jobs.start(detail, command)
        if not granted:
            self._cause = Cause.ITSELF
        self._refusal = "" if granted else f"{kind}: {detail}"
        log.info("wish_answered", wish=kind, granted=granted, actor=getattr(command, "actor", ""), detail=detail)
        return (self._show(), Send(NAME, Answered(replied.ticket, granted, detail)))

    def _status(self, now: HostNs) -> list[Output]:
        self._status_at = HostNs(now + STATUS_PERIOD)
        utc = self._clock.utc()
        security = self._security
        own = component(self._counts, security.sessions(), security.subscriptions(), now)
        components = (own, *security.health(utc))
        condition = max((part.condition for part in components), key=list(Condition).index)
        health = Health(self.name, condition, components, self._counts.progress, now, self._identity.pid)
        requests = (*security.audits(), *self._carrier.due(now))
        outputs: list[Output] = [Publish(f"{STATUS}{self.name}", health)]
        outputs += [Publish(f"{AUDIT}{self.name}", request) for request in requests]
        if self._counts.is_new_drop:
            self._counts = self._counts.seen()
            text = "events were not told: the server's thread is too slow; read the results from the record database"
            outputs.append(self._alarm("results_dropped", text, now))
        warning = security.warning(utc) if now >= self._warn_at else ""
        if warning:
            self._warn_at = HostNs(now + WARN_AGAIN)
            outputs.append(self._alarm("opcua_certificate_expiring", warning, now))
        return outputs

    def _alarm(self, kind: str, text: str, now: HostNs) -> Publish:
        return Publish(f"{ALARM}{self.name}", Alarm(self.name, kind, text, "", now))


def build(loaded: Loaded, clock: Clock) -> tuple[OpcuaNode, dict[str, Device]]:
    """Make the certificate at the first start, and serve; blocks about 5 s. ConfigError or LinkError when it cannot."""
    station, settings = loaded.config.station, loaded.config.opcua
    place = f"{station.site}/{station.line}/{station.name}"
    recipe = hashlib.sha256(msgspec.json.encode(loaded.recipe, order="deterministic")).hexdigest()
    expiry_s = loaded.config.mqtt.expiry_s
    identity = Identity(f"insp/v1/{place}", loaded.recipe.name, recipe, loaded.digest, expiry_s, os.getpid())
    uri = application_uri(station.site, station.line, station.name)
    host = settings.name or socket.gethostname()
    security = prepare(loaded.state / "opcua", uri, host, settings, clock)
    server = OpcuaServer(settings, identity, security)
    return OpcuaNode(identity, security, AuditCarrier(loaded.state), clock), {NAME: server}
