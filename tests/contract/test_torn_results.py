"""A result is never split over two reads, however fast results come and however many PLCs read."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.modbus import ModbusServer, StatusBlock
from appliance.outputs.plc.registers import Control, ControlBit, pack_control
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.verdict import Disposition
from tests.contract.modbus_rig import CLOCKS, HERE, now
from tests.contract.torn_reader import detail_of, good, part_of

READERS, READS = 3, 7_000
ROOT = Path(__file__).parents[2]


class Hasty:
    """Post a result, show it, take it back, and so on, as fast as this thread gets its turn."""

    def __init__(self, server: ModbusServer) -> None:
        self.posted = 0
        self._server = server
        self._handshake = Handshake(1, now())
        self._halt = threading.Event()
        self._beat = 0
        self._thread = threading.Thread(target=self._run, name="hasty")
        self._thread.start()

    def stop(self) -> None:
        self._halt.set()
        self._thread.join()

    def _run(self) -> None:
        self._control()
        while not self._halt.is_set():
            self.posted += 1
            self._post(self.posted)
            self._show()
            self._control(ControlBit.RESULT_ACK, self.posted)
            self._show()
            self._control()

    def _post(self, number: int) -> None:
        passes = good(number)
        fact = Actuation(
            part_of(number),
            Lane.ACCEPT if passes else Lane.REJECT,
            Cause.ACCEPTED if passes else Cause.DECIDED_REJECT,
            Disposition.ACCEPT if passes else Disposition.REJECT,
            number,
            *CLOCKS,
        )
        self._handshake.part_entered(fact.part, now())
        assert self._handshake.post(fact, detail_of(number), now()) == number

    def _control(self, bits: ControlBit = ControlBit(0), sequence: int = 0) -> None:  # noqa: B008
        self._beat ^= ControlBit.HEARTBEAT
        block = Control(bits=bits | self._beat, session_echo=1, ack_sequence=sequence)
        self._handshake.control(pack_control(block), now())

    def _show(self) -> None:
        self._server.write(StatusBlock(self._handshake.status()), now())
        time.sleep(0)  # lets the server's thread have its turn


class TornServer(ModbusServer):
    """Take a status block over in two halves, as a server with one store for all registers does."""

    def write(self, message: StatusBlock, now: object) -> None:  # type: ignore[override]
        half = len(message.words) // 2
        self._status = message.words[:half] + self._status[half:]
        time.sleep(0)
        self._status = message.words


def counted(server: ModbusServer, reads: int) -> tuple[dict[str, int], int]:
    """Let several processes read while results are posted; gives their counts, summed up, and the results posted."""
    writer = Hasty(server)
    command = [sys.executable, "-m", "tests.contract.torn_reader", str(server.port), str(reads)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(READERS)]
    told = [json.loads(reader.communicate(timeout=120)[0]) for reader in readers]
    writer.stop()
    server.close()
    return {key: sum(counts[key] for counts in told) for key in told[0]}, writer.posted


def test_no_read_is_torn() -> None:
    """Part, number, score, defects and latency of each read belong to one result, in more than 20,000 reads."""
    counts, posted = counted(ModbusServer(HERE, 0), READS)

    assert READERS * READS == counts["reads"]
    assert 0 == counts["torn"]
    assert counts["valid"] > 1000
    assert counts["results"] > 1000
    assert posted > counts["results"] // READERS


def test_a_torn_server_is_found_out() -> None:
    """The same count is not 0 where a block is taken over in two halves."""
    counts, _ = counted(TornServer(HERE, 0), 1000)

    assert counts["torn"] > 0
