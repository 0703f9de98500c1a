"""`smartcharge simulate`: simulated charging stations for any CSMS; mounted by app/cli/main.py."""

import asyncio
from typing import Annotated

import typer

simulate_app = typer.Typer(help="Simulated charging stations.", no_args_is_help=True)


@simulate_app.command("station")
def simulate_station(
    station_id: Annotated[str, typer.Option("--id", help="OCPP identity.")] = "cs01",
    url: Annotated[str, typer.Option(help="The CSMS's endpoint, without the identity.")] = "ws://127.0.0.1:9000",
    password: Annotated[str | None, typer.Option(help="Basic auth; without one no credentials are sent.")] = None,
    version: Annotated[str, typer.Option(help="1.6, 2.0.1 or 2.1.")] = "1.6",
    evses: Annotated[int, typer.Option(min=1, max=20, help="How many.")] = 1,
    max_current_a: Annotated[float, typer.Option(min=6, max=500, help="A per phase, of each EVSE.")] = 32.0,
    units: Annotated[str, typer.Option(help="What limits may be in: A, W or A,W.")] = "A,W",
    max_periods: Annotated[int, typer.Option(min=1, max=1024, help="Of one schedule.")] = 24,
    max_stack_level: Annotated[int, typer.Option(min=0, help="0: one level.")] = 8,
    sample_s: Annotated[int, typer.Option(min=1, help="Seconds between meter values.")] = 10,
    car: Annotated[
        list[str] | None, typer.Option(help="'40kWh by 07:00 3x16A': comes at once; may be repeated, one an EVSE.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="Something that is wrong with it; may be repeated. See `simulate faults`.")
    ] = None,
) -> None:
    """One charging station that speaks OCPP to any CSMS, in real time. Prints what it is told and draws; Ctrl-C ends
    it: its cars leave, its transactions are ended."""
    from app import logs
    from app.clock import SystemClock
    from app.demo.faults import faults_named
    from app.demo.lone_station import lone_station, read_car, run_station
    from app.demo.profiles_held import Capability, Unit, Version
    from app.demo.station import StationSpec

    versions: dict[str, Version] = {"1.6": "1.6", "2.0.1": "2.0.1", "2.1": "2.1"}
    known_units: dict[str, Unit] = {"A": "A", "W": "W"}
    if version not in versions:
        raise typer.BadParameter(f"{version!r} is none of 1.6, 2.0.1 and 2.1", param_hint="--version")
    words = [word.strip().upper() for word in units.split(",")]
    if any(word not in known_units for word in words):
        raise typer.BadParameter(f"{units!r} is none of A, W and A,W", param_hint="--units")
    clock = SystemClock()
    try:
        faults = faults_named(fault or ())
        cars = [read_car(text, clock.now(), None) for text in car or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if len(cars) > evses:
        raise typer.BadParameter(f"{len(cars)} cars do not fit at {evses} EVSEs", param_hint="--car")

    def tell(text: str) -> None:
        typer.echo(f"{clock.now().astimezone():%H:%M:%S} {station_id} {text}")

    async def work() -> None:
        spec = StationSpec(
            station_id,
            password,
            capability=Capability(tuple(known_units[word] for word in words), max_periods, max_stack_level),
            sample_interval_s=sample_s,
            version=versions[version],
        )
        station = lone_station(spec, clock, evses=evses, max_current_a=max_current_a, faults=faults, tell=tell)
        await run_station(station, url, cars, clock, _stop_on_signals())

    logs.configure("ERROR")  # what matters is told in words
    asyncio.run(work())


@simulate_app.command("faults")
def list_faults() -> None:
    """What `--fault` takes."""
    from app.demo.faults import Fault

    width = max(len(fault) for fault in Fault)
    for fault in Fault:
        typer.echo(f"{fault.value:{width}}  {fault.meaning}")


def _stop_on_signals() -> asyncio.Event:
    import signal

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
