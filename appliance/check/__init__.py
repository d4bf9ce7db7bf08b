"""Look at everything a station needs and say for each thing its state, cause and remedy."""

import sys
from pathlib import Path

from appliance.check.machine import machine
from appliance.check.plant_outputs import plant_outputs
from appliance.check.recipe import recipe
from appliance.check.report import exit_code, render, to_json, write
from appliance.check.units import LISTEN_S, service_reports
from appliance.check.wires import wires
from appliance.config import Loaded, load
from appliance.schema.health import Component, Condition
from appliance.services._wiring import bundle_folder

__all__ = ["LISTEN_S", "exit_code", "main", "render", "run_check", "to_json"]


def main(path: Path, json: str | None = None) -> int:
    """Check the station of a station file, print the table or the JSON object, and give the exit code.

    json: file that gets the JSON object beside the table; "-" prints the object and no table. Raises ConfigError when
    the station file cannot be used.
    """
    components = run_check(load(path))
    if json == "-":
        sys.stdout.write(to_json(components).decode())
        return exit_code(components)
    if json:
        write(Path(json), to_json(components))
    sys.stdout.write(render(components))
    return exit_code(components)


def run_check(loaded: Loaded, listen_s: float = LISTEN_S) -> list[Component]:
    """Give every component's state. Blocks for `listen_s` at most, plus 1 s for a broker that does not answer.

    Changes nothing and takes no part in the line's work, so it may be run at any time.
    """
    reports = service_reports(loaded, listen_s)
    found = Component(
        "configuration", Condition.OK, f"{loaded.path}, recipe {loaded.recipe.name}, digest {loaded.digest[:12]}"
    )
    decided = recipe(loaded, bundle_folder(loaded))
    outside = [*wires(loaded, line_lives="line" in reports.alive), *plant_outputs(loaded)]
    return [found, *decided, *machine(loaded), *outside, *reports.components]
