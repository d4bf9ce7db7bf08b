"""Take wishes that come over MQTT and give the answers; pure: it neither sends nor waits.

A wish counts once: it needs correlation data, and the same data of the same sender gets the first answer again. A
retained wish is refused, for it would come again at every connection; an expired one is dropped.
"""

import re
from collections import OrderedDict

import msgspec
from msgspec import Struct

from appliance.outputs.mqtt_wishes import REPLAY, Answer, ReplayResults, Wish, read_wish
from appliance.outputs.outbox import Again
from appliance.schema.clocks import HostNs, S
from appliance.schema.errors import Refused

ANSWER_SCHEMA = "firstshift.answer.1"
UNNAMED = "unnamed"
"""Sender of a wish on `cmd/<name>`; one on `cmd/<name>/<identity>` is named as the broker's access list let it be."""

CORRELATION_LIMIT = 64
REMEMBERED = 1024
"""Wishes remembered, so that a repetition is known; minutes at the rate a plant controls a line."""

OPEN_LIMIT = 8
"""Wishes that may wait for their owner's answer."""

_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NAME = re.compile(r"[a-z_]{1,40}")


class Received(Struct, frozen=True):
    """Give a message as it came on a command topic."""

    topic: str
    payload: bytes
    at: HostNs
    retained: bool = False
    response_topic: str = ""
    correlation: bytes = b""
    expiry_s: int | None = None
    """What was left of its life when it came; None: it has no end."""


class Response(Struct, frozen=True):
    """Give a message to be sent to whoever wished."""

    topic: str
    payload: bytes
    correlation: bytes


class Repeat(Struct, frozen=True):
    """Tell that old messages are wanted; answered by `Desk.repeated`."""

    ticket: int
    wish: ReplayResults


class _Sender(Struct, frozen=True):
    name: str
    topic: str
    """Of the answer; empty: nobody waits for one."""
    who: str
    correlation: bytes


class Desk:
    """Know which wishes are open and which were answered."""

    def __init__(self, prefix: str) -> None:
        """`prefix`: `insp/v1/<site>/<line>/<station>`."""
        self._prefix = prefix
        self._ticket = 0
        self._open: dict[int, _Sender] = {}
        self._known: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self.ignored = 0
        """Messages that were neither carried out nor answered."""

    def take(self, received: Received, now: HostNs) -> Wish | Repeat | Response | None:
        """Take a message; gives what to do about it, None: nothing."""
        name, _, identity = received.topic.removeprefix(f"{self._prefix}/cmd/").partition("/")
        who = identity or UNNAMED
        late = received.expiry_s is not None and now >= received.at + received.expiry_s * S
        if late or not _NAME.fullmatch(name) or not _IDENTITY.fullmatch(who):
            self.ignored += 1
            return None
        sender = _Sender(name, self._answer_topic(received.response_topic, identity), who, received.correlation)
        known = self._known.get((who, received.correlation)) if received.correlation else None
        if known is not None:
            return self._response(sender, known) if known else None
        try:
            return self._open_wish(received, sender)
        except Refused as error:
            return self._response(sender, _answer(name, granted=False, text=str(error)))

    def answered(self, answer: Answer) -> Response | None:
        """Give the response for an owner's answer; None where nobody waits for one."""
        return self._close(answer.ticket, answer.text, granted=answer.granted)

    def repeated(self, ticket: int, again: Again | None, fault: str = "") -> Response | None:
        """Give the response for old messages; `again` is None where there was a fault."""
        text = fault or f"{again.waiting if again else 0} messages wait to be sent"
        return self._close(ticket, text, granted=again is not None, again=again)

    def _open_wish(self, received: Received, sender: _Sender) -> Wish | Repeat:
        if received.retained:
            raise Refused(f"{sender.name}: retained, it would come again at each connection; send it without retain")
        if not received.correlation:
            raise Refused(f"{sender.name}: no correlation data, a repetition could not be told; send 1 to 64 bytes")
        if len(received.correlation) > CORRELATION_LIMIT:
            size = len(received.correlation)
            raise Refused(f"{sender.name}: correlation data of {size} bytes exceed {CORRELATION_LIMIT}; send less")
        if received.response_topic and not sender.topic:
            raise Refused(f"{sender.name}: response topic is not {self._prefix}/answer/<name>; name one there")
        if len(self._open) >= OPEN_LIMIT:
            raise Refused(f"{sender.name}: {len(self._open)} commands wait for their answers already; send it again")
        asked = read_wish(sender.name, received.payload, f"mqtt:{sender.who}")
        self._ticket += 1
        self._open[self._ticket] = sender
        self._known[(sender.who, sender.correlation)] = b""
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        if isinstance(asked, ReplayResults):
            return Repeat(self._ticket, asked)
        unit, command = asked
        return Wish(self._ticket, unit, command)

    def _close(self, ticket: int, text: str, *, granted: bool, again: Again | None = None) -> Response | None:
        sender = self._open.pop(ticket, None)
        if sender is None:
            return None
        payload = _answer(sender.name, granted=granted, text=text, again=again)
        if (sender.who, sender.correlation) in self._known:
            self._known[(sender.who, sender.correlation)] = payload
        return self._response(sender, payload)

    def _answer_topic(self, wanted: str, identity: str) -> str:
        """Answers go below this station's own `answer` only, so that a wish cannot make it speak elsewhere."""
        own = f"{self._prefix}/answer/"
        if not wanted:
            return f"{own}{identity}" if identity else ""
        rest = wanted.removeprefix(own)
        return wanted if rest != wanted and all(_IDENTITY.fullmatch(part) for part in rest.split("/")) else ""

    def _response(self, sender: _Sender, payload: bytes) -> Response | None:
        if not sender.topic:
            self.ignored += 1
            return None
        return Response(sender.topic, payload, sender.correlation)


def _answer(name: str, *, granted: bool, text: str, again: Again | None = None) -> bytes:
    told: dict[str, object] = {"schema": ANSWER_SCHEMA, "command": name, "granted": granted, "text": text}
    if name == REPLAY and again is not None:
        told |= {"waiting": again.waiting, "gone": again.gone}
    return msgspec.json.encode(told)
