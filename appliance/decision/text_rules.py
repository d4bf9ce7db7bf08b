"""Hold what was read in a view against a recipe's rules for texts and codes.

A rule holds when one text in its region says what it asks, and no other one there says it differently. Nothing found,
nothing readable, two that differ, and a rule that cannot be evaluated all break it.

`format` of a rule is `gs1`, `udi` or `date:` and a format of decision/dates.py; `gs1+expiry`, `udi+expiry` and
`expiry:` and a format also ask that the expiry date is there and not past.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import date

from appliance.decision import check_digits, dates, gs1, pattern, symbology, udi
from appliance.schema.finding import Box, Finding
from appliance.schema.rule import Code, Text

LONGEST_TEXT = 2048
"""Characters; a longer text satisfies no rule, so that none takes long to evaluate."""
SHOWN = 60
LONGEST_LINE = 500
"""Characters of a text, and of a whole line, that a person is shown."""
FORMATS = ("gs1", "gs1+expiry", "udi", "udi+expiry")


def broken(rule: Text | Code, findings: Sequence[Finding], serials: AbstractSet[str], today: date) -> str | None:
    """Give one line when the rule does not hold: its name, what was read, what was asked; None when it holds.

    findings: all of the view. serials: the lines of the rule's file. today: what expiry dates are held against.
    """
    reason = fault(rule) or _reason(rule, findings, serials, today)
    return _shown(f"{rule.name}: {reason}", LONGEST_LINE) if reason else None


def fault(rule: Text | Code) -> str:
    """Say why a rule can never hold as it is written, for the one who writes it; empty when it can be evaluated."""
    if rule.pattern:
        try:
            pattern.compile_pattern(rule.pattern)
        except ValueError as cause:
            return str(cause)
    if isinstance(rule, Code):
        unknown = [name for name in rule.symbologies if symbology.plain_name(name) not in symbology.IDENTIFIERS]
        if unknown:
            return f"symbology {unknown[0]} is not one of {', '.join(symbology.IDENTIFIERS)}; name one of these"
    layout = _date_layout(rule.format)
    if layout is not None:
        return dates.format_fault(layout)
    if rule.format and rule.format not in FORMATS:
        return f"format {rule.format} is not one of {', '.join(FORMATS)}, date:..., expiry:...; use one of these"
    return ""


def _reason(rule: Text | Code, findings: Sequence[Finding], serials: AbstractSet[str], today: date) -> str:
    """Say what was read and what was asked; empty when the rule holds."""
    kind = "code" if isinstance(rule, Code) else "text"
    there = [finding for finding in findings if finding.kind == kind and _is_asked(rule, finding)]
    where = "" if rule.region is None else " in the region"
    if not there:
        return f"found no {kind}{where}, asked {_asked(rule)}"
    read = [finding.text for finding in there if finding.text]
    if not read or (len(read) < len(there) and not _asks_something(rule)):
        return f"found {len(there) - len(read)} {kind}{where} that cannot be read, asked {_asked(rule)}"
    faults = {text: _fault(rule, text, serials, today) for text in read}
    right = [text for text, reason in faults.items() if not reason]
    if len(right) > 1:
        return f"read {_shown(right[0])} and {_shown(right[1])}{where}, asked one {_asked(rule)}"
    if right:
        return ""
    text, reason = next(iter(faults.items()))
    more = "" if len(faults) == 1 else f" and {len(faults) - 1} more"
    return f"read {_shown(text)}{more}{where}, {reason}; asked {_asked(rule)}"


def _asks_something(rule: Text | Code) -> bool:
    """Say whether a rule can tell the text it wants from others; if not, all that is there must be readable."""
    return bool(rule.pattern or rule.check_digit or rule.format or rule.serials)


def _is_asked(rule: Text | Code, finding: Finding) -> bool:
    """Say whether a finding is one the rule looks at; one without a place lies in no region."""
    # What cannot be read has no symbology, and must not vanish for that.
    if isinstance(rule, Code) and finding.text and not symbology.is_one_of(finding.text, rule.symbologies):
        return False
    return rule.region is None or (finding.box is not None and _has_centre(rule.region, finding.box))


def _has_centre(region: Box, box: Box) -> bool:
    x, y = box.x_px + box.width_px / 2, box.y_px + box.height_px / 2
    return region.x_px <= x <= region.x_px + region.width_px and region.y_px <= y <= region.y_px + region.height_px


def _fault(rule: Text | Code, text: str, serials: AbstractSet[str], today: date) -> str:
    """Say what one text lacks; empty when it says what the rule asks."""
    if len(text) > LONGEST_TEXT:
        return f"{len(text)} characters exceed {LONGEST_TEXT}"
    data = (symbology.split(text)[1] if isinstance(rule, Code) else text).strip(" ")
    value: str | None = data
    if rule.pattern:
        value = pattern.value(pattern.compile_pattern(rule.pattern), data)
    if value is None:
        return "which the pattern does not match"
    if rule.serials and value not in serials:
        return f"which is not in {rule.serials}"
    if rule.check_digit and not check_digits.is_right(rule.check_digit, value):
        return f"whose {rule.check_digit} check digit is wrong"
    if not rule.format:
        return ""
    # The identifier of a code says whether it is a GS1 code, so it belongs to the data if that is all of it.
    return _format_fault(rule.format, text if value == data and isinstance(rule, Code) else value, today)


def _format_fault(form: str, text: str, today: date) -> str:
    name, _, also = form.partition("+")
    layout = _date_layout(form)
    try:
        if layout is not None:
            until: date | None = dates.read(layout, symbology.split(text)[1], today)
        elif name == "udi":
            until = udi.expiry(text, today)
        else:
            until = gs1.expiry(gs1.read(text, today), today)
    except ValueError as cause:
        return _shown(str(cause), 2 * SHOWN)
    if not (also == "expiry" or form.startswith("expiry:")):
        return ""
    if until is None:
        return "which says no expiry date"
    return f"which expired on {until}" if until < today else ""


def _date_layout(form: str) -> str | None:
    """Give the date format in a rule's format, None when it is no date."""
    for name in ("date:", "expiry:"):
        if form.startswith(name):
            return form.removeprefix(name)
    return None


def _asked(rule: Text | Code) -> str:
    """Say in few words what a rule asks."""
    words = [
        " or ".join(rule.symbologies) if isinstance(rule, Code) else "",
        f"pattern {_shown(rule.pattern)}" if rule.pattern else "",
        f"check digit {rule.check_digit}" if rule.check_digit else "",
        f"format {rule.format}" if rule.format else "",
        f"one of {rule.serials}" if rule.serials else "",
    ]
    return ", ".join(filter(None, words)) or "any that can be read"


def _shown(text: str, most: int = SHOWN) -> str:
    """Give a text in one line of printable characters, the separator of GS1 as <GS>."""
    plain = text.replace(gs1.SEPARATOR, "<GS>")
    line = "".join(character if character.isprintable() else "?" for character in plain)
    return line if len(line) <= most else line[:most] + "..."
