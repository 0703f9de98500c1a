"""`smartcharge overrides`: boosts, pauses and limits by hand, through the service that runs."""

import json
import sys
from typing import Annotated, Any
from urllib.parse import quote

import typer

overrides_app = typer.Typer(help="Boost, pause or limit a station, an EVSE or a site by hand.", no_args_is_help=True)

PATIENCE_S = 30.0
FAILED = 1

SiteArgument = Annotated[str, typer.Argument(help="The site's id.")]
KeyOption = Annotated[str, typer.Option(envvar="SMARTCHARGE_API_KEY", help="An API key.", show_default=False)]
UrlOption = Annotated[str, typer.Option(help="Of the service; by default where the settings say.")]


@overrides_app.command("create")
def create_override(
    site: SiteArgument,
    kind: Annotated[str, typer.Argument(help="boost, pause or limit.")],
    minutes: Annotated[float, typer.Option(help="How long it holds.")] = 60.0,
    station: Annotated[str | None, typer.Option(help="A charging station; left out: the whole site.")] = None,
    evse: Annotated[int | None, typer.Option(help="One EVSE of the station.")] = None,
    max_current_a: Annotated[float | None, typer.Option(help="Of a limit: A per phase.")] = None,
    max_power_kw: Annotated[float | None, typer.Option(help="Of a limit: kW.")] = None,
    reason: Annotated[str | None, typer.Option(help="For the audit.")] = None,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Set something by hand; it ends by itself, and never lifts a fuse."""
    wish = {
        "kind": kind,
        "minutes": minutes,
        "charging_station_id": station,
        "evse_id": evse,
        "max_current_a": max_current_a,
        "max_power_kw": max_power_kw,
        "reason": reason,
    }
    body = {name: value for name, value in wish.items() if value is not None}
    _print(_ask("POST", f"/v1/sites/{quote(site, safe='')}/overrides", key, url, body))


@overrides_app.command("list")
def list_overrides(
    site: SiteArgument,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """What holds now."""
    path = f"/v1/sites/{quote(site, safe='')}/overrides"
    _print(_ask("GET", path if every else f"{path}?active=true", key, url))


@overrides_app.command("end")
def end_override(
    site: SiteArgument,
    override: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """End it before its time."""
    _ask("DELETE", f"/v1/sites/{quote(site, safe='')}/overrides/{quote(override, safe='')}", key, url)
    sys.stderr.write("It has ended.\n")


def _ask(method: str, path: str, key: str, url: str, body: Any = None, *, transport: Any = None) -> Any:
    """The answer's JSON, None where there is none. A problem is one line on standard error and status 1."""
    import httpx

    from app.errors import InvalidInputError
    from app.settings import Settings

    settings = Settings()
    address = url or f"http://{settings.http_host}:{settings.http_port}"
    with httpx.Client(base_url=address, timeout=PATIENCE_S, transport=transport) as client:
        try:
            answer = client.request(method, path, json=body, headers={"Authorization": f"Bearer {key}"})
        except httpx.TransportError as error:
            raise InvalidInputError("url", f"{address} does not answer: {error}") from error
    if answer.is_success:
        return answer.json() if answer.content else None
    problem = answer.json()
    sys.stderr.write(f"{problem.get('title')}: {problem.get('detail')}\n")
    raise typer.Exit(FAILED)


def _print(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
