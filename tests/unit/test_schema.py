"""Protect the nouns: one type and one writer per topic, the same message out as in, one tree of errors."""

import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct, inspect

from appliance.schema import command, errors
from appliance.schema.codec import (
    pack,
    pack_command,
    pack_reply,
    unpack,
    unpack_command,
    unpack_reply,
)
from appliance.schema.frame import PixelFormat
from appliance.schema.health import Condition
from appliance.schema.part import PartId
from appliance.schema.topics import HISTORY, TOPICS, Loss, topic_of
from appliance.schema.verdict import Disposition

U53 = st.integers(0, 2**53)


def values(kind: inspect.Type) -> st.SearchStrategy:
    """Draw a value of a type as msgspec sees it; raises KeyError for a type that no message has yet."""
    if isinstance(kind, inspect.Metadata):
        return values(kind.type)
    if isinstance(kind, inspect.StructType):
        return st.builds(kind.cls, **{field.name: values(field.type) for field in kind.fields})
    if isinstance(kind, inspect.UnionType):
        return st.one_of(*[values(one) for one in kind.types])
    if isinstance(kind, inspect.TupleType):
        return st.tuples(*map(values, kind.item_types))
    if isinstance(kind, inspect.VarTupleType):
        return st.lists(values(kind.item_type), max_size=3).map(tuple)
    if isinstance(kind, inspect.DictType):
        return st.dictionaries(values(kind.key_type), values(kind.value_type), max_size=3)
    if isinstance(kind, inspect.EnumType):
        return st.sampled_from(list(kind.cls))
    return {
        inspect.IntType: st.integers(-(2**63), 2**63 - 1),
        inspect.FloatType: st.floats(allow_nan=False),
        inspect.StrType: st.text(max_size=20),
        inspect.BytesType: st.binary(max_size=20),
        inspect.BoolType: st.booleans(),
        inspect.NoneType: st.none(),
        inspect.RawType: st.just(Raw(b"\x90")),
    }[type(kind)]


def messages(kind: type) -> st.SearchStrategy:
    return values(inspect.type_info(kind))


@pytest.mark.parametrize("topic", TOPICS, ids=[topic.name for topic in TOPICS])
def test_every_message_comes_out_as_it_went_in(topic: Struct) -> None:
    """Topic, epoch, sequence number and message survive the wire for every topic's type."""
    name = topic.name + "unit" if topic.name.endswith(".") else topic.name

    @given(messages(topic.type), U53, U53)
    def held(message: Struct, epoch: int, sequence: int) -> None:
        envelope, got = unpack(pack(name, epoch, sequence, message))

        assert (name, epoch, sequence) == (envelope.topic, envelope.epoch, envelope.sequence)
        assert message == got

    held()


@pytest.mark.parametrize("kind", typing.get_args(command.Command), ids=lambda kind: kind.__name__)
def test_every_wish_comes_out_as_it_went_in(kind: type) -> None:
    """The owner reads the wish that was sent."""

    @given(messages(kind))
    def held(wish: command.Command) -> None:
        assert wish == unpack_command(pack_command(wish))

    held()


@pytest.mark.parametrize(
    "reply", [command.Accepted("done"), command.RefusedReply("no"), command.Replayed(1, 2, (Raw(b"\x01"),))]
)
def test_every_answer_comes_out_as_it_went_in(reply: command.Reply) -> None:
    """The asker reads the answer that was given."""
    got = unpack_reply(pack_reply(reply))

    assert type(reply) is type(got)
    assert msgspec.json.encode(str(reply)) == msgspec.json.encode(str(got)) or isinstance(reply, command.Replayed)


def test_a_topic_is_listed_once_with_one_type_and_one_writer() -> None:
    """One table says who may say what; a name that could belong to two entries has two owners."""
    names = [topic.name for topic in TOPICS]
    clashes = [(a, b) for a in names for b in names if a != b and b.startswith(a) and a.endswith(".")]

    assert len(names) == len(set(names))
    assert [] == clashes
    assert [] == [topic.name for topic in TOPICS if not topic.writer or "," in topic.writer]
    assert len({topic.type for topic in TOPICS}) == len(TOPICS)


def test_each_unit_topic_belongs_to_its_own_unit() -> None:
    """Status, alarms and audit wishes end with the unit that writes them, and so do frames with their camera."""
    families = {topic.name for topic in TOPICS if topic.name.endswith(".")}

    assert {"frame.", "status.", "alarm.", "audit."} == families
    assert {"each unit", "acquire"} == {topic.writer for topic in TOPICS if topic.name in families}


def test_facts_that_must_not_be_lost_are_held() -> None:
    """A topic is replayed exactly when its writer holds messages; 4096 parts are 400 s at 10 parts/s."""

    assert {topic.name for topic in TOPICS if topic.loss is Loss.REPLAY} == {
        topic.name for topic in TOPICS if topic.history
    }
    assert HISTORY == 4096


@pytest.mark.parametrize("name", ["nothing", "frame", "verdicts", "verdict.x", ""])
def test_an_unknown_topic_is_none(name: str) -> None:
    """A name the table does not list has no type."""
    with pytest.raises(KeyError):
        topic_of(name)


def test_another_topics_message_is_refused() -> None:
    """A message does not pass for another type."""
    data = pack("verdict", 1, 0, PartId(1, 1))
    with pytest.raises(msgspec.ValidationError):
        unpack(data)


def test_the_error_tree_is_as_drawn() -> None:
    """The tree at the top of errors.py is the tree."""
    drawn = [line.split()[1] for line in (errors.__doc__ or "").splitlines() if line.startswith(("├", "└"))]
    named = [name for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, Exception)]

    assert ["ApplianceError", *drawn] == named
    assert {errors.ApplianceError} == {getattr(errors, name).__base__ for name in drawn}
    assert errors.ApplianceError.__base__ is Exception


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1)), max_size=10))
def test_parts_order_by_boot_and_number(pairs: list[tuple[int, int]]) -> None:
    """Within a boot parts order as they came."""
    assert [PartId(*pair) for pair in sorted(pairs)] == sorted(PartId(*pair) for pair in pairs)


def test_a_part_is_written_so_that_it_sorts() -> None:
    """Boot in hex, number padded: the text sorts as the part does for the first million parts of a boot."""
    assert "0000abcd-000007" == str(PartId(0xABCD, 7))
    assert str(PartId(1, 999)) < str(PartId(1, 1000)) < str(PartId(2, 1))
    assert "ffffffff-1234567" == str(PartId(0xFFFFFFFF, 1234567))


def test_facts_cannot_be_changed() -> None:
    """A message is what was said."""
    assert [] == [topic.name for topic in TOPICS if not topic.type.__struct_config__.frozen]


def test_words_are_stable() -> None:
    """These words stand in records and on the PLC's screen; another word is another meaning."""
    assert ["accept", "reject", "review", "unknown", "no_verdict"] == [str(one) for one in Disposition]
    assert ["ok", "starting", "degraded", "failed"] == [str(one) for one in Condition]
    assert [1, 1, 3] == [PixelFormat(name).channels for name in ("Mono8", "BayerRG8", "RGB8")]
