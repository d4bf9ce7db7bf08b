"""Read the commands of the plant's side: a PLC played against an appliance, and who may reach it."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.cli_models import AddCommand, Commands

if TYPE_CHECKING:
    from appliance.config import Loaded
    from appliance.outputs.opcua_security.folders import Folders, Held
    from appliance.schema.clocks import UtcNs

FINDING = 1


def add(commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands; station: adds the arguments that name a station."""
    _plc_arguments(commands, command)
    _opcua_arguments(commands, command, station)


def _plc_arguments(commands: Commands, command: AddCommand) -> None:
    plc = commands.add_parser("plc", help="play a PLC against an appliance")
    actions = plc.add_subparsers(metavar="ACTION", required=True)
    played = command(actions, "conformance", _conformance, "play a PLC against an appliance and report rule by rule")
    played.add_argument("--host", required=True, help="address of the appliance")
    played.add_argument("--port", type=int, default=502, help="TCP port, default 502")
    played.add_argument("--seconds", type=float, default=5.0, help="watch parts, and wait for one, so long; default 5")
    played.add_argument("--stale-ms", type=int, default=500, help="plc.stale_ms of the station, default 500")
    played.add_argument("--ack-timeout-ms", type=int, default=2000, help="plc.ack_timeout_ms, default 2000")
    played.add_argument("--json", help="also write JSON to this file, - for standard output alone")


def _conformance(options: argparse.Namespace) -> int:
    import msgspec

    from appliance.sim.plc_conformance import conformance, lines

    report = conformance(
        options.host,
        options.port,
        seconds=options.seconds,
        stale_ms=options.stale_ms,
        ack_timeout_ms=options.ack_timeout_ms,
    )
    text = msgspec.json.format(msgspec.json.encode(report)).decode()
    if options.json == "-":
        print(text)  # noqa: T201
    else:
        for line in lines(report):
            print(line)  # noqa: T201
        if options.json:
            Path(options.json).write_text(text + "\n", "utf-8")
    return 0 if report.green else FINDING


def _opcua_arguments(
    commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]
) -> None:
    opcua = commands.add_parser("opcua", help="say which clients and people the OPC UA server lets in")
    actions = opcua.add_subparsers(metavar="ACTION", required=True)
    station(
        command(actions, "list", _opcua_list, "list the certificates that are trusted, and those that were refused")
    )
    trust = command(actions, "trust", _opcua_trust, "trust a client's certificate that was refused")
    untrust = command(actions, "untrust", _opcua_untrust, "trust a certificate no more; its sessions end at once")
    for parser in (trust, untrust):
        parser.add_argument("thumbprint", help="SHA-256 or SHA-1 as `opcua list` shows it, its first 8 digits or more")
    renew = command(actions, "renew", _opcua_renew, "make a new key and certificate of the server")
    user = actions.add_parser("user", help="say who may sign in")
    people = user.add_subparsers(metavar="ACTION", required=True)
    added = command(people, "add", _user_add, "add a person, or give one another role and password")
    added.add_argument("--role", required=True, choices=("observer", "operator", "engineer"))
    removed = command(people, "remove", _user_remove, "remove a person, whose sessions end at once")
    station(command(people, "list", _user_list, "list who may sign in"))
    for parser in (added, removed):
        parser.add_argument("name", help="name to sign in with")
    for parser in (trust, untrust, renew, added, removed):
        parser.add_argument("--person", required=True, help="operator id of who does it")
        station(parser)


def _opcua_list(options: argparse.Namespace) -> int:
    from appliance.outputs.opcua_security.certificates import OWN, read_own
    from appliance.outputs.opcua_security.folders import Held, held

    folders = _opcua_folders(options)
    if (folders.own / OWN).exists():
        _say(_certificate_line("own", Held(folders.own / OWN, read_own(folders.own).certificate)))
    else:
        _say("own       none yet; the first start of the unit opcua makes it")
    for word, folder in (("trusted", folders.trusted), ("issuer", folders.issuers), ("rejected", folders.rejected)):
        found = held(folder)
        for one in found:
            _say(_certificate_line(word, one))
        if not found:
            _say(f"{word:<9} none")
    return 0


def _certificate_line(word: str, one: "Held") -> str:
    return f"{word:<9} {one.subject}, until {one.certificate.not_valid_after_utc:%Y-%m-%d}"


def _opcua_trust(options: argparse.Namespace) -> int:
    from appliance.outputs.opcua_security.folders import trust

    done = trust(_opcua_folders(options), options.thumbprint, options.person, _now())
    _say(f"trusted {done.subject}: it may connect from now on; the audit chain takes it up")
    return 0


def _opcua_untrust(options: argparse.Namespace) -> int:
    from appliance.outputs.opcua_security.folders import untrust

    done = untrust(_opcua_folders(options), options.thumbprint, options.person, _now())
    _say(f"no longer trusted {done.subject}: its sessions end within a second; the audit chain takes it up")
    return 0


def _opcua_renew(options: argparse.Namespace) -> int:
    import socket
    from datetime import UTC, datetime

    from appliance.outputs.opcua_security.certificates import OWN, application_uri, make_own, read_own
    from appliance.outputs.opcua_security.changes import changing, note
    from appliance.outputs.opcua_security.folders import Held
    from appliance.schema.errors import ConfigError

    folders, config = _opcua_folders(options), _station(options).config
    uri = application_uri(config.station.site, config.station.line, config.station.name)
    with changing(folders.root):
        try:
            before = Held(folders.own / OWN, read_own(folders.own).certificate).subject
        except ConfigError:  # absent or damaged: all the more reason
            before = "none that can be read"
        note(folders.root, options.person, "certificate_renewed", "own certificate", before, "a new one", _now())
        made = make_own(folders.own, uri, config.opcua.name or socket.gethostname(), datetime.now(UTC))
    _say(_certificate_line("own", Held(folders.own / OWN, made.certificate)))
    _say("the server shows it from its next start on: systemctl restart firstshift-opcua; clients must trust it anew")
    return 0


def _user_add(options: argparse.Namespace) -> int:
    from appliance.outputs.opcua_security.roles import Role
    from appliance.outputs.opcua_security.users import set_user

    folders = _opcua_folders(options)
    set_user(folders.root, options.name, Role(options.role), _password(options.name), options.person, _now())
    _say(f"user {options.name}: may sign in as {options.role}; the audit chain takes it up")
    return 0


def _user_remove(options: argparse.Namespace) -> int:
    from appliance.outputs.opcua_security.users import remove_user

    remove_user(_opcua_folders(options).root, options.name, options.person, _now())
    _say(f"user {options.name}: may not sign in any more; the audit chain takes it up")
    return 0


def _user_list(options: argparse.Namespace) -> int:
    from appliance.outputs.opcua_security.users import read_users

    people = sorted(read_users(_opcua_folders(options).root).items())
    for name, entry in people:
        _say(f"{entry.role.value:<9} {name}")
    if not people:
        _say("nobody may sign in; `firstshift opcua user add` lets a person in")
    return 0


def _password(name: str) -> str:
    """Ask for a password twice, or read it from a pipe; a command's arguments are for all to see."""
    import getpass
    import sys

    from appliance.schema.errors import ConfigError

    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass(f"password of {name}: ")
    if password != getpass.getpass("the same again: "):
        raise ConfigError(f"user {name}: the passwords differ; nothing was changed, try again")
    return password


def _opcua_folders(options: argparse.Namespace) -> "Folders":
    from appliance.outputs.opcua_security.folders import make_folders

    return make_folders(_station(options).state / "opcua")


def _station(options: argparse.Namespace) -> "Loaded":
    from appliance import config

    return config.load(options.state / "station.toml" if options.state else options.config)


def _now() -> "UtcNs":
    import time

    from appliance.schema.clocks import UtcNs

    return UtcNs(time.time_ns())


def _say(line: str) -> None:
    print(line)  # noqa: T201  a command's answer to a person
