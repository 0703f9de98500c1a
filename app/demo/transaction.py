"""A transaction as the station knows it."""

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from app.demo.profiles_held import TransactionId


class Numbers:
    """0, 1, 2 …: `seqNo` of a transaction's events, whether they can be sent or not."""

    def __init__(self) -> None:
        self._next = count()

    def next(self) -> int:
        return next(self._next)


@dataclass(slots=True)
class Running:
    """`transaction_id`: 1.6: None until the service has named it; 2.x: the station's own name."""

    id_tag: str
    started_at: datetime  # by the station's clock
    transaction_id: TransactionId | None = None
    authorised: bool = True
    charging_state: str | None = None  # 2.x: what was told last
    remote_start_id: int | None = None  # 2.x: of the request that started it
    numbers: Numbers = field(default_factory=Numbers, repr=False)  # 2.x
