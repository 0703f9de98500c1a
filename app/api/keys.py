"""`/v1/keys`: who may use this API."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

from app.api.auth import Admin
from app.api.services import KeysDep
from app.db.records import ApiKey
from app.keys import Scope
from app.problem_json.fields import Edge

router = APIRouter(prefix="/v1/keys", tags=["keys"])


class KeyIn(Edge):
    name: str = Field(min_length=1, max_length=200, description="who holds it")
    scopes: list[Scope] = Field(
        min_length=1, description="read; write: also readings, series, sessions and schedules; admin: everything"
    )


class KeyOut(BaseModel):
    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None = Field(description="to the minute")
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls(
            id=key.key_id,
            name=key.name,
            scopes=list(key.scopes),
            created_at=key.created_at,
            last_used_at=key.last_used_at,
            revoked_at=key.revoked_at,
        )


class KeyCreated(KeyOut):
    key: str = Field(description="shown this once")


@router.post("", status_code=HTTPStatus.CREATED)
async def create_key(
    wish: Annotated[
        KeyIn, Body(openapi_examples={"a fleet's system": {"value": {"name": "fleet", "scopes": ["read", "write"]}}})
    ],
    keys: KeysDep,
    _: Admin,
) -> KeyCreated:
    """Make a key and say it this once."""
    key, token = await keys.create(wish.name, wish.scopes)
    return KeyCreated(**KeyOut.of(key).model_dump(), key=token)


@router.get("")
async def list_keys(keys: KeysDep, _: Admin) -> list[KeyOut]:
    """Every key, without its secret."""
    return [KeyOut.of(key) for key in await keys.all()]


@router.delete("/{key_id}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_key(key_id: str, keys: KeysDep, _: Admin) -> None:
    """End a key at once, and the dashboard sessions that were opened with it."""
    await keys.revoke(key_id)
