"""Where a site's meter is read: what its operator says of it. pydantic, because it is an edge.

Hosts are only spoken to when the settings allow them (`SMARTCHARGE_METER_HOSTS`): the API may change a site's document,
and must not aim this service at the network. Secrets are named here and kept in the settings.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.tariff import Document

Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?$|^\[?[0-9A-Fa-f:]{2,45}\]?$")]
Path = Annotated[str, Field(min_length=1, max_length=200)]
SecretName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,62}$")]
Register = Annotated[int, Field(ge=0, le=65_535)]
DataType = Literal["int16", "uint16", "int32", "uint32", "float32", "int64", "uint64", "float64"]


class JsonPaths(Document):
    """Where in a JSON document the values stand: keys and indices with dots between, ``emeters.0.power``."""

    power: Path | None = Field(default=None, description="Active power, all phases.")
    power_unit: Literal["W", "kW"] = "W"
    current_l1: Path | None = Field(default=None, description="A on L1; with L2 and L3 the guard knows each phase.")
    current_l2: Path | None = None
    current_l3: Path | None = None
    invert: bool = Field(default=False, description="The meter counts export as positive.")

    @model_validator(mode="after")
    def _says_something(self) -> "JsonPaths":
        if self.power is None and self.current_l1 is None:
            raise ValueError("needs power or current_l1")
        return self


class HttpSource(Document):
    """GET of a JSON document, once an interval."""

    kind: Literal["http"]
    url: Annotated[str, Field(pattern=r"^https?://", max_length=500)]
    values: JsonPaths
    bearer_secret: SecretName | None = Field(default=None, description="Name of the secret that is sent as Bearer.")
    timeout_s: float = Field(default=3.0, gt=0, le=30)


class MqttSource(Document):
    """Messages of one topic, as they come; each a JSON document, or a bare number with `values` absent."""

    kind: Literal["mqtt"]
    host: Host
    port: int = Field(default=1883, ge=1, le=65_535)
    tls: bool = False
    topic: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^#+\x00]+$")]
    values: JsonPaths | None = None
    power_unit: Literal["W", "kW"] = "W"
    username: str | None = Field(default=None, max_length=200)
    password_secret: SecretName | None = None


class RegisterValue(Document):
    """One value in holding or input registers, high word first unless said otherwise."""

    address: Register
    type: DataType = "int32"
    scale: float = Field(default=1.0, description="What one count is, in W or A.")
    word_order: Literal["big", "little"] = "big"
    registers: Literal["holding", "input"] = "holding"


class ModbusSource(Document):
    """Modbus TCP, once an interval: a SunSpec meter (models 201 to 204) that is found, or registers by hand."""

    kind: Literal["modbus"]
    host: Host
    port: int = Field(default=502, ge=1, le=65_535)
    device_id: int = Field(default=1, ge=0, le=255)
    power_w: RegisterValue | None = Field(default=None, description="Absent, like the currents: SunSpec.")
    current_l1_a: RegisterValue | None = None
    current_l2_a: RegisterValue | None = None
    current_l3_a: RegisterValue | None = None
    invert: bool = Field(default=False, description="The meter counts export as positive.")
    timeout_s: float = Field(default=3.0, gt=0, le=30)

    @property
    def is_sunspec(self) -> bool:
        return self.power_w is None and self.current_l1_a is None


class OcppSource(Document):
    """The main meter of a charging station: what it sends as connector 0 (1.6) or EVSE 0 (2.x)."""

    kind: Literal["ocpp"]
    charging_station_id: Annotated[str, Field(min_length=1, max_length=48)]


MeterSource = Annotated[HttpSource | MqttSource | ModbusSource | OcppSource, Field(discriminator="kind")]
