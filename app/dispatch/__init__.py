"""Schedule → charging profiles at the stations: lower first, verify, then raise. Public: `Dispatcher`."""

from app.dispatch.dispatcher import Dispatcher

__all__ = ["Dispatcher"]
