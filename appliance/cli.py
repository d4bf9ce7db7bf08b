"""Read the command line and start what it names; heavy libraries are imported by the command that needs them."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from appliance import (
    __version__,
    cli_hmi,
    cli_label,
    cli_models,
    cli_people,
    cli_plant,
    cli_recipe,
    cli_review,
    cli_risk,
)
from appliance.schema.errors import ApplianceError

FINDING = 1
BAD_INPUT = 2
INTERRUPTED = 130
"""What a shell gives for Ctrl-C."""


class _Parser(argparse.ArgumentParser):
    """Answer wrong usage with one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}; `{self.prog} --help` lists what it takes\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives 0 for success, 1 for a finding, 2 for wrong usage or bad input with one line on stderr."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except ApplianceError as error:
        print(f"firstshift: {error}", file=sys.stderr)  # noqa: T201  a command's answer to a person
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(prog="firstshift", description="Inspection appliance for factory lines.")
    parser.add_argument("--version", action="version", version=f"firstshift {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _demo_arguments(_command(commands, "demo", _demo, "run a whole simulated station and sum it up"))
    run = _command(commands, "run", _run, "run one service, as systemd starts it")
    run.add_argument("service", help="acquire@CAMERA, judge, line, record, publish or shadow")
    run.add_argument("--config", type=Path, required=True, help="station file")
    check = _command(commands, "check", _check, "say how every component is, why, and what to do")
    _station_arguments(check)
    check.add_argument("--json", help="also write JSON to this file, - for standard output alone")
    _camera_arguments(commands)
    for area in (cli_plant, cli_models, cli_risk, cli_recipe, cli_review, cli_label, cli_people, cli_hmi):
        area.add(commands, _command, _station_arguments)
    _audit_arguments(commands)
    bench = _command(commands, "bench", _bench, "measure; results go to bench/results/")
    bench.add_argument("name", help="a file of bench/ without .py, or all")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=what[:1].upper() + what[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def _station_arguments(parser: argparse.ArgumentParser) -> None:
    station = parser.add_mutually_exclusive_group()
    station.add_argument("--config", type=Path, default=Path("/etc/firstshift/station.toml"), help="station file")
    station.add_argument("--state", type=Path, help="folder that a demo left behind")


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", type=int, help="parts to inspect, default 200")
    parser.add_argument("--rate", type=float, help="parts per second, default 10")
    parser.add_argument("--images", type=Path, help="play photographs from a folder of labelled pictures")
    parser.add_argument("--bundle", type=Path, help="judge with this bundle instead of one fitted on day one")
    parser.add_argument("--parallel", action="store_true", help="a person decides every part; 60 parts, 1 a second")
    parser.add_argument("--scenario", type=Path, help="text scenario: what goes wrong, and what must follow")
    parser.add_argument("--seed", type=int, help="names the parts and their order, default 1")
    hmi = "show the touchscreen where a display is, else a live view on the terminal"
    parser.add_argument("--hmi", action=argparse.BooleanOptionalAction, default=True, help=hmi)
    parser.add_argument("--screenshot", type=Path, metavar="PNG", help="keep what the touchscreen shows near the end")
    parser.add_argument("--plc", action=argparse.BooleanOptionalAction, default=True, help="play the PLC too")
    parser.add_argument("--state", type=Path, help="keep the station's files in this folder")
    parser.add_argument("--json", help="write the summary to this file, - for standard output")
    parser.add_argument("--width", type=int, help="columns of the camera's image, px")
    parser.add_argument("--height", type=int, help="rows of the camera's image, px")
    parser.add_argument("--threads", type=int, help="inference threads of the judge, default 1")
    parser.add_argument("--pictures", type=int, help="paint so many parts before the start and show them in turn")


def _camera_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    camera = commands.add_parser("camera", help="list the cameras that the configured producers see")
    actions = camera.add_subparsers(metavar="ACTION", required=True)
    _station_arguments(_command(actions, "list", _camera_list, "list the cameras that the configured producers see"))


def _audit_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    audit = commands.add_parser("audit", help="check the audit chain")
    actions = audit.add_subparsers(metavar="ACTION", required=True)
    _station_arguments(_command(actions, "verify", _audit_verify, "check that no audit entry was changed or removed"))


def _config_path(options: argparse.Namespace) -> Path:
    path: Path = options.state / "station.toml" if options.state else options.config
    return path


def _demo(options: argparse.Namespace) -> int:
    from appliance.sim.demo import run_demo
    from appliance.sim.demo_options import DemoOptions
    from appliance.sim.demo_touch import has_display

    for ending in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: its processes must not outlive the demo
        signal.signal(ending, signal.default_int_handler)
    return run_demo(
        DemoOptions(
            parts=options.parts,
            rate_hz=options.rate,
            images=options.images,
            bundle=options.bundle,
            scenario=options.scenario,
            seed=options.seed,
            parallel=options.parallel,
            live=options.hmi and not has_display() and sys.stderr.isatty(),
            touch=(options.hmi and has_display()) or options.screenshot is not None,
            screenshot=options.screenshot,
            plc=options.plc,
            state=options.state,
            json=options.json,
            width_px=options.width,
            height_px=options.height,
            pictures=options.pictures,
            threads=options.threads,
        )
    )


def _run(options: argparse.Namespace) -> int:
    from appliance import config
    from appliance.services._wiring import run_service

    return run_service(options.service, config.load(options.config))


def _check(options: argparse.Namespace) -> int:
    from appliance.check import main as check

    return check(_config_path(options), options.json)


def _camera_list(options: argparse.Namespace) -> int:
    from appliance import config
    from appliance.cameras.listing import render

    print(render(config.load(_config_path(options))))  # noqa: T201
    return 0


def _audit_verify(options: argparse.Namespace) -> int:
    from appliance import config
    from appliance.governance import audit_chain
    from appliance.storage import database, queries
    from appliance.storage.record_store import DATABASE

    with closing(database.open_reader(config.load(_config_path(options)).state / DATABASE)) as connection:
        entries = list(queries.audit_entries(connection))
    broken = audit_chain.verify(entries)
    if broken is not None:
        print(f"audit: broken at entry {broken} of {len(entries)}; what follows it is no evidence")  # noqa: T201
        return FINDING
    head = entries[-1].digest if entries else "none"
    print(f"audit: {len(entries)} entries, unbroken, head {head}")  # noqa: T201
    return 0


def _bench(options: argparse.Namespace) -> int:
    import runpy

    from appliance.schema.errors import ConfigError

    folder = Path(__file__).resolve().parents[1] / "bench"
    known = sorted(path.stem for path in folder.glob("*.py") if "__main__" in path.read_text("utf-8"))
    if options.name != "all" and options.name not in known:
        raise ConfigError(f"bench {options.name!r}: unknown; choose one of {', '.join(known)} or all")
    sys.path.insert(0, str(folder))
    for name in known if options.name == "all" else [options.name]:
        runpy.run_path(str(folder / f"{name}.py"), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
