"""What an operator says of another CSMS. Addresses come from here alone: the API sets none, so nobody can aim us."""

from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from app.csms.connector import OcppVersion

LEAST_SECRET = 32  # characters; `openssl rand -hex 32` makes 64
NAME = r"[a-z0-9][a-z0-9\-]{0,30}"  # it is part of a path


class RemoteCsms(BaseModel):
    """One CSMS, and which stations are reached through it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=f"^{NAME}$", description="Names it in the paths on which it calls us.")
    kind: Literal["citrineos", "webhook"] = Field(description="citrineos: its message API; webhook: docs/csms.md.")
    url: str = Field(description="Where commands are posted; for CitrineOS the address of its API.")
    stations: dict[str, OcppVersion] = Field(
        min_length=1, description="Identity of each station that is reached through it, and the version it speaks."
    )
    secret: SecretStr = Field(
        description="webhook: the key of both sides' signatures; citrineos: the last part of its subscriptions' URL."
    )
    callback_url: str | None = Field(
        default=None, description="citrineos: how it reaches our HTTP API, e.g. https://smartcharge.example.org."
    )
    tenant_id: int = Field(default=1, ge=0, description="citrineos: the tenant of the stations.")
    bearer_token: SecretStr | None = Field(default=None, description="citrineos: sent as Authorization: Bearer.")
    timeout_s: float = Field(
        default=45.0, gt=0, le=600, description="How long the CSMS and its station may take to answer a command."
    )
    plain_http_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts that may be spoken to without TLS, beside those of this machine."
    )

    @field_validator("secret")
    @classmethod
    def _is_long_enough(cls, secret: SecretStr) -> SecretStr:
        if len(secret.get_secret_value()) < LEAST_SECRET:
            raise ValueError(f"is shorter than {LEAST_SECRET} characters; `openssl rand -hex 32` makes one")
        return secret

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        require_safe(self.url, "url", self.plain_http_hosts)
        if self.callback_url is not None:
            require_safe(self.callback_url, "callback_url", self.plain_http_hosts)
        if self.kind == "citrineos" and self.callback_url is None:
            raise ValueError("callback_url is missing: CitrineOS posts the stations' answers there")
        if self.kind == "citrineos" and "2.1" in self.stations.values():
            raise ValueError("stations: CitrineOS' message API has no path for OCPP 2.1")
        return self


def require_safe(url: str, field: str, plain_http_hosts: tuple[str, ...] = ()) -> None:
    """Raises `ValueError` for what is no plain http(s) address, and for http to a host that is not said to be safe."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{field} {url!r} is no address that begins with https://")
    if parts.username is not None or parts.password is not None or parts.fragment or parts.query:
        raise ValueError(f"{field} must hold neither a login nor a query nor a fragment")
    if parts.scheme == "http" and not _is_loopback(parts.hostname) and parts.hostname not in plain_http_hosts:
        raise ValueError(
            f"{field} {url!r} is not encrypted: use https, or name {parts.hostname} in plain_http_hosts if the "
            "network between the two is your own"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
