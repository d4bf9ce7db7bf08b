"""Read the status block over and over in a process of its own, and count blocks whose words do not belong together.

`python -m tests.contract.torn_reader PORT READS` prints reads, blocks with a result, results seen, torn as JSON.
"""

import json
import sys

from appliance.outputs.plc.registers import STATUS_ADDRESS, STATUS_COUNT, Status, StatusBit, unpack_status
from appliance.outputs.plc.result_queue import Detail
from appliance.schema.part import PartId
from appliance.sim.plc_wire import TcpWire, read_request, words_of
from tests.contract.modbus_rig import HERE

BOOT = 9


def part_of(sequence: int) -> PartId:
    """Give the part whose result has this number."""
    return PartId(BOOT, sequence)


def detail_of(sequence: int) -> Detail:
    """Give the words that a result of this number must carry."""
    return Detail(
        score=sequence % 60_000 / 1000, defect_bits=sequence * 65_537 & 0xFFFF_FFFF, latency_ms=sequence % 50_000
    )


def good(sequence: int) -> bool:
    """Tell whether the result of this number is one that passes."""
    return sequence % 3 > 0


def torn(status: Status) -> bool:
    """Tell whether a block mixes two states of the appliance."""
    bits, number = StatusBit(status.bits), status.result_sequence
    shown = (status.part_boot, status.part_number, status.score, status.defect_bits, status.latency_ms)
    if StatusBit.RESULT_VALID not in bits:
        return any((number, *shown)) or bool(bits & (StatusBit.PASS | StatusBit.REJECT))
    part, detail = part_of(number), detail_of(number)
    wanted = (part.boot, part.number, round(detail.score * 1000), detail.defect_bits, int(detail.latency_ms))
    lane = StatusBit.PASS if good(number) else StatusBit.REJECT
    return shown != wanted or bits & (StatusBit.PASS | StatusBit.REJECT) != lane or status.entered_number < number


def main(port: int, reads: int) -> None:
    """Read and count."""
    wire, request = TcpWire(HERE, port), read_request(STATUS_ADDRESS, STATUS_COUNT)
    seen: set[int] = set()
    bad = valid = 0
    for _ in range(reads):
        status = unpack_status(words_of(wire.ask(request)))
        bad += torn(status)
        valid += status.result_sequence > 0
        seen.add(status.result_sequence)
    wire.cut()
    sys.stdout.write(json.dumps({"reads": reads, "valid": valid, "results": len(seen - {0}), "torn": bad}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
