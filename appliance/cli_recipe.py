"""Read the commands that propose, approve and show recipe versions, and that run parallel mode."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.cli_models import AddCommand, Commands
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ConfigError, Refused
from appliance.schema.policy import Mode

if TYPE_CHECKING:
    from appliance.config import Loaded
    from appliance.governance.evidence import DayOneReport, ParallelReport
    from appliance.governance.proposal import Ground
    from appliance.schema.recipe import Recipe
    from appliance.storage.recipe_versions import Shelf

FINDING = 1
SHIFT_H = 8
LIMITING_SHARE = 0.01
"""Defective among accepted parts of a shift: as many are found by the spot check with 95 % probability."""


def add(commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands; station: adds the arguments that name a station."""
    recipe = commands.add_parser("recipe", help="propose, approve and put in force versions of the station's recipe")
    actions = recipe.add_subparsers(metavar="ACTION", required=True)
    propose = command(actions, "propose", _propose, "propose a version, with what it is expected to do")
    propose.add_argument("file", type=Path, nargs="?", help="the proposed recipe; --day-one makes it itself")
    propose.add_argument(
        "--day-one", action="store_true", help="the limits that the evidence of inspected parts allows"
    )
    propose.add_argument("--evidence", type=Path, help="JSON of evaluate, risk plan or parallel table")
    show = command(actions, "show", _show, "show a version, its evidence and its approval")
    show.add_argument("version", type=int, nargs="?", help="default: the one in force")
    diff = command(actions, "diff", _diff, "show what differs between two versions")
    diff.add_argument("version", type=int, help="version to look at")
    diff.add_argument("other", type=int, nargs="?", help="version to hold it against; default: the one in force")
    approve = command(actions, "approve", _approve, "sign a proposed version with a person's key")
    approve.add_argument("version", type=int, help="proposed version")
    approve.add_argument("--key", type=Path, required=True, help="the person's private key, PEM; it is only read")
    activate = command(actions, "activate", _activate, "put an approved version in force from the next start on")
    activate.add_argument("version", type=int, help="approved version")
    rollback = command(actions, "rollback", _rollback, "put the version before the present one in force again")
    history = command(actions, "history", _history, "list all versions and when they were in force")
    _parallel_arguments(commands, command, station)
    for parser in (propose, rollback):
        parser.add_argument("--why", required=True, help="reason, in words")
    for parser in (propose, approve, activate, rollback):
        parser.add_argument("--person", required=True, help="operator id of who does it")
    for parser in (propose, show, diff, approve, activate, rollback, history):
        station(parser)
        _which(parser)
    keygen = command(actions, "keygen", _keygen, "make a person's key; the file is theirs to keep, and to lose")
    keygen.add_argument("--person", required=True, help="operator id")
    keygen.add_argument("--out", type=Path, required=True, help="file of the private key, which must not exist yet")
    keygen.add_argument("--passphrase", action="store_true", help="ask for one, which each signature then needs")


def _which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", type=int, help="number of the station's recipe; default: the one in force")


def _parallel_arguments(
    commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]
) -> None:
    parallel = commands.add_parser("parallel", help="hold people's decisions against the model's sealed ones")
    actions = parallel.add_subparsers(metavar="ACTION", required=True)
    status = command(actions, "status", _status, "say whether parallel mode has shown enough; 1 when it has not")
    table = command(actions, "table", _table, "show the confusion table with exact intervals")
    table.add_argument("--json", help="write it to this file, - for standard output alone; evidence of a proposal")
    transition = command(actions, "transition", _transition, "propose the version in which the model decides")
    transition.add_argument("--person", required=True, help="operator id of who proposes it")
    transition.add_argument("--why", default="parallel mode has shown enough", help="reason, in words")
    transition.add_argument("--lot", type=int, help="accepted parts of a shift; default: as parallel mode has seen")
    transition.add_argument(
        "--limiting-share",
        type=float,
        default=LIMITING_SHARE,
        help=f"share of defective parts among accepted ones that the spot check finds, default {LIMITING_SHARE}",
    )
    for parser in (status, table, transition):
        station(parser)
        _which(parser)


def _propose(options: argparse.Namespace) -> int:
    from appliance.config import read_recipe
    from appliance.governance.evidence import prediction
    from appliance.governance.proposal import Ground

    loaded, shelf = _station(options)
    if options.day_one:
        return _propose_day_one(options, loaded, shelf)
    if options.file is None or options.evidence is None:
        raise ConfigError(
            "recipe propose: needs the proposed recipe and --evidence FILE, what it is expected to do; or --day-one"
        )
    recipe, _ = read_recipe(options.file, loaded.config, loaded.path.name, loaded.recipe_path.parent)
    content = _content(options.evidence)
    predicted = prediction(content, options.evidence.name, recipe.policy)
    ground = Ground(options.person, options.why, _now(), predicted, options.evidence.name, content)
    return _lay_down(loaded, shelf, recipe, ground)


def _propose_day_one(options: argparse.Namespace, loaded: "Loaded", shelf: "Shelf") -> int:
    import hashlib

    import msgspec

    from appliance.decision.day_one import propose
    from appliance.governance.evidence import of_limits, report_of, scores_of
    from appliance.governance.proposal import Ground, with_limits
    from appliance.storage.recipe_versions import next_version

    if options.file is not None:
        raise ConfigError(f"recipe propose: {options.file} and --day-one exclude each other; give one of them")
    if options.evidence is not None:
        content, name = _content(options.evidence), options.evidence.name
    else:
        content, name = msgspec.json.encode(_calibration_of(loaded)), "calibration of the bundle"
    report = report_of(content, name)
    risk = loaded.recipe.policy.risk
    in_force = risk if risk is not None and (risk.bundle, risk.precision) == (report.bundle, report.precision) else None
    proposed = propose(scores_of(report), in_force)
    limits = proposed.limits_of(report.bundle, report.precision, hashlib.sha256(content).hexdigest())
    recipe = with_limits(loaded.recipe, next_version(shelf, loaded.recipe), limits)
    predicted = of_limits(proposed.limits, proposed.step.name)
    ground = Ground(options.person, options.why, _now(), predicted, name, content, proposed.missing)
    return _lay_down(loaded, shelf, recipe, ground)


def _show(options: argparse.Namespace) -> int:
    from appliance.governance.recipe_text import render
    from appliance.governance.wording import checked, date, predicted
    from appliance.storage.recipe_versions import read_proposal, read_version

    loaded, shelf = _station(options)
    version = loaded.recipe.version if options.version is None else options.version
    active = version == loaded.recipe.version
    _say(render(loaded.recipe if active else read_version(shelf, version, loaded.config)))
    _say(f"# {_standing(loaded, shelf, version)}")
    if shelf.evidence(version).exists():
        proposal = read_proposal(shelf, version)
        _say(f"# proposed by {proposal.proposer} on {date(proposal.at)}: {proposal.why}")
        for line in predicted(proposal.predicted, proposal.missing):
            _say(f"# {line}")
        if proposal.spot_check is not None:
            _say(f"# {checked(proposal.spot_check)}")
    return 0


def _diff(options: argparse.Namespace) -> int:
    from appliance.governance.proposal import changes
    from appliance.storage.recipe_versions import read_version

    loaded, shelf = _station(options)
    other = loaded.recipe if options.other is None else read_version(shelf, options.other, loaded.config)
    later = read_version(shelf, options.version, loaded.config)
    found = changes(other, later)
    for change in found:
        _say(f"{change.key}: {change.before or 'absent'} -> {change.after or 'absent'}")
    _say(f"{len(found)} values differ between versions {other.version} and {later.version}")
    return 0


def _approve(options: argparse.Namespace) -> int:
    from appliance.governance.approval import read_key
    from appliance.storage.recipe_versions import approve

    loaded, shelf = _station(options)
    content = _content(options.key)
    password = _passphrase(f"passphrase of {options.key.name}: ") if b"ENCRYPTED" in content else None
    key = read_key(content, str(options.key), password)
    approval = approve(shelf, options.version, loaded.recipe, loaded.config, options.person, key, _now())
    _say(f"recipe {shelf.name} version {options.version}: signed by {options.person}: {approval.meaning}")
    if not approval.bundle:
        _say(
            "no bundle lies in the recipe's folder: install it, then propose and sign again, else judge does not start"
        )
    if loaded.config.approval.two_persons and approval.second is None:
        _say("this station demands 2 persons: another one must approve it too")
    else:
        _say(f"`firstshift recipe activate {options.version}` puts it in force")
    return 0


def _activate(options: argparse.Namespace) -> int:
    from appliance.storage.recipe_versions import activate

    loaded, shelf = _station(options)
    done = activate(shelf, options.version, loaded.recipe, loaded.config, options.person, _now())
    _say(f"recipe {shelf.name}: version {done.version} is in force instead of {done.before}, approved by {done.person}")
    return _say_restart()


def _rollback(options: argparse.Namespace) -> int:
    from appliance.storage.recipe_versions import roll_back

    loaded, shelf = _station(options)
    done = roll_back(shelf, loaded.recipe, loaded.config, options.person, options.why, _now())
    _say(f"recipe {shelf.name}: version {done.version} is in force again instead of {done.before}")
    return _say_restart()


def _say_restart() -> int:
    _say("running services go on with what they have: systemctl restart firstshift.target; their start is audited")
    return 0


def _history(options: argparse.Namespace) -> int:
    from appliance.governance.wording import date
    from appliance.storage.recipe_versions import history, versions

    loaded, shelf = _station(options)
    for version in sorted({*versions(shelf), loaded.recipe.version}):
        _say(f"version {version}: {_standing(loaded, shelf, version)}")
    for done in history(shelf):
        signed = f", approved by {done.person}" if done.person else ""
        why = f": {done.why}" if done.why else ""
        _say(f"{date(done.at)} {done.action} {done.version} instead of {done.before} by {done.actor}{signed}{why}")
    return 0


def _keygen(options: argparse.Namespace) -> int:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from appliance.governance.approval import key_pem, public_text
    from appliance.storage.whole_file import write_private

    password = None
    if options.passphrase:
        password = _passphrase("passphrase: ")
        if not password or password != _passphrase("the same again: "):
            raise ConfigError("recipe keygen: the passphrases differ or are empty; nothing was written, try again")
    key = Ed25519PrivateKey.generate()
    write_private(options.out, key_pem(key, password))
    _say(f"{options.out}: private key of {options.person}; whoever has it signs as {options.person}")
    _say("the station file's table [approval] takes the public half into people:")
    _say(f'{options.person} = "{public_text(key)}"')
    return 0


def _status(options: argparse.Namespace) -> int:
    from appliance.decision.parallel import standing

    loaded, shelf = _station(options)
    report = _report(loaded, shelf)
    _say(
        f"recipe {report.recipe} version {report.version}, mode {loaded.recipe.mode.value}: {standing(report.required)}"
    )
    return 0 if report.ready else FINDING


def _table(options: argparse.Namespace) -> int:
    import msgspec

    from appliance.decision.parallel import standing
    from appliance.governance.wording import compared
    from appliance.storage.whole_file import write_whole

    loaded, shelf = _station(options)
    report = _report(loaded, shelf)
    content = msgspec.json.format(msgspec.json.encode(report)) + b"\n"
    if options.json == "-":
        sys.stdout.write(content.decode())
        return 0
    if options.json:
        write_whole(Path(options.json), content)
    for line in compared(report.table):
        _say(line)
    if report.undecided:
        _say(f"undecided  {report.undecided} parts that nobody has decided: their verdict stays sealed")
    _say(standing(report.required))
    return 0


def _transition(options: argparse.Namespace) -> int:
    import msgspec

    from appliance.decision.parallel import standing
    from appliance.decision.spot_check import spot_check
    from appliance.governance.evidence import of_table
    from appliance.governance.proposal import Ground, as_primary
    from appliance.storage.recipe_versions import next_version

    loaded, shelf = _station(options)
    if loaded.recipe.mode is Mode.PRIMARY:
        raise Refused(
            f"recipe {loaded.recipe.name} version {loaded.recipe.version}: mode is primary, a transition starts from "
            "parallel; propose other changes with `firstshift recipe propose`"
        )
    report = _report(loaded, shelf)
    if not report.ready:
        _say(f"recipe {report.recipe}: {standing(report.required)}; nothing was proposed")
        return FINDING
    accepted = sum(row.model["accept"] for row in report.table.rows)
    lot = options.lot or accepted * SHIFT_H // max(1, report.table.hours)
    plan = spot_check(lot, options.limiting_share)
    recipe = as_primary(loaded.recipe, next_version(shelf, loaded.recipe), plan)
    content = msgspec.json.format(msgspec.json.encode(report)) + b"\n"
    predicted = of_table(report.table)
    ground = Ground(options.person, options.why, _now(), predicted, "parallel table", content, spot_check=plan)
    return _lay_down(loaded, shelf, recipe, ground)


def _lay_down(loaded: "Loaded", shelf: "Shelf", recipe: "Recipe", ground: "Ground") -> int:
    from appliance.governance.proposal import changes, propose
    from appliance.governance.wording import predicted
    from appliance.storage.recipe_versions import newest, write_proposal

    proposal = propose(loaded.recipe, recipe, newest(shelf, loaded.recipe), ground)
    place = write_proposal(shelf, recipe, proposal, ground.content)
    _say(f"{place}: proposed by {ground.person}, {len(changes(loaded.recipe, recipe))} values changed")
    for line in predicted(ground.predicted, ground.missing):
        _say(line)
    _say(f"`firstshift recipe approve {recipe.version}` lets a person sign it; nothing has changed yet")
    return 0


def _standing(loaded: "Loaded", shelf: "Shelf", version: int) -> str:
    """Say in words where a version stands."""
    from appliance.config import approval_path, read_approval
    from appliance.governance.wording import signed

    active = version == loaded.recipe.version
    approval = read_approval(approval_path(shelf.active) if active else shelf.approval(version))
    place = "in force" if active else "was in force" if shelf.released(version).exists() else "proposed"
    if approval is None:
        return f"{place}, not approved"
    return f"{place}, {signed(approval)}"


def _report(loaded: "Loaded", shelf: "Shelf") -> "ParallelReport":
    from contextlib import closing

    from appliance.storage import database
    from appliance.storage.parallel import read_report
    from appliance.storage.recipe_versions import history
    from appliance.storage.record_store import DATABASE

    since = max((done.at for done in history(shelf) if done.version == loaded.recipe.version), default=UtcNs(0))
    with closing(database.open_reader(loaded.state / DATABASE)) as connection:
        return read_report(connection, loaded.recipe, loaded.config.parallel, since)


def _calibration_of(loaded: "Loaded") -> "DayOneReport":
    """Give the out-of-fold scores of good parts that the bundle brings with it."""
    from appliance.governance.evidence import DayOneReport
    from appliance.services._wiring import bundle_folder
    from appliance.storage import bundle

    found = bundle.read(bundle_folder(loaded))
    if found.manifest.calibration is None:
        raise ConfigError(
            f"recipe propose: bundle {loaded.recipe.bundle} is uncalibrated and brings no scores of good parts; give "
            "--evidence, the JSON of `firstshift parallel table`"
        )
    return DayOneReport(found.id, found.manifest.precision.value, found.manifest.calibration.scores)


def _station(options: argparse.Namespace) -> tuple["Loaded", "Shelf"]:
    from appliance import config
    from appliance.storage.recipe_versions import shelf_of

    path: Path = options.state / "station.toml" if options.state else options.config
    loaded = config.load(path, options.recipe)
    return loaded, shelf_of(loaded.recipe_path, loaded.recipe)


def _content(path: Path) -> bytes:

    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; give another file") from error


def _passphrase(prompt: str) -> bytes:
    from getpass import getpass

    return getpass(prompt, sys.stderr).encode()


def _now() -> UtcNs:

    return UtcNs(time.time_ns())


def _say(line: str) -> None:
    sys.stdout.write(line.rstrip("\n") + "\n")
