"""Keep each version of a recipe with its evidence and its approval, and put one of them in force.

```
recipe.toml, recipe.approval.json     what the services read at their start
recipes/NAME/v0007.proposed.toml      as proposed; written last, so that it is never there without the two below
             v0007.evidence.json      the Proposal: who, why, what is predicted
             v0007.source.json        the file behind the prediction
             v0007.approval.json      as signed
             v0007.toml               was in force at some time
             activations.jsonl        when, what, whose approval; one line each
```

Each file is written whole. What is put in force is the log's line, then the approval, then the recipe: a crash in
between leaves two that do not belong together, with which no service starts as primary; doing it again mends it. Lists
of allowed texts, which rules name, lie beside the recipe in force and are no part of a version.
"""

import hashlib
import re
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from appliance.config import Config, approval_path, read_approval, read_recipe
from appliance.governance.approval import check, countersign, recipe_digest, sign
from appliance.governance.proposal import Proposal, check_fits
from appliance.governance.recipe_text import render
from appliance.schema.approval import Approval
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ConfigError, Refused
from appliance.schema.policy import Mode
from appliance.schema.recipe import Recipe
from appliance.storage import bundle as bundles
from appliance.storage.whole_file import write_whole

FOLDER = "recipes"
_NAME = re.compile(r"[^\W_][\w -]{0,63}")
"""What a recipe's name may be so that it names a folder."""


class Activation(Struct, frozen=True, forbid_unknown_fields=True):
    """State that a version was put in force; the services that start with it audit its digest."""

    at: UtcNs
    action: str
    """`activated` or `rolled_back`."""
    recipe: str
    version: int
    digest: str
    before: int
    """Version that was in force."""
    actor: str
    """Who put it in force."""
    person: str = ""
    """Whose approval it has; empty: none, as before the first proposal."""
    why: str = ""


class Shelf(Struct, frozen=True):
    """Name the files of one recipe's versions."""

    active: Path
    """Recipe in force."""
    name: str

    @property
    def folder(self) -> Path:
        """Where the versions lie, beside the recipe in force."""
        return self.active.parent / FOLDER / self.name

    @property
    def log(self) -> Path:
        """Activations, one JSON object per line."""
        return self.folder / "activations.jsonl"

    def proposed(self, version: int) -> Path:
        """Name a version as proposed."""
        return self.folder / f"v{version:04d}.proposed.toml"

    def released(self, version: int) -> Path:
        """Name a version that was in force."""
        return self.folder / f"v{version:04d}.toml"

    def evidence(self, version: int) -> Path:
        """Name the Proposal."""
        return self.folder / f"v{version:04d}.evidence.json"

    def source(self, version: int) -> Path:
        """Name the file behind the prediction."""
        return self.folder / f"v{version:04d}.source.json"

    def approval(self, version: int) -> Path:
        """Name what was signed."""
        return self.folder / f"v{version:04d}.approval.json"


def shelf_of(active: Path, recipe: Recipe) -> Shelf:
    """Name the files; ConfigError for a recipe whose name is no name of a folder."""
    if not _NAME.fullmatch(recipe.name):
        raise ConfigError(
            f"{active}: name: {recipe.name!r} cannot name a folder; use letters, digits, spaces, - and _, at most 64"
        )
    return Shelf(active, recipe.name)


def versions(shelf: Shelf) -> list[int]:
    """Give every version that was proposed or in force, ascending."""
    found = (re.fullmatch(r"v(\d{4,})(\.proposed)?\.toml", path.name) for path in shelf.folder.glob("v*.toml"))
    return sorted({int(match[1]) for match in found if match})


def newest(shelf: Shelf, active: Recipe) -> int:
    """Give the largest version number that was ever given."""
    return max(*versions(shelf), active.version) if versions(shelf) else active.version


def next_version(shelf: Shelf, active: Recipe) -> int:
    """Give the number of the next version."""
    return newest(shelf, active) + 1


def read_version(shelf: Shelf, version: int, config: Config) -> Recipe:
    """Read a version; Refused when there is none, ConfigError when the station cannot use it."""
    for path in (shelf.released(version), shelf.proposed(version)):
        if path.exists():
            return read_recipe(path, config, "the station file", shelf.active.parent)[0]
    known = ", ".join(map(str, versions(shelf))) or "none"
    raise Refused(f"recipe {shelf.name}: there is no version {version}; known are {known}")


def read_proposal(shelf: Shelf, version: int) -> Proposal:
    """Read what was proposed; Refused when the version was never proposed, or its evidence cannot be read."""
    path = shelf.evidence(version)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Proposal)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(
            f"recipe {shelf.name} version {version}: {path.name} cannot be read ({error}); propose the change again"
        ) from error


def write_proposal(shelf: Shelf, recipe: Recipe, proposal: Proposal, source: bytes) -> Path:
    """Lay a proposal down; Refused when its version number is taken."""
    place = shelf.proposed(recipe.version)
    if place.exists() or shelf.released(recipe.version).exists():
        raise Refused(f"recipe {shelf.name}: version {recipe.version} is there already; propose the next one")
    write_whole(shelf.source(recipe.version), source)
    write_whole(shelf.evidence(recipe.version), msgspec.json.format(msgspec.json.encode(proposal)) + b"\n")
    write_whole(place, render(recipe).encode())
    return place


def evidence_digest(shelf: Shelf, version: int) -> str:
    """Give SHA-256 (hex) of what a person decides on; Refused when it, or the file behind it, was changed."""
    proposal = read_proposal(shelf, version)
    found = hashlib.sha256(_bytes(shelf.source(version))).hexdigest()
    if found != proposal.source_sha256:
        raise Refused(
            f"recipe {shelf.name} version {version}: {shelf.source(version).name} has SHA-256 {found[:12]}, proposed "
            f"with {proposal.source_sha256[:12]}; propose the change again"
        )
    return hashlib.sha256(_bytes(shelf.evidence(version))).hexdigest()


def approve(
    shelf: Shelf, version: int, active: Recipe, config: Config, person: str, key: Ed25519PrivateKey, at: UtcNs
) -> Approval:
    """Sign a proposed version, as the first person or, where the station demands two, as the second.

    Refused or ConfigError, with nothing written, when the version is none, was changed or signed already, or when the
    key is not the one that the station holds for the person.
    """
    recipe, signers = read_version(shelf, version, config), config.approval
    check_fits(active, recipe, read_proposal(shelf, version))
    digest = evidence_digest(shelf, version)
    earlier = read_approval(shelf.approval(version))
    if earlier is None:
        approval = sign(
            recipe, digest, person, at, key, _installed(Path(config.station.state) / "bundles" / recipe.bundle)
        )
        check(approval, recipe, signers.people, two_persons=False)
    elif signers.two_persons and earlier.second is None:
        approval = countersign(earlier, person, at, key)
        check(approval, recipe, signers.people, two_persons=True)
    else:
        raise Refused(
            f"recipe {shelf.name} version {version}: was signed by {earlier.person} already; `firstshift recipe "
            f"activate {version}` puts it in force"
        )
    write_whole(shelf.approval(version), msgspec.json.encode(approval))
    return approval


def _installed(folder: Path) -> str:
    """Give the id of the bundle in a folder; empty without one, RuntimeFault for a damaged one."""
    return bundles.read(folder).id if folder.is_dir() else ""


def activate(shelf: Shelf, version: int, active: Recipe, config: Config, actor: str, at: UtcNs) -> Activation:
    """Put an approved version in force from the next start of the services on; the one before stays on the shelf.

    Refused or ConfigError, with nothing changed, when it is not approved, was changed since, or is not the next one.
    """
    recipe = read_version(shelf, version, config)
    if version == active.version:
        raise Refused(f"recipe {shelf.name}: version {version} is in force already; nothing was changed")
    check_fits(active, recipe, read_proposal(shelf, version))
    approval = _approved(shelf, recipe, config)
    digest = evidence_digest(shelf, version)
    if approval.evidence != digest:
        raise Refused(
            f"recipe {shelf.name} version {version}: the evidence has SHA-256 {digest[:12]}, approved was "
            f"{approval.evidence[:12]}; have it approved again"
        )
    keep_active(shelf, active)
    write_whole(shelf.released(version), render(recipe).encode())
    return _put(shelf, recipe, approval, Activation(at, "activated", shelf.name, version, "", active.version, actor))


def roll_back(shelf: Shelf, active: Recipe, config: Config, actor: str, why: str, at: UtcNs) -> Activation:
    """Put the version in force again that was before the active one, with the approval it had.

    Refused when there is none; a version that let the model decide needs its approval to stand still.
    """
    before = [done.before for done in history(shelf) if done.version == active.version and done.before < active.version]
    if not before:
        raise Refused(
            f"recipe {shelf.name}: version {active.version} replaced no earlier version, 1 is needed to go back to; "
            "propose the change as the next version"
        )
    recipe = read_version(shelf, before[-1], config)
    file = shelf.approval(recipe.version)
    needed = recipe.mode is Mode.PRIMARY or file.exists()
    approval = _approved(shelf, recipe, config) if needed else None
    done = Activation(at, "rolled_back", shelf.name, recipe.version, "", active.version, actor, why=why)
    return _put(shelf, recipe, approval, done)


def history(shelf: Shelf) -> list[Activation]:
    """Give the activations, oldest first; ConfigError for a line that is none."""
    if not shelf.log.exists():
        return []
    try:
        return [msgspec.json.decode(line, type=Activation) for line in shelf.log.read_bytes().splitlines()]
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shelf.log}: cannot be read ({error}); restore it from a backup") from error


def keep_active(shelf: Shelf, active: Recipe) -> None:
    """Lay the recipe in force on the shelf, unless it is there: the first one was written by hand."""
    place = shelf.released(active.version)
    if place.exists():
        return
    write_whole(place, _bytes(shelf.active))
    approval = approval_path(shelf.active)
    if approval.exists():
        write_whole(shelf.approval(active.version), _bytes(approval))


def _approved(shelf: Shelf, recipe: Recipe, config: Config) -> Approval:
    signers = config.approval
    approval = read_approval(shelf.approval(recipe.version))
    return check(approval, recipe, signers.people, two_persons=signers.two_persons)


def _put(shelf: Shelf, recipe: Recipe, approval: Approval | None, done: Activation) -> Activation:
    done = msgspec.structs.replace(
        done, digest=recipe_digest(recipe), person=approval.person if approval is not None else ""
    )
    earlier = _bytes(shelf.log) if shelf.log.exists() else b""
    write_whole(shelf.log, earlier + msgspec.json.encode(done) + b"\n")
    beside = approval_path(shelf.active)
    if approval is None:
        beside.unlink(missing_ok=True)
    else:
        write_whole(beside, msgspec.json.encode(approval))
    write_whole(shelf.active, render(recipe).encode())
    return done


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{path}: cannot be read ({error.strerror}); propose the version again") from error
