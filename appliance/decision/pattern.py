r"""Match whole texts against regular expressions in time that grows with the text, whatever the expression is.

Python's own matcher tries one way after the other, so that `(a+)+b` takes longer than a shift on forty letters. Here
all ways are followed at once (Thompson, "Regular Expression Search Algorithm", 1968; captures after Pike): at most
MOST_STEPS steps per character. What needs more than that is refused when the expression is read: references back,
looking around, and inline flags. Classes such as `\d` and `\w` are those of ASCII.
"""

import re
import warnings
from collections.abc import Callable
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined]  # the same syntax, read by the same code
from typing import Any

from msgspec import Struct

LONGEST_PATTERN = 256
MOST_STEPS = 1000
VALUE = "value"
"""A group of this name, `(?P<value>...)`, is what other checks look at instead of the whole text."""

CATEGORIES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": lambda character: character in "0123456789",
    "CATEGORY_SPACE": lambda character: character in " \t\n\r\f\v",
    "CATEGORY_WORD": lambda character: character.isascii() and (character.isalnum() or character == "_"),
}


class Step(Struct, frozen=True):
    """Do one thing: take a character, go on at one of two steps, note the place, or be at an end."""

    kind: str
    """`take`, `fork`, `note`, `begin`, `end` or `done`."""
    items: tuple[tuple[str, Any], ...] = ()
    """Of `take`: what the character may be; of the syntax tree."""
    to: tuple[int, ...] = ()
    """Of `fork`: the steps, preferred first. Of `note`: 0 for the value's begin, 1 for its end."""


@lru_cache(maxsize=256)
def compile_pattern(expression: str) -> tuple[Step, ...]:
    """Give the steps of a regular expression; ValueError in one line when it cannot be used."""
    if len(expression) > LONGEST_PATTERN:
        raise ValueError(f"pattern of {len(expression)} characters exceeds {LONGEST_PATTERN}; shorten it")
    try:
        with warnings.catch_warnings():  # the parser only warns of what will mean something else one day
            warnings.simplefilter("error", FutureWarning)
            tree = _parser.parse(expression)
    except (re.error, FutureWarning, OverflowError, RecursionError, ValueError) as cause:
        raise ValueError(f"pattern {expression} is no regular expression: {cause}") from None
    if tree.state.flags & ~(re.UNICODE | re.ASCII):
        raise ValueError(f"pattern {expression} sets flags; write both cases out, as in [Aa]")
    writer = _Writer(expression, tree.state.groupdict.get(VALUE))
    writer.sequence(tree)
    writer.add(Step("done"))
    return tuple(writer.steps)


def value(steps: tuple[Step, ...], text: str) -> str | None:
    """Give the part of a text named `value`, or the whole text; None when the expression does not match all of it."""
    threads = _follow(steps, [(0, (-1, -1))], 0, len(text))
    for place, character in enumerate(text):
        taken = [
            (at + 1, notes) for at, notes in threads if steps[at].kind == "take" and _takes(steps[at].items, character)
        ]
        threads = _follow(steps, taken, place + 1, len(text))
    for at, (begin, end) in threads:
        if steps[at].kind == "done":
            return text[begin:end] if 0 <= begin <= end else text
    return None


_Thread = tuple[int, tuple[int, int]]


def _follow(steps: tuple[Step, ...], threads: list[_Thread], place: int, length: int) -> list[_Thread]:
    """Go on from each thread to where it takes a character or is done; the first to reach a step keeps it."""
    reached: list[_Thread] = []
    seen: set[int] = set()
    waiting = threads[::-1]
    while waiting:
        at, notes = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        step = steps[at]
        if step.kind == "fork":
            waiting.extend((to, notes) for to in reversed(step.to))
        elif step.kind == "note":
            waiting.append((at + 1, (place, -1) if step.to == (0,) else (notes[0], place)))
        elif step.kind in {"take", "done"}:
            reached.append((at, notes))
        elif place == (0 if step.kind == "begin" else length):
            waiting.append((at + 1, notes))
    return reached


def _takes(items: tuple[tuple[str, Any], ...], character: str) -> bool:
    negated = bool(items) and items[0][0] == "NEGATE"
    return negated != any(_is(name, argument, character) for name, argument in items[negated:])


def _is(name: str, argument: Any, character: str) -> bool:
    if name == "LITERAL":
        return ord(character) == int(argument)
    if name == "RANGE":
        return bool(argument[0] <= ord(character) <= argument[1])
    negated = "_NOT_" in argument
    return negated != CATEGORIES[argument.replace("_NOT", "")](character)


class _Writer:
    """Write the steps of a syntax tree, no more than MOST_STEPS."""

    def __init__(self, expression: str, group: int | None) -> None:
        self.steps: list[Step] = []
        self._expression, self._group = expression, group

    def add(self, step: Step) -> int:
        if len(self.steps) >= MOST_STEPS:
            raise ValueError(f"pattern {self._expression} needs more than {MOST_STEPS} steps; count less in {{...}}")
        self.steps.append(step)
        return len(self.steps) - 1

    def sequence(self, nodes: Any) -> None:
        for kind, argument in nodes:
            self._node(str(kind), argument)

    def _node(self, kind: str, argument: Any) -> None:  # one case for each kind of node
        match kind:
            case "LITERAL":
                self.add(Step("take", (("LITERAL", int(argument)),)))
            case "NOT_LITERAL":
                self.add(Step("take", (("NEGATE", None), ("LITERAL", int(argument)))))
            case "ANY":
                self.add(Step("take", (("NEGATE", None), ("LITERAL", ord("\n")))))
            case "IN":
                self.add(Step("take", tuple((str(name), _plain(value)) for name, value in argument)))
            case "BRANCH":
                self._branch(argument[1])
            case "SUBPATTERN":
                self._group_of(*argument)
            case "MAX_REPEAT" | "MIN_REPEAT":
                self._repeat(*argument, lazy=kind == "MIN_REPEAT")
            case "AT" if str(argument) in {"AT_BEGINNING", "AT_BEGINNING_STRING"}:
                self.add(Step("begin"))
            case "AT" if str(argument) in {"AT_END", "AT_END_STRING"}:
                self.add(Step("end"))
            case _:
                name = kind.lower().replace("_", " ")
                raise ValueError(f"pattern {self._expression} uses `{name}`, which is not followed here; do without")

    def _group_of(self, group: int | None, added: int, removed: int, nodes: Any) -> None:
        if added or removed:
            raise ValueError(f"pattern {self._expression} sets flags; write both cases out, as in [Aa]")
        noted = group is not None and group == self._group
        if noted:
            self.add(Step("note", to=(0,)))
        self.sequence(nodes)
        if noted:
            self.add(Step("note", to=(1,)))

    def _branch(self, branches: list[Any]) -> None:
        ends = []
        for nodes in branches[:-1]:
            fork = self.add(Step("fork"))
            self.sequence(nodes)
            ends.append(self.add(Step("fork")))
            self.steps[fork] = Step("fork", to=(fork + 1, len(self.steps)))
        self.sequence(branches[-1])
        for end in ends:
            self.steps[end] = Step("fork", to=(len(self.steps),))

    def _repeat(self, least: int, most: Any, nodes: Any, *, lazy: bool) -> None:
        for _ in range(least):
            begin = len(self.steps)
            self.sequence(nodes)
            if len(self.steps) == begin:  # nothing repeated is nothing
                return
        if str(most) == "MAXREPEAT":
            fork = self.add(Step("fork"))
            self.sequence(nodes)
            self.add(Step("fork", to=(fork,)))
            self._choose(fork, lazy=lazy)
            return
        forks = []
        for _ in range(int(most) - least):
            forks.append(self.add(Step("fork")))
            self.sequence(nodes)
        for fork in forks:
            self._choose(fork, lazy=lazy)

    def _choose(self, fork: int, *, lazy: bool) -> None:
        """Let a fork go into what follows it or past all that is written, preferred first."""
        ways = (fork + 1, len(self.steps))
        self.steps[fork] = Step("fork", to=ways[::-1] if lazy else ways)


def _plain(argument: Any) -> Any:
    """Give an argument of a class: a number, two numbers, or a category's name."""
    if argument is None or isinstance(argument, tuple):
        return argument
    text = str(argument)
    return text if text.startswith("CATEGORY") else int(argument)
