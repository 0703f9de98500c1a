"""The state of an EVSE in 1.6's words, which the rest of the service knows, from what 2.x tells in two messages.

2.x says of a connector only whether it is occupied; what the vehicle does, its transaction says. Pure.
"""

CONNECTOR_STATUSES = ("Available", "Occupied", "Reserved", "Unavailable", "Faulted")
CONNECTOR_STATUS_BY_LOWER = {status.lower(): status for status in CONNECTOR_STATUSES}

# Of several connectors of one EVSE the first of these counts: one cable in use is an EVSE in use, and one good
# connector is an EVSE that can be used.
_RANKS = {status: rank for rank, status in enumerate(("Occupied", "Reserved", "Available", "Unavailable", "Faulted"))}

_WORD_OF_STATE = {
    "EVConnected": "Preparing",
    "Charging": "Charging",
    "SuspendedEV": "SuspendedEV",
    "SuspendedEVSE": "SuspendedEVSE",
    "Idle": "Finishing",  # a transaction without a vehicle on its cable
}
CHARGING_STATES = frozenset(_WORD_OF_STATE)


class EvseStatuses:
    """What one station has said of its EVSEs since it connected."""

    def __init__(self) -> None:
        self._connectors: dict[int, dict[int, str]] = {}
        self._charging_state: dict[int, str] = {}
        self._had_transaction: set[int] = set()

    def of_connector(self, evse_id: int, connector_id: int, status: str) -> str:
        """The EVSE's status now that this connector has this one."""
        self._connectors.setdefault(evse_id, {})[connector_id] = status
        if status == "Available":
            self._had_transaction.discard(evse_id)
        return self.of(evse_id)

    def is_in(self, evse_id: int, charging_state: str) -> bool:
        """Whether its transaction is known to be in this state."""
        return self._charging_state.get(evse_id) == charging_state

    def in_transaction(self, evse_id: int, charging_state: str) -> str:
        """The EVSE's status now that its transaction is in this state."""
        self._charging_state[evse_id] = charging_state
        self._had_transaction.add(evse_id)
        return self.of(evse_id)

    def after_transaction(self, evse_id: int) -> str | None:
        """The EVSE's status now that its transaction is over; None where no message has told of its connectors."""
        self._charging_state.pop(evse_id, None)
        self._had_transaction.add(evse_id)
        return self.of(evse_id) if evse_id in self._connectors else None

    def of(self, evse_id: int) -> str:
        connectors = self._connectors.get(evse_id, {})
        status = min(connectors.values(), key=_RANKS.__getitem__, default="Occupied")
        if status != "Occupied":
            return status
        state = self._charging_state.get(evse_id)
        if state is not None:
            return _WORD_OF_STATE[state]
        return "Finishing" if evse_id in self._had_transaction else "Preparing"
