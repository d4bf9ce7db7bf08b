"""Modbus servers that break a promise of the wire."""

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from appliance.outputs.plc.modbus import ModbusServer
from appliance.outputs.plc.registers import CONTROL_ADDRESS, CONTROL_COUNT, STATUS_ADDRESS, STATUS_COUNT


class Mirrored(ModbusServer):
    """Keep input registers apart from holding registers, and forget to fill them."""

    async def _access(
        self, code: int, start: int, address: int, count: int, registers: list[int], values: list[int] | None
    ) -> ExcCodes | None:
        if code == 4:
            registers[:STATUS_COUNT] = [0] * STATUS_COUNT
            return None
        return await super()._access(code, start, address, count, registers, values)


class Writable(ModbusServer):
    """Let everybody write the status block."""

    def _device(self) -> SimDevice:
        blocks = [
            SimData(STATUS_ADDRESS, values=[0] * STATUS_COUNT, datatype=DataType.REGISTERS),
            SimData(CONTROL_ADDRESS, values=[0] * CONTROL_COUNT, datatype=DataType.REGISTERS),
        ]
        return SimDevice(0, simdata=blocks, action=self._permit)

    async def _permit(
        self, code: int, start: int, address: int, count: int, registers: list[int], values: list[int] | None
    ) -> ExcCodes | None:
        if values is not None and address < CONTROL_ADDRESS:
            return None
        return await self._access(code, start, address, count, registers, values)


class Endless(ModbusServer):
    """Make up zeros outside the blocks."""

    def _device(self) -> SimDevice:
        blocks = [
            SimData(STATUS_ADDRESS, values=[0] * STATUS_COUNT, datatype=DataType.REGISTERS, readonly=True),
            SimData(STATUS_COUNT, values=[0] * (CONTROL_ADDRESS - STATUS_COUNT), datatype=DataType.REGISTERS),
            SimData(CONTROL_ADDRESS, values=[0] * CONTROL_COUNT, datatype=DataType.REGISTERS),
        ]
        return SimDevice(0, simdata=blocks, action=self._access)
