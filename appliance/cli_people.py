"""Read the commands that keep the list of people; every change goes through `record`, which may refuse it.

A PIN is asked for at a prompt or read from a file, never taken from the command line, where other users would see it.
"""

import argparse
import json
import secrets
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from appliance.cli_models import AddCommand, Commands
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ConfigError
from appliance.schema.label import LabelLevel
from appliance.schema.person import Person, Role, Secret

if TYPE_CHECKING:
    from appliance.config import Loaded

ANSWER_MS = 5000
"""Longest wait for `record`: it answers once the change is on the disk."""

CLI = "service:cli"
"""Who changes the list where no admin is named: whoever may use the service's account."""


def add(commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands; station: adds the arguments that name a station."""
    people = commands.add_parser("people", help="list, enrol, change and disable the people of the station")
    actions = people.add_subparsers(metavar="ACTION", required=True)
    listed = command(actions, "list", _list, "list the people of the station, inactive ones too")
    listed.add_argument("--json", help="write JSON to this file, - for standard output alone")
    enrol = command(actions, "enrol", _enrol, "enrol a person; the first one must be an admin")
    change = command(actions, "change", _change, "change name, role, level, badge or language of a person")
    pin = command(actions, "pin", _pin, "give a person a new PIN")
    disable = command(actions, "disable", _disable, "let a person do nothing more; what they did stays")
    enable = command(actions, "enable", _enable, "let a disabled person in again")
    for parser in (enrol, change, pin, disable, enable):
        parser.add_argument("person", help="operator id, for example o-anna; it names the person in every record")
        parser.add_argument("--by", default=CLI, help=f"operator id of the admin who asks, default {CLI}")
    for parser, needed in ((enrol, True), (change, False)):
        parser.add_argument("--name", required=needed, help="as the screen shows it")
        parser.add_argument("--role", choices=[role.value for role in Role], required=needed, help="what they may do")
        parser.add_argument("--level", type=int, choices=[1, 2, 3], help="highest level of labelling, default 1")
        parser.add_argument("--badge", help="what the badge reader types; only its SHA-256 is kept; '' takes it away")
        parser.add_argument("--language", help="of the screen: en, de, es, zh or ar, default en")
    for parser in (enrol, pin):
        parser.add_argument("--pin-file", type=Path, help="file with the PIN in its first line, instead of a prompt")
    enrol.add_argument("--no-pin", action="store_true", help="the person chooses the PIN later, at the screen")
    for parser in (listed, enrol, change, pin, disable, enable):
        station(parser)


def _list(options: argparse.Namespace) -> int:
    from appliance.storage.whole_file import write_whole

    people = sorted(_known(_loaded(options)).values(), key=lambda one: one.person)
    text = json.dumps({"people": [_told(one) for one in people]})
    if options.json == "-":
        print(text)  # noqa: T201
        return 0
    if options.json:
        write_whole(Path(options.json), text.encode() + b"\n")
    for one in people:
        badge, pin = "badge" if one.badge_sha256 else "no badge", "PIN" if one.secret else "no PIN"
        standing = "" if one.active else ", disabled"
        print(  # noqa: T201
            f"{one.person:<16} {one.role.value:<12} level {int(one.level)}  {one.language}  {badge}, {pin}{standing}"
            f"  {one.name}"
        )
    if not people:
        print("nobody is enrolled: `firstshift people enrol --role admin` enrols the first one")  # noqa: T201
    return 0


def _enrol(options: argparse.Namespace) -> int:
    from appliance.governance.credentials import badge_digest

    loaded = _loaded(options)
    if options.person in _known(loaded):
        raise ConfigError(f"people enrol: {options.person} is enrolled already; use `firstshift people change`")
    person = Person(
        "",
        options.person,
        options.name,
        Role(options.role),
        LabelLevel(options.level or 1),
        badge_digest(options.badge or ""),
        None if options.no_pin else _secret(options.person, options.pin_file, options.badge or ""),
        options.language or "en",
        active=True,
        by=options.by,
        at=UtcNs(0),
    )
    return _wish(loaded, person, options.by)


def _change(options: argparse.Namespace) -> int:
    from appliance.governance.credentials import badge_digest

    loaded = _loaded(options)
    person = _person(loaded, options.person)
    changed = replace(
        person,
        name=options.name or person.name,
        role=Role(options.role or person.role),
        level=LabelLevel(options.level or person.level),
        badge_sha256=person.badge_sha256 if options.badge is None else badge_digest(options.badge),
        language=options.language or person.language,
    )
    if changed == person:
        raise ConfigError(f"people change: {options.person} is so already, 1 change is needed; see `people list`")
    return _wish(loaded, changed, options.by)


def _pin(options: argparse.Namespace) -> int:
    loaded = _loaded(options)
    person = _person(loaded, options.person)
    return _wish(loaded, replace(person, secret=_secret(options.person, options.pin_file)), options.by)


def _disable(options: argparse.Namespace) -> int:
    return _stand(options, active=False)


def _enable(options: argparse.Namespace) -> int:
    return _stand(options, active=True)


def _stand(options: argparse.Namespace, *, active: bool) -> int:
    loaded = _loaded(options)
    person = _person(loaded, options.person)
    if person.active is active:
        raise ConfigError(f"{options.person}: is {'active' if active else 'disabled'} already; nothing was changed")
    return _wish(loaded, replace(person, active=active), options.by)


def _wish(loaded: "Loaded", person: Person, by: str) -> int:
    """Send the change to `record`; Refused says why not, LinkError that it did not answer."""
    import zmq

    from appliance.bus.control import ask
    from appliance.governance.rights import change_fault
    from appliance.schema.command import ChangePerson
    from appliance.schema.ids import uuid7

    now = UtcNs(time.time_ns())
    wish = replace(person, event_id=uuid7(now, secrets.randbits(74)), by=by, at=now)
    fault = change_fault(_known(loaded), wish)
    if fault:
        raise ConfigError(fault)
    with zmq.Context() as context:
        ask(context, loaded.runtime, "record", ChangePerson(wish), ANSWER_MS)
    print(f"{person.person}: {person.role.value}, level {int(person.level)}, {_standing(person)}")  # noqa: T201
    return 0


def _standing(person: Person) -> str:
    if not person.active:
        return "disabled"
    return "may sign in" if person.secret else "has no PIN yet and cannot sign in"


def _secret(person: str, file: Path | None, badge: str = "") -> Secret:
    """Read a new PIN from a file, or twice from a prompt; ConfigError for one that is too easily guessed."""
    from appliance.governance.credentials import SALT_BYTES, pin_fault, secret_of

    pin = _file_pin(file) if file is not None else _asked_pin(person)
    fault = pin_fault(pin, person, badge)
    if fault:
        raise ConfigError(f"{person}: {fault}")
    return secret_of(pin, secrets.token_bytes(SALT_BYTES))


def _file_pin(file: Path) -> str:
    try:
        return (file.read_text("ascii", "replace").splitlines() or [""])[0].strip()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; give another file with the PIN") from error


def _asked_pin(person: str) -> str:
    from getpass import getpass

    pin = getpass(f"new PIN of {person}: ", sys.stderr)
    if getpass("the same again: ", sys.stderr) != pin:
        raise ConfigError(f"{person}: the two PINs differ; nothing was changed, try again")
    return pin


def _person(loaded: "Loaded", name: str) -> Person:
    known = _known(loaded)
    if name not in known:
        listed = ", ".join(sorted(known)) or "nobody"
        raise ConfigError(f"{name}: is not enrolled; known are {listed}; use `firstshift people enrol`")
    return known[name]


def _known(loaded: "Loaded") -> dict[str, Person]:
    from appliance.storage import database, people_queries
    from appliance.storage.record_store import DATABASE

    path = loaded.state / DATABASE
    with closing(database.open_reader(path)) as connection:
        try:
            return {one.person: one for one in people_queries.people(connection)}
        except sqlite3.Error as error:
            raise database.store_error(path, "be asked", error) from error


def _loaded(options: argparse.Namespace) -> "Loaded":
    from appliance import config

    path: Path = options.state / "station.toml" if options.state else options.config
    return config.load(path)


def _told(person: Person) -> dict[str, object]:
    """Give a person without what proves PIN and badge."""
    return {
        "person": person.person,
        "name": person.name,
        "role": person.role.value,
        "level": int(person.level),
        "language": person.language,
        "badge": bool(person.badge_sha256),
        "pin": person.secret is not None,
        "active": person.active,
        "by": person.by,
        "at_utc_ns": person.at,
    }
