"""Read a station's configuration; the only module that reads configuration files or the environment.

A key that is unknown, out of range or of the wrong type is a ConfigError that names its path. Every key states unit,
range and reason here; `appliance/CONFIG.md` is generated from this file.
"""

import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from appliance.config_mcu import STROBE_REST, Mcu, mcu_faults
from appliance.config_people import Parallel, Signers, people_faults
from appliance.config_plant import Logix, Mqtt, Name, Opcua, Plc, Sparkplug, plant_faults
from appliance.schema.approval import Approval
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.schema.recipe import Recipe, recipe_faults
from appliance.schema.rule import Code, Text

_Kind = TypeVar("_Kind")


class Station(Struct, frozen=True, forbid_unknown_fields=True):
    """Say which station this is and where it keeps its files."""

    name: Annotated[Name, Meta(description="Names the station in topics, serials and reports.")]
    state: Annotated[str, Meta(description="Folder for what must survive power loss: database, images, bundles.")]
    runtime: Annotated[str, Meta(description="Folder on tmpfs for sockets and frame rings; gone after a reboot.")]
    site: Annotated[Name, Meta(description="First level of MQTT topics.")] = "site"
    line: Annotated[Name, Meta(description="Second level of MQTT topics.")] = "line"
    recipe: Annotated[str, Meta(description="Recipe file, relative to this file.")] = "recipe.toml"
    shifts: Annotated[
        tuple[Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")], ...],
        Meta(description='Local times at which shifts begin, as "06:00"; empty: 06:00, 14:00 and 22:00.'),
    ] = ()
    recipes: Annotated[
        tuple[str, ...], Meta(description="Further recipe files, in force once the PLC or a client calls their number.")
    ] = ()
    controlled: Annotated[
        bool,
        Meta(
            description="True: parts are inspected only while a job of an OPC UA or MQTT client runs; False: they can "
            "neither start nor stop the line."
        ),
    ] = False


class Camera(Struct, frozen=True, forbid_unknown_fields=True):
    """Set one GenICam camera; the table's name names the view."""

    producer: Annotated[str, Meta(description="GenTL producer (.cti) that sees the camera; comes with the camera.")]
    serial: Annotated[str, Meta(description="DeviceSerialNumber; cameras are never bound by their order.")]
    width_px: Annotated[int, Meta(ge=16, le=16384, description="Width of the region read out.")]
    height_px: Annotated[int, Meta(ge=16, le=16384, description="Height of the region read out.")]
    offset_x_px: Annotated[int, Meta(ge=0, le=16384, description="Left edge of the region on the sensor.")] = 0
    offset_y_px: Annotated[int, Meta(ge=0, le=16384, description="Upper edge of the region on the sensor.")] = 0
    pixel_format: Annotated[
        PixelFormat, Meta(description="PFNC name; raw formats keep the data path free of copies.")
    ] = PixelFormat.BAYER_RG8
    exposure_us: Annotated[
        float, Meta(ge=1, le=1_000_000, description="ExposureTime, us; motion blur is belt speed times this.")
    ] = 1000.0
    gain_db: Annotated[float, Meta(ge=0, le=48, description="Gain, dB; automatic gain would move the scores.")] = 0.0
    trigger: Annotated[
        str, Meta(pattern="^(Line1|Software)$", description="TriggerSource; Line1 comes from the microcontroller.")
    ] = "Line1"
    mcu_line: Annotated[int, Meta(ge=0, le=1, description="Camera line of the microcontroller that fires it.")] = 0
    distance_mm: Annotated[float, Meta(ge=0, le=10_000, description="Part sensor to camera along the belt, mm.")] = 0.0
    strobe_us: Annotated[
        int,
        Meta(
            ge=0,
            le=5000,
            description="On-time of the lamp that this line fires, us; 0: none. It then rests nine times as long.",
        ),
    ] = 0
    mm_per_px: Annotated[
        float,
        Meta(ge=0, le=100, description="Scale in the plane of the part, mm per pixel; 0: unknown, no finding in mm."),
    ] = 0.0
    slots: Annotated[
        int, Meta(ge=4, le=64, description="Ring slots; at least frame rate times the longest hold, plus three.")
    ] = 8
    lease_ms: Annotated[
        int, Meta(ge=10, le=60_000, description="Longest time a reader may hold a frame, ms; then it is reclaimed.")
    ] = 2000


class Judge(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the model's runtime."""

    runtime: Annotated[
        str,
        Meta(
            pattern="^(openvino|onnx|onnx-cuda|onnx-tensorrt|tensorrt)$",
            description="Runtime the bundle is loaded with; the last three need an NVIDIA GPU.",
        ),
    ] = "openvino"
    precision: Annotated[
        str, Meta(pattern="^(f32|f16|bf16|int8)$", description="Must be the precision the bundle was calibrated in.")
    ] = "f32"
    threads: Annotated[int, Meta(ge=1, le=64, description="Inference threads; leave a core for line and acquire.")] = 1
    pairing_tolerance_ms: Annotated[
        float,
        Meta(
            gt=0,
            le=50,
            description="How far exposure and trigger may lie apart, ms; under a quarter of the part spacing.",
        ),
    ] = 5.0
    margin_ms: Annotated[
        float, Meta(ge=0, le=500, description="No verdict is given this much before a part's deadline, ms.")
    ] = 2.0


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """Set what is kept."""

    accept_share: Annotated[
        float, Meta(ge=0, le=1, description="Share of accepted parts whose image is kept; the others always are.")
    ] = 1.0
    min_free_mb: Annotated[
        int, Meta(ge=16, le=1_000_000, description="Free disk below which no image is kept, MB; rows go on.")
    ] = 512


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Hold one station's whole configuration."""

    station: Station
    mcu: Mcu
    camera: dict[Name, Camera] = field(default_factory=dict)
    judge: Judge = Judge()
    plc: Plc = Plc()
    opcua: Opcua = Opcua()
    mqtt: Mqtt = Mqtt()
    sparkplug: Sparkplug = Sparkplug()
    logix: Logix = Logix()
    record: Record = Record()
    approval: Signers = Signers()
    parallel: Parallel = Parallel()


class Loaded(Struct, frozen=True):
    """Give a configuration with where it came from."""

    config: Config
    recipe: Recipe
    path: Path
    digest: str
    """SHA-256 (hex) of the effective configuration, recipe, approval and lists, defaults included."""
    serials: dict[str, frozenset[str]] = {}
    """Texts that the recipe's rules allow, by the name of the file that lists them."""
    recipe_file: str = ""
    """File of the recipe in force, relative to the station file; empty: `station.recipe`."""
    approval: Approval | None = None
    """What lies beside the recipe as `<recipe stem>.approval.json`, not verified yet; None: nothing does."""

    @property
    def recipe_path(self) -> Path:
        """The active recipe's file."""
        return self.path.parent / (self.recipe_file or self.config.station.recipe)

    @property
    def state(self) -> Path:
        """Folder that survives power loss."""
        return Path(self.config.station.state)

    @property
    def runtime(self) -> Path:
        """Folder of sockets and rings."""
        return Path(self.config.station.runtime)


def load(path: Path, number: int | None = None) -> Loaded:
    """Read a station file and its recipe; ConfigError names file, key, value, limit and remedy.

    number: the recipe of this number, whichever is in force; ConfigError when the station has none of that number.
    """
    config = _read(path, Config)
    if not config.camera:
        raise ConfigError(f"{path}: camera: no camera is configured, at least 1 is needed; add a table [camera.NAME]")
    shifts = config.station.shifts
    if len(set(shifts)) != len(shifts):
        raise ConfigError(f"{path}: station.shifts: {', '.join(shifts)} names a time twice; write each start once")
    file = _in_force(path, config) if number is None else _numbered(path, config, number)
    recipe_path = path.parent / file
    recipe, serials = read_recipe(recipe_path, config, path.name)
    for fault in plant_faults(config.plc, config.mqtt, config.sparkplug):
        raise ConfigError(f"{path}: {fault}")
    _check_geometry(path, config)
    for fault in people_faults(config.approval):
        raise ConfigError(f"{path}: {fault}")
    approval = read_approval(approval_path(recipe_path))
    return Loaded(config, recipe, path, _digest(config, recipe, serials, approval), serials, file, approval)


def in_force(state: Path) -> Path:
    """Name the file that says which of the station's recipes is in force; without it `station.recipe` is."""
    return state / "line" / "recipe_in_force"


def read_recipe(
    path: Path, config: Config, station: str, lists: Path | None = None
) -> tuple[Recipe, dict[str, frozenset[str]]]:
    """Read a recipe for a station, and the lists that its rules name; ConfigError as `load`.

    station: what messages call the station file. lists: folder of the lists that rules name; None: the recipe's own.
    """
    recipe = _read(path, Recipe)
    for view in recipe.views:
        if view not in config.camera:
            known = ", ".join(sorted(config.camera))
            raise ConfigError(f"{path}: views: {view!r} is no camera of {station}; cameras are {known}")
    if not recipe.views:
        raise ConfigError(f"{path}: views: empty, at least 1 view is needed; name a camera of {station}")
    for fault in recipe_faults(recipe):
        raise ConfigError(f"{path}: {fault}")
    return recipe, _read_lists(path, recipe, lists or path.parent)


def _in_force(path: Path, config: Config) -> str:
    station = config.station
    pointer = in_force(Path(station.state))
    try:
        file = pointer.read_text("utf-8").strip()
    except FileNotFoundError:
        return station.recipe
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{pointer}: cannot be read ({error}); correct its owner, or remove it") from error
    if file not in (station.recipe, *station.recipes):
        known = ", ".join((station.recipe, *station.recipes))
        raise ConfigError(f"{pointer}: {file!r} is no recipe of {path.name}; remove the file or list it beside {known}")
    return file


def _numbered(path: Path, config: Config, number: int) -> str:
    found: dict[int, str] = {}
    for file in dict.fromkeys((config.station.recipe, *config.station.recipes)):
        found.setdefault(_read(path.parent / file, Recipe).number, file)
    if number not in found:
        known = ", ".join(map(str, sorted(found)))
        raise ConfigError(f"{path}: station.recipes: none has number {number}; numbers are {known}")
    return found[number]


def approval_path(recipe: Path) -> Path:
    """Name the file that holds the approval of a recipe's file."""
    return recipe.with_name(f"{recipe.stem}.approval.json")


def read_approval(path: Path) -> Approval | None:
    """Read an approval, None where there is none; ConfigError when it is no approval. Nothing is verified here."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Approval)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; correct its owner and mode") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: is no approval ({error}); have the version signed again with `firstshift recipe approve`"
        ) from error


def environment(name: str) -> str | None:
    """Give a variable of the process environment: systemd's sockets, terminal colours; never an audited value."""
    return os.environ.get(name)


def _read(path: Path, kind: type[_Kind]) -> _Kind:
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; give the station's file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}; correct the line") from error
    cameras = tree.get("camera") if kind is Config else None
    for name, table in cameras.items() if isinstance(cameras, dict) else ():
        _convert(path, table, Camera, f"camera.{name}.")
    return _convert(path, tree, kind, "")


def _convert(path: Path, tree: object, kind: type[_Kind], prefix: str) -> _Kind:
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_plain(str(error), tree, prefix)}") from error


def _plain(message: str, tree: object, prefix: str) -> str:
    """Turn msgspec's words into key, fault, value and remedy."""
    text, _, where = message.partition(" - at `$")
    key = where.rstrip("`").removeprefix(".")
    inside = prefix + (f"{key}." if key else "")
    unknown = re.match(r"Object contains unknown field `(.*)`", text)
    if unknown:
        return f"{inside}{unknown[1]}: unknown key; remove it or correct its spelling (appliance/CONFIG.md lists all)"
    missing = re.match(r"Object missing required field `(.*)`", text)
    if missing:
        return f"{inside}{missing[1]}: missing, has no default; add it (appliance/CONFIG.md lists all)"
    fault = text[:1].lower() + text[1:]
    return f"{inside[:-1]}: {fault}, is {_value(key, tree)!r}; correct it (appliance/CONFIG.md gives unit and range)"


def _value(key: str, tree: object) -> object:
    for part in re.findall(r"[^.\[\]]+", key):
        if isinstance(tree, list) and part.isdecimal() and int(part) < len(tree):
            tree = tree[int(part)]
        elif isinstance(tree, dict) and part in tree:
            tree = tree[part]
        else:
            return None
    return tree


def _check_geometry(path: Path, config: Config) -> None:
    mcu = config.mcu
    for fault in mcu_faults(mcu):
        raise ConfigError(f"{path}: {fault}")
    spacing_ms = mcu.min_gap_mm / mcu.belt_mm_s * 1000
    if 4 * config.judge.pairing_tolerance_ms >= spacing_ms:
        raise ConfigError(
            f"{path}: judge.pairing_tolerance_ms: {config.judge.pairing_tolerance_ms} ms, limit is under a quarter of "
            f"{spacing_ms:.3g} ms between parts at full belt speed; lower it, slow the belt or widen mcu.min_gap_mm"
        )
    for name, camera in config.camera.items():
        rest_ms = camera.strobe_us * STROBE_REST / 1000
        if rest_ms > spacing_ms:
            raise ConfigError(
                f"{path}: camera.{name}.strobe_us: {camera.strobe_us} us, the lamp may flash every {rest_ms:g} ms, "
                f"limit is {spacing_ms:.3g} ms between parts at full speed; shorten it or widen mcu.min_gap_mm"
            )
        if camera.distance_mm >= mcu.gate_mm - mcu.lead_mm:
            raise ConfigError(
                f"{path}: camera.{name}.distance_mm: {camera.distance_mm} mm lies behind the decision point, limit is "
                f"under gate_mm - lead_mm = {mcu.gate_mm - mcu.lead_mm} mm; move the camera or the gate"
            )


def _read_lists(path: Path, recipe: Recipe, folder: Path) -> dict[str, frozenset[str]]:
    """Give the lists that the rules name."""
    rules = [rule for rule in recipe.rules if isinstance(rule, Text | Code) and rule.serials]
    return {rule.serials: _read_list(folder / rule.serials, f"{path}: rules.{rule.name}: serials") for rule in rules}


def _read_list(path: Path, key: str) -> frozenset[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {path.name} cannot be read as text ({error}); put it beside the recipe") from error
    listed = frozenset(line.strip() for line in lines if line.strip())
    if not listed:
        raise ConfigError(f"{key}: {path.name} lists 0 texts, at least 1 is needed; write one per line")
    return listed


def _digest(config: Config, recipe: Recipe, serials: dict[str, frozenset[str]], approval: Approval | None) -> str:
    lists = {name: sorted(listed) for name, listed in serials.items()}
    return hashlib.sha256(msgspec.json.encode([config, recipe, lists, approval], order="deterministic")).hexdigest()
