"""SunSpec models 124 (storage) and 123 (immediate controls): what is written, and what is read back. Pure.

Offsets are those of the SunSpec Information Models, counted from the register behind a model's id and length; both
models have 24 registers. Rates are percent of WChaMax (124) and WMax (123, from model 121, else WRtg of model 120).

Model 124 has two limits, InWRte for charging and OutWRte for discharging, which may be negative: a battery that must
discharge at no more than minus 40 % charges at 40 % or more. A power is set with both: charging at P is InWRte = P and
OutWRte = -P. StorCtl_Mod says which limits hold (bit 0 charging, bit 1 discharging). WDisChaMax is no point of the
model; devices take WChaMax for both, and so is it here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

from app.actuators.actuator import ActuatorError, Shown

STORAGE, CONTROLS, SETTINGS, NAMEPLATE = 124, 123, 121, 120
INVERTERS = (101, 102, 103)
POINTS = {STORAGE: 24, CONTROLS: 24, SETTINGS: 22, NAMEPLATE: 3, 101: 14, 102: 14, 103: 14}  # as many as are read

W_CHA_MAX, STOR_CTL_MOD, CHA_STATE, OUT_W_RTE, IN_W_RTE, IN_OUT_RVRT_S = 0, 3, 6, 10, 11, 13
_W_CHA_MAX_SF, _CHA_STATE_SF, _IN_OUT_SF = 16, 20, 23
W_MAX_LIM, W_MAX_LIM_RVRT_S, W_MAX_LIM_ENA = 3, 5, 7
_W_MAX_LIM_SF = 21
_W_MAX, _W_MAX_SF = 0, 20  # model 121
_W_RTG, _W_RTG_SF = 1, 2  # model 120
_W, _W_SF = 12, 13  # models 101 to 103
BOTH_LIMITS = 0b11

Writes = tuple[tuple[int, tuple[int, ...]], ...]  # in order: offset, registers
Models = Mapping[int, Sequence[int]]

_NO_INT16, _NO_UINT16 = 0x8000, 0xFFFF
_LONGEST_S = 0xFFFE
MOST_EXPONENT = 10
FULL_PERCENT = 101.0  # rounding; what is more is no state of charge


@dataclass(frozen=True, slots=True)
class StorageModel:
    """A battery by its model 124."""

    registers: Sequence[int]

    @property
    def most_kw(self) -> float:
        """What 100 % is. Raises `ActuatorError` where it is missing."""
        return _required(_unsigned(self.registers[W_CHA_MAX], self.registers[_W_CHA_MAX_SF]), "WChaMax") / 1000

    def writes(self, power_kw: float | None, valid_s: float) -> Writes:
        """The timer first, so that no new rate can ever hold with an old one. Magnitudes are rounded down."""
        if power_kw is None:
            return ((STOR_CTL_MOD, (0,)),)
        percent = min(abs(power_kw) / self.most_kw * 100, 100.0)
        rate = _rate(percent, self.registers[_IN_OUT_SF])
        into = rate if power_kw >= 0 else -rate
        return (
            (IN_OUT_RVRT_S, (_seconds(valid_s),)),
            (OUT_W_RTE, (-into & 0xFFFF, into & 0xFFFF)),
            (STOR_CTL_MOD, (BOTH_LIMITS,)),
        )

    def shown(self) -> Shown:
        """The set-point that the limits make; where they leave a range, the most that it may charge with."""
        soc = _unsigned(self.registers[CHA_STATE], self.registers[_CHA_STATE_SF])
        mode, most_kw = self.registers[STOR_CTL_MOD] & BOTH_LIMITS, self.most_kw
        setpoint_kw = None
        if mode:
            into = _signed(self.registers[IN_W_RTE], self.registers[_IN_OUT_SF])
            share = 1.0 if into is None or not mode & 1 else into / 100
            setpoint_kw = share * most_kw
        return Shown(setpoint_kw, soc=None if soc is None or soc > FULL_PERCENT else min(soc / 100, 1.0))

    def keeps_timer(self, valid_s: float) -> bool:
        """Whether the revert timer took what was written: a device that has none would hold a command for ever."""
        return self.registers[IN_OUT_RVRT_S] == _seconds(valid_s)


@dataclass(frozen=True, slots=True)
class ControlsModel:
    """An inverter by its model 123, its rating from 121 or 120, and its power from 101 to 103."""

    models: Models

    @property
    def _registers(self) -> Sequence[int]:
        return self.models[CONTROLS]

    @property
    def most_kw(self) -> float:
        if SETTINGS in self.models:
            settings = self.models[SETTINGS]
            w_max = _unsigned(settings[_W_MAX], settings[_W_MAX_SF])
            if w_max:
                return w_max / 1000
        if NAMEPLATE in self.models:
            plate = self.models[NAMEPLATE]
            return _required(_unsigned(plate[_W_RTG], plate[_W_RTG_SF]), "WRtg") / 1000
        raise ActuatorError("it tells neither WMax nor WRtg: nobody knows what 100 % is")

    def writes(self, limit_kw: float | None, valid_s: float) -> Writes:
        if limit_kw is None:
            return ((W_MAX_LIM_ENA, (0,)),)
        percent = min(max(limit_kw, 0.0) / self.most_kw * 100, 100.0)
        rate = _rate(percent, self._registers[_W_MAX_LIM_SF])
        return (
            (W_MAX_LIM_RVRT_S, (_seconds(valid_s),)),
            (W_MAX_LIM, (rate,)),
            (W_MAX_LIM_ENA, (1,)),
        )

    def shown(self) -> Shown:
        limit_kw = None
        if self._registers[W_MAX_LIM_ENA] == 1:
            percent = _unsigned(self._registers[W_MAX_LIM], self._registers[_W_MAX_LIM_SF])
            limit_kw = _required(percent, "WMaxLimPct") / 100 * self.most_kw
        measured = next((self.models[model] for model in INVERTERS if model in self.models), None)
        power_w = None if measured is None else _signed(measured[_W], measured[_W_SF])
        return Shown(limit_kw, None if power_w is None else power_w / 1000)

    def keeps_timer(self, valid_s: float) -> bool:
        return self._registers[W_MAX_LIM_RVRT_S] == _seconds(valid_s)


def _seconds(valid_s: float) -> int:
    return max(1, min(floor(valid_s), _LONGEST_S))


def _rate(percent: float, exponent: int) -> int:
    """Rounded down: never more than was meant. A hair is left for floating point, far below any step."""
    return floor(percent / _scale(exponent) + 1e-6)


def _unsigned(value: int, exponent: int) -> float | None:
    return None if value == _NO_UINT16 or exponent == _NO_INT16 else float(value * _scale(exponent))


def _signed(value: int, exponent: int) -> float | None:
    return None if _NO_INT16 in (value, exponent) else float(_as_int16(value) * _scale(exponent))


def _scale(exponent: int) -> float:
    """Raises `ActuatorError` for what is no scale factor: SunSpec has them from -10 to 10."""
    power = _as_int16(exponent)
    if not -MOST_EXPONENT <= power <= MOST_EXPONENT:
        raise ActuatorError(f"{power} is no scale factor")
    return 10.0**power


def _as_int16(register: int) -> int:
    return register - 0x10000 if register >= 0x8000 else register


def _required(value: float | None, name: str) -> float:
    if value is None or (value == 0 and name in ("WChaMax", "WRtg")):
        raise ActuatorError(f"it does not tell {name}")
    return value
