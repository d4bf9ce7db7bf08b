"""Protect the signature that lets the model drive the gate: nothing but a trusted person's own word does."""

import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace

from appliance.governance.approval import (
    MEANINGS,
    Primary,
    check,
    countersign,
    key_pem,
    read_key,
    recipe_digest,
    sign,
    verify,
)
from appliance.schema.approval import Approval
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Mode
from appliance.schema.recipe import Recipe
from tests.unit.approval_rig import AT, PARALLEL, RECIPE, key_of, people

APPLIANCE = Path(__file__).resolve().parents[2] / "appliance"
SIGNED = sign(RECIPE, "", "QE1", AT, key_of("QE1"))


def fault(approval: Approval | None, recipe: Recipe = RECIPE, *, two_persons: bool = False, **trusted: str) -> str:
    """Give the line with which it is refused."""
    with pytest.raises(ConfigError) as caught:
        verify(approval, recipe, trusted or people(), two_persons=two_persons)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_trusted_signature_makes_the_model_primary() -> None:
    """What is proven names recipe, version, digest and person."""

    assert Primary("lid", 7, recipe_digest(RECIPE), "QE1") == verify(SIGNED, RECIPE, people(), two_persons=False)


@pytest.mark.parametrize(
    ("approval", "recipe", "words"),
    [
        (None, RECIPE, ["recipe lid version 7", "no approval", "1 is needed", "recipe approve"]),
        (SIGNED, replace(RECIPE, version=8), ["version 8", "is of lid version 7", "recipe approve"]),
        (SIGNED, replace(RECIPE, name="cap"), ["recipe cap", "is of lid version 7"]),
        (SIGNED, replace(RECIPE, number=4), ["was changed after it was signed", "next version"]),
        (SIGNED, replace(RECIPE, mode=Mode.PARALLEL), ["mode is parallel", "only primary", "transition"]),
        (replace(SIGNED, person="MALLORY"), RECIPE, ["'MALLORY'", "does not know", "QE1, QE2", "approval.people"]),
        (replace(SIGNED, person="QE2"), RECIPE, ["signed with key", "holds", "QE2"]),
        (replace(SIGNED, key=sign(RECIPE, "", "QE2", AT, key_of("QE2")).key, person="QE2"), RECIPE, ["QE2", "forged"]),
        (replace(SIGNED, at=AT + 1), RECIPE, ["QE1", "changed or forged"]),
        (replace(SIGNED, evidence="0" * 64), RECIPE, ["changed or forged"]),
        (replace(SIGNED, signature=""), RECIPE, ["changed or forged"]),
        (replace(SIGNED, signature=SIGNED.signature + "\n"), RECIPE, ["changed or forged"]),
        (replace(SIGNED, meaning=MEANINGS[Mode.PARALLEL]), RECIPE, ['says "released for parallel', "signed again"]),
    ],
)
def test_anything_else_is_refused_in_one_line(approval: Approval | None, recipe: Recipe, words: list[str]) -> None:
    """The line names thing, value, limit and remedy."""
    told = fault(approval, recipe)

    assert [] == [word for word in words if word not in told], told


def test_a_signature_has_one_spelling() -> None:
    """Base64 leaves bits over at its end; another spelling of the same 64 bytes is a changed file, and is refused."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = SIGNED.signature[-3]
    other = SIGNED.signature[:-3] + letters[letters.index(last) ^ 1] + "=="

    assert b64decode(other) == b64decode(SIGNED.signature)
    assert "changed or forged" in fault(replace(SIGNED, signature=other))


def test_a_key_that_is_no_key_is_named() -> None:
    """A mistake in the station file is not taken for a forgery."""

    assert "approval.people.QE1: is no base64" in fault(SIGNED, QE1="abc")
    assert "it trusts nobody" in fault(SIGNED, NONE="").replace("NONE", "nobody")


def test_two_persons_are_two_people_with_two_keys() -> None:
    """Where two are demanded nobody approves alone, not even under a second name."""
    second = countersign(SIGNED, "QE2", AT, key_of("QE2"))
    twice = countersign(SIGNED, "QE1", AT, key_of("QE1"))
    alias = countersign(SIGNED, "QE9", AT, key_of("QE1"))
    forged = replace(second, second=replace(second.second, at=AT + 1))

    assert "QE1" == verify(second, RECIPE, people(), two_persons=True).person
    assert "signed by QE1 alone" in fault(SIGNED, two_persons=True)
    assert "signed twice by QE1" in fault(twice, two_persons=True)
    assert "one key" in fault(alias, two_persons=True, **people(), QE9=people()["QE1"])
    assert "signature of QE2 does not fit" in fault(forged, two_persons=True)
    assert "whom this station does not know" in fault(
        countersign(SIGNED, "MALLORY", AT, key_of("MALLORY")), two_persons=True
    )


def test_a_countersignature_belongs_to_one_approval() -> None:
    """Nobody's second signature can be carried to another approval."""
    other = sign(replace(RECIPE, version=6), "", "QE1", AT, key_of("QE1"))
    moved = replace(SIGNED, second=countersign(other, "QE2", AT, key_of("QE2")).second)

    assert "signature of QE2 does not fit" in fault(moved, two_persons=True)


def test_parallel_versions_are_signed_too_but_prove_nothing() -> None:
    """A version for people is approved like any other, and its signature never opens the gate for the model."""
    signed = sign(PARALLEL, "", "QE1", AT, key_of("QE1"))

    assert signed == check(signed, PARALLEL, people(), two_persons=False)
    assert "mode is parallel" in fault(signed, PARALLEL)


def test_keys_are_read_and_nothing_else() -> None:
    """A locked key needs its passphrase; another kind of key, or none, is named."""
    locked = key_pem(key_of("QE1"), b"secret")
    foreign = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    assert key_of("QE1").private_bytes_raw() == read_key(locked, "k", b"secret").private_bytes_raw()
    for content, password in ((locked, None), (locked, b"wrong"), (b"text", None), (foreign, None)):
        with pytest.raises(ConfigError, match=r"^k: is "):
            read_key(content, "k", password)


def made_in(made: Callable[[str], bool]) -> list[str]:
    """Give the files of the appliance in which a line does something."""
    return sorted(
        str(path.relative_to(APPLIANCE))
        for path in APPLIANCE.rglob("*.py")
        if any(made(line) for line in path.read_text("utf-8").splitlines())
    )


def test_only_verify_makes_a_primary() -> None:
    """No other line of the appliance can say that a person has signed; the simulation, absent at run time, may."""
    found = made_in(lambda line: bool(re.search(r"(?<!class )\bPrimary\(", line)))

    assert ["governance/approval.py"] == [file for file in found if not file.startswith("sim/")]
    assert 1 == (APPLIANCE / "governance/approval.py").read_text("utf-8").count("return Primary(")
    assert [] == made_in(lambda line: "Primary as " in line or ("convert(" in line and "Primary" in line))
