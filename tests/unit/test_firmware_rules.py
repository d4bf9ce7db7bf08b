"""Turn each rule of the core round, one at a time, and see its test fail."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.build_c import compiler
from firmware_bridge.build import CORE, core_sources
from tests.unit import test_firmware_encoder as encoder
from tests.unit import test_firmware_latched as latched
from tests.unit import test_firmware_sync as sync
from tests.unit import test_firmware_watch as watch

Scenario = Callable[[Path], None]

TURNED: dict[str, tuple[str, str, str, Scenario]] = {
    "missing-part": (
        "watch.c",
        "if (c->state == STATE_ARMED) fault_latch(c, FAULT_SYNC_LOST, p->number);",
        "",
        sync.test_missing_part,
    ),
    "extra-part": (
        "watch.c",
        "if (c->state == STATE_ARMED) fault_latch(c, FAULT_SYNC_LOST, 0);",
        "",
        sync.test_extra_part,
    ),
    "seen-once": ("watch.c", "        p->confirmed = 1;\n        return;", "        return;", sync.test_missing_part),
    "one-edge-each": ("watch.c", "if (p->confirmed) continue;\n", "", sync.test_second_edge_in_a_window),
    "strangers": ("watch.c", "ahead(c->counts, c->stranger) <", "0 <", sync.test_extra_part),
    "strangers-known": ("watch.c", "ahead(c->counts, c->stranger) <", "0 >", sync.test_parts_from_before_a_boot),
    "purge-needed": (
        "faults.c",
        "return c->fault == FAULT_SYNC_LOST ||",
        "return 0 &&",
        sync.test_purge_before_release,
    ),
    "purge-empty": (
        "parts.c",
        "left = c->part_count || c->sensor || c->gate_sensor;",
        "left = 0;",
        sync.test_no_purge_with_a_part_under_a_sensor,
    ),
    "purge-way": ("parts.c", "int64_t left = way -", "int64_t left = way / 2 -", sync.test_purge_before_release),
    "purge-edge": (
        "watch.c",
        "if (rose) c->seen_at = c->counts; /* RULE purge-edge */",
        "",
        sync.test_purge_starts_again_at_each_part,
    ),
    "tested-gate": ("session.c", "!parts_way_left(c)", "1", sync.test_no_gate_test_on_a_belt_that_may_hold_parts),
    "purge-host": ("faults.c", "if (!host_alive(c)) c->purging = 0;", "if (0) return;", sync.test_purge_needs_its_host),
    "encoder-too-fast": ("watch.c", "return c->config.encoder_max_hz &&", "return 0 &&", watch.test_encoder_too_fast),
    "encoder-backwards": (
        "watch.c",
        "ahead(c->furthest, c->counts) > c->config.encoder_back_counts",
        "0",
        watch.test_encoder_backwards,
    ),
    "encoder-standing": (
        "watch.c",
        "if (c->standing_edges < STANDING_EDGES) return;",
        "return;",
        watch.test_encoder_standing,
    ),
    "encoder-transitions": (
        "watch.c",
        "} else if (new_errors) {",
        "} else if (0 && new_errors) {",
        watch.test_encoder_transitions,
    ),
    "encoder-filter": (
        "encoder.c",
        " && tick - e->since >= e->filter",
        "",
        encoder.test_a_level_counts_only_once_it_held,
    ),
    "strobe-duty": ("parts.c", "c->tick - c->strobe_tick[k] < rest", "rest == 1", watch.test_strobe_rests),
    "strobe-test": ("parts.c", "c->tick - c->strobe_tick[k] < rest", "rest == 1", watch.test_tested_lamp_rests),
    "no-light": ("parts.c", "bar(p, GATE_CAUSE_TOO_CLOSE); /* RULE no-light */", "", watch.test_strobe_rests),
    "lost-rejects": (
        "parts.c",
        "state_set(c, STATE_CONFIGURED, STATE_REASON_HOST_LOST); /* RULE lost-rejects */",
        "",
        watch.test_lost_rejects_disarm,
    ),
    "trigger-once": (
        "session.c",
        "        wish.request == c->request) {",
        "        0) {",
        watch.test_trigger_makes_a_part,
    ),
    "trigger-armed": (
        "session.c",
        "if (c->state != STATE_ARMED || !host_alive(c) || c->config.trigger",
        "if (c->config.trigger",
        watch.test_no_trigger_unless_armed,
    ),
    "trigger-source": (
        "core.c",
        "if (!c->configured || c->config.trigger_source == TRIGGER_SOURCE_SENSOR)",
        "",
        watch.test_trigger_makes_a_part,
    ),
    "kept-over-reset": ("faults.c", "c->latch_due = (uint8_t)kept->fault;", "", latched.test_fault_kept_over_reset),
    "kept-checked": ("faults.c", " && kept->crc == kept_crc(kept);", ";", latched.test_damaged_memory),
    "kept-lost": (
        "faults.c",
        "return sound || c->reset == RESET_REASON_POWER_ON ? FAULT_NONE : FAULT_MEMORY;",
        "(void)sound; return FAULT_NONE;",
        latched.test_damaged_memory,
    ),
    "reset-is-fault": (
        "faults.c",
        "if (c->reset == RESET_REASON_WATCHDOG) return FAULT_WATCHDOG;",
        "",
        latched.test_reset_by_failure,
    ),
    "configuration-sound": (
        "core.c",
        "if (c->configured && !configuration_sound(c)) fault_latch(c, FAULT_CONFIGURATION, 0);",
        "",
        latched.test_damaged_configuration,
    ),
    "purge-way-sound": (
        "faults.c",
        "c->configured && configuration_sound(c) ? parts_way_left(c)",
        "c->configured ? parts_way_left(c)",
        latched.test_damaged_way_ends_no_purge,
    ),
    "damaged-is-none": (
        "faults.c",
        "if (c->configured && !configuration_sound(c)) c->configured = 0;",
        "",
        latched.test_damaged_configuration,
    ),
    "all-alive": ("core.c", "(c->alive & needed) != needed", "!(c->alive & needed)", latched.test_watchdog_fed_by_all),
}


FLAGS = ("-std=gnu11", "-O1", "-fPIC", "-fvisibility=hidden", "-w", f"-I{CORE}")


def built(source: Path, folder: Path) -> Path:
    """Compile one file of the core."""
    made = folder / f"{source.stem}.o"
    subprocess.run([*compiler(), *FLAGS, "-c", str(source), "-o", str(made)], check=True)
    return made


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("core")
    return {source.name: built(source, folder) for source in core_sources()}


@pytest.mark.parametrize("name", TURNED)
def test_a_core_without_the_rule_is_found_out(tmp_path: Path, objects: dict[str, Path], name: str) -> None:
    """A rule that no test misses is no rule."""
    file, old, new, scenario = TURNED[name]
    source = (CORE / file).read_text("utf-8")

    assert 1 == source.count(old)
    turned = tmp_path / file
    turned.write_text(source.replace(old, new), "utf-8")
    library = tmp_path / "turned.so"
    parts = {**objects, file: built(turned, tmp_path)}
    subprocess.run([*compiler(), "-shared", *map(str, parts.values()), "-o", str(library)], check=True)
    with pytest.raises((AssertionError, IndexError)):
        scenario(library)
