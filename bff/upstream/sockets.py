"""Sockets that obey the deadline of the request.

A timeout of `requests` holds for one socket operation: an upstream that sends
a byte now and then keeps the call alive for ever, and each address of a name
has a whole timeout for itself. These sockets cut each operation to what is left
of the deadline: connect, TLS handshake, request, headers and body alike.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from bff import context
from bff.upstream.names import Names

# Python asks the kernel, and lets other threads run, each time that a timeout is set: with two
# threads at work that costs as much as the call. So a socket may be late by this.
SLACK_S = 0.01


class _Deadline:
    """Mixed into a socket class: tightens its timeout before it sends or reads.

    What `super()` is, mypy cannot know of a class that is mixed in: hence the `misc`.
    """

    def settimeout(self: Any, value: float | None) -> None:
        if value != self.gettimeout():
            super().settimeout(value)  # type: ignore[misc]

    def recv(self: Any, *args: Any, **kwargs: Any) -> bytes:
        return bytes(_in_time(self, super().recv, *args, **kwargs))  # type: ignore[misc]

    def recv_into(self: Any, *args: Any, **kwargs: Any) -> int:
        return int(_in_time(self, super().recv_into, *args, **kwargs))  # type: ignore[misc]

    def sendall(self: Any, *args: Any, **kwargs: Any) -> None:
        _in_time(self, super().sendall, *args, **kwargs)  # type: ignore[misc]

    def send(self: Any, *args: Any, **kwargs: Any) -> int:
        return int(_in_time(self, super().send, *args, **kwargs))  # type: ignore[misc]

    def do_handshake(self: Any, *args: Any, **kwargs: Any) -> None:
        _in_time(self, super().do_handshake, *args, **kwargs)  # type: ignore[misc]


def _in_time(sock: socket.socket, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    left_s = context.current().deadline.left_s()
    if left_s <= 0:
        raise TimeoutError("deadline of the request has passed")
    limit_s = sock.gettimeout()
    if limit_s is not None and limit_s <= left_s + SLACK_S:
        return operation(*args, **kwargs)
    sock.settimeout(left_s)
    try:
        return operation(*args, **kwargs)
    finally:
        sock.settimeout(limit_s)


class DeadlineSocket(_Deadline, socket.socket):
    """A plain socket under the deadline; `recv_now` and `send_now` are for one that never waits."""

    recv_now, send_now = socket.socket.recv, socket.socket.send


class DeadlineTlsSocket(_Deadline, ssl.SSLSocket):
    """A TLS socket under the deadline; the same two for one that never waits."""

    recv_now, send_now = ssl.SSLSocket.recv, ssl.SSLSocket.send


NAMES = Names()  # one for the process, as the system's resolver is


def _connect(host: str, port: int, timeout_s: float, options: Iterable[Any]) -> DeadlineSocket:
    """Connect to one of the addresses of a name.

    Each has half of the time that is left and the last has all of it, so that
    a dead address neither adds up nor leaves nothing for the next one.
    """
    most_s = min(timeout_s, context.current().deadline.left_s())
    until = time.monotonic() + most_s
    found = NAMES.addresses(host.strip("[]"), port, most_s)
    error = OSError("the name has no address")
    for number, (family, kind, proto, _, address) in enumerate(found, 1):
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no time left to connect")
        sock = DeadlineSocket(family, kind, proto)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(left_s if number == len(found) else left_s / 2)
            sock.connect(address)
        except OSError as raised:
            sock.close()
            error = raised
        else:
            sock.settimeout(timeout_s)
            return sock
    raise error


class _Connecting:
    """Mixed into a connection class: connects in the time that a connect may take in all."""

    def _new_conn(self: Any) -> socket.socket:
        try:
            return _connect(self._dns_host, self.port, self.timeout, self.socket_options or ())
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"connecting to {self.host} took too long") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection: {error}") from error


class _Connection(_Connecting, HTTPConnection):
    pass


class _TlsConnection(_Connecting, HTTPSConnection):
    pass


class _Lending:
    """Mixed into a pool: lends its connections to who does the exchange, and waits for nothing."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle: list[Any] = []  # open, and used by nobody; to append and to pop is one step

    def take(self: Any, timeout_s: float) -> Any:
        """Return a connection that is open; one that the peer closed meanwhile is left out.

        Its socket does not block. Connecting does, and raises `OSError`, `HTTPException`,
        `ValueError` and the exceptions of urllib3.
        """
        while self.idle:
            with suppress(IndexError):  # another thread was quicker
                connection = self.idle.pop()
                if _is_open(connection.sock):
                    return connection
                connection.close()
        connection = self._new_conn()
        connection.timeout = timeout_s
        try:
            if self.proxy is not None and self.scheme == "https":
                self._prepare_proxy(connection)
            else:
                connection.connect()
        except BaseException:
            connection.close()
            raise
        connection.sock.settimeout(0.0)
        return connection

    def give(self: Any, connection: Any) -> None:
        """Take a connection back that is open."""
        self.idle.append(connection)

    def close_idle(self: Any) -> None:
        """Close the connections that nobody uses."""
        while self.idle:
            with suppress(IndexError):
                self.idle.pop().close()


def _is_open(sock: socket.socket) -> bool:
    """Whether nothing has come on a socket that does not block: no data, and no end of it."""
    try:
        socket.socket.recv(sock, 1, socket.MSG_PEEK)  # TLS, too: what came is not decrypted here
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


class _Pool(_Lending, HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(_Lending, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class DeadlineAdapter(HTTPAdapter):
    """Transport adapter whose connections obey the deadline; keeps up to `slots` open.

    With a `proxy` (http://[user:password@]host:port) each connection goes
    through it: for https by CONNECT, so that it sees no more than the name.
    """

    def __init__(self, slots: int, proxy: str = "") -> None:
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        super().__init__(pool_connections=2, pool_maxsize=slots, max_retries=0)
        if proxy:
            self.proxy_manager_for(proxy)  # once, and not by the first threads that need it

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Build the pools over the connection classes of this module."""
        super().init_poolmanager(*args, ssl_context=tls(), **kwargs)
        self.poolmanager.pool_classes_by_scheme = dict(_POOLS)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Build the pools towards a proxy in the same way."""
        if proxy not in self.proxy_manager:
            made = super().proxy_manager_for(proxy, ssl_context=tls(), **kwargs)
            made.pool_classes_by_scheme = dict(_POOLS)
        return self.proxy_manager[proxy]

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Send through the proxy of this adapter, if it has one, and through no other."""
        return super().send(request, *args, **{**kwargs, "proxies": self._proxies})

    def pool(self, request: requests.PreparedRequest, verify: bool | str) -> Any:
        """Return the connections to the address of a request, for who does the exchange."""
        pool: Any = self.get_connection_with_tls_context(request, verify, self._proxies)
        # requests has no types for it.
        self.cert_verify(pool, request.url, verify, None)  # type: ignore[no-untyped-call]
        if verify is True:
            pool.ca_certs = None  # the context has them; urllib3 would read them at each connect
        return pool


_POOLS: dict[str, Any] = {"http": _Pool, "https": _TlsPool}


@cache
def tls() -> ssl.SSLContext:
    """Return the TLS context of the process: reading certificates takes 40 ms.

    It trusts what the system trusts and what `requests` does. urllib3 writes `verify`
    of each call into it, so no session may turn that off.
    """
    made = ssl.create_default_context()
    made.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    made.sslsocket_class = DeadlineTlsSocket
    return made
