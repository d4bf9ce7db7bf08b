"""Open a station's record for a command, and tell what was found; what the areas of the command line share."""

import argparse
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.schema.errors import ConfigError
from appliance.schema.part import PartId

if TYPE_CHECKING:
    from appliance.config import Loaded

Json = dict[str, Any]


def station_file(options: argparse.Namespace) -> Path:
    """Name the station file that the arguments give."""
    path: Path = options.state / "station.toml" if options.state else options.config
    return path


@contextmanager
def record_of(options: argparse.Namespace) -> Iterator[tuple["Loaded", sqlite3.Connection]]:
    """Open a station's record for reading alone."""
    from appliance import config
    from appliance.storage import database
    from appliance.storage.places import DATABASE

    loaded = config.load(station_file(options))
    path = loaded.state / DATABASE
    with closing(database.open_reader(path)) as connection:
        try:
            yield loaded, connection
        except sqlite3.Error as error:
            raise database.store_error(path, "be asked", error) from error


def part_of(text: str) -> PartId:
    """Read a part's name; ConfigError when it is none."""
    found = re.fullmatch(r"([0-9a-f]{8})-([0-9]{1,10})", text, re.ASCII)
    if found is None:
        raise ConfigError(f"part {text!r}: is no part's name; it looks like a0b1c2d3-000007, see `review list`")
    return PartId(int(found[1], 16), int(found[2]))


def tell(target: str | None, answer: Json, lines: Iterable[str]) -> int:
    """Print lines for a person, or JSON where it is asked for; gives 0."""
    from appliance.storage.whole_file import write_whole

    text = json.dumps(answer, indent=None if target == "-" else 2)
    if target == "-":
        print(text)  # noqa: T201
        return 0
    if target:
        write_whole(Path(target), text.encode() + b"\n")
    for line in lines:
        print(line)  # noqa: T201
    return 0


def plain(struct: object) -> Json:
    """Give a Struct as JSON knows it."""
    import msgspec

    answer: Json = msgspec.to_builtins(struct)
    return answer


def utc(at_ns: int) -> str:
    """Write an instant of UTC to the second, ISO 8601."""
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
