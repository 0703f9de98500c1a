"""The names that others have for transactions."""

from sqlalchemy import update

from app.db import tables
from app.db.rows import Rows

TRANSACTIONS = tables.transactions


class TransactionNameRows(Rows):
    async def name_transaction(self, transaction_id: int, station_id: str, name: str) -> None:
        """Note the name by which the station, or the CSMS before it, knows a transaction; durable on return.

        Names are unique within a station: one whose CSMS began to count anew is taken from the older transaction.
        """
        own = TRANSACTIONS.c.transaction_id == transaction_id
        same_name = (TRANSACTIONS.c.station_id == station_id) & (TRANSACTIONS.c.ocpp_transaction_id == name)
        async with self._database.write() as connection:
            await connection.execute(update(TRANSACTIONS).where(same_name, ~own).values(ocpp_transaction_id=None))
            await connection.execute(update(TRANSACTIONS).where(own).values(ocpp_transaction_id=name))
