"""Lay out a simulated station: its folders, its configuration, and the command lines of its processes.

The services are started with the very command lines of the systemd units; only the world around them is simulated.
"""

import socket
import sys
from pathlib import Path

from msgspec import Struct

from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat

COUNTS_PER_MM = 10
PITCH_MM = 100
"""Spacing of the simulated parts; the belt runs at this many mm times the rate."""
CAMERA_MM = 30
GATE_MM = 400
LEAD_MM = 25
HOLD_MM = 40
MIN_GAP_MM = 40
"""Closest spacing of two parts that the microcontroller takes apart; the plant's parts keep more."""
PAIRING_MS = 5.0
"""How far exposure and trigger may lie apart; less on a fast belt."""
RESET_AFTER_MS = 500
"""The simulated operator resets a latched error of the PLC handshake once he has had a look."""
BUILD = Path(__file__).resolve().parents[2] / "build"
"""Where the C parts lie: beside the packages of a checkout."""


class Layout(Struct, frozen=True):
    """Name the files of one simulated station."""

    state: Path
    runtime: Path

    @property
    def config(self) -> Path:
        """Station file."""
        return self.state / "station.toml"

    @property
    def plant(self) -> Path:
        """The plant's wires and scenes, on tmpfs."""
        return self.runtime / "plant"

    @property
    def link(self) -> Path:
        """The microcontroller's serial device."""
        return self.runtime / "mcu"

    @property
    def truth(self) -> Path:
        """What each part really is."""
        return self.state / "truth.jsonl"

    @property
    def physical(self) -> Path:
        """The lane each part really went to."""
        return self.state / "physical.jsonl"

    @property
    def plc_log(self) -> Path:
        """What the PLC took over."""
        return self.state / "plc.jsonl"

    def log(self, name: str) -> Path:
        """Log of one process."""
        return self.state / "logs" / f"{name}.log"


class Settings(Struct, frozen=True):
    """Say what the simulated station is made of."""

    rate_hz: float
    width_px: int
    height_px: int
    pixel_format: PixelFormat
    precision: str
    mqtt_port: int | None
    threads: int = 1
    slots: int = 8
    shadow: str = ""
    """Bundle that runs beside the recipe's own; empty: none."""


def build_product(name: str) -> Path:
    """Find a C part; ConfigError when it was not built."""
    path = BUILD / name
    if not path.exists():
        raise ConfigError(f"{path}: is not there; run `./firstshift` once, or `python -m appliance.build_all`")
    return path


def free_port() -> int:
    """Find a TCP port on loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(layout: Layout, settings: Settings) -> None:
    """Write station and recipe file of a simulated station."""
    layout.state.mkdir(parents=True, exist_ok=True)
    broker = f'host = "127.0.0.1"\nport = {settings.mqtt_port}' if settings.mqtt_port else 'host = ""'
    layout.config.write_text(
        f"""# A simulated station, written by `firstshift demo`.
[station]
name = "demo"
state = "{layout.state}"
runtime = "{layout.runtime}"

[camera.top]
producer = "{build_product("sim.cti")}"
serial = "SIM0"
width_px = {settings.width_px}
height_px = {settings.height_px}
pixel_format = "{settings.pixel_format}"
distance_mm = {CAMERA_MM}
slots = {settings.slots}

[mcu]
link = "{layout.link}"
counts_per_mm = {COUNTS_PER_MM}
gate_mm = {GATE_MM}
lead_mm = {LEAD_MM}
hold_mm = {HOLD_MM}
min_gap_mm = {MIN_GAP_MM}
belt_mm_s = {PITCH_MM * settings.rate_hz}

[judge]
precision = "{settings.precision}"
threads = {settings.threads}
pairing_tolerance_ms = {min(PAIRING_MS, MIN_GAP_MM / (PITCH_MM * settings.rate_hz) * 1000 / 5):g}

[plc]
port = {free_port()}

[mqtt]
{broker}
""",
        "utf-8",
    )
    (layout.state / "recipe.toml").write_text(
        f'name = "demo"\nnumber = 1\nviews = ["top"]\nbundle = "day-one"\nshadow = "{settings.shadow}"\n', "utf-8"
    )


def service_command(unit: str, config: Path) -> list[str]:
    """Give the command line of a service, as its systemd unit has it."""
    program = Path(sys.prefix) / "bin" / "firstshift"
    return [str(program), "run", unit, "--config", str(config)]


def mcu_command(layout: Layout) -> list[str]:
    """Give the command line of the microcontroller's firmware as a process."""
    return [str(build_product("fs-mcu")), "--plant", str(layout.plant), "--link", str(layout.link)]


def plc_command(layout: Layout, port: int) -> list[str]:
    """Give the command line of the simulated PLC."""
    program = [sys.executable, "-m", "appliance.sim.plc", "--host", "127.0.0.1", "--port", str(port)]
    return [*program, "--out", str(layout.plc_log), "--reset-after-ms", str(RESET_AFTER_MS)]
