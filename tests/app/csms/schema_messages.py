"""Messages made from OCPP's own schemas: the least that they let one say, and all that there is to say."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import ocpp

SCHEMAS = Path(ocpp.__file__).parent
TIME = "2026-01-01T00:00:00Z"


def least(version: str, action: str, kind: str = "Request") -> dict[str, Any]:
    """Every required field, with a value that fits, and nothing else. `kind` is Request or Response."""
    return _message(version, action, kind, depth=0)


def full(version: str, action: str, depth: int = 4) -> dict[str, Any]:
    """Every field but custom data; those deeper than `depth` only where they are required."""
    return _message(version, action, "Request", depth=depth)


def _message(version: str, action: str, kind: str, *, depth: int) -> dict[str, Any]:
    schema = _schema(version, action, kind)
    payload = _value(schema, schema.get("definitions", {}), depth)
    assert isinstance(payload, dict)
    return payload


@cache
def _schema(version: str, action: str, kind: str) -> dict[str, Any]:
    folder = SCHEMAS / f"v{version.replace('.', '')}" / "schemas"
    file = folder / f"{action}{kind}.json"
    if not file.exists():  # the one SEND
        file = folder / f"{action}.json"
    loaded = json.loads(file.read_text(encoding="utf-8-sig"))
    assert isinstance(loaded, dict)
    return loaded


def _value(schema: dict[str, Any], definitions: dict[str, Any], depth: int) -> Any:
    if "$ref" in schema:
        return _value(definitions[schema["$ref"].rpartition("/")[2]], definitions, depth)
    if schema.get("type") == "object":
        properties = {name: one for name, one in schema.get("properties", {}).items() if name != "customData"}
        names = schema.get("required", []) if depth <= 0 else properties
        return {name: _value(properties[name], definitions, depth - 1) for name in names}
    if schema.get("type") == "array":
        return [_value(schema["items"], definitions, depth)] * schema.get("minItems", 1)
    return _plain_value(schema)


def _plain_value(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") in ("integer", "number"):
        return max(1, int(schema.get("minimum", 1)))
    if schema.get("type") == "boolean":
        return True
    return TIME if schema.get("format") == "date-time" else "x"
