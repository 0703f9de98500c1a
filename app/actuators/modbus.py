"""A battery or an inverter on Modbus TCP, by its SunSpec models. Needs the extra `modbus`."""

from collections.abc import Sequence
from typing import Any

from app.actuators.actuator import ActuatorError, Command, Kind, RefusedError, Shown
from app.actuators.documents import ModbusTarget
from app.actuators.sunspec import CONTROLS, POINTS, STORAGE, ControlsModel, StorageModel
from app.meters.sunspec import BASES, END, MARKER, MOST_MODELS

# Exceptions of the Modbus specification that are no refusal: still at it, and a gateway that heard nothing in time.
UNDECIDED = {0x05, 0x0B}


class ModbusActuator:
    """Keeps its connection; one that failed is opened anew by the next call."""

    def __init__(self, target: ModbusTarget, kind: Kind) -> None:
        self._target = target
        self._kind = kind
        self._model = STORAGE if kind == "battery" else CONTROLS
        self._client: Any = None  # pymodbus is imported where it is used: an extra
        self._at: dict[int, int] = {}  # where each model's points begin

    async def command(self, command: Command) -> None:
        """Write it, and make sure that the device's own revert timer took the expiry."""
        model = await self._read()
        *before, last = model.writes(command.power_kw, command.valid_s)
        for offset, registers in before:  # what declines these goes on with the power that it had
            await self._write(self._at[self._model] + offset, registers)
        try:
            await self._write(self._at[self._model] + last[0], last[1])
            written = None if command.power_kw is None else await self._read()
        except RefusedError as error:
            if not before:
                raise
            raise ActuatorError(f"it took a part of it: {error}") from error  # the mode may have been on: it may hold
        if written is not None and not written.keeps_timer(command.valid_s):
            release = model.writes(None, 0.0)
            for offset, registers in release:
                await self._write(self._at[self._model] + offset, registers)
            raise RefusedError("its revert timer does not take what is written: it would hold a command for ever")

    async def shown(self) -> Shown:
        return (await self._read()).shown()

    async def close(self) -> None:
        client, self._client, self._at = self._client, None, {}
        if client is not None:
            client.close()

    async def _read(self) -> StorageModel | ControlsModel:
        if not await self._is_connected() or self._model not in self._at:
            self._at = await self._find()
        if self._model not in self._at:
            raise ActuatorError(f"it has no SunSpec model {self._model}")
        if self._kind == "battery":
            return StorageModel(await self._registers(self._at[STORAGE], POINTS[STORAGE]))
        return ControlsModel({model: await self._registers(at, POINTS[model]) for model, at in self._at.items()})

    async def _is_connected(self) -> bool:
        """Whether it was connected already; it is from now on. Raises `ActuatorError`."""
        if self._client is not None and self._client.connected:
            return True
        await self.close()
        try:
            from pymodbus.client import AsyncModbusTcpClient
        except ImportError as error:
            raise ActuatorError("pymodbus is not installed: pip install 'smartcharge[modbus]'") from error
        target = self._target
        self._client = AsyncModbusTcpClient(
            target.host, port=target.port, timeout=target.timeout_s, retries=0, reconnect_delay=0
        )
        try:
            reached = await self._client.connect()
        except (OSError, TimeoutError) as error:
            raise ActuatorError(f"it was not reached: {type(error).__name__}") from error
        if not reached:
            raise ActuatorError("it was not reached")
        return False

    async def _find(self) -> dict[int, int]:
        """Walk the models from the marker on."""
        for base in BASES:
            try:
                if await self._registers(base, 2) != MARKER:
                    continue
            except RefusedError:
                continue  # no such registers: look at the next place
            at = base + 2
            found: dict[int, int] = {}
            for _ in range(MOST_MODELS):
                model, length = await self._registers(at, 2)
                if model == END:
                    break
                if model in POINTS and length >= POINTS[model]:
                    found.setdefault(model, at + 2)
                at += 2 + length
            return found
        raise ActuatorError("it speaks no SunSpec")

    async def _registers(self, address: int, count: int) -> Sequence[int]:
        answer = await self._asked("read_holding_registers", address, count=count)
        if len(answer.registers) != count:
            raise ActuatorError(f"it does not tell registers {address} to {address + count - 1}")
        return list(answer.registers)

    async def _write(self, address: int, registers: Sequence[int]) -> None:
        await self._asked("write_registers", address, list(registers))

    async def _asked(self, what: str, address: int, *more: Any, **named: Any) -> Any:
        """One request. Raises `RefusedError` for an exception that the device answers with, `ActuatorError` else."""
        from pymodbus.exceptions import ModbusException

        try:
            answer = await getattr(self._client, what)(address, *more, device_id=self._target.device_id, **named)
        except (ModbusException, OSError, TimeoutError) as error:
            await self.close()
            raise ActuatorError(f"it did not answer: {type(error).__name__}") from error
        if answer.isError() and getattr(answer, "exception_code", None) in UNDECIDED:
            raise ActuatorError(f"nobody knows what became of {what} at {address}: {answer}")
        if answer.isError():
            raise RefusedError(f"it declines {what} at {address}: {answer}")
        return answer
