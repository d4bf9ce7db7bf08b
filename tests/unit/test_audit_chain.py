"""The audit chain shows every change made to it."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.governance.audit_chain import ORIGIN, digest_of, link, verify
from appliance.schema.audit import AuditEntry
from appliance.schema.clocks import UtcNs

_TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=12)
_DEEDS = st.lists(st.tuples(_TEXT, _TEXT, _TEXT, _TEXT, _TEXT), min_size=2, max_size=8)


def _chain(deeds: list[tuple[str, str, str, str, str]]) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for number, deed in enumerate(deeds):
        entries.append(link(entries[-1] if entries else None, UtcNs(1_700_000_000_000_000_000 + number), *deed))
    return entries


@given(_DEEDS)
def test_an_untouched_chain_is_whole(deeds):
    """What was linked verifies, and begins at the origin."""
    entries = _chain(deeds)

    assert (None, ORIGIN) == (verify(entries), entries[0].previous)


@given(_DEEDS, st.data())
def test_a_changed_field_is_found_where_it_was_changed(deeds, data):
    """No field of any entry can be altered unseen, not even together with its own digest."""
    entries = _chain(deeds)
    index = data.draw(st.integers(0, len(entries) - 1))
    name = data.draw(st.sampled_from(("sequence", "at", "actor", "action", "subject", "before", "after", "previous")))
    old = getattr(entries[index], name)
    forged = msgspec.structs.replace(entries[index], **{name: old + 1 if isinstance(old, int) else old + "x"})
    changed = [*entries[:index], forged, *entries[index + 1 :]]
    redone = [*entries[:index], msgspec.structs.replace(forged, digest=digest_of(forged)), *entries[index + 1 :]]
    expected_redone = index if name in ("sequence", "previous") else index + 1
    head = entries[-1].digest

    assert index == verify(changed)
    assert expected_redone == verify(redone, head)


@given(_DEEDS, st.data())
def test_a_removed_entry_is_found(deeds, data):
    """An entry taken out of the middle leaves a hole; one taken off the end shows against a head noted elsewhere."""
    entries = _chain(deeds)
    index = data.draw(st.integers(0, len(entries) - 1))
    rest = [*entries[:index], *entries[index + 1 :]]

    assert index == verify(rest, entries[-1].digest)


@given(_DEEDS, st.data())
def test_two_entries_that_changed_places_are_found(deeds, data):
    """The order of entries is part of what they say."""
    entries = _chain(deeds)
    first = data.draw(st.integers(0, len(entries) - 2))
    second = data.draw(st.integers(first + 1, len(entries) - 1))
    entries[first], entries[second] = entries[second], entries[first]

    assert first == verify(entries)


def test_the_encoding_is_what_an_auditor_can_redo():
    """The digest is plain SHA-256 over the documented JSON; anyone can work it out without this program."""
    import hashlib

    entry = link(None, UtcNs(7), "operator-3", "limit_changed", "recipe caps", "0.80", "0,85 ä")
    text = '[0,7,"operator-3","limit_changed","recipe caps","0.80","0,85 ä","' + "0" * 64 + '"]'

    assert hashlib.sha256(text.encode()).hexdigest() == entry.digest
