"""Who commands a battery or a PV inverter, as a site's operator says it. pydantic, because it is an edge.

Hosts are only spoken to when the settings allow them (`SMARTCHARGE_ACTUATOR_HOSTS`); secrets are named here and kept in
the settings. What a device does by itself once its last command has expired is the operator's word, and safety counts
on it: `on_loss` of a battery, `safe_limit_kw` of an inverter.
"""

from typing import Annotated, Literal

from pydantic import Field

from app.meters.sources import Host, Path, RegisterValue, SecretName
from app.tariff import Document

Topic = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^#+\x00]+$")]
HttpUrl = Annotated[str, Field(pattern=r"^https?://", max_length=500)]


class HttpTarget(Document):
    """A webhook: commands are signed POSTs, the state is a GET."""

    kind: Literal["http"]
    url: HttpUrl = Field(description="Takes commands.")
    state_url: HttpUrl | None = Field(default=None, description="Tells the state; absent: the same address.")
    secret: SecretName = Field(description="Name of the secret that signs what is sent.")
    timeout_s: float = Field(default=3.0, gt=0, le=30)


class ModbusTarget(Document):
    """Modbus TCP with SunSpec models: 124 for a battery, 123 for an inverter."""

    kind: Literal["modbus"]
    host: Host
    port: int = Field(default=502, ge=1, le=65_535)
    device_id: int = Field(default=1, ge=0, le=255)
    timeout_s: float = Field(default=3.0, gt=0, le=30)


class MqttTarget(Document):
    """Commands are published to one topic with QoS 1, never retained; the state is what comes on another."""

    kind: Literal["mqtt"]
    host: Host
    port: int = Field(default=1883, ge=1, le=65_535)
    tls: bool = False
    command_topic: Topic
    state_topic: Topic
    username: str | None = Field(default=None, max_length=200)
    password_secret: SecretName | None = None
    timeout_s: float = Field(default=3.0, gt=0, le=30, description="How long a state may take to come.")


Target = Annotated[HttpTarget | ModbusTarget | MqttTarget, Field(discriminator="kind")]


class ActuatorDocument(Document):
    """What is common to all: where commands go, how long each holds, and when a read-back agrees."""

    target: Target
    valid_s: float = Field(
        default=300.0,
        ge=5,
        le=3600,
        description="How long the device holds a command that is not renewed, at most. It is renewed at half of it.",
    )
    tolerance_kw: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="How far a read-back may be from what was sent; absent: 0.2 kW, or 2 % of its largest power.",
    )


class BatteryActuator(ActuatorDocument):
    on_loss: Literal["idle", "own_control"] = Field(
        default="idle",
        description="What the battery does by itself when its last command has expired. idle: neither charges nor "
        "discharges. own_control: what its own controls want, for instance self-consumption; the fuses then count it "
        "with all it can charge whenever it is not commanded.",
    )


class PvActuator(ActuatorDocument):
    safe_limit_kw: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="What it feeds at most when its last command has expired; absent: all it has."
    )


class HttpSoc(Document):
    """GET of a JSON document with the state of charge."""

    kind: Literal["http"]
    url: HttpUrl
    path: Path = Field(description="Keys and indices with dots between.")
    unit: Literal["percent", "share"] = "percent"
    bearer_secret: SecretName | None = None
    timeout_s: float = Field(default=3.0, gt=0, le=30)


class ModbusSoc(Document):
    """One register with the state of charge, in percent after its scale."""

    kind: Literal["modbus"]
    host: Host
    port: int = Field(default=502, ge=1, le=65_535)
    device_id: int = Field(default=1, ge=0, le=255)
    register_percent: RegisterValue
    timeout_s: float = Field(default=3.0, gt=0, le=30)


SocSource = Annotated[HttpSoc | ModbusSoc, Field(discriminator="kind")]
