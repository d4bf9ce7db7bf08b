"""Try what a network may bring: wrong addresses, writes where none belong, codes, partial reads, broken frames."""

import random
import struct

from appliance.outputs.plc.registers import CONTROL_ADDRESS, STATUS, STATUS_ADDRESS, STATUS_COUNT
from appliance.schema.errors import LinkError
from appliance.sim.plc_player import Player
from appliance.sim.plc_rules import Rule
from appliance.sim.plc_wire import Wire, exception_of, read_request, words_of, write_request

_STEADY = frozenset({"session", "active_recipe", "recipe_hash"})
"""Values that do not change between two reads."""

_FOREIGN_CODES = (1, 2, 5, 7, 8, 11, 15, 17, 20, 21, 24, 43, 65, 100)
_INTRUSIONS = 20


def check_wire(player: Player) -> None:
    """Try every rule about single requests; it does not matter which session is open."""
    for check in (_addresses, _read_only, _codes, _partial, _noise):
        check(player)


def _addresses(player: Player) -> None:
    places = ((STATUS_ADDRESS + STATUS_COUNT, 1), (0, STATUS_COUNT + 1), (CONTROL_ADDRESS - 1, 1), (65535, 1))
    for address, count in places:
        code = exception_of(player.wire.ask(read_request(address, count)))
        player.score.note(Rule.ADDRESSES, held=code == 2, seen=f"{count} from {address}: exception {code}")


def _read_only(player: Player) -> None:
    last = STATUS_ADDRESS + STATUS_COUNT - 1
    requests = (
        struct.pack(">BHH", 6, STATUS_ADDRESS, 0x0061),
        struct.pack(">BHH", 6, last, 1),
        write_request(STATUS_ADDRESS, (0x0061, 5)),
        struct.pack(">BHHH", 22, STATUS_ADDRESS, 0xFFFF, 0x0040),
        struct.pack(">BHHHHBH", 23, STATUS_ADDRESS, 1, STATUS_ADDRESS, 1, 2, 0x0061),
    )
    for request in requests:
        code = exception_of(player.wire.ask(request))
        player.score.note(Rule.READ_ONLY, held=code == 2, seen=f"code {request[0]}: exception {code}")


def _codes(player: Player) -> None:
    for code in _FOREIGN_CODES:
        answer = player.wire.ask(struct.pack(">BHH", code, CONTROL_ADDRESS, 1))
        held = answer[:2] == bytes((code | 0x80, 1))
        player.score.note(Rule.CODES, held=held, seen=f"code {code}: {answer[:2].hex()}")


def _partial(player: Player) -> None:
    """Read steady values from every side; what changes by itself cannot be compared."""
    whole = words_of(player.wire.ask(read_request(STATUS_ADDRESS, STATUS_COUNT)))
    for register in (register for register in STATUS if register.field in _STEADY):
        first, size = register.address - STATUS_ADDRESS, register.type.words
        wanted = whole[first : first + size]
        for code in (3, 4):
            wire = player.wire
            alone = words_of(wire.ask(read_request(register.address, size, code)))
            upto = words_of(wire.ask(read_request(STATUS_ADDRESS, first + size, code)))
            onward = words_of(wire.ask(read_request(register.address, STATUS_COUNT - first, code)))
            seen = f"{register.name} {list(wanted)} of all, {list(alone)} alone by code {code}"
            held = wanted == alone == upto[first:] == onward[:size]
            player.score.note(Rule.PARTIAL, held=held, seen=seen)


def _noise(player: Player) -> None:
    random_bytes = random.Random(1).randbytes
    request = struct.pack(">HHHB", 1, 0, 6, 1) + read_request(STATUS_ADDRESS, STATUS_COUNT)
    noises = [b"", random_bytes(1), random_bytes(300), b"GET / HTTP/1.0\r\n\r\n", request[:5], request[:11]]
    for turn in range(_INTRUSIONS):
        noise = noises[turn % len(noises)]
        answered = _survives(player.wire, noise)
        seen = f"intrusion {turn + 1}, {len(noise)} bytes {noise[:8].hex()}: answered {answered:d}"
        player.score.note(Rule.NOISE, held=answered, seen=seen)


def _survives(wire: Wire, noise: bytes) -> bool:
    """Tell whether our own connection, or at least a new one, is still answered."""
    try:
        wire.intrude(noise)
        return len(words_of(wire.ask(read_request(STATUS_ADDRESS, STATUS_COUNT)))) == STATUS_COUNT
    except LinkError:
        wire.cut()
        return False
