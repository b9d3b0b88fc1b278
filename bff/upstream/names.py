"""The addresses of names: IPv4 first, remembered for a minute, and used longer while DNS is down.

Many networks announce IPv6 and carry none of it, so that an IPv6 address costs
a timeout; and a resolver of the system may take many seconds to say that it
has no answer, which no timeout of a socket bounds.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any

from urllib3.util.connection import allowed_gai_family

MOST_NAMES = 128
TTL_S = 60.0
PAUSE_S = 5.0  # after a failure, while an old address serves

# (family, kind, protocol, canonical name, address), as socket.getaddrinfo has them
Address = tuple[int, int, int, str, Any]
Key = tuple[str, int]


class Names:
    """Thread-safe; lives as long as the process; holds at most `most` names.

    One thread resolves a name, however many wait for it, and none waits
    longer than it says. No lock is held meanwhile.
    """

    def __init__(
        self,
        ttl_s: float = TTL_S,
        most: int = MOST_NAMES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl_s, self._most, self._clock = ttl_s, most, clock
        self._known: OrderedDict[Key, tuple[float, list[Address]]] = OrderedDict()
        self._flights: dict[Key, Future[list[Address]]] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, port: int, timeout_s: float) -> list[Address]:
        """Return where the name can be reached, IPv4 first.

        Raises `socket.gaierror` where it has no address, and `TimeoutError`.
        With an address from earlier, neither: it is waited for half as long,
        and then the old one serves.
        """
        if is_number(host):
            return _resolve(host, port)
        key = (host, port)
        known = self._look(key)
        if known is not None and self._clock() < known[0]:
            return known[1]
        flight = self._fly(key)
        try:
            return flight.result(timeout_s / 2 if known else timeout_s)
        except NotYet:
            error: OSError = TimeoutError("the name was not resolved in time")
        except OSError as raised:
            error = raised
        if known is None:
            raise error
        self._stretch(key, known[1])
        return known[1]

    def _look(self, key: Key) -> tuple[float, list[Address]] | None:
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            return known

    def _fly(self, key: Key) -> Future[list[Address]]:
        """Return the flight that resolves the name; the first who asks begins it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight
            flight = self._flights[key] = Future()
        try:
            threading.Thread(
                target=self._lead, args=(key, flight), name="names", daemon=True
            ).start()
        except RuntimeError:  # the system gives no more threads
            self._lead(key, flight)
        return flight

    def _lead(self, key: Key, flight: Future[list[Address]]) -> None:
        try:
            found = _resolve(*key)
        except Exception as error:  # whatever it is, nobody may be left waiting
            self._land(key, None)
            flight.set_exception(error)
        else:
            self._land(key, found)
            flight.set_result(found)

    def _land(self, key: Key, found: list[Address] | None) -> None:
        with self._lock:
            del self._flights[key]
            if found:
                self._known[key] = (self._clock() + self._ttl_s, found)
                self._known.move_to_end(key)
                while len(self._known) > self._most:
                    self._known.popitem(last=False)

    def _stretch(self, key: Key, found: list[Address]) -> None:
        """Use an old address for a while: not every call has to wait for a resolver that fails."""
        with self._lock:
            known = self._known.get(key)
            if known is not None and known[1] is found:
                self._known[key] = (self._clock() + PAUSE_S, found)

    def __len__(self) -> int:
        return len(self._known)


def is_number(host: str) -> bool:
    """Whether a host is an address already."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _resolve(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)
    # sorted is stable: within a family the system's order stays.
    return sorted(found, key=lambda address: address[0] != socket.AF_INET)
