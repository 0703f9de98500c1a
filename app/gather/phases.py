"""On how many phases a car charges, found in what was measured of its stay before this process began."""

from datetime import datetime

from app.db.store import Store
from app.gather.sessions import phases_in_use

CURRENT = "Current.Import"


class PhasesBefore:
    """Looks once at each transaction: from then on whoever asks has seen it himself."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: set[int] = set()

    async def of(self, transaction_id: int) -> int | None:
        """None where its stay shows no current yet, or it was asked for before."""
        if transaction_id in self._asked:
            return None
        self._asked.add(transaction_id)
        values = await self._store.meter_values(transaction_id=transaction_id, measurands=(CURRENT,))
        moments: dict[datetime, dict[str, float]] = {}
        for value in values:
            if value.phase:
                moments.setdefault(value.at, {})[value.phase] = value.value
        found = [phases for current_a in moments.values() if (phases := phases_in_use(current_a)) is not None]
        return found[-1] if found else None
