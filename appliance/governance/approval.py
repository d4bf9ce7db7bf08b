"""Let the model decide only where a person whom the station trusts has signed for this very recipe version.

A signature is Ed25519 over canonical JSON: msgspec's encoding with keys in order and every default written out, so a
changed byte of recipe or approval shows, and a changed comment or order of the recipe's file does not.
"""

import base64
import hashlib
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import Struct
from msgspec.structs import replace

from appliance.schema.approval import Approval, Countersignature
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Mode
from appliance.schema.recipe import Recipe

MEANINGS = {
    Mode.PARALLEL: "released for parallel mode: people decide, the model's verdict stays sealed",
    Mode.PRIMARY: "released as primary: the model decides and may open the gate",
}


class Primary(Struct, frozen=True):
    """Prove that the model may drive the gate under one recipe version; made by `verify` alone and the simulation."""

    recipe: str
    version: int
    digest: str
    """SHA-256 (hex) of the recipe's canonical JSON."""
    person: str
    """Who signed."""
    bundle: str = ""
    """Id of the bundle that was signed for."""


def verify(approval: Approval | None, recipe: Recipe, people: Mapping[str, str], *, two_persons: bool) -> Primary:
    """Prove that the recipe may run as primary; ConfigError in one line when it may not.

    people: base64 of the raw Ed25519 public key of each person whom the station trusts. two_persons: whether another
    person with another key must have countersigned.
    """
    if recipe.mode is not Mode.PRIMARY:
        raise ConfigError(
            f"recipe {recipe.name}: mode is {recipe.mode.value}, only primary lets the model drive the gate; "
            "`firstshift parallel transition` proposes it"
        )
    found = check(approval, recipe, people, two_persons=two_persons)
    return Primary(recipe.name, recipe.version, recipe_digest(recipe), found.person, found.bundle)


def check(approval: Approval | None, recipe: Recipe, people: Mapping[str, str], *, two_persons: bool) -> Approval:
    """Give the approval when it stands for this recipe version, in any mode; else ConfigError as `verify`."""
    name = f"recipe {recipe.name} version {recipe.version}"
    if approval is None:
        raise ConfigError(
            f"{name}: mode is {recipe.mode.value} and no approval lies beside it, 1 is needed; have it signed with "
            '`firstshift recipe approve`, or set mode = "parallel"'
        )
    if (approval.recipe, approval.version) != (recipe.name, recipe.version):
        raise ConfigError(
            f"{name}: the approval is of {approval.recipe} version {approval.version}; have this version signed with "
            "`firstshift recipe approve`"
        )
    digest = recipe_digest(recipe)
    if approval.digest != digest:
        raise ConfigError(
            f"{name}: was changed after it was signed (digest {digest[:12]}, signed {approval.digest[:12]}); propose "
            "the change as the next version"
        )
    if approval.meaning != MEANINGS[recipe.mode]:
        raise ConfigError(
            f"{name}: the approval says {approval.meaning!r}, mode {recipe.mode.value} needs "
            f"{MEANINGS[recipe.mode]!r}; have it signed again"
        )
    first = _trusted(name, approval.person, approval.key, people)
    _check_signature(name, approval.person, first, approval.signature, _content(approval))
    if two_persons:
        _check_second(name, approval, people)
    return approval


def check_bundle(primary: Primary, bundle: str) -> None:
    """Raise ConfigError when the model that would decide is another than the one that was signed for."""
    if bundle != primary.bundle:
        raise ConfigError(
            f"recipe {primary.recipe} version {primary.version}: {primary.person} signed for bundle "
            f"{primary.bundle or 'none'}, installed is {bundle}; install the one that was signed for, or propose the "
            "change as the next version"
        )


def sign(recipe: Recipe, evidence: str, person: str, at: UtcNs, key: Ed25519PrivateKey, bundle: str = "") -> Approval:
    """Sign a recipe version.

    evidence: SHA-256 (hex) of the file that the person decided on, empty for none. bundle: id of what lies in the
    recipe's folder, empty where none does.
    """
    approval = Approval(
        MEANINGS[recipe.mode],
        recipe.name,
        recipe.version,
        recipe_digest(recipe),
        evidence,
        person,
        at,
        key_id(key.public_key().public_bytes_raw()),
        bundle,
    )
    return replace(approval, signature=base64.b64encode(key.sign(_content(approval))).decode())


def countersign(approval: Approval, person: str, at: UtcNs, key: Ed25519PrivateKey) -> Approval:
    """Put a second person's signature under an approval; `check` says whether it is another person's."""
    second = Countersignature(person, at, key_id(key.public_key().public_bytes_raw()), "")
    signature = base64.b64encode(key.sign(_second_content(approval, second))).decode()
    return replace(approval, second=replace(second, signature=signature))


def recipe_digest(recipe: Recipe) -> str:
    """Give what a signature stands for: SHA-256 (hex) of the recipe's canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(recipe, order="deterministic")).hexdigest()


def key_id(public: bytes) -> str:
    """Name a public key, raw 32 bytes, in the few characters that a person compares."""
    return hashlib.sha256(public).hexdigest()[:16]


def public_text(key: Ed25519PrivateKey) -> str:
    """Give the public half as the station file wants it."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def key_pem(key: Ed25519PrivateKey, password: bytes | None = None) -> bytes:
    """Give the private key as PEM (PKCS 8), encrypted where there is a password."""
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def read_key(pem: bytes, name: str, password: bytes | None = None) -> Ed25519PrivateKey:
    """Read a person's private key from PEM; ConfigError that names the file `name` when it is none."""
    try:
        key = load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{name}: is no readable PEM private key ({error}); make one with recipe keygen") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{name}: is a {type(key).__name__}, Ed25519 is needed; make one with recipe keygen")
    return key


def _check_second(name: str, approval: Approval, people: Mapping[str, str]) -> None:
    second = approval.second
    if second is None:
        raise ConfigError(
            f"{name}: signed by {approval.person} alone, this station demands 2 persons; have another person run "
            "`firstshift recipe approve`"
        )
    key = _trusted(name, second.person, second.key, people)
    if second.person == approval.person or second.key == approval.key:
        raise ConfigError(
            f"{name}: signed twice by {second.person} or with one key, this station demands 2 persons; have another "
            "person run `firstshift recipe approve`"
        )
    _check_signature(name, second.person, key, second.signature, _second_content(approval, second))


def _trusted(name: str, person: str, named: str, people: Mapping[str, str]) -> Ed25519PublicKey:
    """Give the public key that the station holds for a person; the approval's own word decides nothing."""
    if person not in people:
        known = ", ".join(sorted(people)) or "nobody"
        raise ConfigError(
            f"{name}: signed by {person!r}, whom this station does not know; it trusts {known}; add the public key to "
            "approval.people, or have one of them sign"
        )
    public = _decoded(people[person], 32)
    if public is None:
        raise ConfigError(
            f"approval.people.{person}: is no base64 of a 32-byte Ed25519 public key; copy the line that `firstshift "
            "recipe keygen` printed"
        )
    if key_id(public) != named:
        raise ConfigError(
            f"{name}: signed with key {named}, the station holds {key_id(public)} for {person}; have it signed again, "
            "or correct approval.people"
        )
    return Ed25519PublicKey.from_public_bytes(public)


def _check_signature(name: str, person: str, key: Ed25519PublicKey, signature: str, content: bytes) -> None:
    try:
        key.verify(_decoded(signature, 64) or b"", content)
    except InvalidSignature as error:
        raise ConfigError(
            f"{name}: the signature of {person} does not fit the approval, which was changed or forged; have the "
            "version signed again with `firstshift recipe approve`"
        ) from error


def _decoded(text: str, length: int) -> bytes | None:
    """Decode base64 in its one canonical spelling; None for anything else."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if len(raw) == length and base64.b64encode(raw).decode() == text else None


def _content(approval: Approval) -> bytes:
    return msgspec.json.encode(replace(approval, signature="", second=None), order="deterministic")


def _second_content(approval: Approval, second: Countersignature) -> bytes:
    first = replace(approval, second=None)
    return msgspec.json.encode([first, replace(second, signature="")], order="deterministic")
