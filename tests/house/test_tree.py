"""Protect the shape of the tree: small files, a page for each folder, one broad except, nothing of this machine."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {".git", ".venv", "build", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
CODE = {".py", ".c", ".h", ".sh", ".qml", ".cu"}
LINE_LIMIT = 400
PAGE_LIMIT = 60
README_DEPTH = 2
"""Folders of the first two levels have a page; deeper ones are described by the page above."""

MACHINE = re.compile(r"(?<![\w.<{$*~-])/(?:work|root)/\w|/home/[a-z]\w*/|pypi[.]o[r]g|--(?:extra-)?index-url")


def files(folder: Path = ROOT) -> Iterator[Path]:
    """Give the project's own files; those that only a build or a tool made are left out."""
    for path in sorted(folder.iterdir()):
        if path.name in NOT_OURS or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8", errors="replace").splitlines()


OURS = tuple(files())
PYTHON = tuple(path for path in OURS if path.suffix == ".py" or path == ROOT / "tests" / "check")


def test_files_are_small() -> None:
    """A file past 400 lines holds two ideas; one that a program wrote holds its source's."""
    written = [path for path in OURS if path.suffix in CODE and "Generated" not in "".join(lines(path)[:1])]
    long = {named(path): len(lines(path)) for path in written if len(lines(path)) > LINE_LIMIT}

    assert long == {}


def test_folders_have_a_page() -> None:
    """A newcomer finds in each folder what it is for; the tests share one page."""
    folders = {path.parent for path in OURS if path.suffix in CODE}
    near = {folder for folder in folders if 0 < len(folder.relative_to(ROOT).parts) <= README_DEPTH}
    missing = sorted(
        named(folder) for folder in near - set((ROOT / "tests").iterdir()) if not (folder / "README.md").exists()
    )

    assert missing == []


def test_pages_fit_a_screen() -> None:
    """A page that nobody reads to its end is no page."""
    long = {
        named(path): len(lines(path)) for path in OURS if path.name == "README.md" and len(lines(path)) > PAGE_LIMIT
    }

    assert long == {}


def test_nothing_of_this_machine() -> None:
    """Paths of a developer's machine and addresses of package registries do not belong to the project."""
    found = [
        f"{named(path)}:{number}: {line.strip()[:80]}"
        for path in OURS
        if path != Path(__file__).resolve() and path.suffix not in {".png", ".npz", ".onnx", ".jpg"}
        for number, line in enumerate(lines(path), 1)
        if MACHINE.search(line)
    ]

    assert found == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see %work%shared", True), ("open('%root%x')", True), ("%home%anna%data", True), ("at pypi,org", True),
        ("docs%work%x", False), ("%workflow", False), ("root:%root:%bin%sh", False), ("~%work%x", False),
    ],
)  # fmt: skip
def test_machine_pattern(text: str, found: bool) -> None:
    """The pattern of the test above finds what it should; `%` and `,` keep this file itself clean."""

    assert bool(MACHINE.search(text.replace("%", "/").replace(",", "."))) is found


def broad(handler: ast.ExceptHandler) -> bool:
    """Say whether a handler ends every error's way; one that only gives things back and raises again does not."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}) for kind in kinds
    )


def test_one_broad_except() -> None:
    """A broken invariant ends the process; only the loop catches everything, to log it before it dies."""
    found = [
        named(path)
        for path in PYTHON
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler) and broad(node)
    ]

    assert found == ["appliance/services/_loop.py"]


def test_only_the_configuration_reads_the_environment() -> None:
    """What a station does follows from its audited file, not from a variable somebody exported.

    Tests and the simulated plant start processes, which inherit theirs.
    """
    reading = re.compile(r"\bos\.(?:environ|getenv)\b|\bfrom os import .*\b(?:environ|getenv)\b")
    apart = (ROOT / "tests", ROOT / "appliance" / "sim", ROOT / "bench")
    product = [path for path in PYTHON if not any(path.is_relative_to(folder) for folder in apart)]
    found = {named(path) for path in product if reading.search(path.read_text("utf-8"))}

    assert found <= {"appliance/config.py"}
