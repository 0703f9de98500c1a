"""Consumer prices from Tibber: GraphQL with the customer's own token, taxes included or not.

A price has a start with the home's own offset and no end; ``tomorrow`` is empty until about 13:00. Errors come with
status 200.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from forecasts.errors import NotPublishedError, SourceError
from forecasts.sources.published import (
    OnePage,
    Published,
    Request,
    Window,
    json_of,
    moment,
    number,
    on_steps,
    started,
    unique,
)

SOURCE = "tibber"
BASE_URL = "https://api.tibber.com"
QUERY = """
query($home: ID!) {
  viewer { home(id: $home) { currentSubscription { priceInfo(resolution: QUARTER_HOURLY) {
    today { total energy currency startsAt }
    tomorrow { total energy currency startsAt }
  } } } }
}
""".strip()


@dataclass(frozen=True, slots=True)
class Tibber(OnePage):
    """`price` ``total`` is what the customer pays; ``energy`` lacks taxes and fees, for a tariff that adds them."""

    home_id: str
    token: str = field(repr=False)
    price: Literal["total", "energy"] = "total"
    base_url: str = BASE_URL

    @property
    def name(self) -> str:
        return SOURCE

    def requests(self, _: Window) -> tuple[Request, ...]:
        return (
            Request(
                f"{self.base_url}/v1-beta/gql",
                headers={"Authorization": f"Bearer {self.token}"},
                body={"query": QUERY, "variables": {"home": self.home_id}},
                secrets=(self.token,),
            ),
        )

    def parse(self, pages: Sequence[bytes], window: Window) -> tuple[Published, ...]:
        reply = json_of(SOURCE, pages[0])
        if isinstance(reply, dict) and reply.get("errors"):
            raise SourceError(SOURCE, f"answered with errors: {_messages(reply['errors'])}")
        try:
            info = reply["data"]["viewer"]["home"]["currentSubscription"]["priceInfo"]
            rows = [*info["today"], *info["tomorrow"]]
        except (KeyError, TypeError) as error:
            raise SourceError(SOURCE, "the reply holds no prices: is the home known, and has it a contract?") from error
        if not all(isinstance(row, dict) for row in rows):
            raise SourceError(SOURCE, "a price is not an object")
        if not rows:
            raise NotPublishedError(SOURCE, "no price is out")
        priced = [
            (moment(SOURCE, row.get("startsAt"), "startsAt"), number(SOURCE, row.get(self.price), self.price))
            for row in rows
        ]
        currencies = sorted({str(row.get("currency")) for row in rows})
        if len(currencies) != 1:
            raise SourceError(SOURCE, f"prices are in {' and '.join(currencies)}")
        known = unique(SOURCE, priced)
        if not any(window.start <= start < window.end for start in known):
            raise NotPublishedError(SOURCE, f"nothing from {window.start.isoformat()} on")
        values, step = on_steps(SOURCE, started(SOURCE, known))
        return (Published("import_price", values, step, f"{currencies[0]}/kWh"),)


def _messages(errors: Any) -> str:
    listed = errors if isinstance(errors, list) else [errors]
    texts = [str(error.get("message", "?")) if isinstance(error, dict) else str(error) for error in listed[:3]]
    return "; ".join(text[:200] for text in texts)
