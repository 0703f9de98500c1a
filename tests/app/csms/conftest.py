from collections.abc import AsyncIterator

import pytest

from app.db.store import Store
from tests.app.csms.stations import furnish
from tests.stores import a_store


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """A real store with one site, whose station cs01 has a password."""
    async with a_store() as opened:
        await furnish(opened)
        yield opened
