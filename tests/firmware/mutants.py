"""Small lies in the core's fail-safe lines: negated conditions, off by one, swapped words, dropped statements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from firmware_bridge.build import CORE

MARK = "/* RULE"
FILES = ("parts.c", "core.c", "session.c", "faults.c", "watch.c", "configuration.c")
NEIGHBOURS = 1
"""Lines of code before and behind a marked one that are changed too."""

SWAPS = {
    "<=": ("<", ">"), ">=": (">", "<"), "==": ("!=",), "!=": ("==",), "&&": ("||",), "||": ("&&",),
    "<": ("<=", ">="), ">": (">=", "<="), "|": ("&",),
    "GATE_CAUSE_NO_DECISION": ("GATE_CAUSE_ACCEPTED",), "GATE_CAUSE_HOST_LOST": ("GATE_CAUSE_ACCEPTED",),
    "GATE_CAUSE_DECIDED_REJECT": ("GATE_CAUSE_ACCEPTED",), "GATE_CAUSE_NOT_ARMED": ("GATE_CAUSE_ACCEPTED",),
    "GATE_CAUSE_TOO_CLOSE": ("GATE_CAUSE_ACCEPTED",), "GATE_CAUSE_FAULT": ("GATE_CAUSE_ACCEPTED",),
    "LANE_REJECT": ("LANE_ACCEPT",), "LANE_ACCEPT": ("LANE_REJECT",),
    "DECISION_ACCEPT": ("DECISION_REJECT", "DECISION_NONE"), "DECISION_REJECT": ("DECISION_ACCEPT",),
    "DECISION_NONE": ("DECISION_ACCEPT", "DECISION_REJECT"),
    "STATE_ARMED": ("STATE_CONFIGURED",), "STATE_CONFIGURED": ("STATE_ARMED",), "STATE_FAULT": ("STATE_CONFIGURED",),
    "RESET_REASON_POWER_ON": ("RESET_REASON_PIN",), "FAULT_MEMORY": ("FAULT_NONE",), "FAULT_NONE": ("FAULT_MEMORY",),
    "FAULT_SYNC_LOST": ("FAULT_TABLE_OVERFLOW",), "FAULT_ENCODER": ("FAULT_TABLE_OVERFLOW",),
}  # fmt: skip
TOKEN = re.compile(r"->|<<|>>|<=|>=|==|!=|&&|\|\||\+=|\|=|\+\+|--|\b\d+u?\b|\b\w+\b|[<>|]")
CONDITION = re.compile(r"^(\s*(?:\} )?(?:else )?if )\((.*)\)(\s*(?:\{|[^()]*;)?)$")
STATEMENT = re.compile(
    r"^(\s*)(?!return\b|if\b|else\b|for\b|while\b|static\b)([\w\[\]>.\-]+ [|+]?= .*;|\w+\(.*\);|continue;)$"
)


class Mutant(NamedTuple):
    """One line of one file that reads otherwise."""

    file: str
    line: int
    kind: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.kind}: {self.old.strip()} -> {self.new.strip() or 'nothing'}"


def mutants(core: Path = CORE) -> list[Mutant]:
    """Give every mutant of the marked lines and their neighbours, in order, none twice."""
    found: dict[Mutant, None] = {}
    for name in FILES:
        lines = (core / name).read_text("utf-8").splitlines()
        for number in near_marks(lines):
            found.update(dict.fromkeys(of_line(name, number, lines[number - 1])))
    return list(found)


def near_marks(lines: list[str]) -> list[int]:
    """Give the numbers of the lines that are marked or next to one that is, counted from 1."""
    marked = [number for number, line in enumerate(lines, 1) if MARK in line]
    near = {number + step for number in marked for step in range(-NEIGHBOURS, NEIGHBOURS + 1)}
    return sorted(n for n in near if 0 < n <= len(lines) and is_code(lines[n - 1]))


def is_code(line: str) -> bool:
    bare = line.split("/*", maxsplit=1)[0].strip()
    return (
        bool(bare)
        and not bare.startswith(("#", "*", "//"))
        and bare not in {"{", "}"}
        and not bare.startswith("static ")
    )


def of_line(name: str, number: int, line: str) -> Iterator[Mutant]:
    """Give the mutants of one line; comments are left alone."""
    code, mark, comment = line.partition("/*")
    code = code.rstrip()

    def one(kind: str, new: str) -> Mutant:
        return Mutant(name, number, kind, line, f"{new} {mark}{comment}" if mark else new)

    split = split_condition(code)
    if split:
        head, condition, tail = split
        yield one("negated", f"{head}(!({condition})){tail}")
        yield one("never", f"{head}((void)({condition}), 0){tail}")
        body = STATEMENT.match(tail.strip())
        if body:
            yield one("dropped", f"{head}({condition}) {{ }}")
    elif STATEMENT.match(code):
        yield one("dropped", code[: len(code) - len(code.lstrip())] + ";")
    for match in TOKEN.finditer(code):
        token = match.group()
        for other in SWAPS.get(token, ()):
            yield one("swapped", code[: match.start()] + other + code[match.end() :])
        if re.fullmatch(r"\d+u?", token):
            value = int(token.rstrip("u"))
            for other_value in {value + 1, max(value - 1, 0)} - {value}:
                yield one(
                    "constant", f"{code[: match.start()]}{other_value}{token[len(str(value)) :]}{code[match.end() :]}"
                )


def split_condition(code: str) -> tuple[str, str, str] | None:
    """Cut `if (condition) tail` into its three pieces; None for a line that is no such thing, or not all of one."""
    at = re.match(r"^\s*(?:\} )?(?:else )?if \(", code)
    if at is None:
        return None
    depth, start = 1, at.end()
    for end in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[end], 0)
        if depth == 0:
            return code[: start - 1], code[start:end], code[end + 1 :]
    return None
