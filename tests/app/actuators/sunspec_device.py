"""SunSpec devices on a real Modbus TCP socket, written without pymodbus: a battery (124) and an inverter (123).

Their own clock is the test's: `pass_time` lets the revert timer run down, as it does in a device that nobody tells
anything any more.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

MARKER, END = (0x5375, 0x6E53), 0xFFFF
BASE = 40_000
READ, WRITE_MANY = 3, 16
ILLEGAL_ADDRESS, FAILURE = 2, 4


def signed(register: int) -> int:
    return register - 0x10000 if register >= 0x8000 else register


@dataclass
class SunSpecDevice:
    """Its registers from `BASE` on, and how it misbehaves."""

    registers: list[int]
    ignores: bool = False  # acknowledges what is written, and does nothing
    refuses: bool = False
    refuses_at: int | None = None  # writes there, counted from `BASE`
    refuses_with: int = FAILURE
    forgets_timer: bool = False
    writes: list[tuple[int, list[int]]] = field(default_factory=list)  # (address, registers), as they came
    connections: set[asyncio.StreamWriter] = field(default_factory=set)
    idle_s: float = 0.0  # since it was written last

    def at(self, model: int) -> int:
        """Where the model's points begin, counted from `BASE`."""
        at = 2
        while self.registers[at] != END:
            if self.registers[at] == model:
                return at + 2
            at += 2 + self.registers[at + 1]
        raise KeyError(model)

    def point(self, model: int, offset: int) -> int:
        return self.registers[self.at(model) + offset]

    def set_point(self, model: int, offset: int, value: int) -> None:
        self.registers[self.at(model) + offset] = value & 0xFFFF

    def pass_time(self, seconds: float) -> None:
        """Its own timer runs; nobody has to speak to it."""
        self.idle_s += seconds
        for model, timer, enable in ((124, 13, 3), (123, 5, 7)):
            try:
                if 0 < self.point(model, timer) <= self.idle_s:
                    self.set_point(model, enable, 0)
            except KeyError:
                continue

    def answered(self, pdu: bytes) -> bytes:
        function, address, count = struct.unpack(">BHH", pdu[:5])
        first = address - BASE
        if first < 0 or first + count > len(self.registers):
            return bytes([function | 0x80, ILLEGAL_ADDRESS])
        if function == READ:
            return struct.pack(">BB", function, 2 * count) + struct.pack(
                f">{count}H", *self.registers[first : first + count]
            )
        if self.refuses or first == self.refuses_at:
            return bytes([function | 0x80, self.refuses_with])
        values = list(struct.unpack(f">{count}H", pdu[6 : 6 + 2 * count]))
        self.writes.append((address, values))
        self.idle_s = 0.0
        if not self.ignores:
            for number, value in enumerate(values):
                if not (self.forgets_timer and first + number in self._timers()):
                    self.registers[first + number] = value
        return struct.pack(">BHH", function, address, count)

    def _timers(self) -> set[int]:
        found = set()
        for model, offset in ((124, 13), (123, 5)):
            try:
                found.add(self.at(model) + offset)
            except KeyError:
                continue
        return found

    # --- a battery

    @property
    def power_kw(self) -> float | None:
        """What model 124 makes it do, positive charging; None: its own control."""
        if self.point(124, 3) & 0b11 != 0b11:
            return None
        most_w = float(self.point(124, 0) * 10 ** signed(self.point(124, 16)))
        return float(signed(self.point(124, 11)) * 10 ** signed(self.point(124, 23)) / 100 * most_w / 1000)

    # --- an inverter

    @property
    def limit_percent(self) -> float | None:
        """What model 123 limits it to; None: nothing does."""
        if self.point(123, 7) != 1:
            return None
        return float(self.point(123, 3) * 10 ** signed(self.point(123, 21)))


def chain(*models: tuple[int, Sequence[int]]) -> list[int]:
    registers = list(MARKER)
    for model, content in models:
        registers += [model, len(content), *(value & 0xFFFF for value in content)]
    return [*registers, END, 0]


def a_battery(*, most_w: int = 10_000, soc_percent: float | None = 50.0) -> SunSpecDevice:
    """WChaMax in W by a scale factor of 1 (tens), rates in hundredths of a percent, SoC in tenths."""
    points = [0] * 24
    points[0], points[16] = most_w // 10, 1
    points[6], points[20] = 0xFFFF if soc_percent is None else round(soc_percent * 10), -1
    points[23] = -2
    return SunSpecDevice(chain((1, [0] * 66), (124, points)))


def an_inverter(*, most_w: int = 20_000, power_w: int | None = None) -> SunSpecDevice:
    settings, controls = [0] * 30, [0] * 24
    settings[0], settings[20] = most_w // 10, 1
    controls[21] = -1
    models: list[tuple[int, Sequence[int]]] = [(1, [0] * 66)]
    if power_w is not None:
        points = [0] * 50
        points[12], points[13] = power_w, 0
        models.append((103, points))
    return SunSpecDevice(chain(*models, (121, settings), (123, controls)))


@dataclass
class Served:
    """A device on a port; `cut` takes the line away, `mend` puts it back at the same port."""

    device: SunSpecDevice
    port: int = 0
    server: asyncio.Server | None = None

    async def mend(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None
        for writer in tuple(self.device.connections):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.device.connections.add(writer)
        try:
            while True:
                transaction, protocol, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                answer = self.device.answered(await reader.readexactly(length - 1))
                writer.write(struct.pack(">HHHB", transaction, protocol, len(answer) + 1, unit) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.device.connections.discard(writer)
            writer.close()


@asynccontextmanager
async def served(device: SunSpecDevice) -> AsyncIterator[Served]:
    line = Served(device)
    await line.mend()
    try:
        yield line
    finally:
        await line.cut()
