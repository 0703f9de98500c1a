from collections.abc import Iterator

import pytest

from tests.app.sources.provider import Provider, Reply, a_provider


@pytest.fixture(scope="module")
def _one_provider() -> Iterator[Provider]:
    with a_provider() as provider:
        yield provider


@pytest.fixture
def provider(_one_provider: Provider) -> Provider:
    """Starting a server takes longer than most tests: one a module, with its memory wiped."""
    _one_provider.asked.clear()
    _one_provider.replies(Reply(status=500))
    return _one_provider
