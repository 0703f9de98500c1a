"""A meter on Modbus TCP: a SunSpec model that is found, or registers by hand. Needs the extra `modbus`."""

from collections.abc import Sequence
from typing import Any

from app.meters.shown import MeterError, Shown
from app.meters.sources import ModbusSource, RegisterValue
from app.meters.sunspec import BASES, END, MARKER, METERS, MOST_MODELS, POINTS, shown_by

WIDTHS = {"16": 1, "32": 2, "64": 4}


class ModbusMeter:
    """Keeps its connection; one that failed is opened anew by the next `read`."""

    def __init__(self, source: ModbusSource) -> None:
        self._source = source
        self._client: Any = None  # pymodbus is imported where it is used: an extra
        self._model_at: int | None = None  # where the SunSpec meter's points begin

    async def read(self) -> Shown:
        """Raises `MeterError`."""
        try:
            from pymodbus.client import AsyncModbusTcpClient
            from pymodbus.exceptions import ModbusException
        except ImportError as error:
            raise MeterError("pymodbus is not installed: pip install 'smartcharge[modbus]'") from error
        source = self._source
        try:
            if self._client is None or not self._client.connected:
                await self.close()
                self._client = AsyncModbusTcpClient(
                    source.host, port=source.port, timeout=source.timeout_s, retries=0, reconnect_delay=0
                )
                if not await self._client.connect():
                    raise MeterError("it was not reached")
            return await (self._sunspec() if source.is_sunspec else self._by_hand())
        except (ModbusException, OSError, TimeoutError) as error:
            await self.close()
            raise MeterError(f"it was not read: {type(error).__name__}") from error
        except MeterError:
            self._model_at = None
            raise

    async def close(self) -> None:
        client, self._client, self._model_at = self._client, None, None
        if client is not None:
            client.close()

    async def _sunspec(self) -> Shown:
        if self._model_at is None:
            self._model_at = await self._find()
        return shown_by(await self._registers(self._model_at, POINTS), invert=self._source.invert)

    async def _find(self) -> int:
        """Walk the models from the marker on."""
        for base in BASES:
            try:
                if await self._registers(base, 2) != MARKER:
                    continue
            except MeterError:
                continue  # no such registers: look at the next place
            at = base + 2
            for _ in range(MOST_MODELS):
                model, length = await self._registers(at, 2)
                if model in METERS:
                    return at + 2
                if model == END:
                    break
                at += 2 + length
            raise MeterError("it has no SunSpec meter among its models")
        raise MeterError("it speaks no SunSpec: name its registers")

    async def _by_hand(self) -> Shown:
        source, sign = self._source, -1.0 if self._source.invert else 1.0
        places = {"L1": source.current_l1_a, "L2": source.current_l2_a, "L3": source.current_l3_a}
        power_w = None if source.power_w is None else sign * await self._value(source.power_w)
        currents = {phase: sign * await self._value(place) for phase, place in places.items() if place is not None}
        return Shown(None if power_w is None else power_w / 1000, currents)

    async def _value(self, place: RegisterValue) -> float:
        count = WIDTHS[place.type[-2:]]
        registers = await self._registers(place.address, count, place.registers)
        kind = self._client.DATATYPE[place.type.upper()]
        return float(self._client.convert_from_registers(registers, kind, word_order=place.word_order)) * place.scale

    async def _registers(self, address: int, count: int, where: str = "holding") -> Sequence[int]:
        read = self._client.read_holding_registers if where == "holding" else self._client.read_input_registers
        answer = await read(address, count=count, device_id=self._source.device_id)
        if answer.isError() or len(answer.registers) != count:
            raise MeterError(f"it does not tell registers {address} to {address + count - 1}")
        return list(answer.registers)
