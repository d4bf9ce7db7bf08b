"""Read a client's method arguments; a foreign client may send anything.

Every function raises UaStatusCodeError: BadArgumentsMissing, BadTooManyArguments or BadInvalidArgument.
"""

from collections.abc import Sequence
from typing import Any

from asyncua import ua

LONGEST = 100
"""Characters of a name that a client gives; names are shown, logged and audited."""

LARGEST = 10_000
"""Entries that a list may be asked for."""


def exactly(arguments: Sequence[Any], count: int) -> list[Any]:
    """Give the arguments' values; their number must be that of the method."""
    if len(arguments) < count:
        raise ua.UaStatusCodeError(ua.StatusCodes.BadArgumentsMissing)
    if len(arguments) > count:
        raise ua.UaStatusCodeError(ua.StatusCodes.BadTooManyArguments)
    return [entry.Value if isinstance(entry, ua.Variant) else entry for entry in arguments]


def name_of(value: Any) -> str:
    """Give the `Id` of an id structure; empty where the client gave none."""
    if value is None or _is_empty(value):
        return ""
    if isinstance(value, ua.ExtensionObject) or not hasattr(value, "Id"):
        raise _invalid()
    return text(value.Id)


def text(value: Any) -> str:
    """Give a short printable text; empty for none."""
    value = value.Text if isinstance(value, ua.LocalizedText) else value
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
        raise _invalid()
    return value.strip()


def whole(value: Any, low: int = 0, high: int = LARGEST) -> int:
    """Give a whole number within limits; a larger one becomes the limit."""
    if value is None:
        return low
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise _invalid()
    return min(value, high)


def nothing(value: Any) -> None:
    """Refuse a list of parameters, of which this appliance knows none, unless it is empty."""
    if value:
        raise _invalid()


def _is_empty(value: Any) -> bool:
    """Clients send an absent structure as an extension object without type and body."""
    return isinstance(value, ua.ExtensionObject) and not value.Body


def _invalid() -> ua.UaStatusCodeError:
    return ua.UaStatusCodeError(ua.StatusCodes.BadInvalidArgument)
