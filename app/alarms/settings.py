"""Who is told of alarms. Addresses come from the settings alone: the API sets none, so nobody can aim us."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from app.csms.remote.settings import LEAST_SECRET, require_safe
from app.db.operating_records import AlarmKind


class AlarmTarget(BaseModel):
    """One receiver of alarms, for some sites or all."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9\-]{0,30}$", description="Unique; notices are listed under it.")
    sites: tuple[str, ...] = Field(default=(), description="Ids of the sites; empty: every site.")
    kinds: tuple[AlarmKind, ...] = Field(
        default=("not_ready", "disobedient", "mode", "stale_source", "actuator"), description="Of which alarms."
    )
    webhook_url: str | None = Field(default=None, description="Each notice is posted there, signed.")
    webhook_secret: SecretStr | None = Field(default=None, description="The key of the signature.")
    email_to: tuple[str, ...] = Field(default=(), max_length=20, description="Addresses that each notice is mailed to.")
    plain_http_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts that may be spoken to without TLS, beside those of this machine."
    )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.webhook_url is None and not self.email_to:
            raise ValueError(f"alarm target {self.name!r} has neither webhook_url nor email_to")
        if self.webhook_url is not None:
            require_safe(self.webhook_url, "webhook_url", self.plain_http_hosts)
            if self.webhook_secret is None or len(self.webhook_secret.get_secret_value()) < LEAST_SECRET:
                raise ValueError(
                    f"webhook_secret has fewer than {LEAST_SECRET} characters; `openssl rand -hex 32` makes one"
                )
        for address in self.email_to:
            if address.count("@") != 1 or not address.isprintable() or " " in address:
                raise ValueError(f"email_to: {address!r} is no address")
        return self

    def channels(self, site_id: str, kind: AlarmKind) -> tuple[str, ...]:
        """On which ways it is told of such an alarm."""
        if (self.sites and site_id not in self.sites) or kind not in self.kinds:
            return ()
        ways = (("webhook", self.webhook_url is not None), ("email", bool(self.email_to)))
        return tuple(f"{way}:{self.name}" for way, is_wanted in ways if is_wanted)
