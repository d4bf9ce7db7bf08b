"""Approve, put in force and take back, as `firstshift recipe` does it, with the key of who is at the screen. No Qt."""

from pathlib import Path

from msgspec import Struct

from appliance.config import load, read_approval
from appliance.governance.approval import public_text
from appliance.governance.rights import sign_fault
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ApplianceError, ConfigError
from appliance.schema.person import Person
from appliance.storage.recipe_versions import activate, approve, read_proposal, roll_back, shelf_of
from appliance.storage.whole_file import write_whole
from hmi.signing_keys import KeyRing


class Deed(Struct, frozen=True):
    """State what a person has decided to do."""

    kind: str
    """approve, activate, roll_back, make_key, change_over, stage, activate_bundle or roll_back_bundle."""
    subject: str = ""
    """Number of a version or a recipe, or a bundle's folder or id."""
    why: str = ""


class Done(Struct, frozen=True):
    """State what came of it."""

    good: bool
    said: str
    """What now holds, or why nothing was changed."""
    before: str = ""
    after: str = ""
    """For the audit chain."""


def do(deed: Deed, station: Path, person: Person, pin: str, ring: KeyRing, at: UtcNs) -> Done:
    """Do one of the deeds that are files' alone; blocks up to a second. pin: proven already, opens the person's key."""
    try:
        match deed.kind:
            case "approve":
                return _approve(deed, station, person, pin, ring, at)
            case "activate":
                return _activate(deed, station, person, at)
            case "roll_back":
                return _roll_back(deed, station, person, at)
            case "make_key":
                return _make_key(station, person, pin, ring)
    except (ApplianceError, OSError) as error:
        return Done(good=False, said=str(error))
    return Done(good=False, said=f"{deed.kind}: is no deed of this screen; nothing was changed")


def _approve(deed: Deed, station: Path, person: Person, pin: str, ring: KeyRing, at: UtcNs) -> Done:
    loaded = load(station)
    shelf, number = shelf_of(loaded.recipe_path, loaded.recipe), int(deed.subject)
    proposal = read_proposal(shelf, number)
    two = loaded.config.approval.two_persons
    fault = sign_fault(person, proposal.proposer, _signed(shelf.approval(number)), two_persons=two)
    if fault:
        return Done(good=False, said=fault)
    file = ring.find(person.person)
    if file is None:
        raise ConfigError(f"{person.person}: has no signing key here, 1 is needed; make one, or put in the stick")
    key = ring.open(file, person.person, pin)
    approval = approve(shelf, number, loaded.recipe, loaded.config, person.person, key, at)
    if two and approval.second is None:
        said = f"version {number}: signed, a second person must sign too"
    else:
        said = f"version {number}: signed, it may be put in force"
    return Done(good=True, said=said, before=f"version {loaded.recipe.version}", after=f"version {number}")


def _signed(path: Path) -> tuple[str, ...]:
    found = read_approval(path)
    if found is None:
        return ()
    return (found.person, found.second.person) if found.second is not None else (found.person,)


def _activate(deed: Deed, station: Path, person: Person, at: UtcNs) -> Done:
    loaded = load(station)
    shelf = shelf_of(loaded.recipe_path, loaded.recipe)
    done = activate(shelf, int(deed.subject), loaded.recipe, loaded.config, person.person, at)
    return Done(
        good=True,
        said=f"version {done.version}: is in force from the next start of the services",
        before=f"version {done.before}",
        after=f"version {done.version}",
    )


def _roll_back(deed: Deed, station: Path, person: Person, at: UtcNs) -> Done:
    loaded = load(station)
    shelf = shelf_of(loaded.recipe_path, loaded.recipe)
    done = roll_back(shelf, loaded.recipe, loaded.config, person.person, deed.why, at)
    return Done(
        good=True,
        said=f"version {done.version}: is in force again from the next start of the services",
        before=f"version {done.before}",
        after=f"version {done.version}",
    )


def _make_key(station: Path, person: Person, pin: str, ring: KeyRing) -> Done:
    """Make a person's key in place of one that no known PIN opens; the station file is changed by others' hands."""
    loaded = load(station)
    file = ring.find(person.person)
    if file is not None and file.stick:
        return Done(good=False, said=f"{file.path.name}: is on a stick already; take it out to make another")
    if file is not None:
        try:
            held = ring.open(file, person.person, pin)
        except ConfigError:
            ring.forget(person.person)
        else:
            return _told(ring, person.person, public_text(held), loaded.path)
    public = ring.make(person.person, pin)
    return _told(ring, person.person, public, loaded.path)


def _told(ring: KeyRing, person: str, public: str, station: Path) -> Done:
    line = f'{person} = "{public}"'
    place = ring.public_file(person)
    write_whole(place, f"{line}\n".encode())
    said = f"{line}\nput this line (also in {place}) under [approval] people of {station.name}, then restart"
    return Done(good=True, said=said, after=public)
