"""A broker for one client that keeps every packet as it came: wills, flags and reason codes that no subscriber sees.

MQTT 5 and 3.1.1 as far as an edge node uses them; what the test injects is sent with QoS 0.
"""

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14


@dataclass(frozen=True)
class Packet:
    kind: int
    session: int
    """0 for the first connection, then 1 ..."""
    topic: str = ""
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    topics: tuple = ()
    """Of SUBSCRIBE: (topic, qos)."""
    level: int = 0
    """Of CONNECT: 5 or 4; topic, payload, qos and retain are the will's."""
    clean: bool = False
    expiry: int = -1
    """Session expiry interval of CONNECT, s; -1: not given."""
    has_will: bool = False
    reason: int = 0
    """Of DISCONNECT."""


@dataclass
class Tap:
    """Listen on a free port of 127.0.0.1 until `close`; `packets` grows as the client speaks."""

    packets: list = field(default_factory=list)
    acknowledge: bool = True
    """False: SUBSCRIBE is answered no more."""
    refuse_topics: bool = False
    refuse_level_5: bool = False

    def __post_init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._client = None
        self._session = -1
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="tap")
        self._thread.start()

    def inject(self, topic, payload, *, retained=False):
        name = topic.encode()
        head = struct.pack(">H", len(name)) + name + (b"\0" if self._level == 5 else b"")
        self._client.sendall(_packet(PUBLISH << 4 | retained, head + payload))

    def cut(self):
        """Break the connection without a word."""
        self._client.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._client is not None:
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self):
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._client = client
            with client, client.makefile("rb") as stream:
                try:
                    while self._one(stream):
                        pass
                except OSError:
                    pass

    def _one(self, stream):
        head = stream.read(1)
        if not head:
            return False
        size = shift = 0
        while True:
            byte = stream.read(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return self._handle(head[0], stream.read(size))

    def _handle(self, head, body):
        kind = head >> 4
        match kind:
            case 1:
                self._level = body[6]
                if self.refuse_level_5 and self._level == 5:
                    self._client.sendall(bytes((CONNACK << 4, 2, 0, 1)))
                    return False
                self._session += 1
                self.packets.append(self._connect(body))
                self._client.sendall(_packet(CONNACK << 4, b"\0\0\0" if self._level == 5 else b"\0\0"))
            case 3:
                self.packets.append(self._publish(head, body))
            case 8:
                topics = self._topics(body)
                self.packets.append(Packet(SUBSCRIBE, self._session, topics=topics))
                properties = b"\0" if self._level == 5 else b""
                if self.acknowledge:
                    granted = bytes(0x87 if self.refuse_topics else qos for _, qos in topics)
                    self._client.sendall(_packet(SUBACK << 4, body[:2] + properties + granted))
            case 12:
                self._client.sendall(bytes((PINGRESP << 4, 0)))
            case 14:
                self.packets.append(Packet(DISCONNECT, self._session, reason=body[0] if body else 0))
                return False
        return True

    def _connect(self, body):
        flags, at = body[7], 10
        expiry = -1
        if self._level == 5:
            size, at = body[at], at + 1
            properties, at = body[at : at + size], at + size
            if properties[:1] == b"\x11":
                expiry = struct.unpack(">I", properties[1:5])[0]
        _, at = _block(body, at)
        topic = payload = b""
        if flags & 4:
            if self._level == 5:
                at += 1 + body[at]
            topic, at = _block(body, at)
            payload, at = _block(body, at)
        return Packet(
            CONNECT,
            self._session,
            topic.decode(),
            payload,
            flags >> 3 & 3,
            bool(flags & 0x20),
            level=self._level,
            clean=bool(flags & 2),
            expiry=expiry,
            has_will=bool(flags & 4),
        )

    def _publish(self, head, body):
        topic, at = _block(body, 0)
        qos = head >> 1 & 3
        if qos:
            self._client.sendall(bytes((PUBACK << 4, 2)) + body[at : at + 2])
            at += 2
        if self._level == 5:
            at += 1 + body[at]
        return Packet(PUBLISH, self._session, topic.decode(), body[at:], qos, bool(head & 1))

    def _topics(self, body):
        at = 3 if self._level == 5 else 2
        topics = []
        while at < len(body):
            topic, at = _block(body, at)
            topics.append((topic.decode(), body[at] & 3))
            at += 1
        return tuple(topics)


def _block(body, at):
    size = struct.unpack(">H", body[at : at + 2])[0]
    return body[at + 2 : at + 2 + size], at + 2 + size


def _packet(head, body):
    size, length = len(body), bytearray()
    while True:
        length.append(size & 0x7F | (0x80 if size > 0x7F else 0))
        size >>= 7
        if not size:
            return bytes((head,)) + bytes(length) + body
