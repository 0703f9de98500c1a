"""A real browser: Debian's chromium, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import async_playwright

from tests.e2e.browsing import ARGUMENTS, Browsing


@pytest.fixture
async def browsing() -> AsyncIterator[Browsing]:
    executable = shutil.which("chromium")
    if executable is None:
        missing = "chromium is missing: apt-get install -y --no-install-recommends chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        try:
            watched = Browsing(await browser.new_page(viewport={"width": 1280, "height": 900}))
            watched.page.set_default_timeout(20_000)
            watched.watch()
            yield watched
        finally:
            await browser.close()
