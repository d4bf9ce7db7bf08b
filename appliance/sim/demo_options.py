"""Hold what was asked of a demo, and check it against its scenario."""

from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.schema.errors import ConfigError
from appliance.sim.scenario import Scenario, read

SLOWEST_HZ, FASTEST_HZ = 0.1, 50.0
"""Parts per second; a faster belt would need a camera and a gate that nobody builds this way."""

PARTS, RATE_HZ, SEED = 200, 10.0, 1
PARALLEL_PARTS, PARALLEL_RATE_HZ = 60, 1.0
"""Where a person decides every part at the line."""


class DemoOptions(Struct, frozen=True):
    """Hold the command line of `demo`; None means not given."""

    parts: int | None = None
    rate_hz: float | None = None
    images: Path | None = None
    bundle: Path | None = None
    """Judges instead of a bundle fitted on day one."""
    scenario: Path | None = None
    seed: int | None = None
    live: bool = False
    """The station is shown on the terminal."""
    touch: bool = False
    """The touchscreen runs too: in a window, or for its picture alone."""
    screenshot: Path | None = None
    """Where the touchscreen's picture goes, near the end."""
    parallel: bool = False
    """A person decides every part; the model's verdict is sealed until then."""
    plc: bool = True
    """False: nobody plays the PLC; a person's own one can be tried."""
    state: Path | None = None
    json: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    pictures: int | None = None
    threads: int | None = None


def chosen(options: DemoOptions) -> Scenario:
    """Give the scenario with what the command line changes in it; ConfigError for what no line can do."""
    parts, rate_hz = (PARALLEL_PARTS, PARALLEL_RATE_HZ) if options.parallel else (PARTS, RATE_HZ)
    scenario = read(options.scenario) if options.scenario else Scenario("none", parts, rate_hz, SEED)
    scenario = msgspec.structs.replace(
        scenario,
        parts=options.parts if options.parts is not None else scenario.parts,
        rate_hz=options.rate_hz if options.rate_hz is not None else scenario.rate_hz,
        seed=options.seed if options.seed is not None else scenario.seed,
    )
    if scenario.parts < 1:
        raise ConfigError(f"demo: {scenario.parts} parts, at least 1 is needed; give more with --parts")
    if not SLOWEST_HZ <= scenario.rate_hz <= FASTEST_HZ:
        raise ConfigError(
            f"demo: {scenario.rate_hz:g} parts per second, limits are {SLOWEST_HZ:g} and {FASTEST_HZ:g}; correct --rate"
        )
    if scenario.seed < 0:
        raise ConfigError(f"demo: seed {scenario.seed}, limit is 0 or more; correct --seed")
    return scenario
