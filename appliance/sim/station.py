"""Lay out a simulated station: its folders, its configuration, and the command lines of its processes.

The services are started with the very command lines of the systemd units; only the world around them is simulated.
"""

import socket
import sys
import time
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from appliance.config import approval_path, load
from appliance.governance.approval import public_text, sign
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.schema.policy import Mode
from appliance.storage import bundle
from appliance.storage.whole_file import write_whole

COUNTS_PER_MM = 10
PITCH_MM = 100
"""Spacing of the simulated parts; the belt runs at this many mm times the rate."""
CAMERA_MM = 30
GATE_MM = 400
GATE_SENSOR_MM = 370
"""The gate's own sensor, before the place where the gate opens."""
LEAD_MM = 25
HOLD_MM = 40
MIN_GAP_MM = 40
"""Closest spacing of two parts that the microcontroller takes apart; the plant's parts keep more."""
SHORTEST_PART_MM = 30
"""Half a simulated part."""
PAIRING_MS = 5.0
"""How far exposure and trigger may lie apart; less on a fast belt."""
RESET_AFTER_MS = 500
"""The simulated operator resets a latched error of the PLC handshake once he has had a look."""
PERSON = "simulation"
"""Who signs the recipe of a simulated station, with a key made for the occasion and thrown away."""
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
    def recipe(self) -> Path:
        """Active recipe."""
        return self.state / "recipe.toml"

    @property
    def bundle(self) -> Path:
        """Folder of the recipe's bundle."""
        return self.state / "bundles" / "day-one"

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
    mode: Mode = Mode.PRIMARY
    sample_share: float = 0.0
    """Share of parts to accept that go to a person instead; nobody reviews at a simulated station."""
    signed_at: UtcNs = UtcNs(0)
    """When the recipe was signed; 0: now."""


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
    """Write station file, recipe and, for mode primary, a signed approval of a simulated station.

    The bundle should lie in its folder already: the recipe asks for a detector of unknown parts unless it has none.
    """
    layout.state.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
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
gate_sensor_mm = {GATE_SENSOR_MM}
shortest_part_mm = {SHORTEST_PART_MM}
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

[approval]
people = {{ {PERSON} = "{public_text(key)}" }}
""",
        "utf-8",
    )
    layout.recipe.write_text(_recipe(layout, settings), "utf-8")
    approval = approval_path(layout.recipe)
    approval.unlink(missing_ok=True)
    if settings.mode is Mode.PRIMARY:
        judges = bundle.read(layout.bundle).id if layout.bundle.is_dir() else ""
        signed = sign(load(layout.config).recipe, "", PERSON, settings.signed_at or UtcNs(time.time_ns()), key, judges)
        write_whole(approval, msgspec.json.encode(signed))


def _recipe(layout: Layout, settings: Settings) -> str:
    blind = layout.bundle.is_dir() and bundle.read(layout.bundle).manifest.novelty is None
    novelty = '# The bundle has no detector of unknown parts, so none can be asked for.\nnovelty = "off"\n'
    return (
        f'name = "demo"\nnumber = 1\nviews = ["top"]\nbundle = "{layout.bundle.name}"\nshadow = "{settings.shadow}"\n'
        f'mode = "{settings.mode}"\n\n[policy]\nsample_share = {settings.sample_share}\n{novelty if blind else ""}'
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
