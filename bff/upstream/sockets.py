"""Sockets that obey the deadline of the request.

A timeout of `requests` holds for one socket operation: an upstream that sends
a byte now and then keeps the call alive for ever. These sockets cut each
operation to what is left of the deadline, in headers and body alike.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from bff import context


class _Deadline:
    """Mixed into a socket class: tightens its timeout before every read."""

    def recv_into(self: Any, *args: Any, **kwargs: Any) -> int:
        left_s = context.current().deadline.left_s()
        if left_s <= 0:
            raise TimeoutError("deadline of the request has passed")
        limit_s = self.gettimeout()
        if limit_s is not None and limit_s <= left_s:
            return int(super().recv_into(*args, **kwargs))  # type: ignore[misc]
        self.settimeout(left_s)
        try:
            return int(super().recv_into(*args, **kwargs))  # type: ignore[misc]
        finally:
            self.settimeout(limit_s)


class DeadlineSocket(_Deadline, socket.socket):
    """A plain socket under the deadline."""


class DeadlineTlsSocket(_Deadline, ssl.SSLSocket):
    """A TLS socket under the deadline."""


def _under_deadline(sock: socket.socket) -> DeadlineSocket:
    timeout_s = sock.gettimeout()
    wrapped = DeadlineSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    wrapped.settimeout(timeout_s)
    return wrapped


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _under_deadline(super()._new_conn())


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _under_deadline(super()._new_conn())


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class DeadlineAdapter(HTTPAdapter):
    """Transport adapter whose connections obey the deadline; keeps up to `slots` open."""

    def __init__(self, slots: int) -> None:
        super().__init__(pool_connections=2, pool_maxsize=slots, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Build the pools over the connection classes of this module."""
        tls = ssl.create_default_context()
        tls.sslsocket_class = DeadlineTlsSocket
        super().init_poolmanager(*args, ssl_context=tls, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
