"""Every alarm that the services can raise is rationalised: what it costs, where it comes from, what a person does."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from appliance.decision.pairing import Proof
from appliance.monitoring.alarm_row import ABSENT, Priority, Source
from appliance.monitoring.alarm_table import ROWS, row_of
from appliance.outputs.plc.modbus_access import Refusal

ROOT = Path(__file__).parents[2]
SOURCES = [
    *sorted((ROOT / "appliance" / "services").glob("*.py")),
    *sorted((ROOT / "appliance" / "outputs").rglob("*.py")),
    *sorted((ROOT / "firmware_bridge").glob("*.py")),
]
EXPANDED = {
    "plc_{}": {f"plc_{why.value}" for why in Refusal},
    "pairing_{}": {f"pairing_{proof.value}" for proof in Proof if proof is not Proof.AGREED},
    "{} outbox": {"mqtt outbox", "sparkplug outbox"},
}
"""Names that are put together, and all that they can become."""
PASSED_ON = {
    "kind",
    "*alarm",
    "name",  # the argument of the service's own `_alarm`, whose callers are read
    "channel.name",  # named where the channel is made
    "service",  # what the Sparkplug node tells of a silent unit; the station's own alarm is its absence
}
UNITS = {"line", "acquire", "judge", "shadow", "record", "publish", "opcua", "sync"}


def _text(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return names.get(ast.unparse(node), ast.unparse(node))


def _returned(tree: ast.Module) -> set[str]:
    """Give the kinds that functions such as `mcu_alarm` return first of two."""
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name.endswith("_alarm")]
    returned = [one.value for function in functions for one in ast.walk(function) if isinstance(one, ast.Return)]
    pairs = [one.elts[0] for one in returned if isinstance(one, ast.Tuple) and len(one.elts) == 2]
    return {str(one.value) for one in pairs if isinstance(one, ast.Constant)}


def _expanded(found: set[str]) -> set[str]:
    return {one for name in found - PASSED_ON for one in EXPANDED.get(name, {name})}


def _called() -> tuple[set[str], set[str]]:
    """Give the alarms' kinds and the components' names that the source can state, put-together ones expanded."""
    kinds: set[str] = set()
    components: set[str] = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and len(node.targets) == 1]
        worded = [node for node in assigned if isinstance(node.value, ast.Constant | ast.JoinedStr)]
        names = {ast.unparse(node.targets[0]): _text(node.value, {}) for node in worded}
        names |= {"MQTT": "mqtt"}  # outputs/mqtt_state.py, imported under its own name
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "Alarm":
                kinds.add(_text(node.args[1], names))
            elif name == "_alarm":
                kinds.add(_text(node.args[0], names))
            elif name == "Component":
                components.add(_text(node.args[0], names))
        kinds |= _returned(tree)
    return _expanded(kinds), _expanded(components)


def test_no_alarm_of_the_source_is_missing() -> None:
    """Every kind of alarm and every component that the source names has a row, and no row is of nothing."""
    kinds, components = _called()
    rows = {source: {row.kind for row in ROWS if row.source is source} for source in Source}

    assert kinds == rows[Source.MESSAGE]
    assert components == rows[Source.COMPONENT]
    assert {ABSENT} == rows[Source.ABSENCE]
    assert UNITS == {row.unit for row in ROWS}
    assert UNITS == {row.unit for row in ROWS if row.kind == ABSENT}


def test_every_row_tells_all() -> None:
    """Consequence, cause, remedy and a time to act in: an alarm without them asks nobody for anything."""
    for row in ROWS:
        assert all((row.title, row.consequence, row.cause, row.remedy)), row
        assert 0 < row.minutes <= 480, row


def test_names_are_unique_and_references_lead_somewhere() -> None:
    """An alarm is rationalised once, and what it follows from, hides under or means is an alarm of the table."""
    names = [f"{row.unit}.{row.kind}" for row in ROWS]

    assert len(names) == len(set(names))
    for row in ROWS:
        assert {*row.follows, *row.hidden_by} <= set(names), row
        assert not row.point or row_of(row.unit, row.point).source is Source.COMPONENT, row


def test_priorities_are_rare_as_the_standard_wants() -> None:
    """About 5 % high, 15 % medium, 80 % low: where most are urgent, none is."""
    own = Counter(row.priority for row in ROWS if not row.point)
    share = {priority: count / own.total() for priority, count in own.items()}

    assert share[Priority.HIGH] <= 0.08
    assert 0.1 <= share[Priority.MEDIUM] <= 0.2
    assert share[Priority.LOW] >= 0.7


def test_more_urgent_leaves_less_time() -> None:
    """The time to act in fits the priority."""
    longest = {p: max(row.minutes for row in ROWS if row.priority is p) for p in Priority}

    assert longest[Priority.HIGH] <= 5
    assert longest[Priority.MEDIUM] <= 60


def test_nothing_high_is_suppressed() -> None:
    """No alarm that tells of a defect that passed hides behind another one."""
    assert not [row for row in ROWS if row.priority is Priority.HIGH and row.hidden_by]


@pytest.mark.parametrize(("unit", "kind"), [("hmi", ABSENT), ("judge", "new_kind")])
def test_an_unknown_alarm_is_shown(unit: str, kind: str) -> None:
    """An alarm that nobody rationalised is low, and still asks for maintenance."""
    row = row_of(unit, kind)

    assert (Priority.LOW, unit, kind, "Call maintenance.") == (row.priority, row.unit, row.kind, row.remedy)
