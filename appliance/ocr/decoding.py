"""Spell a line from the recognition network's probabilities: freely, or as the best text that a pattern allows.

Both follow CTC (Graves et al., "Connectionist Temporal Classification", 2006, section 3.2): each step is a character or
the blank, equal neighbours are one character. Bound to a pattern, the best path is sought through the pattern and the
network's steps at once, so nothing is invented: every character of the text has a place in the picture where the
network gave it that probability, and `gap` says how much less likely the text is than what the network says unasked.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision import pattern as patterns
from appliance.decision.pattern import Step

LEAST = 1e-9
"""Probabilities below count as this, so that their logarithms are finite."""
MOST_PLACES = 128
"""A pattern with more characters to take than this is not followed; the line is read freely."""
NEVER = -1e30


class Spelling(Struct, frozen=True):
    """Hold a text as the network spells it."""

    text: str
    probabilities: tuple[float, ...]
    """Of each character, at its best step: among all, or, bound to a pattern, among those the pattern allows there."""
    gap: float
    """By how much, in nats, the path is less likely than the free one; 0 when they agree."""

    @property
    def lowest(self) -> float:
        """Least probability of a character; 0 without any."""
        return min(self.probabilities, default=0.0)


def spell(probabilities: NDArray[np.float32], characters: tuple[str, ...]) -> Spelling:
    """Give the free reading of (steps, 1 + characters) float32 probabilities, class 0 the blank."""
    best = probabilities.argmax(axis=1).tolist()
    text, found, last = "", list[float](), 0
    for place, value in zip(best, probabilities.max(axis=1).tolist(), strict=True):
        if place == last != 0:
            found[-1] = max(found[-1], value)
        elif place:
            text += characters[place - 1]
            found.append(value)
        last = place
    return Spelling(text, tuple(found), 0.0)


def grammars(expressions: Sequence[str], characters: tuple[str, ...]) -> tuple["Grammar", ...]:
    """Give the patterns that can be followed; those with too many characters are not, their lines are read freely."""
    made = (Grammar(expression, characters) for expression in dict.fromkeys(filter(None, expressions)))
    return tuple(grammar for grammar in made if 0 < grammar.places <= MOST_PLACES)


class Grammar:
    """Hold a pattern as places that take a character, each with those it takes and the places that may follow."""

    def __init__(self, expression: str, characters: tuple[str, ...]) -> None:
        """Take the pattern and what the network's classes 1, 2, ... stand for; ValueError when it cannot be used."""
        self._steps = patterns.compile_pattern(expression)
        self._characters = characters
        places = [at for at, step in enumerate(self._steps) if step.kind == "take"]
        self.places = len(places)
        """How many characters of the pattern take one of the text."""
        number = {at: place for place, at in enumerate(places)}
        self._follows = np.full((1 + len(places), len(places)), NEVER, np.float32)
        self._ends = np.full(len(places), NEVER, np.float32)
        for origin, at in enumerate([-1, *places]):
            reached, done = _reach(self._steps, at + 1)
            self._follows[origin, [number[to] for to in reached]] = 0
            if done and origin:
                self._ends[origin - 1] = 0
        # What each place takes: (places, characters).
        self._allowed = np.array(
            [[patterns.value((self._steps[at], Step("done")), one) is not None for one in characters] for at in places],
            np.bool_,
        ).reshape(len(places), len(characters))

    def matches(self, text: str) -> bool:
        """Say whether a text is one that the pattern allows."""
        return patterns.value(self._steps, text) is not None

    def wander(self, random: np.random.Generator, most: int) -> str:
        """Give a random text of at most `most` characters that the pattern allows; empty when the way ended nowhere."""
        at, text = 0, ""
        while len(text) < most:
            ways = np.flatnonzero((self._follows[at] == 0) & self._allowed.any(axis=1))
            may_end = at > 0 and self._ends[at - 1] == 0
            if not len(ways) or (may_end and random.random() < 1 / (1 + len(ways))):
                return text if may_end else ""
            place = int(random.choice(ways))
            text += self._characters[int(random.choice(np.flatnonzero(self._allowed[place])))]
            at = place + 1
        return text if self._ends[at - 1] == 0 else ""

    def spell(self, probabilities: NDArray[np.float32]) -> Spelling | None:
        """Give the likeliest text that matches the whole pattern; None when the line is too short for any."""
        logs = np.log(np.maximum(probabilities, LEAST), dtype=np.float32)
        path = _best_path(logs, self._follows, self._ends, self._allowed)
        if path is None:
            return None
        likelihood, trail = path
        text, found, last = "", list[float](), (-1, -1)
        for step, node in enumerate(trail):
            if node is None:
                last = (-1, -1)
                continue
            place, character = node
            among = probabilities[step, 1:][self._allowed[place]].sum()
            value = float(probabilities[step, 1 + character] / max(float(among), LEAST))
            if node == last:
                found[-1] = max(found[-1], value)
            else:
                text += self._characters[character]
                found.append(value)
            last = node
        return Spelling(text, tuple(found), float(logs.max(axis=1).sum()) - likelihood)


def _reach(steps: tuple[Step, ...], begin: int) -> tuple[list[int], bool]:
    """Give the steps that take a character next, and whether the text may end here."""
    reached, done, seen, waiting = list[int](), False, set[tuple[int, bool]](), [(begin, False)]
    while waiting:
        at, ended = waiting.pop()
        if (at, ended) in seen:
            continue
        seen.add((at, ended))
        step = steps[at]
        if step.kind == "fork":
            waiting.extend((to, ended) for to in step.to)
        elif step.kind == "take":
            if not ended:
                reached.append(at)
        elif step.kind == "done":
            done = True
        elif step.kind == "note" or (step.kind == "begin" and begin == 0):
            waiting.append((at + 1, ended))
        elif step.kind == "end":
            waiting.append((at + 1, True))
    return sorted(set(reached)), done


class _Lattice:
    """Follow the best paths through the places of a pattern, step by step (Viterbi), with where each came from.

    `on[place, character]`: the last step was this character at this place. `off[1 + place]`: it was the blank after it;
    `off[0]`: nothing was taken yet.
    """

    def __init__(self, follows: NDArray[np.float32], allowed: NDArray[np.bool_], steps: int) -> None:
        """Take (1 + places, places) weights, 0 where a place may follow, row 0 the beginning, and what is allowed."""
        self._follows, (self._places, self._characters) = follows, allowed.shape
        self._every = np.arange(self._places)
        self._barred = np.where(allowed, 0, NEVER).astype(np.float32)
        self.on = np.full(allowed.shape, NEVER, np.float32)
        self.off = np.full(1 + self._places, NEVER, np.float32)
        self.off[0] = 0
        # 0: the same as before; else 1 + the index in `off`, or beyond these, the flat index in `on`.
        self._from_on = np.zeros((steps, *allowed.shape), np.int32)
        # 0: the blank before; else 1 + the character.
        self._from_off = np.zeros((steps, self._places), np.int32)

    def go_on(self, step: int, logs: NDArray[np.float32]) -> None:
        """Take one step with these (1 + characters,) logarithms of probabilities."""
        last = self.on.argmax(axis=1)
        most = self.on[self._every, last]
        entering, codes = self._entering(last, most)
        stays = self.on >= entering
        self._from_on[step] = np.where(stays, 0, codes)
        self._from_off[step] = np.where(self.off[1:] >= most, 0, 1 + last)
        self.off[1:] = np.maximum(self.off[1:], most)
        self.off += logs[0]
        self.on = np.where(stays, self.on, entering) + logs[1:] + self._barred

    def _entering(
        self, last: NDArray[np.intp], most: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Give the best way into each place by each character, from another place, and its code."""
        rest = self.on.copy()
        rest[self._every, last] = NEVER
        second = rest.argmax(axis=1)
        blank, blank_from = self._best(self.off[:, None] + self._follows)
        direct, direct_from = self._best(most[:, None] + self._follows[1:])
        # The character that the best place before ends with cannot follow it without a blank between.
        same = last[direct_from]
        clash = last[:, None] == same
        weights = np.where(clash, rest[self._every, second][:, None], most[:, None]) + self._follows[1:]
        other, other_from = self._best(weights)
        other_last = np.where(clash[other_from, self._every], second[other_from], last[other_from])
        codes = np.repeat(self._code(blank, blank_from, direct, direct_from, same)[:, None], self._characters, axis=1)
        codes[self._every, same] = self._code(blank, blank_from, other, other_from, other_last)
        entering = np.repeat(np.maximum(blank, direct)[:, None], self._characters, axis=1)
        entering[self._every, same] = np.maximum(blank, other)
        return entering, codes

    def _best(self, weights: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        best = weights.argmax(axis=0)
        return weights[best, self._every], best

    def _code(
        self,
        blank: NDArray[np.float32],
        blank_from: NDArray[np.intp],
        direct: NDArray[np.float32],
        direct_from: NDArray[np.intp],
        last: NDArray[np.intp],
    ) -> NDArray[np.intp]:
        beyond = 2 + self._places
        return np.where(blank >= direct, 1 + blank_from, beyond + direct_from * self._characters + last)

    def trail(self, place: int, character: int) -> list[tuple[int, int] | None]:
        """Give each step's (place, character), None for the blank, of the path that ends so; character < 0: blank."""
        found: list[tuple[int, int] | None] = []
        for step in range(len(self._from_on) - 1, -1, -1):
            if character < 0:
                found.append(None)
                character = int(self._from_off[step, place]) - 1 if place >= 0 else -1
                continue
            found.append((place, character))
            code = int(self._from_on[step, place, character])
            if code > 1 + self._places:
                place, character = divmod(code - 2 - self._places, self._characters)
            elif code:
                place, character = code - 2, -1
        return found[::-1]


def _best_path(
    logs: NDArray[np.float32],
    follows: NDArray[np.float32],
    ends: NDArray[np.float32],
    allowed: NDArray[np.bool_],
) -> tuple[float, list[tuple[int, int] | None]] | None:
    """Give the log-likelihood of the best path and, per step, its (place, character), None for the blank."""
    lattice = _Lattice(follows, allowed, len(logs))
    for step, row in enumerate(logs):
        lattice.go_on(step, row)
    on, off = lattice.on.max(axis=1) + ends, lattice.off[1:] + ends
    best = max(float(on.max()), float(off.max()))
    if best < NEVER / 2:
        return None
    if off.max() >= on.max():
        return best, lattice.trail(int(off.argmax()), -1)
    place = int(on.argmax())
    return best, lattice.trail(place, int(lattice.on[place].argmax()))
