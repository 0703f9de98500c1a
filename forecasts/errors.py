"""Everything that `forecasts` raises.

* ForecastError
    * SeriesError: a series or an argument is malformed; the text names the field and the offending value
    * InsufficientHistoryError: neither history nor any stand-in for it is known
    * UnknownPriceError: no price is known, and none may be guessed
    * SourceError: a provider cannot be reached, or its reply cannot be read
        * NotPublishedError: the provider answered, but the values are not out yet
        * SourceBusyError: the provider asks to be left alone for a while
"""


class ForecastError(Exception):
    """Root of this package's errors."""


class SeriesError(ForecastError, ValueError):
    """The input as given cannot be used. `field` names it, e.g. ``history``."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field} {message}")

    def __reduce__(self) -> tuple[type["SeriesError"], tuple[str, str]]:
        return type(self), (self.field, self.message)


class InsufficientHistoryError(ForecastError):
    """There is no measurement to learn from, and nothing was given to stand in for it."""


class UnknownPriceError(ForecastError):
    """The tariff says nothing about this moment. A price that is missing is never 0."""


class SourceError(ForecastError):
    """A provider did not answer, or its answer is not what it documents. The caller keeps its last good values."""

    def __init__(self, source: str, message: str) -> None:
        self.source = source
        self.message = message
        super().__init__(f"{source}: {message}")

    def __reduce__(self) -> tuple[type["SourceError"], tuple[str, str]]:
        return type(self), (self.source, self.message)


class NotPublishedError(SourceError):
    """The provider has no values for this day yet. Ask again later."""


class SourceBusyError(SourceError):
    """The provider asks to be left alone, for `pause_s` seconds where it says so."""

    def __init__(self, source: str, message: str, pause_s: float | None = None) -> None:
        self.pause_s = pause_s
        super().__init__(source, message)

    def __reduce__(self) -> tuple[type["SourceError"], tuple[str, str]]:
        return type(self), (self.source, self.message)
