"""Judge what was read: a wrong text is worse than none, so the two are counted apart."""

from collections.abc import Sequence

from msgspec import Struct

from appliance.learning.rates import Rate, rate


class TextQuality(Struct, frozen=True):
    """State how texts were read."""

    right: Rate
    """Texts read without a fault."""
    wrong_read: Rate
    """Texts read as another: nothing on the line tells them from right ones."""
    no_read: Rate
    """Texts of which nothing was read: they are held back."""
    character_errors: float | None
    """Inserted, lost and changed characters per true character, unread texts wholly lost; None without a character."""


def text_quality(truths: Sequence[str], read: Sequence[str]) -> TextQuality:
    """Compare texts in pairs, exactly: case and spaces count; an empty text is an unread one."""
    pairs = list(zip(truths, read, strict=True))
    right = sum(truth == said and bool(said) for truth, said in pairs)
    nothing = sum(not said for _, said in pairs)
    characters = sum(map(len, truths))
    errors = sum(distance(truth, said) for truth, said in pairs)
    return TextQuality(
        rate(right, len(pairs)),
        rate(len(pairs) - right - nothing, len(pairs)),
        rate(nothing, len(pairs)),
        errors / characters if characters else None,
    )


def distance(truth: str, said: str) -> int:
    """Give the fewest characters to insert, lose or change from one text to the other (Levenshtein, 1966)."""
    row = list(range(len(said) + 1))
    for place, wanted in enumerate(truth, 1):
        before, row[0] = row[0], place
        for column, character in enumerate(said, 1):
            before, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, before + (character != wanted)),
            )
    return row[-1]
