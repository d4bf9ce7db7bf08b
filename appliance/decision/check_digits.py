"""Verify check digits. Blanks between groups of digits do not count, except in Code 39, where a blank is a character.

| name | source | finds |
|---|---|---|
| mod10 | GS1 General Specifications 7.9.1 (GTIN, SSCC) | any one digit; neighbours swapped unless they differ by 5 |
| luhn | ISO/IEC 7812-1, annex B | any one digit; neighbours swapped unless they are 0 and 9 |
| mod43 | ISO/IEC 16388, annex A; HIBCC | any one character |
| mod97 | ISO/IEC 7064, MOD 97-10 | any one digit; any neighbours swapped |
"""

DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CODE_39 = DIGITS + LETTERS + "-. $/+%"


def is_right(name: str, text: str) -> bool:
    """Say whether a text ends with its check digits; wrong when it is too short or has characters that have none."""
    match name:
        case "mod10":
            return has_mod10(text.replace(" ", ""))
        case "luhn":
            return _has_luhn(text.replace(" ", ""))
        case "mod43":
            return has_mod43(text)
        case "mod97":
            return _has_mod97(text.replace(" ", ""))
    return False


def has_mod10(text: str) -> bool:
    """Say whether the last digit makes the sum, weighted 1 and 3 from the right, a multiple of ten."""
    if len(text) < 2 or not is_digits(text):
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(text))) % 10 == 0


def has_mod43(text: str) -> bool:
    """Say whether the last character is the sum of the others, modulo 43."""
    if len(text) < 2 or any(character not in CODE_39 for character in text):
        return False
    return sum(map(CODE_39.index, text[:-1])) % 43 == CODE_39.index(text[-1])


def is_digits(text: str) -> bool:
    """Say whether a text is one or more of 0 to 9; other scripts have digits too, and `str.isdigit` takes them."""
    return bool(text) and all(character in DIGITS for character in text)


def _has_luhn(text: str) -> bool:
    if len(text) < 2 or not is_digits(text):
        return False
    # A doubled digit counts with the sum of its digits, which is 9 less from 10 on.
    total = 0
    for place, digit in enumerate(reversed(text)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _has_mod97(text: str) -> bool:
    if len(text) < 3 or not is_digits(text[-2:]) or any(character not in DIGITS + LETTERS for character in text):
        return False
    remainder = 0
    for character in text:  # letters are 10 to 35, written as two digits
        value = (DIGITS + LETTERS).index(character)
        remainder = (remainder * (100 if value > 9 else 10) + value) % 97
    return remainder == 1
