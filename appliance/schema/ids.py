"""Write the ids that people's words and deeds are known by."""

from appliance.schema.clocks import MS, UtcNs

RANDOM_BITS = 74


def uuid7(at: UtcNs, random: int) -> str:
    """Write a UUID of version 7: ms of UTC, then 74 random bits (RFC 9562, section 5.7)."""
    stamp = at // MS & (1 << 48) - 1
    first, second = random >> 62 & (1 << 12) - 1, random & (1 << 62) - 1
    digits = f"{stamp << 80 | 7 << 76 | first << 64 | 2 << 62 | second:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
