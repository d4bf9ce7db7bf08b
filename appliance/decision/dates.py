"""Read printed dates: strictly, in English, the same on every machine, unlike `strptime`.

| directive | stands for |
|---|---|
| `%Y`, `%y` | year, four digits or two |
| `%m`, `%b` | month, two digits or JAN to DEC in any case |
| `%d`, `%j` | day of the month, two digits, or of the year, three |
| `%V` | week of the ISO year, two digits |
| `%H`, `%M`, `%S` | time, two digits each; checked and left out |
| `%%` | a percent sign |

Any other character stands for itself. A date without a day is the last day that it names: of the month, week or year.
"""

import calendar
from datetime import MAXYEAR, MINYEAR, date

from appliance.decision.check_digits import is_digits

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
LENGTHS = {"Y": 4, "y": 2, "m": 2, "b": 3, "d": 2, "j": 3, "V": 2, "H": 2, "M": 2, "S": 2}
BOUNDS = {"m": (1, 12), "d": (1, 31), "j": (1, 366), "V": (1, 53), "H": (0, 23), "M": (0, 59), "S": (0, 59)}
MONTH_DAYS = {"m", "b", "d"}


def format_fault(layout: str) -> str:
    """Say what is wrong with a date format; empty when it can be used."""
    try:
        directives = [part[1] for part in _parts(layout) if len(part) == 2]
    except ValueError as cause:
        return str(cause)
    known = set(directives)
    if len(known) < len(directives) or {"m", "b"} <= known or {"Y", "y"} <= known:
        return f"date format {layout} says a part twice; leave one"
    if not known & {"Y", "y"}:
        return f"date format {layout} has no year; add %Y or %y"
    ways = [known & MONTH_DAYS, known & {"j"}, known & {"V"}]
    if sum(map(bool, ways)) > 1:
        return f"date format {layout} mixes month, day of the year and week; leave one"
    return f"date format {layout} has a day without a month; add %m" if known & MONTH_DAYS == {"d"} else ""


def read(layout: str, text: str, today: date) -> date:
    """Give the date that a text says in a format; ValueError when it says none. today: to complete a short year."""
    values: dict[str, int] = {}
    place = 0
    for part in _parts(layout):
        if len(part) == 1:
            if text[place : place + 1] != part:
                raise ValueError(f"no {part!r} at character {place + 1}")
            place += 1
            continue
        length = LENGTHS[part[1]]
        values[part[1]] = _value(part[1], text[place : place + length])
        place += length
    if place != len(text):
        raise ValueError(f"{len(text) - place} characters too many")
    return _date(values, today)


def read_six_digits(text: str, today: date) -> date:
    """Give the date of YYMMDD as GS1 writes it, day 00 for the month's last; ValueError when it is none.

    GS1 General Specifications 3.4 (day 00) and 7.12 (century).
    """
    if len(text) != 6 or not is_digits(text):
        raise ValueError(f"{text} is no YYMMDD")
    year, month, day = whole_year(int(text[:2]), today), int(text[2:4]), int(text[4:])
    return _last_day(year, month) if day == 0 and 1 <= month <= 12 else _calendar_day(year, month, day)


def whole_year(two_digits: int, today: date) -> int:
    """Give the year within 49 years before and 50 years after today (GS1 General Specifications 7.12)."""
    century = today.year // 100 * 100
    difference = two_digits - today.year % 100
    if difference > 50:
        return century - 100 + two_digits
    return century + two_digits + (100 if difference < -49 else 0)


def day_of_year(year: int, day: int) -> date:
    """Give the date of a day counted from 1 January; ValueError when the year has no such day."""
    last = 366 if calendar.isleap(year) else 365
    if not (MINYEAR <= year <= MAXYEAR and 1 <= day <= last):
        raise ValueError(f"the year {year} has no day {day}")
    return date.fromordinal(date(year, 1, 1).toordinal() + day - 1)


def _parts(layout: str) -> list[str]:
    """Give the format's characters and directives (two characters each); ValueError on an unknown directive."""
    parts, place = [], 0
    while place < len(layout):
        part = layout[place : place + 2] if layout[place] == "%" else layout[place]
        place += len(part)
        if part == "%%":
            parts.append("%")
        elif part[0] != "%" or part[1:] in LENGTHS:
            parts.append(part)
        else:
            raise ValueError(f"date format {layout}: {part} is not one of %{', %'.join(LENGTHS)} or %%")
    return parts


def _value(directive: str, text: str) -> int:
    if directive == "b":
        if text.upper() not in MONTHS:
            raise ValueError(f"{text} is no month")
        return MONTHS.index(text.upper()) + 1
    low, high = BOUNDS.get(directive, (0, 9999))
    if len(text) != LENGTHS[directive] or not is_digits(text) or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is no %{directive}")
    return int(text)


def _date(values: dict[str, int], today: date) -> date:
    year = values["Y"] if "Y" in values else whole_year(values.get("y", 0), today)
    if not MINYEAR <= year <= MAXYEAR:
        raise ValueError(f"there is no year {year}")
    if "j" in values:
        return day_of_year(year, values["j"])
    if "V" in values:
        return _sunday(year, values["V"])
    month = values.get("m", values.get("b", 12))
    return _calendar_day(year, month, values["d"]) if "d" in values else _last_day(year, month)


def _last_day(year: int, month: int) -> date:
    return _calendar_day(year, month, calendar.monthrange(max(year, MINYEAR), month)[1])


def _calendar_day(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise ValueError(f"there is no {year}-{month:02}-{day:02}") from None


def _sunday(year: int, week: int) -> date:
    try:
        return date.fromisocalendar(year, week, 7)
    except (ValueError, OverflowError):
        raise ValueError(f"the year {year} has no week {week}") from None
