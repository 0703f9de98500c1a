"""The ledgers over HTTP and on the command line."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from app.cli.main import main
from app.db.ledger_records import Decision, Exchange
from app.planning.decision import Recipe, decision
from tests.app.api.builders import NOW, READ, a_plan, an_api
from tests.stores import a_store, sqlite_url


async def test_runs_are_listed_with_their_state_and_reason() -> None:
    async with an_api() as api:
        lease = NOW + timedelta(minutes=2)
        assert await api.store.claim_run("depot", "nightly", NOW, owner="me", now=NOW, lease_until=lease)
        claim = await api.store.claim_run("depot", "replan", NOW, owner="me", now=NOW, lease_until=lease)
        assert claim is not None
        await api.store.end_run(claim.run, "failed", "no prices", NOW)

        rows = (await api.client.get("/v1/runs", params={"site": "depot"})).json()
        failed = (await api.client.get("/v1/runs", params={"state": "failed"})).json()

        assert [(row["kind"], row["state"], row["fence"]) for row in rows] == [
            ("nightly", "running", 1),
            ("replan", "failed", 2),
        ]
        assert [(row["kind"], row["reason"]) for row in failed] == [("replan", "no prices")]
        assert (await api.client.get("/v1/runs", params={"state": "odd"})).status_code == 422


async def test_a_poisoned_site_is_listed_and_forgiven_by_an_admin() -> None:
    async with an_api() as api:
        await api.store.add_deaths("depot", 2, NOW)

        [row] = (await api.client.get("/v1/poisoned-sites")).json()
        assert (row["deaths"], row["quarantined_until"]) == (2, "2026-06-01T18:00:00Z")
        path = "/v1/poisoned-sites/depot"
        assert (await api.client.delete(path, headers=await api.as_(READ))).status_code == 403

        assert (await api.client.delete(path)).status_code == 204

        assert (await api.client.get("/v1/poisoned-sites")).json() == []
        assert (await api.client.delete(path)).status_code == 404


async def test_a_plan_answers_why_and_is_made_again() -> None:
    async with an_api() as api:
        plan = a_plan()
        claim = await api.store.claim_run("depot", "request", NOW, owner="me", now=NOW, lease_until=NOW)
        assert claim is not None
        record = decision(
            plan.problem, plan.schedule, Recipe(baselines=("uncontrolled", "equal_share")), time_limit_s=30
        )
        await api.store.save_plan_of_run(plan, claim.run, Decision(plan.plan_id, "depot", NOW, record))
        said = Exchange(plan.plan_id, "depot", "cs01", 1, NOW, "SetChargingProfile", {"profile_id": 101}, {"a": 1})
        await api.store.add_exchanges([said])
        path = f"/v1/schedules/{plan.plan_id}"

        why = (await api.client.get(f"{path}/why", params={"evse": "cs01/1", "at": plan.problem["start"]})).json()
        whole = (await api.client.get(f"{path}/decision")).json()
        again = (await api.client.post(f"{path}/replay")).json()

        assert why["does"] in ("charges", "rests")
        assert why["text"]
        assert why["stay"]["session"]
        assert whole["record"]["problem_sha256"] == record["problem_sha256"]
        assert [one["action"] for one in whole["exchanges"]] == ["SetChargingProfile"]
        assert (again["same"], again["verdict"]) == (True, "the same, bit by bit")


async def test_questions_that_nobody_can_answer_say_so() -> None:
    async with an_api() as api:
        plan = a_plan()
        await api.store.save_plan(plan)
        path = f"/v1/schedules/{plan.plan_id}"

        assert (await api.client.get("/v1/schedules/none/why", params={"evse": "cs01/1"})).status_code == 404
        assert (await api.client.get(f"{path}/decision")).status_code == 404  # from before there was a ledger
        unknown = await api.client.get(f"{path}/why", params={"evse": "x", "at": plan.problem["start"]})
        assert "'x'" in unknown.json()["detail"]
        naive = await api.client.get(f"{path}/why", params={"evse": "cs01/1", "at": "2026-06-01T12:00:00"})
        assert naive.status_code == 422


def test_the_command_line_lists_runs_makes_plans_again_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = a_plan()

    async def prepare() -> None:
        async with a_store(directory=tmp_path) as store:
            claim = await store.claim_run("depot", "request", NOW, owner="me", now=NOW, lease_until=NOW)
            assert claim is not None
            record = decision(
                plan.problem, plan.schedule, Recipe(baselines=("uncontrolled", "equal_share")), time_limit_s=30
            )
            await store.save_plan_of_run(plan, claim.run, Decision(plan.plan_id, "depot", NOW, record))

    asyncio.run(prepare())
    monkeypatch.setenv("SMARTCHARGE_DATABASE_URL", sqlite_url(tmp_path / "smartcharge.db"))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    status, out, _ = run("runs", "--json")
    assert (status, json.loads(out)[0]["schedule_id"]) == (0, plan.plan_id)
    status, out, _ = run("runs", "--site", "depot")
    assert (status, plan.plan_id in out) == (0, True)
    status, out, _ = run("replay", plan.plan_id)
    assert (status, out) == (0, f"Plan {plan.plan_id}: the same, bit by bit.\n")
    status, out, _ = run("why", plan.plan_id, "--evse", "cs01/1", "--at", plan.problem["start"])
    assert (status, "cs01/1" in out) == (0, True)
    status, _, err = run("why", plan.plan_id, "--evse", "cs01/1", "--at", "noon")
    assert (status, "at: 'noon' is no moment" in err) == (2, True)
    status, _, err = run("replay", "none")
    assert (status, "'none' does not exist" in err) == (2, True)
    status, _, err = run("runs", "--forgive", "depot")
    assert (status, "depot" in err) == (2, True)
