"""Read the command of the touchscreen."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from appliance.cli_models import AddCommand, Commands
from appliance.schema.errors import ConfigError

SIGNED_IN = {
    "recipe": "quality",
    "people": "admin",
    "maintenance": "maintenance",
    "statistics": "lead",
    "trends": "lead",
}
"""Role that looks at a screen of the sample station; operators else, and nobody at sign-in."""


def add(commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command; station: adds the arguments that name a station."""
    hmi = command(commands, "hmi", _hmi, "show the touchscreen, or write pictures of it")
    station(hmi)
    hmi.set_defaults(config=None)
    hmi.add_argument("--screen", default="run", help="screen to begin with, default run")
    hmi.add_argument("--language", default="", help="en, de, es, zh, ar, or xx for texts 40 %% longer")
    hmi.add_argument("--size", type=_size, help="window of WIDTHxHEIGHT px; the whole panel by default")
    hmi.add_argument("--theme", choices=("light", "dark"), help="kept for this screen")
    hmi.add_argument("--green-pass", action=argparse.BooleanOptionalAction, help="a pass is green; kept")
    hmi.add_argument("--diagonal", type=float, metavar="INCH", help="of a panel that lies about its size; kept")
    hmi.add_argument(
        "--screenshot", type=Path, metavar="PNG", help="write one picture and end; no station: a sample one"
    )
    hmi.add_argument("--gallery", type=Path, metavar="DIR", help="write every screen of the sample station and end")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"size {text!r} is not WIDTHxHEIGHT, such as 1280x800")
    return int(width), int(height)


def _hmi(options: argparse.Namespace) -> int:
    try:
        from hmi.command import Options, gallery, picture, show
    except ImportError as error:  # a library of the system is missing
        raise ConfigError(f"touchscreen: Qt cannot start: {error}; install what systemd/README.md lists") from error
    asked = Options(
        options.screen,
        options.language,
        options.size,
        None if options.theme is None else options.theme == "dark",
        options.green_pass,
        options.diagonal,
    )
    station = options.state / "station.toml" if options.state else options.config
    if options.gallery:
        for path in gallery(options.gallery, sample):
            print(path)  # noqa: T201
    elif options.screenshot:
        picture(asked, _desk_of(station) if station else sample, options.screenshot)
    else:
        return show(asked, _desk_of(station or Path("/etc/firstshift/station.toml")))
    return 0


def _desk_of(station: Path) -> Callable[[Any, str], AbstractContextManager[Any]]:
    """Give what opens the desk of a station; ConfigError now when its file cannot be used."""
    from appliance import config
    from hmi.desk import open_desk

    loaded = config.load(station)
    return lambda words, _screen: closing(open_desk(loaded, words))


@contextmanager
def sample(words: Any, screen: str, mode: Any = None) -> Iterator[Any]:
    """Give a desk over a fresh sample station with who may see the screen signed in."""
    from appliance.schema.policy import Mode
    from appliance.sim.hmi_station import sample_desk, sample_station

    with sample_station(mode or Mode.PRIMARY) as station, closing(sample_desk(station, words)) as desk:
        if screen != "sign_in":
            station.sign_in(desk, SIGNED_IN.get(screen, "operator"))
        yield desk
