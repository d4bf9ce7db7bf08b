"""Read unique device identifications of the three agencies: GS1, HIBCC and ICCBBA.

GS1: decision/gs1.py, with a device identifier (01). HIBCC (ANSI/HIBC 2.6): `+`, labeller, product, unit, data after
slashes, check character. ICCBBA (ISBT 128 standard, section on UDI): only its form is verified, `=/` and 16 characters
for the device, since its data has no check of its own; its expiry date `=>` is read.
"""

from datetime import date

from appliance.decision import dates, gs1
from appliance.decision.check_digits import DIGITS, LETTERS, has_mod43, is_digits
from appliance.decision.symbology import split

ALPHANUMERIC = frozenset(DIGITS + LETTERS)
LABELLER = 4
LONGEST_PRODUCT = 18
ICCBBA_DEVICE = 16


def expiry(text: str, today: date) -> date | None:
    """Verify a device identification and give its expiry date, None without one; ValueError says what is wrong."""
    data = split(text)[1].strip("*")
    if data.startswith("+"):
        return _hibcc(data, today)
    if data.startswith(("=", "&")):
        return _iccbba(data)
    elements = gs1.read(text, today)
    if "01" not in {element.identifier for element in elements}:
        raise ValueError("no device identifier, which is (01) in GS1, + in HIBCC and =/ in ICCBBA")
    return gs1.expiry(elements, today)


def _hibcc(data: str, today: date) -> date | None:
    if not has_mod43(data):
        raise ValueError(f"HIBCC check character of {data} is wrong")
    device, *rest = data[1:-1].split("/")
    product = device[LABELLER:-1]
    if device[:1] not in LETTERS or not ALPHANUMERIC.issuperset(device) or not is_digits(device[-1:]):
        raise ValueError(f"HIBCC device {device} is not labeller, product and unit")
    if not 1 <= len(product) <= LONGEST_PRODUCT:
        raise ValueError(f"HIBCC product {product} has {len(product)} characters, allowed are 1 to {LONGEST_PRODUCT}")
    said = [_hibcc_expiry(part, today) for part in rest]
    return min((day for day in said if day is not None), default=None)


def _hibcc_expiry(part: str, today: date) -> date | None:
    """Give the expiry date of one part after a slash; ValueError when it is none."""
    if not part:
        raise ValueError("HIBCC data has an empty part between slashes")
    if part.startswith("14D"):
        return dates.read("%Y%m%d", part[3:], today)
    if part.startswith("$$"):
        return _hibcc_flagged(part[2:].removeprefix("+"), today)
    # Five digits are year and day of the year, then the lot; other letters name data without an expiry date.
    return dates.read("%y%j", part[:5], today) if part[0] in DIGITS and not part.startswith("16D") else None


def _hibcc_flagged(data: str, today: date) -> date | None:
    if data[:1] in {"8", "9"}:  # quantity first, of two or five digits
        data = data[3 if data[0] == "8" else 6 :]
    layouts = {"2": "%m%d%y", "3": "%y%m%d", "4": "%y%m%d%H", "5": "%y%j", "6": "%y%j%H"}
    flag = data[:1]
    if flag == "7" or not flag:
        return None
    if flag in layouts:
        length = sum(dates.LENGTHS[directive] for directive in layouts[flag][1::2])
        return dates.read(layouts[flag], data[1 : 1 + length], today)
    return dates.read("%m%y", data[:4], today)


def _iccbba(data: str) -> date | None:
    place = data.find("=/")
    device = data[place + 2 : place + 2 + ICCBBA_DEVICE]
    if place < 0 or len(device) < ICCBBA_DEVICE or not ALPHANUMERIC.issuperset(device):
        raise ValueError(f"ICCBBA device identifier =/ with {ICCBBA_DEVICE} characters is missing")
    if not all(" " <= character <= "~" for character in data):
        raise ValueError("ICCBBA data has characters that are not printable")
    at = data.find("=>", 0)
    if at < 0:
        return None
    digits = data[at + 2 : at + 8]  # century, year, day of the year
    if len(digits) < 6 or not is_digits(digits):
        raise ValueError(f"ICCBBA expiry date {digits} is not six digits")
    return dates.day_of_year(2000 + int(digits[:3]), int(digits[3:]))
