"""A page in Debian's chromium, and everything that goes wrong on it."""

from dataclasses import dataclass, field

from playwright.async_api import Page

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Browsing:
    """A page, and everything that went wrong on it so far."""

    page: Page
    troubles: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", lambda line: self._note("console", line.text, line.type in ("error", "warning")))
        self.page.on("pageerror", lambda error: self._note("script", str(error)))
        self.page.on("requestfailed", lambda request: self._note("request", f"{request.url} {request.failure}"))
        self.page.on(
            "response", lambda reply: self._note("response", f"{reply.status} {reply.url}", reply.status >= 400)
        )

    def _note(self, kind: str, text: str, is_trouble: bool = True) -> None:
        if is_trouble:
            self.troubles.append(f"{kind}: {text}")
