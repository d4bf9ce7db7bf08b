"""Join each service's node with its devices, from one configuration."""

import hashlib
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from appliance.config import Loaded, load
from appliance.ports.device import Device
from appliance.ports.node import Node
from appliance.schema.clocks import MS
from appliance.schema.errors import ApplianceError, ConfigError
from appliance.schema.policy import Mode
from appliance.schema.recipe import Recipe
from appliance.schema.topics import SHADOW
from appliance.services import SERVICES
from appliance.services._idle import cpu_runtime, step_aside
from appliance.services._loop import Loop, RecipeWatch, SystemClock

if TYPE_CHECKING:
    from appliance.governance.approval import Primary


ONE_RECIPE = frozenset({"judge", "record", SHADOW})
"""Services that are built for one recipe and start again when the line changes to another."""


def units(loaded: Loaded) -> tuple[str, ...]:
    """Name every unit of a station: one `acquire@<camera>` per camera, and the other services it needs."""
    cameras = tuple(f"acquire@{name}" for name in loaded.config.camera)
    absent = {"acquire"}
    if not loaded.recipe.shadow:
        absent.add(SHADOW)
    if not loaded.config.opcua.host:
        absent.add("opcua")
    return cameras + tuple(service for service in SERVICES if service not in absent)


def bundle_folder(loaded: Loaded) -> Path:
    """Name the folder of the recipe's bundle."""
    return loaded.state / "bundles" / loaded.recipe.bundle


def wire(service: str, loaded: Loaded) -> tuple[Node, Mapping[str, Device]]:
    """Build a unit's node and devices; only its own libraries are imported. ConfigError for an unknown unit."""
    name, _, camera = service.partition("@")
    match name:
        case "acquire":
            return _acquire(loaded, camera)
        case "judge":
            return _judge(loaded)
        case "line":
            return _line(loaded)
        case "record":
            from appliance.bus.ring import RingReader
            from appliance.services import record

            return record.build(loaded, RingReader(loaded.runtime, name="record"), SystemClock())
        case "shadow":
            return _shadow(loaded)
        case "publish":
            from appliance.services import publish

            return publish.build(loaded, SystemClock())
        case "opcua":
            from appliance.services import opcua

            return opcua.build(loaded, SystemClock())
    raise ConfigError(f"service {service!r}: unknown; services of this station are {', '.join(units(loaded))}")


def _acquire(loaded: Loaded, camera: str) -> tuple[Node, Mapping[str, Device]]:
    if camera not in loaded.config.camera:
        known = ", ".join(f"acquire@{name}" for name in loaded.config.camera)
        raise ConfigError(f"service 'acquire@{camera}': no such camera in {loaded.path}; there are {known}")
    from appliance.services import acquire

    return acquire.build(loaded, camera)


def _judge(loaded: Loaded) -> tuple[Node, Mapping[str, Device]]:
    from appliance.bus.ring import RingReader
    from appliance.governance.approval import check_bundle
    from appliance.services._bundles import STAGER, Bundles
    from appliance.services._loading import load_bundle, proof_command
    from appliance.services._staging import BACKGROUND, ORDINARY, SWITCH_INTERVAL_S, BundleStager
    from appliance.services.judge import JudgeNode
    from appliance.storage.promise import FILE, PromiseFile

    primary = primary_of(loaded)  # before anything that takes time: without it the service does not start
    settings, mcu = loaded.config.judge, loaded.config.mcu
    active = load_bundle(loaded, loaded.recipe.bundle)
    if primary is not None:
        check_bundle(primary, active.bundle)
    node = JudgeNode(
        tuple(loaded.config.camera),
        RingReader(loaded.runtime, name="judge"),
        Bundles(active),
        tolerance_ns=int(settings.pairing_tolerance_ms * MS),
        tolerance_counts=int(settings.pairing_tolerance_ms / 1000 * mcu.belt_mm_s * mcu.counts_per_mm) + 1,
        margin_ns=int(settings.margin_ms * MS),
        policy=loaded.recipe.policy,
        promise=PromiseFile(loaded.state / FILE, loaded.recipe.name, loaded.recipe.version),
        primary=primary,
        pid=os.getpid(),
    )
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    nice = BACKGROUND if settings.threads == 1 else ORDINARY
    stager = BundleStager(partial(load_bundle, loaded), partial(proof_command, loaded), nice)
    return node, {STAGER: stager}


def _shadow(loaded: Loaded) -> tuple[Node, Mapping[str, Device]]:
    if not loaded.recipe.shadow:
        raise ConfigError(f"recipe {loaded.recipe.name}: names no shadow bundle; add `shadow`, or do not run this unit")
    step_aside()  # before any library makes threads: they inherit it
    from appliance.bus.ring import RingReader
    from appliance.services._loading import load_bundle
    from appliance.services.shadow import ShadowNode

    inspector, fault = None, ""
    try:
        inspector = load_bundle(loaded, loaded.recipe.shadow, cpu_runtime(loaded.config.judge.runtime))
    except ApplianceError as error:  # nothing waits for it: it stays up, says why, and is not started again and again
        fault = str(error)
    frames = RingReader(loaded.runtime, SHADOW, lease=False)
    return ShadowNode(loaded.recipe.views, frames, inspector, loaded.recipe.policy, fault, os.getpid()), {}


def _line(loaded: Loaded) -> tuple[Node, Mapping[str, Device]]:
    import secrets
    import time

    from appliance.governance.approval import recipe_digest
    from appliance.outputs.plc.handshake import Handshake
    from appliance.outputs.plc.modbus import ModbusServer
    from appliance.schema.clocks import HostNs
    from appliance.services._authority import authority
    from appliance.services._line_recipes import InForce
    from appliance.services._recipe_change import DEVICE, RecipeShelf
    from appliance.services.line import LineNode
    from firmware_bridge.board import PtyBoard
    from firmware_bridge.device import McuDevice

    primary = primary_of(loaded)
    now = HostNs(time.monotonic_ns())
    plc = loaded.config.plc
    recipe = InForce(loaded.recipe.number, recipe_hash(loaded.recipe), loaded.recipe.name, recipe_digest(loaded.recipe))
    handshake = Handshake(
        secrets.randbelow((1 << 32) - 1) + 1,
        now,
        ack_timeout_ms=plc.ack_timeout_ms,
        stale_ms=plc.stale_ms,
        late_stops=primary is not None,
        plc_triggers=plc.trigger == "plc",
    )
    node = LineNode(
        loaded.config.mcu,
        loaded.config.camera,
        loaded.recipe.views,
        handshake,
        plc_required=plc.required,
        authority=authority(primary),
        recipe=recipe,
        controlled=loaded.config.station.controlled,
        epoch=secrets.token_hex(8),
        pid=os.getpid(),
    )
    link = loaded.config.mcu.link
    devices: dict[str, Device] = {
        "mcu": McuDevice(lambda: PtyBoard(Path(link)), lambda: secrets.randbits(32), now),
        "plc": ModbusServer(plc.host, plc.port, plc.allow),
        DEVICE: RecipeShelf(
            partial(load, loaded.path), primary_of, lambda recipe: (recipe_hash(recipe), recipe_digest(recipe))
        ),
    }
    return node, devices


def primary_of(loaded: Loaded) -> "Primary | None":
    """Prove that the model may drive the gate; None in parallel mode. ConfigError where nobody has signed for it."""
    if loaded.recipe.mode is Mode.PARALLEL:
        return None
    from appliance.governance.approval import verify

    signers = loaded.config.approval
    return verify(loaded.approval, loaded.recipe, signers.people, two_persons=signers.two_persons)


def heard_by(service: str, loaded: Loaded) -> tuple[str, ...]:
    """Name the units that a unit connects to: all, but a shadow's own messages reach `record` alone."""
    return tuple(unit for unit in units(loaded) if unit != SHADOW or service == "record")


def run_service(service: str, loaded: Loaded) -> int:
    """Run a unit until it is told to stop; gives the process's exit code."""
    loaded.runtime.mkdir(parents=True, exist_ok=True)
    node, devices = wire(service, loaded)
    own_audit = service == "record"  # it writes its start into the chain by itself
    digest = "" if own_audit else loaded.digest
    watch = RecipeWatch(recipe_hash(loaded.recipe), partial(_hash_in_force, loaded.path), service in ONE_RECIPE)
    return Loop(node, devices, loaded.runtime, heard_by(service, loaded), digest, watch).run()


def recipe_hash(recipe: Recipe) -> int:
    """Give the first 32 bit of a recipe's SHA-256, as the PLC reads them."""
    content = msgspec.json.encode(recipe, order="deterministic")
    return int.from_bytes(hashlib.sha256(content).digest()[:4], "big")


def _hash_in_force(path: Path) -> int:
    """Give the hash of the recipe that a service would start with now; 0 when it could not start."""
    try:
        return recipe_hash(load(path).recipe)
    except ConfigError:
        return 0
