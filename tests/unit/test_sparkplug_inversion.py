"""Turn each rule of the edge node and of the Logix results round, one at a time, and see its test fail."""

import importlib
import sys
import types
from pathlib import Path

import pytest

from tests.unit import test_logix_results, test_sparkplug_edge

EDGE = "appliance.outputs.sparkplug.edge"
METRICS = "appliance.outputs.sparkplug.metrics"
RESULTS = "appliance.outputs.logix_results"
BROKEN = (AssertionError, LookupError, TypeError, ValueError, AttributeError, ExceptionGroup)
"""What a turned rule breaks a test with."""

TURNED = [
    (EDGE, "self._seq = 0\n        self._dirty", "self._dirty", "test_sequence_numbers_have_no_gap"),
    (EDGE, "(self._seq + 1) % SEQUENCE", "self._seq + 1", "test_zero_follows_255"),
    (EDGE, "if state.online:", "if not state.online:", "test_a_host_is_waited_for_at_each_connection"),
    (
        EDGE,
        "state.timestamp < self._host.timestamp",
        "state.timestamp > self._host.timestamp",
        "test_only_a_host_that_says_offline_now_ends_the_session",
    ),
    (
        EDGE,
        "state.timestamp < self._host.timestamp",
        "state.timestamp <= self._host.timestamp",
        "test_only_a_host_that_says_offline_now_ends_the_session",
    ),
    (
        EDGE,
        "return self.leave(now_ms) if self.session is Session.BORN else []",
        "return []",
        "test_only_a_host_that_says_offline_now_ends_the_session",
    ),
    (EDGE, "if retained or topic", "if topic", "test_of_all_commands_only_a_rebirth_is_obeyed"),
    (EDGE, 'topic != self.names.topic("NCMD")', "False", "test_a_command_to_the_device_is_ignored"),
    (EDGE, "metric.name == REBIRTH and", "", "test_of_all_commands_only_a_rebirth_is_obeyed"),
    (EDGE, "metric.value is True", "True", "test_of_all_commands_only_a_rebirth_is_obeyed"),
    (
        EDGE,
        "if wanted and self.session is Session.BORN",
        "if wanted",
        "test_a_rebirth_before_the_host_is_online_is_no_birth",
    ),
    (
        EDGE,
        "acts if self.names.host else [*acts, *self._birth(now_ms)]",
        "[*acts, *self._birth(now_ms)]",
        "test_a_host_is_waited_for_at_each_connection",
    ),
    (
        EDGE,
        "min(self.born_ms, now_ms)",
        "self.born_ms",
        "test_a_clock_that_is_set_back_does_not_make_history",
    ),
    (
        EDGE,
        "told_ms < self.born_ms",
        "told_ms >= self.born_ms",
        "test_a_row_is_history_when_it_was_stored_before_the_birth",
    ),
    (EDGE, "self._values[name][0] != value", "True", "test_only_what_changed_is_told_and_births_tell_all"),
    (
        EDGE,
        'not mine or (kind == "DDATA" and not self._device_born)',
        "not mine",
        "test_values_of_a_dead_device_wait_for_its_birth",
    ),
    (EDGE, "self._death(now_ms), Leave()] if born", "Leave()] if born", "test_a_leave_keeps_the_number_of_the_birth"),
    (EDGE, "encode(payload), 1)", "encode(payload), 0)", "test_a_leave_keeps_the_number_of_the_birth"),
    (METRICS, '"Result/Good": told.good', '"Result/Good": not told.good', "test_good_means_accepted_and_nothing_else"),
    (METRICS, "if state.error or state.sync_lost", "if state.error", "test_the_line_has_a_packml_state"),
    (METRICS, '"Execute" if state.ready', '"Execute" if not state.ready', "test_the_line_has_a_packml_state"),
    (METRICS, "value if math.isfinite(value) else None", "value", "test_what_is_not_known_is_null"),
    (METRICS, "worst = max(heard", "worst = min(heard", "test_health_shows_the_worst_unit"),
    (
        RESULTS,
        '"Good": int(told.good)',
        '"Good": int(not told.good)',
        "test_good_and_reject_are_opposites_of_one_truth",
    ),
    (RESULTS, '"Reject": int(not told.good)', '"Reject": 0', "test_good_and_reject_are_opposites_of_one_truth"),
    (
        RESULTS,
        "self._shown is None or number != self._sequence",
        "self._shown is None",
        "test_a_result_stays_until_its_number_comes_back",
    ),
    (
        RESULTS,
        "while self.waiting > HELD",
        "while self.waiting > HELD + 1",
        "test_more_than_eight_results_go_oldest_first",
    ),
    (RESULTS, "if told.part in self._names", "if False", "test_every_part_is_taken_once_in_order_or_counted_lost"),
    (RESULTS, "now < self._line_heard + SILENCE", "True", "test_a_line_that_is_silent_is_not_online"),
    (RESULTS, "self._beat % LARGEST + 1", "self._beat % LARGEST", "test_the_heartbeat_changes_with_every_write"),
    (RESULTS, "self._sequence % LARGEST + 1", "self._sequence + 1", "test_numbers_go_on_after_the_largest"),
    (
        RESULTS,
        "one.part.number > reached",
        "one.part.number >= reached",
        "test_a_new_run_goes_on_where_the_controller_stands",
    ),
    (
        RESULTS,
        "last.number if self._sequence == acknowledged else last.number - 1",
        "last.number",
        "test_a_new_run_goes_on_where_the_controller_stands",
    ),
    (
        RESULTS,
        "shown if shown > 0 else max(acknowledged, 0)",
        "max(acknowledged, 0)",
        "test_a_new_run_goes_on_where_the_controller_stands",
    ),
    (
        RESULTS,
        'int(seen["Sequence"]) if is_ours else 0',
        'int(seen["Sequence"])',
        "test_a_new_run_goes_on_where_the_controller_stands",
    ),
    (
        RESULTS,
        '"PartNumber", "Sequence")',
        '"PartNumber", "Sequence", "Good", "Online")',
        "test_the_goodbye_says_nothing_good",
    ),
    (RESULTS, "second | dict.fromkeys(HARMFUL, 0.0)", "second", "test_a_probe_is_never_a_result"),
    (RESULTS, "PROBE + 2 * place", "PROBE + place", "test_a_probe_is_never_a_result"),
]


def turned(name, old, new):
    """Give a module whose source says the new in place of the old, which must be there exactly once."""
    source = Path(importlib.import_module(name).__file__).read_text("utf-8")
    assert source.count(old) == 1, f"{name}: {old!r} occurs {source.count(old)} times, 1 is needed; follow the source"
    module = types.ModuleType(f"turned_{name.rpartition('.')[2]}")
    sys.modules[module.__name__] = module
    exec(compile(source.replace(old, new), module.__name__, "exec"), module.__dict__)  # noqa: S102  our own source
    return module


def cases(test):
    """Give the arguments of each case of a test."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    arguments = [{}]
    for mark in marks:
        names, values = mark.args
        names = [names] if isinstance(names, str) else list(names)
        rows = [[value] if len(names) == 1 else value for value in values]
        arguments = [{**one, **dict(zip(names, row, strict=True))} for one in arguments for row in rows]
    return arguments


@pytest.mark.parametrize(("name", "old", "new", "test"), TURNED)
def test_a_turned_rule_is_noticed(name, old, new, test, monkeypatch):
    """Each rule has a test that fails without it."""
    suite = test_logix_results if name == RESULTS else test_sparkplug_edge
    module = turned(name, old, new)
    for word in vars(module):
        if hasattr(suite, word) and not word.startswith("_"):
            monkeypatch.setattr(suite, word, getattr(module, word))
    function = getattr(suite, test)
    failed = False
    for arguments in cases(function):
        try:
            function(**arguments)
        except BROKEN:
            failed = True
            break
    del sys.modules[module.__name__]

    assert failed
