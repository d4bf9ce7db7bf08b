"""A PLC that is nothing but calls of mbpoll, a C program that shares no code with us."""

import subprocess

from appliance.outputs.plc.registers import (
    CONTROL,
    CONTROL_ADDRESS,
    CONTROL_COUNT,
    STATUS,
    STATUS_COUNT,
    ControlBit,
    Type,
)
from tests.contract.modbus_rig import HERE, eventually

REGISTERS = {"status": {item.field: item for item in STATUS}, "control": {item.field: item for item in CONTROL}}


class MbpollPlc:
    """Read and write registers by their names, one mbpoll a time; 32-bit values by its own word order, -B."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._beat = 0
        self.bits = 0

    def poll(self, *arguments: str, values: tuple[int, ...] = ()) -> list[int]:
        """Run mbpoll once and give the values it printed."""
        command = ["mbpoll", "-m", "tcp", "-0", "-1", "-p", str(self._port), *arguments, HERE]
        command += ["--", *map(str, values)] if values else []
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        shown = [line.split(":")[1].split()[0] for line in done.stdout.splitlines() if line.startswith("[")]
        return [int(text, 16) if text.startswith("0x") else int(text) for text in shown]

    def read(self, field: str) -> int:
        """Read one value of the status block."""
        register = REGISTERS["status"][field]
        kind = ("-t", "4:int", "-B") if register.type is Type.U32 else ("-t", "4")
        return self.poll(*kind, "-r", str(register.address), "-c", "1")[0] & 0xFFFF_FFFF

    def block(self) -> tuple[int, ...]:
        """Read the whole status block in one request, as raw words."""
        return tuple(self.poll("-t", "4:hex", "-r", "0", "-c", str(STATUS_COUNT)))

    def write(self, field: str, value: int) -> None:
        """Write one value of the control block."""
        register = REGISTERS["control"][field]
        wide = register.type is Type.U32
        kind = ("-t", "4:int", "-B") if wide else ("-t", "4")
        signed = value - (1 << 32) if wide and value >= 1 << 31 else value
        self.poll(*kind, "-r", str(register.address), values=(signed,))

    def zero(self) -> None:
        """Write the whole control block as zeros, as after a power cut."""
        self.bits = 0
        self.poll("-t", "4", "-r", str(CONTROL_ADDRESS), values=(0,) * CONTROL_COUNT)

    def set(self, bits: ControlBit) -> None:
        """Write the command bits with the heartbeat toggled."""
        self.bits = int(bits)
        self.beat()

    def beat(self) -> None:
        """Toggle the heartbeat."""
        self._beat ^= ControlBit.HEARTBEAT
        self.write("bits", self.bits | self._beat)

    def until(self, field: str, mask: int, wanted: int) -> bool:
        """Poll one word, the heartbeat going on, until its masked bits are as wanted."""

        def holds() -> bool:
            self.beat()
            return self.read(field) & mask == wanted

        return eventually(holds)
