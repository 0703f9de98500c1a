"""The dashboard and the alert rules ask for metrics that there are."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from app.clock import SystemClock
from app.csms.connector import CsmsConnector
from app.events import Events, StationConnected
from app.metrics import Metrics
from app.modes import Modes
from tests.stores import a_store

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"\b(?:smartcharge|process)_[a-z_]+\b")
STATES = ("accepted", "applied", "verified", "contradicted", "ignored", "unknown", "rejected", "offline", "withheld")


class Nobody:
    def connected(self) -> frozenset[str]:
        return frozenset()


def expressions() -> dict[str, str]:
    """Of every panel and every alert, by its name."""
    dashboard = json.loads((ROOT / "deploy/grafana.json").read_text("utf-8"))
    panels = {
        f"panel {panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    return panels | {f"alert {rule['alert']}": rule["expr"] for rule in rules()}


@cache
def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((ROOT / "deploy/alerts.yaml").read_text("utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


async def names() -> set[str]:
    """Every sample that a service with a store tells."""
    events = Events()
    async with a_store() as store:
        metrics = Metrics(events, cast(CsmsConnector, Nobody()), modes=Modes(store, SystemClock(), events))
        metrics.watch(store, SystemClock())
        metrics.outcomes(dict.fromkeys(STATES, 1))
        metrics.request_seconds.labels("GET", "/", "200").observe(0.1)
        events.publish(StationConnected("cs01", SystemClock().now()))
        await metrics.text()
        told = {sample.name for family in metrics.registry.collect() for sample in family.samples}
        return told | {family.name for family in metrics.registry.collect()}


@pytest.mark.parametrize("where", sorted(expressions()))
async def test_every_metric_that_is_asked_for_exists(where: str) -> None:
    asked = set(NAME.findall(expressions()[where]))

    assert asked - await names() == set()
    assert asked or "up{" in expressions()[where]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_how_bad_it_is_and_what_to_look_at(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_states_in_the_rules_are_states_of_deliveries() -> None:
    named = {
        state
        for text in expressions().values()
        for found in re.findall(r'state=~"([^"]+)"', text)
        for state in found.split("|")
    }

    assert named <= set(STATES)


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((ROOT / "deploy/grafana.json").read_text("utf-8"))["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


async def test_every_metric_of_ours_stands_in_the_operators_page() -> None:
    page = (ROOT / "docs/operations.md").read_text("utf-8")

    ours = {
        re.sub(r"_(bucket|sum|count|created)$", "", name) for name in await names() if name.startswith("smartcharge_")
    }
    assert {name for name in ours if name.removesuffix("_total") not in page} == set()
