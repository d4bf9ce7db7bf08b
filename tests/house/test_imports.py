"""Protect the import contracts themselves: each can fail, none has exceptions, every pure layer is in them."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
PACKAGES = ("appliance", "kernels", "firmware_bridge", "hmi")

VIOLATIONS = {
    "layers": {
        "appliance/schema/violation.py": "import appliance.config",
        "appliance/decision/violation.py": "import appliance.bus",
        "appliance/runtimes/violation.py": "import appliance.bus",
        "appliance/services/line.py": "import appliance.sim",
        "appliance/check/violation.py": "import appliance.sim",
        "appliance/homeless.py": "",
    },
    "services": {
        "appliance/services/judge.py": "import appliance.services.line",
        "appliance/services/_notify.py": "import appliance.services._loop",
        "appliance/services/homeless.py": "",
    },
    "pure": {
        "appliance/decision/violation.py": "import time",
        "appliance/schema/violation.py": "from sqlite3 import connect",
        "appliance/ports/violation.py": "def later():\n    import zmq",
    },
    "torch": {
        "appliance/tasks/violation.py": "import torch",
        "appliance/services/judge.py": "def later():\n    import matplotlib",
        "appliance/datasets/violation.py": "import torch",
    },
    "kernels": {"kernels/violation.py": "import appliance.schema", "kernels/other.py": "import firmware_bridge"},
    "hmi": {
        "hmi/violation.py": "def later():\n    import appliance.services._loop",
        "hmi/other.py": "import appliance.storage.record_store",
    },
    "qt": {"hmi/state.py": "import PySide6.QtCore", "hmi/labelling/violation.py": "from PySide6 import QtGui"},
    "firmware": {
        "firmware_bridge/violation.py": "import appliance.config",
        "firmware_bridge/other.py": "import appliance.bus",
    },
}
"""One file added to the tree, by contract; a file that exists gets the line appended."""


def lint(tree: Path, contract: str | None = None) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("lint-imports"))
    chosen = ["--contract", contract] if contract else []
    command = [program, "--no-logo", "--no-cache", *chosen]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy what import-linter reads."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=lambda folder, names: _not_python(Path(folder), names)
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _not_python(folder: Path, names: list[str]) -> set[str]:
    kept = {name for name in names if name.endswith(".py") or folder.joinpath(name).is_dir()} - {"__pycache__"}
    return set(names) - kept


def test_every_contract_is_proven() -> None:
    """A new contract needs a violation here."""

    assert set(VIOLATIONS) == {contract["id"] for contract in CONTRACTS}


@pytest.mark.parametrize(("contract", "file"), [(name, file) for name, files in VIOLATIONS.items() for file in files])
def test_contract_can_fail(tree: Path, contract: str, file: str) -> None:
    """A contract that cannot fail protects nothing."""
    with tree.joinpath(file).open("a") as target:
        target.write(f"\n{VIOLATIONS[contract][file]}\n")
    done = lint(tree, contract)

    assert done.returncode == 1, done.stdout
    assert "1 broken" in done.stdout


def test_no_contract_has_exceptions() -> None:
    """An exception list grows; the code is changed instead."""
    keys = {key for contract in CONTRACTS for key in contract}

    assert not keys & {"ignore_imports", "exhaustive_ignores", "allow_indirect_imports"}


def test_every_pure_layer_is_in_the_pure_contract() -> None:
    """A pure package that appears later is held to the rule from its first day."""
    layers = next(contract["layers"] for contract in CONTRACTS if contract["id"] == "layers")
    pure = next(row for row in layers if "decision" in row).replace("(", "").replace(")", "").split(" | ")
    named = next(contract["source_modules"] for contract in CONTRACTS if contract["id"] == "pure")
    present = {f"appliance.{name}" for name in pure if (ROOT / "appliance" / name / "__init__.py").exists()}

    assert present - set(named) == set()
