"""The OpenAPI document builds, and what it shows as an example works."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.api.application import openapi_document
from app.csms.enrolment import Applicant
from tests.app.api.builders import NOW, an_api

DOCUMENT = openapi_document()
EXAMPLES = [
    (method.upper(), path, content_type, name, example["value"])
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    for content_type, content in operation.get("requestBody", {}).get("content", {}).items()
    for name, example in content.get("examples", {}).items()
]


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own() -> None:
    operations = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]

    assert all(operation.get("description") for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_every_body_under_v1_has_an_example() -> None:
    bodies = {
        (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if path.startswith("/v1") and "requestBody" in operation
    }

    assert bodies == {(method, path) for method, path, *_ in EXAMPLES if path.startswith("/v1")}


def test_routes_under_v1_say_that_they_need_a_key() -> None:
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            assert ("security" in operation) == path.startswith("/v1"), path


def test_errors_are_problems() -> None:
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if status.startswith("4"):
                    assert set(response["content"]) == {"application/problem+json"}


def test_the_document_has_no_dangling_reference() -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}

    assert set(references(DOCUMENT)) <= known


@pytest.mark.parametrize(
    ("method", "path", "content_type", "value"),
    [(method, path, content_type, value) for method, path, content_type, _, value in EXAMPLES],
    ids=[f"{method} {path}: {name}" for method, path, _, name, _ in EXAMPLES],
)
async def test_an_example_works_as_it_stands(method: str, path: str, content_type: str, value: Any) -> None:
    async with an_api(site=None if (method, path) == ("POST", "/v1/sites") else EXAMPLE_SITE) as api:
        api.app.state.services.enrolment.note(Applicant("cs07", "10.0.0.7", NOW, NOW))
        api.connector.online = frozenset({"cs01"})
        path = path.format(site_id="depot", charging_station_id="cs01", applicant_id="cs07", action="TriggerMessage")
        body: dict[str, Any] = {"content": value} if isinstance(value, str) else {"json": value}

        response = await api.client.request(method, path, headers={"content-type": content_type}, **body)

        assert response.is_success, response.text


async def test_the_service_serves_the_same_document_to_anybody() -> None:
    async with an_api() as api:
        assert (await api.anonymous.get("/openapi.json")).json() == DOCUMENT


EXAMPLE_SITE = next(value for method, path, _, _, value in EXAMPLES if (method, path) == ("POST", "/v1/sites"))
