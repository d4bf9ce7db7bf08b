"""Turn messages into bytes and back: msgpack envelopes that carry the writer's epoch and a sequence number."""

import msgspec
from msgspec import Raw, Struct

from appliance.schema.command import Command, Reply
from appliance.schema.topics import TOPICS, topic_of


class Envelope(Struct, frozen=True, array_like=True):
    """Wrap one message on a topic."""

    topic: str
    epoch: int
    """Nonce of the writer's run; a restart begins a new count."""
    sequence: int
    """0, 1, 2 ... per topic and epoch."""
    body: Raw


_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(Envelope)
_bodies = {topic.name: msgspec.msgpack.Decoder(topic.type) for topic in TOPICS}
_commands = msgspec.msgpack.Decoder(Command)
_replies = msgspec.msgpack.Decoder(Reply)


def pack(topic: str, epoch: int, sequence: int, message: Struct) -> bytes:
    """Encode a message of a topic with its place in the writer's count."""
    return _encoder.encode(Envelope(topic, epoch, sequence, Raw(_encoder.encode(message))))


def unpack(data: bytes) -> tuple[Envelope, Struct]:
    """Decode an envelope and its message; msgspec.DecodeError or KeyError when it is not one of ours."""
    envelope = _envelopes.decode(data)
    return envelope, _bodies[topic_of(envelope.topic).name].decode(envelope.body)


def pack_command(command: Command) -> bytes:
    """Encode a wish."""
    return _encoder.encode(command)


def unpack_command(data: bytes) -> Command:
    """Decode a wish; msgspec.DecodeError when it is none."""
    command: Command = _commands.decode(data)
    return command


def pack_reply(reply: Reply) -> bytes:
    """Encode an answer."""
    return _encoder.encode(reply)


def unpack_reply(data: bytes) -> Reply:
    """Decode an answer; msgspec.DecodeError when it is none."""
    reply: Reply = _replies.decode(data)
    return reply
