"""Read what is in force at the station, what is proposed, and which bundles lie there. Blocks; no Qt."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.config import Loaded, approval_path, load, read_approval, read_recipe
from appliance.decision.parallel import Requirement
from appliance.governance.approval import recipe_digest
from appliance.governance.proposal import Change, Proposal, changes
from appliance.schema.approval import Approval
from appliance.schema.bundle import Manifest
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ApplianceError
from appliance.schema.policy import Mode
from appliance.schema.recipe import Recipe
from appliance.storage import bundle as bundles
from appliance.storage.parallel import read_report
from appliance.storage.promise import FILE, PromiseFile
from appliance.storage.recipe_versions import (
    Activation,
    Shelf,
    history,
    read_proposal,
    read_version,
    shelf_of,
    versions,
)

SHEET = "data_sheet.json"
"""File of a bundle with its figures, where training wrote one."""


class Figure(Struct, frozen=True):
    """Give one figure of a data sheet; a share has its counts and 95 % interval."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    k: int | None = None
    n: int | None = None


class Sheet(Struct, frozen=True):
    """Give the figures of a data sheet that the screen shows."""

    decision: tuple[Figure, ...] = ()
    metrics: tuple[Figure, ...] = ()
    promise: str = ""
    limits: tuple[str, ...] = ()
    """What the bundle cannot do, one sentence each."""


class Installed(Struct, frozen=True):
    """State one bundle that lies at the station."""

    path: str
    """Folder, relative to the station's bundle folder."""
    id: str = ""
    manifest: Manifest | None = None
    sheet: Sheet | None = None
    fault: str = ""
    """Why it cannot be used."""


class Version(Struct, frozen=True):
    """State one version of the recipe in force."""

    number: int
    in_force: bool
    was_in_force: bool
    recipe: Recipe | None
    proposal: Proposal | None
    approval: Approval | None
    changes: tuple[Change, ...] = ()
    """Against the version in force."""
    fault: str = ""

    @property
    def signed(self) -> tuple[str, ...]:
        """Operator ids of those who have signed."""
        if self.approval is None:
            return ()
        second = self.approval.second
        return (self.approval.person, second.person) if second is not None else (self.approval.person,)


class Other(Struct, frozen=True):
    """State one of the station's recipes."""

    file: str
    recipe: Recipe | None
    fault: str = ""


class Standing(Struct, frozen=True):
    """Hold all that the recipe screen tells."""

    loaded: Loaded
    digest: str
    """Of the recipe that the next start of the services takes."""
    versions: tuple[Version, ...]
    """Newest first."""
    others: tuple[Other, ...]
    installed: tuple[Installed, ...]
    void: str
    """Why the promise of the escape rate does not stand; empty: it does, or there is none."""
    required: tuple[Requirement, ...]
    """What parallel mode must have shown, and has; empty in mode primary."""
    activations: tuple[Activation, ...]
    """Oldest first."""


class Reader:
    """Read all of it; keeps the bundles that were verified, since 20 MB every 2 s would cost more than they show."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, Installed]] = {}

    def read(self, connection: sqlite3.Connection | None, station: Path, bundle: str) -> Standing | str:
        """Give how things stand, or why that cannot be said.

        connection: None where the record database cannot be read. bundle: id of the one that decides, as `judge` says.
        """
        try:
            loaded = load(station)
            shelf = shelf_of(loaded.recipe_path, loaded.recipe)
            return Standing(
                loaded,
                recipe_digest(loaded.recipe),
                tuple(_versions(loaded, shelf)),
                tuple(_others(loaded)),
                tuple(self._installed(loaded.state / "bundles")),
                _void(loaded, bundle),
                _required(loaded, shelf, connection),
                tuple(history(shelf)),
            )
        except ApplianceError as error:
            return str(error)

    def _installed(self, folder: Path) -> Iterator[Installed]:
        if not folder.is_dir():
            return
        for place in sorted(path for path in folder.iterdir() if (path / bundles.MANIFEST).is_file()):
            changed = (place / bundles.MANIFEST).stat().st_mtime_ns
            known = self._seen.get(place)
            if known is None or known[0] != changed:
                known = self._seen[place] = (changed, _bundle(place))
            yield known[1]


def _versions(loaded: Loaded, shelf: Shelf) -> Iterator[Version]:
    for number in sorted({*versions(shelf), loaded.recipe.version}, reverse=True):
        yield _version(loaded, shelf, number)


def _version(loaded: Loaded, shelf: Shelf, number: int) -> Version:
    active = number == loaded.recipe.version
    released = shelf.released(number).exists()
    try:
        recipe = loaded.recipe if active else read_version(shelf, number, loaded.config)
        approval = read_approval(approval_path(shelf.active) if active else shelf.approval(number))
        proposal = read_proposal(shelf, number) if shelf.evidence(number).exists() else None
    except ApplianceError as error:
        return Version(number, active, released, None, None, None, fault=str(error))
    return Version(number, active, released, recipe, proposal, approval, tuple(changes(loaded.recipe, recipe)))


def _others(loaded: Loaded) -> Iterator[Other]:
    station = loaded.config.station
    for file in dict.fromkeys((station.recipe, *station.recipes)):
        try:
            yield Other(file, read_recipe(loaded.path.parent / file, loaded.config, loaded.path.name)[0])
        except ApplianceError as error:
            yield Other(file, None, str(error))


def _bundle(place: Path) -> Installed:
    try:
        found = bundles.read(place)
    except ApplianceError as error:
        return Installed(place.name, fault=str(error))
    sheet = None
    if SHEET in found.files:
        try:
            sheet = msgspec.json.decode(found.files[SHEET], type=Sheet)
        except (msgspec.DecodeError, UnicodeDecodeError):
            sheet = None  # of an older form: the manifest's own figures remain
    return Installed(place.name, found.id, found.manifest, sheet)


def _void(loaded: Loaded, bundle: str) -> str:
    risk = loaded.recipe.policy.risk
    if risk is None or not bundle:
        return ""
    if risk.bundle != bundle:
        return f"found for bundle {risk.bundle[:19]}, {bundle[:19]} decides"
    return PromiseFile(loaded.state / FILE, loaded.recipe.name, loaded.recipe.version).cause(bundle)


def _required(loaded: Loaded, shelf: Shelf, connection: sqlite3.Connection | None) -> tuple[Requirement, ...]:
    if loaded.recipe.mode is not Mode.PARALLEL or connection is None:
        return ()
    since = max((done.at for done in history(shelf) if done.version == loaded.recipe.version), default=UtcNs(0))
    return read_report(connection, loaded.recipe, loaded.config.parallel, since).required
