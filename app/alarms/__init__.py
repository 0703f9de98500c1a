"""What operators are told of by themselves. Public: `Alarms` finds it, `Courier` delivers it."""

from app.alarms.alarms import Alarms
from app.alarms.courier import Courier

__all__ = ["Alarms", "Courier"]
