"""1.6 behind another CSMS: its numbers of transactions against ours. 2.x has names that both sides know."""

from app.csms.frames import Json
from app.csms.lenient import quote, read_count
from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError, ProfileRejectedError

MAX_REMEMBERED = 1_000  # of one station


class TransactionNames:
    """Of one station."""

    def __init__(self, station_id: str, store: Store) -> None:
        self._station_id = station_id
        self._store = store
        self._ours: dict[int, int] = {}  # by theirs

    async def learn(self, theirs: int, ours: int) -> None:
        """On disk before anybody is told of the transaction. Raises `StoreUnavailableError`."""
        if len(self._ours) >= MAX_REMEMBERED:
            self._ours.clear()  # the store knows them
        self._ours[theirs] = ours
        await self._store.name_transaction(ours, self._station_id, str(theirs))

    async def ours(self, theirs: int) -> int | None:
        """None: its start was never told."""
        if theirs not in self._ours:
            transaction = await self._store.transaction_named(self._station_id, str(theirs))
            if transaction is None:
                return None
            self._ours[theirs] = transaction.transaction_id
        return self._ours[theirs]

    async def theirs(self, ours: int) -> int:
        """Raises `ProfileRejectedError` where it has none: the station knows no such transaction."""
        try:
            transaction = await self._store.transaction(ours)
        except NotFoundError:
            transaction = None
        name = (
            None
            if transaction is None or transaction.station_id != self._station_id
            else read_count(transaction.ocpp_transaction_id)
        )
        if name is None:
            raise ProfileRejectedError(self._station_id, f"TxNotFound: its CSMS has no number for transaction {ours}")
        return name

    async def outwards(self, action: str, payload: Json) -> Json:
        """A call of ours as the station knows it."""
        if action == "RemoteStopTransaction":
            return payload | {"transactionId": await self.theirs(payload["transactionId"])}
        if action == "SetChargingProfile" and "transactionId" in payload["csChargingProfiles"]:
            profile = payload["csChargingProfiles"]
            named = profile | {"transactionId": await self.theirs(profile["transactionId"])}
            return payload | {"csChargingProfiles": named}
        return payload

    async def inwards(self, action: str, payload: Json) -> Json:
        """What the station said, in our numbers. Raises `InvalidInputError` for the stop of an unknown transaction:
        a number of theirs may be one of ours, of another car."""
        if action not in ("MeterValues", "StopTransaction") or payload.get("transactionId") is None:
            return payload
        theirs = read_count(payload["transactionId"])
        ours = None if theirs is None else await self.ours(theirs)
        if ours is not None:
            return payload | {"transactionId": ours}
        if action == "MeterValues":  # they are of the transaction that runs there, if one does
            return {key: value for key, value in payload.items() if key != "transactionId"}
        said = quote(payload["transactionId"])
        raise InvalidInputError("payload.transactionId", f"{said} was never started: send its StartTransaction first")
