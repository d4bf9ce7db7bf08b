"""Let the checker of types guard the gate: who may open it is not left to care, a wrong call does not compile."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRELUDE = """
from appliance.governance.approval import Primary
from appliance.schema.clocks import HostNs
from appliance.schema.part import PartEntered
from appliance.schema.review import ManualVerdict
from appliance.schema.verdict import SealedVerdict, Verdict
from appliance.services._authority import GateOrder, HandDecides, ModelDecides, authority, decision

def check(
    primary: Primary, verdict: Verdict, sealed: SealedVerdict, manual: ManualVerdict, part: PartEntered, now: HostNs
) -> None:
"""
RIGHT = """
    ModelDecides(primary).order(verdict, part, now, now)
    ModelDecides(primary).objection(manual, part)
    HandDecides().order(manual, part, now, now)
    authority(None)
    authority(primary)
    decision(HandDecides().order(manual, part, now, now), inspect=True)
"""
WRONG = {
    "verdict_to_hand": "HandDecides().order(verdict, part, now, now)",
    "sealed_to_hand": "HandDecides().order(sealed, part, now, now)",
    "sealed_to_model": "ModelDecides(primary).order(sealed, part, now, now)",
    "manual_to_model": "ModelDecides(primary).order(manual, part, now, now)",
    "verdict_as_objection": "ModelDecides(primary).objection(verdict, part)",
    "objection_to_hand": "HandDecides().objection(manual, part)",
    "model_without_primary": "ModelDecides()",
    "model_without_proof": "ModelDecides(None)",
    "hand_with_primary": "HandDecides(primary)",
    "verdict_to_gate": "decision(verdict, inspect=True)",
    "manual_to_gate": "decision(manual, inspect=True)",
}


def refusals(snippets: dict[str, str], folder: Path) -> dict[str, list[str]]:
    """Give the checker's errors by snippet; one run for all."""
    for name, snippet in snippets.items():
        (folder / f"{name}.py").write_text(PRELUDE + snippet, "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-error-codes"]
    command += ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / "build" / "tests" / "mypy")]
    run = subprocess.run(
        [*command, *(str(folder / f"{name}.py") for name in snippets)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, list[str]] = {name: [] for name in snippets}
    for line in run.stdout.splitlines():
        if " error: " in line:
            found.setdefault(Path(line.partition(":")[0]).stem, []).append(line)
    found["stderr"] = run.stderr.splitlines()
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    wrong = {name: f"    {call}\n" for name, call in WRONG.items()}
    return refusals({"right": RIGHT, **wrong}, tmp_path_factory.mktemp("snippets"))


def test_the_right_calls_pass(told: dict[str, list[str]]) -> None:
    """Each authority takes the messages that are its own."""

    assert [] == told["right"]
    assert [] == told["stderr"]
    assert set(told) == {"right", "stderr", *WRONG}


@pytest.mark.parametrize("name", WRONG)
def test_the_checker_refuses_a_wrong_call(told: dict[str, list[str]], name: str) -> None:
    """No verdict reaches a person's authority, no sealed or manual one the model's, and none the gate itself."""
    codes = [line.rpartition("[")[2].rstrip("]") for line in told[name]]

    assert len(codes) == 1
    assert codes[0] in {"arg-type", "call-arg", "attr-defined"}


def makers(name: str) -> set[str]:
    """Give the product's files that make a value of a type by its name."""
    found = set()
    for package in ("appliance", "firmware_bridge", "hmi"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                called = node.func if isinstance(node, ast.Call) else None
                if name in {getattr(called, "id", None), getattr(called, "attr", None)}:
                    found.add(str(path.relative_to(ROOT)))
    return found


def test_an_accept_for_the_gate_is_made_in_one_place() -> None:
    """The microcontroller's decision is worded in `_authority.decision`, and unpacked by the wire's own code."""

    assert {"appliance/services/_authority.py", "firmware_bridge/messages.py"} == makers("Decision")


def test_orders_that_accept_come_from_an_authority() -> None:
    """`line` makes an order by itself only to take an accept back."""
    path = ROOT / "appliance" / "services" / "line.py"
    orders = [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "GateOrder"
    ]
    accepts = [word.value for node in orders for word in node.keywords if word.arg == "accept"]

    assert {"appliance/services/_authority.py", "appliance/services/line.py"} == makers("GateOrder")
    assert len(orders) == len(accepts) == 1
    assert [False] == [getattr(value, "value", None) for value in accepts]


def test_the_proof_is_made_where_it_is_verified() -> None:
    """A `Primary` comes from the check of a signature, and from the simulation."""
    made = makers("Primary")

    assert "appliance/governance/approval.py" in made
    assert {path for path in made if not path.startswith("appliance/sim/")} == {"appliance/governance/approval.py"}
