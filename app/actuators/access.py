"""To whom commands may go, and with which secret: the settings say it, never a site's document."""

from urllib.parse import urlsplit

import httpx

from app.actuators.actuator import Actuator, ActuatorError
from app.actuators.devices import Device
from app.actuators.documents import HttpSoc, HttpTarget, ModbusSoc, ModbusTarget, SocSource
from app.actuators.http import HttpActuator
from app.actuators.modbus import ModbusActuator
from app.actuators.mqtt import MqttActuator
from app.clock import Clock
from app.meters.http import HttpMeter
from app.meters.meters import is_allowed
from app.meters.modbus import ModbusMeter
from app.meters.shown import MeterError
from app.meters.sources import HttpSource, JsonPaths, ModbusSource
from app.settings import Settings


class Access:
    """Makes actuators that may be spoken to. The HTTP client is not ours."""

    def __init__(self, settings: Settings, client: httpx.AsyncClient, clock: Clock) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock

    def actuator(self, device: Device) -> Actuator:
        """Raises `ActuatorError` for a host that the settings do not name, and for a secret that is not there."""
        target = device.actuator.target
        named = {"site_id": device.site_id, "device_id": device.device_id, "kind": device.kind}
        if isinstance(target, HttpTarget):
            self._require_allowed(target.url)
            self._require_allowed(target.state_url or target.url)
            return HttpActuator(target, self._client, self._clock, self._secret(target.secret), **named)  # type: ignore[arg-type]  # mypy takes all of a dict for one type
        self._require_allowed_host(target.host)
        if isinstance(target, ModbusTarget):
            return ModbusActuator(target, device.kind)
        secret = None if target.password_secret is None else self._secret(target.password_secret)
        return MqttActuator(target, self._clock, secret, **named)  # type: ignore[arg-type]  # as above

    def soc_reader(self, source: SocSource) -> "SocReader":
        """Raises as `actuator`."""
        if isinstance(source, HttpSoc):
            self._require_allowed(source.url)
        else:
            self._require_allowed_host(source.host)
        secret = source.bearer_secret if isinstance(source, HttpSoc) else None
        return SocReader(source, self._client, None if secret is None else self._secret(secret))

    def _require_allowed(self, url: str) -> None:
        try:
            host = urlsplit(url).hostname
        except ValueError as error:
            raise ActuatorError("its address is none") from error
        self._require_allowed_host(host)

    def _require_allowed_host(self, host: str | None) -> None:
        if host is None or not is_allowed(host, self._settings.actuator_hosts):
            raise ActuatorError(f"SMARTCHARGE_ACTUATOR_HOSTS does not name {host}")

    def _secret(self, name: str) -> str:
        known = self._settings.actuator_secrets.get(name)
        if known is not None:
            return known.get_secret_value()
        folder = self._settings.actuator_secrets_dir
        try:
            if folder is not None and (path := folder / name).is_file():
                return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ActuatorError(f"the secret {name!r} cannot be read: {type(error).__name__}") from error
        raise ActuatorError(f"there is no secret {name!r} in the settings")


class SocReader:
    """A state of charge that its actuator does not say, read as a meter is."""

    def __init__(self, source: SocSource, client: httpx.AsyncClient, secret: str | None) -> None:
        self._per_share = 1.0 if isinstance(source, HttpSoc) and source.unit == "share" else 100.0
        self._meter: HttpMeter | ModbusMeter
        if isinstance(source, ModbusSoc):
            named = source.model_dump(include={"host", "port", "device_id", "timeout_s"})
            place = source.register_percent.model_dump()
            self._meter = ModbusMeter(ModbusSource.model_validate({"kind": "modbus", "power_w": place, **named}))
            self._scale = 1000.0  # the meter takes it for W and gives kW
        else:
            values = JsonPaths(power=source.path, power_unit="kW")
            self._meter = HttpMeter(
                HttpSource(kind="http", url=source.url, values=values, timeout_s=source.timeout_s), client, secret
            )
            self._scale = 1.0

    async def read(self) -> float:
        """0 to 1. Raises `ActuatorError` for anything else."""
        try:
            shown = await self._meter.read()
        except MeterError as error:
            raise ActuatorError(f"its state of charge: {error}") from error
        if shown.power_kw is None:
            raise ActuatorError("its state of charge is no number")
        soc = shown.power_kw * self._scale / self._per_share
        if not 0 <= soc <= 1:
            raise ActuatorError(f"its state of charge is {100 * soc:g} %")
        return soc

    async def close(self) -> None:
        await self._meter.close()
