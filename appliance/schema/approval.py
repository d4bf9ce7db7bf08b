"""State that a person stands for one version of a recipe; `governance/approval.py` says when that is believed."""

from typing import Annotated

from msgspec import Meta, Struct

from appliance.schema.clocks import UtcNs

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
"""SHA-256, hex."""


class Countersignature(Struct, frozen=True, forbid_unknown_fields=True):
    """Put a second person behind an approval."""

    person: str
    at: UtcNs
    key: str
    """Names the public key: the first 16 hex digits of its SHA-256."""
    signature: str
    """Ed25519 over the whole first approval and the fields above, base64."""


class Approval(Struct, frozen=True, forbid_unknown_fields=True):
    """Sign one version of a recipe. Kept beside it as `<recipe stem>.approval.json`."""

    meaning: str
    """What the signature stands for, in words."""
    recipe: str
    version: int
    digest: Digest
    """Of the recipe's canonical JSON, rules and policy included."""
    evidence: str
    """SHA-256 (hex) of the file that the person decided on; empty: none was looked at."""
    person: str
    """As the station's configuration names the public key."""
    at: UtcNs
    key: str
    """Names the public key: the first 16 hex digits of its SHA-256."""
    bundle: str = ""
    """Id of the bundle that lay in the recipe's folder; empty: none did, and no judge starts with this approval."""
    signature: str = ""
    """Ed25519 over the canonical JSON of the fields above, base64."""
    second: Countersignature | None = None
    """Needed where the station demands two persons."""
