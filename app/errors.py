"""What can go wrong, and the one table that turns an exception into an HTTP problem (RFC 9457).

* AppError
    * InvalidInputError: the caller's input is wrong; names the field and the value
    * NotFoundError: an id that nobody knows
    * ConflictError: the input is fine, the state forbids it
        * AlreadyPlannedError: somebody has planned the site for this moment, or is at it
        * OvertakenError: somebody else has taken the run over, or a newer plan of the site was sent first
    * UnauthorizedError: no key, or an unknown one
    * ForbiddenError: a known key without the scope
    * StoreUnavailableError: the database does not answer
    * StationError: a charging station did not do what it was asked
        * StationOfflineError: it has no connection
            * StationBusyError: too many calls wait for it already; this one was not sent
        * ProfileRejectedError: it answered, and the answer is no
        * CallFailedError: it answered with a CALLERROR
        * OutcomeUnknownError: nobody knows whether it did; the caller assumes the worse
            * SupersededError: not sent, for a newer profile took its place; what became of that is another's to know
"""

from http import HTTPStatus

from forecasts.errors import ForecastError
from optimizer.errors import InvalidProblemError, SolverError


class AppError(Exception):
    """Root of this package's errors."""


class InvalidInputError(AppError, ValueError):
    """`field` is the path of what is wrong, e.g. ``charging_stations[2].evses[0].circuit``."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}")


class NotFoundError(AppError, LookupError):
    def __init__(self, kind: str, identifier: object) -> None:
        super().__init__(f"{kind} {identifier!r} does not exist")


class ConflictError(AppError):
    """The text says what is in the way."""


class AlreadyPlannedError(ConflictError):
    pass


class OvertakenError(ConflictError):
    pass


class UnauthorizedError(AppError):
    pass


class ForbiddenError(AppError):
    pass


class StoreUnavailableError(AppError):
    pass


class StationError(AppError):
    def __init__(self, station_id: str, message: str) -> None:
        self.station_id = station_id
        super().__init__(f"{station_id}: {message}")


class StationOfflineError(StationError):
    def __init__(self, station_id: str) -> None:
        super().__init__(station_id, "is not connected")


class StationBusyError(StationOfflineError):
    def __init__(self, station_id: str, action: str, waiting: int) -> None:
        StationError.__init__(self, station_id, f"{action} was not sent: {waiting} calls wait for the station already")


class ProfileRejectedError(StationError):
    """`status` is the station's own word, e.g. ``Rejected`` or ``NotSupported``."""

    def __init__(self, station_id: str, status: str) -> None:
        self.status = status
        super().__init__(station_id, f"answered {status}")


class CallFailedError(StationError):
    def __init__(self, station_id: str, code: str, description: str) -> None:
        self.code = code
        self.description = description
        super().__init__(station_id, f"answered with the error {code}: {description}")


class OutcomeUnknownError(StationError):
    pass


class SupersededError(OutcomeUnknownError):
    def __init__(self, station_id: str) -> None:
        super().__init__(station_id, "the charging profile was not sent: a newer one took its place")


# Looked up along the exception's class tree: the nearest entry wins. `type` becomes urn:smartcharge:<second>.
PROBLEMS: dict[type[Exception], tuple[HTTPStatus, str]] = {
    InvalidInputError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input"),
    InvalidProblemError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-problem"),
    ForecastError: (HTTPStatus.CONFLICT, "no-forecast"),
    NotFoundError: (HTTPStatus.NOT_FOUND, "not-found"),
    ConflictError: (HTTPStatus.CONFLICT, "conflict"),
    UnauthorizedError: (HTTPStatus.UNAUTHORIZED, "unauthorized"),
    ForbiddenError: (HTTPStatus.FORBIDDEN, "forbidden"),
    StoreUnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "store-unavailable"),
    StationOfflineError: (HTTPStatus.CONFLICT, "station-offline"),
    ProfileRejectedError: (HTTPStatus.CONFLICT, "profile-rejected"),
    CallFailedError: (HTTPStatus.BAD_GATEWAY, "station-error"),
    OutcomeUnknownError: (HTTPStatus.GATEWAY_TIMEOUT, "outcome-unknown"),
    SupersededError: (HTTPStatus.CONFLICT, "superseded"),
    StationBusyError: (HTTPStatus.SERVICE_UNAVAILABLE, "station-busy"),
    SolverError: (HTTPStatus.INTERNAL_SERVER_ERROR, "solver-failed"),
    AppError: (HTTPStatus.INTERNAL_SERVER_ERROR, "internal"),
}
