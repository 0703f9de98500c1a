"""Patience with logins: who fails waits longer each time, and who connects all the time is kept out for a while.

Pure: times are given in seconds. Guesses count by the machine's own steady time, connections by the service's clock, so
that a simulated day finds the same stations flapping as a real one. Memory is bounded, the longest untouched is
forgotten first.
"""

from collections import deque
from dataclasses import dataclass
from typing import TypeVar

FREE_PER_STATION = 5  # failures before the first wait
FREE_PER_ADDRESS = 50  # a whole site may stand behind one address
LONGEST_WAIT_S = 300.0
LONGEST_ADDRESS_WAIT_S = 5.0  # a few wrong keys of a site must not keep its right ones out after a restart of ours
FORGIVEN_AFTER_S = 900.0  # without a further failure
OWN_ADDRESS_WAIT_S = 1.0  # where the station itself last came from, nobody else's guesses keep it out for longer
MAX_REMEMBERED = 10_000
CONNECT_WINDOW_S = 60.0

T = TypeVar("T")


@dataclass(slots=True)
class _Strikes:
    count: int
    last_at: float
    until: float


class LoginThrottle:
    """Failed logins by station and by address: after a few free ones each doubles the wait, from one second on."""

    def __init__(self) -> None:
        self._by_station: dict[str, _Strikes] = {}
        self._by_address: dict[str, _Strikes] = {}
        self._good_address: dict[str, str] = {}

    def wait_s(self, station_id: str, address: str, now: float) -> float:
        """How long this login must still wait; 0 when it may be tried."""
        waits = [self._left(self._by_station, station_id, now), self._left(self._by_address, address, now)]
        if self._good_address.get(station_id) == address:
            return min(max(waits), OWN_ADDRESS_WAIT_S)
        return max(waits)

    def failed(self, station_id: str, address: str, now: float) -> None:
        wait_s = OWN_ADDRESS_WAIT_S if self._good_address.get(station_id) == address else LONGEST_WAIT_S
        self._strike(self._by_station, station_id, FREE_PER_STATION, wait_s, now)
        self._strike(self._by_address, address, FREE_PER_ADDRESS, LONGEST_ADDRESS_WAIT_S, now)

    def succeeded(self, station_id: str, address: str) -> None:
        self._by_station.pop(station_id, None)
        _remember(self._good_address, station_id, address)

    @staticmethod
    def _left(strikes: dict[str, _Strikes], key: str, now: float) -> float:
        found = strikes.get(key)
        return max(0.0, found.until - now) if found else 0.0

    @staticmethod
    def _strike(strikes: dict[str, _Strikes], key: str, free: int, longest_s: float, now: float) -> None:
        found = strikes.get(key)
        count = found.count + 1 if found and now - found.last_at < FORGIVEN_AFTER_S else 1
        wait_s = 0.0 if count < free else min(longest_s, 2.0 ** min(count - free, 20))
        _remember(strikes, key, _Strikes(count, now, now + wait_s))


class Flapping:
    """Stations that connect more than `most` times within a minute."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._connected_at: dict[str, deque[float]] = {}
        self._locked_out: set[str] = set()

    def admits(self, station_id: str, now: float) -> bool:
        """Whether it may connect now; if so, that counts."""
        times = self._connected_at.get(station_id) or deque(maxlen=self._most)
        if len(times) == self._most and 0 <= now - times[0] < CONNECT_WINDOW_S:  # a clock may be put back
            return False
        times.append(now)
        _remember(self._connected_at, station_id, times)
        self._locked_out.discard(station_id)
        return True

    def is_news(self, station_id: str) -> bool:
        """Whether the lock-out has just begun; True once each time."""
        if station_id in self._locked_out or len(self._locked_out) >= MAX_REMEMBERED:
            return False
        self._locked_out.add(station_id)
        return True


def _remember(entries: dict[str, T], key: str, value: T) -> None:
    entries.pop(key, None)  # to the end: dictionaries keep their order
    entries[key] = value
    if len(entries) > MAX_REMEMBERED:
        del entries[next(iter(entries))]
