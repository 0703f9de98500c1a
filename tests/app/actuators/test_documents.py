"""What a site's document may say of batteries and actuators: what is wrong is refused with the field and the value."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.actuators.devices import devices_of
from app.site import Site
from tests.app.actuators.actuator_world import battery_document, site_document

MODBUS = {"kind": "modbus", "host": "inverter.lan"}
ROOF = {"id": "roof", "peak_kw": 30, "inverter_kw": 25}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"actuator": {"target": {"kind": "telepathy"}}}, r"batteries\.0\.actuator\.target[\s\S]*telepathy"),
        ({"actuator": {"target": {"kind": "modbus"}}}, r"actuator\.target\.modbus\.host"),
        ({"actuator": {"target": {"kind": "http", "url": "ftp://x", "secret": "s"}}}, r"url[\s\S]*ftp://x"),
        ({"actuator": {"target": {"kind": "http", "url": "http://x"}}}, r"target\.http\.secret"),
        ({"actuator": {"target": {"kind": "mqtt", "host": "b", "command_topic": "a/#", "state_topic": "s"}}}, "a/#"),
        ({"actuator": {"valid_s": 0.5}}, r"actuator\.valid_s[\s\S]*0\.5"),
        ({"actuator": {"on_loss": "panic"}}, r"on_loss[\s\S]*panic"),
        ({"min_soc": 0.9, "max_soc": 0.8}, "max_soc 0.8 leaves nothing above 18 kWh"),
        ({"min_soc": 1.2}, r"min_soc[\s\S]*1\.2"),
        ({"soc": {"kind": "http", "url": "http://x"}}, r"soc\.http\.path"),
    ],
)
def test_a_battery_that_cannot_be_commanded_is_refused_with_the_field(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Site.model_validate(site_document(battery_document(502, **changes)))


def test_a_battery_that_is_said_to_be_controllable_needs_somebody_who_commands_it() -> None:
    plain = {key: value for key, value in battery_document(502).items() if key != "actuator"}

    with pytest.raises(ValueError, match=r"batteries\[store\]\.actuator is missing"):
        Site.model_validate(site_document(plain | {"controllable": True}))


def test_a_battery_that_must_not_be_planned_is_no_device_though_it_has_an_actuator() -> None:
    site = Site.model_validate(site_document(battery_document(502, controllable=False)))

    assert devices_of(site) == []


def test_a_site_has_its_batteries_and_arrays_with_actuators_as_devices() -> None:
    arrays = [ROOF | {"actuator": {"target": MODBUS, "safe_limit_kw": 10}}, ROOF | {"id": "wall"}]
    site = Site.model_validate(
        site_document(battery_document(502), pv_arrays=arrays, latitude=52, longitude=13, pv_curtailable=True)
    )

    store, roof = devices_of(site)

    assert (store.device_id, store.kind, store.safe_kw, store.alone_charge_kw) == ("battery/store", "battery", 0.0, 0.0)
    assert (roof.device_id, roof.kind, roof.safe_kw, roof.max_discharge_kw) == ("pv/roof", "pv", 10.0, 25.0)


def test_the_example_of_the_documentation_is_a_site_with_a_battery_to_command() -> None:
    text = (Path(__file__).parents[3] / "docs" / "actuators.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)

    [device] = devices_of(Site.model_validate(yaml.safe_load(example)))

    assert (device.device_id, device.actuator.valid_s) == ("battery/store", 120)


@pytest.mark.parametrize(
    ("changes", "tolerance_kw"),
    [({}, 0.2), ({"max_discharge_kw": 100}, 2.0), ({"max_discharge_kw": 100, "actuator": {"tolerance_kw": 0.1}}, 0.1)],
)
def test_a_read_back_may_be_off_by_what_large_devices_count_in(changes: dict[str, Any], tolerance_kw: float) -> None:
    [device] = devices_of(Site.model_validate(site_document(battery_document(502, **changes))))

    assert device.tolerance_kw == tolerance_kw
