"""Protect the approval against tampering: whatever byte of recipe or approval is changed, the model stays out."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.governance.approval import countersign, sign, verify
from appliance.governance.recipe_text import render
from appliance.schema.approval import Approval
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Bands, Basis, Mode, Policy, Role
from appliance.schema.recipe import Recipe
from appliance.schema.rule import Code, Count, Distance, Order, Presence, Text
from tests.unit.approval_rig import AT, RECIPE, key_of, people

SIGNED = countersign(sign(RECIPE, "0" * 64, "QE1", AT, key_of("QE1")), "QE2", AT, key_of("QE2"))
RECIPE_BYTES, SIGNED_BYTES = msgspec.json.encode(RECIPE), msgspec.json.encode(SIGNED)


def believed(approval: Approval, recipe: Recipe) -> bool:
    """Say whether the model would become primary."""
    try:
        verify(approval, recipe, people(), two_persons=True)
    except ConfigError:
        return False
    return True


def changed(content: bytes, at: int, to: int) -> bytes:
    """Change one byte."""
    return content[:at] + bytes([to]) + content[at + 1 :]


def test_the_untouched_approval_is_believed() -> None:
    """Else the properties below would hold of anything."""

    assert believed(SIGNED, RECIPE)


@given(st.integers(0, len(SIGNED_BYTES) - 1), st.integers(0, 255))
def test_a_changed_byte_of_the_approval_is_caught(at: int, to: int) -> None:
    """A file that still reads is either the same approval, or refused."""
    content = changed(SIGNED_BYTES, at, to)
    try:
        read = msgspec.json.decode(content, type=Approval)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return

    assert (read == SIGNED) == believed(read, RECIPE)


@given(st.integers(0, len(RECIPE_BYTES) - 1), st.integers(0, 255))
def test_a_changed_byte_of_the_recipe_is_caught(at: int, to: int) -> None:
    """A recipe that still reads is either the one that was signed, or refused."""
    content = changed(RECIPE_BYTES, at, to)
    try:
        read = msgspec.json.decode(content, type=Recipe)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return

    assert (read == RECIPE) == believed(SIGNED, read)


SHARES = st.floats(0, 1)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)
BANDS = st.builds(Bands, SHARES, SHARES)
RULES = st.one_of(
    st.builds(Presence, NAMES, NAMES, NAMES),
    st.builds(Count, NAMES, NAMES, NAMES, st.integers(0, 99), st.integers(0, 99)),
    st.builds(Order, NAMES, NAMES, st.tuples(NAMES, NAMES)),
    st.builds(Distance, NAMES, NAMES, NAMES, NAMES, st.floats(0, 1e5), st.floats(0, 1e5)),
    st.builds(Text, NAMES, NAMES, pattern=NAMES),
    st.builds(Code, NAMES, NAMES, st.tuples(NAMES)),
)
RECIPES = st.builds(
    Recipe,
    NAMES,
    st.integers(1, 65535),
    st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    NAMES,
    rules=st.lists(RULES, max_size=3).map(tuple),
    version=st.integers(1, 9999),
    mode=st.sampled_from(Mode),
    policy=st.builds(
        Policy,
        st.sampled_from([Basis.LIMITS, Basis.CONFIDENCE]),
        BANDS,
        st.dictionaries(NAMES, BANDS, max_size=2),
        heads=st.dictionaries(NAMES, st.sampled_from(Role), max_size=2),
        sample_share=SHARES,
    ),
)


@given(RECIPES)
def test_what_is_written_is_what_was_signed(recipe: Recipe) -> None:
    """A recipe written as TOML and read again keeps its digest: the person reads exactly what the signature covers."""
    import tomllib

    read = msgspec.convert(tomllib.loads(render(recipe)), Recipe)

    assert recipe == read


@given(RECIPES, RECIPES)
def test_a_signature_covers_one_recipe(one: Recipe, other: Recipe) -> None:
    """An approval of one recipe is never one of another that differs in anything."""
    signed = sign(replace(one, mode=Mode.PRIMARY), "", "QE1", AT, key_of("QE1"))
    try:
        verify(signed, other, people(), two_persons=False)
    except ConfigError:
        caught = True
    else:
        caught = False

    assert caught == (other != replace(one, mode=Mode.PRIMARY))
