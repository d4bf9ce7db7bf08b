"""The CUDA sources compile for every architecture without spills, and what is missing is said in one line."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from kernels.cuda import build
from kernels.cuda.build import ResourceUse
from kernels.cuda.host import emulated
from kernels.cuda.region import THREADS

THREADS_OF = {"preprocess": THREADS, "tiles": THREADS}
REGISTERS = 65536
"""Of a multiprocessor, from compute capability 7.5 to 12.0: CUDA C++ Programming Guide, technical specifications."""


@pytest.fixture(scope="module")
def use() -> list[ResourceUse]:
    """Build with the installed nvcc, half a minute the first time, and give what the assembler says."""
    try:
        nvcc = build.compiler()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    return msgspec.json.decode(build.use_path(build.build(nvcc=nvcc)).read_bytes(), type=list[ResourceUse])


def test_every_kernel_is_built_for_every_architecture(use) -> None:
    """What the emulated device has, the binary has, for each architecture that this nvcc knows."""
    emulated.build()
    names = {name for source in build.SOURCES for name in kernels_of(source)}

    assert {(name, number) for name in names for number in build.architectures(build.compiler())} == {
        (row.kernel, row.architecture) for row in use
    }


def kernels_of(source: Path) -> list[str]:
    return re.findall(r"^(?:KERNEL\(\w+\)\n|PREPROCESS\(|TILES\()(\w+)", source.read_text("utf-8"), re.MULTILINE)


def test_nothing_spills(use) -> None:
    """Registers suffice everywhere; no kernel has a stack."""

    assert [row for row in use if row.spill_bytes or row.stack_bytes] == []


def test_three_blocks_fit_a_processor(use) -> None:
    """Registers leave room for three blocks of each kernel, so that one block's loads hide behind another's."""
    narrow = {
        (row.kernel, row.architecture): row.registers
        for row in use
        if 3 * row.registers * THREADS_OF.get(row.kernel.partition("_")[0], 256) > REGISTERS
    }

    assert narrow == {}


def test_every_source_has_its_facts() -> None:
    """Each source shows reference, error bound and launch shape."""
    facts = ("Reference: ", "Error bound: ", "Launch: ")

    assert [path.name for path in build.SOURCES if not all(fact in path.read_text("utf-8") for fact in facts)] == []
    assert sorted(build.FOLDER.glob("*.cu")) == sorted(build.SOURCES)


def test_without_nvcc_one_line_says_so(tmp_path, monkeypatch) -> None:
    """The line names what was looked for and both remedies."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "TOOLKIT", tmp_path / "nvcc")
    with pytest.raises(
        FileNotFoundError, match=r"no CUDA compiler: nvcc .* install .* or copy kernels.fatbin"
    ) as fault:
        build.build(tmp_path / "kernels.fatbin")

    assert "\n" not in str(fault.value)


def test_missing_binary_names_the_command(tmp_path) -> None:
    """A station without the binary says how to make it."""
    with pytest.raises(FileNotFoundError, match=r"run `python -m kernels\.cuda\.build`"):
        build.image(tmp_path / "kernels.fatbin")


def nvcc(folder: Path, script: str) -> Path:
    """Give a stand-in for nvcc."""
    path = folder / "nvcc"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_older_toolkit_builds_what_it_knows(tmp_path) -> None:
    """CUDA 12.4 knows neither 100, 110 nor 120; CUDA 13 no longer 72. Ours are chosen among what is listed."""
    listed = "sm_50 sm_72 sm_75 sm_80 sm_86 sm_87 sm_89 sm_90"

    assert (75, 80, 86, 87, 89, 90) == build.architectures(nvcc(tmp_path, f"printf '%s\\n' {listed}"))


def test_useless_toolkit_is_refused(tmp_path) -> None:
    """A compiler that knows none of ours is named with what it lists."""
    with pytest.raises(RuntimeError, match=r"compiles for none of .* lists \[50, 62\]"):
        build.architectures(nvcc(tmp_path, "echo sm_50; echo sm_62"))


def test_failed_build_leaves_nothing(tmp_path) -> None:
    """The first error is the message, and no half binary stays."""
    script = 'case "$1" in --*) echo sm_90;; *) echo "a.cu(3): error: no such thing" >&2; exit 2;; esac'
    with pytest.raises(RuntimeError, match=r"nvcc fails with status 2: a.cu\(3\): error: no such thing"):
        build.build(tmp_path / "out" / "kernels.fatbin", nvcc(tmp_path, script))

    assert [] == list((tmp_path / "out").iterdir())


def test_unchanged_sources_are_not_compiled_again(tmp_path) -> None:
    """The stamp holds command, compiler version and sources; a changed version compiles again."""
    compiler = nvcc(
        tmp_path,
        'case "$1" in --list*) echo sm_90;; --version) cat "$0.version";; *) echo x >> "$0.log"; '
        'while [ "$1" != -o ]; do shift; done; echo image > "$2";; esac',
    )
    version = tmp_path / "nvcc.version"
    for text in ("12.4", "12.4", "13.0"):
        version.write_text(text)
        build.build(tmp_path / "kernels.fatbin", compiler)

    assert 2 == len((tmp_path / "nvcc.log").read_text().split())
    assert b"image\n" == build.image(tmp_path / "kernels.fatbin")
