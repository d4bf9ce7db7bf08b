"""Make up what factories print, each text with the recipe's rule that would be asked of it."""

import string
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
from msgspec import Struct

from appliance.decision.check_digits import CODE_39
from appliance.ocr.decoding import Grammar
from appliance.schema.rule import Text

CODE = string.digits + string.ascii_uppercase
VIN = "".join(character for character in CODE if character not in "IOQ")
TRIES, LONGEST = 200, 40
FIRST_DAY = date(2026, 1, 1)


class Wording(Struct, frozen=True):
    """Hold a text and the rule for its kind: `Text` of a recipe, without a region."""

    kind: str
    text: str
    rule: Text


def make_wording(kind: str, rng: np.random.Generator) -> Wording:
    """Make up one text of a kind: one of `KINDS`."""
    return KINDS[kind](rng)


def _rule(kind: str, pattern: str, check_digit: str = "", form: str = "") -> Text:
    return Text(kind, "top", pattern=pattern, check_digit=check_digit, format=form)  # type: ignore[arg-type]


def _some(rng: np.random.Generator, letters: str, count: int) -> str:
    return "".join(letters[place] for place in rng.integers(0, len(letters), count))


def _day(rng: np.random.Generator) -> date:
    return FIRST_DAY + timedelta(days=int(rng.integers(0, 1500)))


def _lot(rng: np.random.Generator) -> Wording:
    text = f"LOT {_some(rng, string.ascii_uppercase, 1)}{_some(rng, string.digits, 6)}"
    return Wording("lot", text, _rule("lot", r"LOT [A-Z]\d{6}"))


def _serial(rng: np.random.Generator) -> Wording:
    digits = _some(rng, string.digits, 9)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 if place % 2 else 2)
        total += value - 9 if value > 9 else value
    return Wording("serial", f"SN {digits}{-total % 10}", _rule("serial", r"SN (?P<value>\d{10})", "luhn"))


def _expiry(rng: np.random.Generator) -> Wording:
    rule = _rule("expiry", r"EXP (?P<value>\d{4}-\d{2}-\d{2})", form="date:%Y-%m-%d")
    return Wording("expiry", f"EXP {_day(rng).isoformat()}", rule)


def _gs1(rng: np.random.Generator) -> Wording:
    item = "0" + _some(rng, string.digits, 12)
    total = sum(int(digit) * (1 if place % 2 else 3) for place, digit in enumerate(reversed(item)))
    return Wording("gs1", f"(01){item}{-total % 10}", _rule("gs1", r"\(01\)\d{14}", form="gs1"))


def _gs1_date(rng: np.random.Generator) -> Wording:
    text = f"(17){_day(rng).strftime('%y%m%d')}(10){_some(rng, CODE, 5)}"
    return Wording("gs1 date", text, _rule("gs1 date", r"\(17\)\d{6}\(10\)[A-Z0-9]{5}", form="gs1"))


def _vin(rng: np.random.Generator) -> Wording:
    text = f"{_some(rng, VIN, 11)}{_some(rng, string.digits, 6)}"
    return Wording("vin", text, _rule("vin", r"[A-HJ-NPR-Z0-9]{11}\d{6}"))


def _udi(rng: np.random.Generator) -> Wording:
    body = f"+{_some(rng, string.ascii_uppercase, 1)}{_some(rng, CODE, 3)}{_some(rng, CODE, 5)}0"
    body += CODE_39[sum(map(CODE_39.index, body)) % 43]
    # The signs a check character can be are not all printed by every printer, so only plain ones are made.
    return (
        Wording("udi", body, _rule("udi", r"\+[A-Z][A-Z0-9]{8}\d[A-Z0-9]", form="udi"))
        if body[-1] in CODE
        else _udi(rng)
    )


def _code(rng: np.random.Generator) -> Wording:
    return Wording("code", _some(rng, CODE, 12), _rule("code", r"[A-Z0-9]{12}"))


KINDS: dict[str, Callable[[np.random.Generator], Wording]] = {
    "lot": _lot,
    "serial": _serial,
    "expiry": _expiry,
    "gs1": _gs1,
    "gs1 date": _gs1_date,
    "vin": _vin,
    "udi": _udi,
    "code": _code,
}
"""Makers by kind. serial, gs1 and udi have check digits, dates can be impossible, the others have a pattern alone."""


def make_text(pattern: str, rng: np.random.Generator, letters: str) -> str:
    """Make up a text of these letters that a pattern allows; ValueError when no way through it was found."""
    walk = Grammar(pattern, tuple(letters))
    for _ in range(TRIES):
        text = walk.wander(rng, LONGEST)
        if text and text == text.strip(" "):
            return text
    raise ValueError(f"pattern {pattern}: found no text of at most {LONGEST} characters; write it plainer")
