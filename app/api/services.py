"""What the routes need of the service, handed to them by FastAPI's `Depends`. Built by `app.main` only."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from fastapi import Depends, Request

from app.actuators.actuators import Actuators
from app.clock import Clock
from app.commands import Commands
from app.csms.connector import CsmsConnector
from app.csms.enrolment import Enrolment
from app.csms.remote.remotes import Remotes
from app.db.records import Plan
from app.db.store import Store
from app.dispatch.certificate import Certificate
from app.dispatch.probe import ProbeReport
from app.events import Events
from app.grid_limits import GridLimits
from app.guard import Guard
from app.keys import Keys
from app.modes import Modes
from app.planning.simulate import Simulator
from app.readiness import Readiness
from app.settings import Settings
from app.site import Site
from app.sources.sources import Sources


class Planning(Protocol):
    """What a route needs of the planner."""

    async def plan(
        self, site_id: str, *, kind: Literal["request", "nightly", "replan"] = "request", dispatch: bool = True
    ) -> Plan: ...


@dataclass(frozen=True, slots=True)
class Services:
    """The service as its routes see it. `stop` is set when it ends: every stream awaits it."""

    settings: Settings
    clock: Clock
    store: Store
    events: Events
    keys: Keys
    connector: CsmsConnector
    planner: Planning
    simulator: Simulator
    certify: Callable[[Site], Awaitable[Certificate]]
    probe: Callable[[Site, str], Awaitable[ProbeReport]]
    commands: Commands
    ocpp_port: Callable[[], int | None] = lambda: None  # None: charging stations cannot connect
    enrolment: Enrolment = field(default_factory=Enrolment)
    remotes: Remotes | None = None  # None: there is no other CSMS
    grid_limits: GridLimits | None = None  # None: nobody may set any
    sources: Sources | None = None  # None: nobody is asked for signals
    modes: Modes | None = None  # None: nothing is controlled here
    guard: Guard | None = None  # None: nobody guards the fuses
    actuators: Actuators | None = None  # None: nobody commands batteries and inverters
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    readiness: Readiness = field(default_factory=Readiness)  # beyond the database and the stations' port


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]


def _store(services: ServicesDep) -> Store:
    return services.store


def _clock(services: ServicesDep) -> Clock:
    return services.clock


def _events(services: ServicesDep) -> Events:
    return services.events


def _keys(services: ServicesDep) -> Keys:
    return services.keys


def _planner(services: ServicesDep) -> Planning:
    return services.planner


def _simulator(services: ServicesDep) -> Simulator:
    return services.simulator


StoreDep = Annotated[Store, Depends(_store)]
ClockDep = Annotated[Clock, Depends(_clock)]
EventsDep = Annotated[Events, Depends(_events)]
KeysDep = Annotated[Keys, Depends(_keys)]
PlannerDep = Annotated[Planning, Depends(_planner)]
SimulatorDep = Annotated[Simulator, Depends(_simulator)]
