"""Settings: environment variables with the prefix ``SMARTCHARGE_``, one description each."""

from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.alarms.settings import AlarmTarget
from app.csms.remote.settings import RemoteCsms


class Settings(BaseSettings):
    """Everything an operator can set. Hosts are loopback unless set."""

    model_config = SettingsConfigDict(env_prefix="SMARTCHARGE_", extra="ignore")

    http_host: str = Field(default="127.0.0.1", description="Address of the HTTP API and the dashboard.")
    http_port: int = Field(default=8080, ge=0, le=65535, description="Port of the HTTP API; 0 lets the system choose.")
    ocpp_host: str = Field(default="127.0.0.1", description="Address on which charging stations connect.")
    ocpp_port: int = Field(default=9000, ge=0, le=65535, description="Port on which charging stations connect.")
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("smartcharge"), description="Where the default database lives."
    )
    database_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL, e.g. postgresql+asyncpg://user@host/db. Default: SQLite in the data directory.",
    )
    solver: str = Field(default="highs", description="highs, or pulp:NAME for a solver that PuLP knows, e.g. pulp:CBC.")
    solve_workers: Literal["thread", "process", "dask"] = Field(
        default="process",
        description="Where solves run. A solver that dies takes a process along, or with thread the service; "
        "dask is for more than one machine.",
    )
    dask_scheduler: str | None = Field(
        default=None, description="With dask: tls://host:port, or tcp://127.0.0.1:port of this machine."
    )
    dask_tls_ca: Path | None = Field(default=None, description="PEM file of the authority of the cluster.")
    dask_tls_certificate: Path | None = Field(default=None, description="PEM file of our certificate for the cluster.")
    dask_tls_key: Path | None = Field(default=None, description="PEM file of its key.")
    dask_insecure: bool = Field(
        default=False, description="Allow plain tcp:// beyond this machine: whoever reaches it runs what they like."
    )
    replan_minutes: int = Field(default=15, ge=5, le=60, description="How often a site with sessions is planned anew.")
    replan_debounce_s: float = Field(default=2.0, ge=0, description="How long events are gathered before a new plan.")
    reconcile_s: float = Field(
        default=30.0, gt=0, description="How often what stations hold is compared with the plan."
    )
    replan_first_s: float = Field(
        default=0.2, ge=0, description="The same for the first event after a quiet time: one car is planned at once."
    )
    profile_writes_a_day: int = Field(
        default=100, ge=4, description="Plans sent to one EVSE in a day at most; lowering is never refused."
    )
    charging_starts_a_day: int = Field(
        default=48, ge=4, description="How often plans may start an EVSE again in a day; stopping is never refused."
    )
    horizon_hours: int = Field(default=36, ge=6, le=168, description="How far a plan looks ahead.")
    guard_period_s: float = Field(
        default=2.0, ge=1, le=10, description="How often the fuse guard looks at every circuit, in s."
    )
    guard_give_back_s: float = Field(
        default=60.0,
        ge=5,
        description="How long room must be there before the fuse guard gives a part of it back, in s.",
    )
    call_timeout_s: float = Field(default=30.0, gt=0, description="How long a station may take to answer a call.")
    heartbeat_interval_s: int = Field(default=300, ge=10, description="What BootNotification asks stations to keep.")
    ping_interval_s: float | None = Field(default=30.0, description="WebSocket pings to stations; empty for none.")
    max_body_bytes: int = Field(default=2_000_000, ge=1_000, description="Largest request body; uploads may be larger.")
    max_upload_bytes: int = Field(default=50_000_000, ge=1_000, description="Largest bulk upload.")
    ocpp_auth: Literal["basic", "none"] = Field(
        default="basic", description="none lets any known station in without a password: for trials on loopback only."
    )
    ocpp_enrolment: bool = Field(
        default=False, description="Record unknown stations that try to connect, for an operator to approve."
    )
    ocpp_security_profile: Literal[1, 2, 3] = Field(
        default=1,
        description="The least that every station must do: 1 password, 2 TLS and password, 3 TLS and its own "
        "certificate. From 2 on nothing listens on the port without TLS.",
    )
    ocpp_tls_port: int = Field(default=9443, ge=0, le=65535, description="Port on which stations connect with TLS.")
    ocpp_tls_certificate: Path | None = Field(
        default=None, description="PEM file of the certificate for TLS, with its chain; empty for no TLS."
    )
    ocpp_tls_key: Path | None = Field(default=None, description="PEM file of its key; empty: in the same file.")
    ocpp_tls_client_ca: Path | None = Field(
        default=None, description="PEM file of the authorities that sign stations' own certificates."
    )
    ocpp_tls_client_crl: Path | None = Field(
        default=None,
        description="PEM file of these authorities' revocation lists, one for each; read again when it changes.",
    )
    ocpp_connects_a_minute: int = Field(
        default=20, ge=1, description="A station that connects more often is kept out until it has calmed down."
    )
    ocpp_handshakes: int = Field(
        default=200, ge=1, description="Logins worked on at once; further stations are told to come back in a moment."
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    meter_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts, addresses and networks where site meters may be read, as JSON: "
        '["meter.lan", "192.168.10.0/24"]. Empty: none.',
    )
    meter_secrets: dict[str, SecretStr] = Field(
        default_factory=dict, description="Passwords and tokens of meters by the name that sites use, as JSON."
    )
    meter_secrets_dir: Path | None = Field(
        default=None, description="The same, one file each, named like the secret: for mounted secrets."
    )
    actuator_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts, addresses and networks where batteries and inverters may be commanded, as JSON. Empty: "
        "none, and no plan counts on any.",
    )
    actuator_secrets: dict[str, SecretStr] = Field(
        default_factory=dict, description="Their passwords and signing secrets by the name that sites use, as JSON."
    )
    actuator_secrets_dir: Path | None = Field(
        default=None, description="The same, one file each, named like the secret: for mounted secrets."
    )
    session_secret: SecretStr | None = Field(
        default=None, description="Signs the dashboard's cookie; generated and kept in the data directory when empty."
    )

    source_tokens: dict[str, SecretStr] = Field(
        default_factory=dict,
        description='Tokens of providers by name, as JSON: {"entsoe": "…"}; sites name them: see docs/sources.md.',
    )
    source_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts that sources may reach in private networks and over plain http, as JSON; tokens are sent to "
        "providers and to these only.",
    )

    alarm_targets: tuple[AlarmTarget, ...] = Field(
        default=(), description="Who is told of alarms, by webhook or e-mail, as JSON: docs/operating.md."
    )
    smtp_host: str | None = Field(default=None, description="Mail server for alarms by e-mail; empty for none.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the way to it is kept private; none sends no password."
    )
    smtp_user: str | None = Field(default=None, description="As whom we log in there; empty: without a login.")
    smtp_password: SecretStr | None = Field(default=None, description="The password of that login.")
    smtp_from: str = Field(default="smartcharge@localhost", description="The sender of our e-mails.")
    remote_csms: tuple[RemoteCsms, ...] = Field(
        default=(), description="Other CSMSs and the stations that are reached through them, as JSON: docs/csms.md."
    )

    @field_validator("remote_csms")
    @classmethod
    def _names_no_station_twice(cls, remotes: tuple[RemoteCsms, ...]) -> tuple[RemoteCsms, ...]:
        names = [remote.name for remote in remotes]
        stations = [station_id for remote in remotes for station_id in remote.stations]
        for kind, listed in (("name", names), ("station", stations)):
            twice = sorted({one for one in listed if listed.count(one) > 1})
            if twice:
                raise ValueError(f"the {kind} {twice[0]!r} is there twice")
        return remotes

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'smartcharge.db'}"
