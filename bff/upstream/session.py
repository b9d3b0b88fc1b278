"""HTTP sessions towards an upstream: what `requests` lacks is a deadline and a bound of bytes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter

from bff import context

MOST_BYTES = 8 * 2**20
ANY_IPV4 = ("0.0.0.0", 0)  # noqa: S104 - the local end of a connection that goes out
S = TypeVar("S", bound=requests.Session)

# It warns of odd headers with the whole address, and the address may hold the credential.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class BodyTooLarge(requests.RequestException):
    """The body is longer than `MOST_BYTES`, unpacked."""


class BoundedBody:
    """A response body that ends at a moment of the monotonic clock and at `MOST_BYTES`."""

    def __init__(self, raw: Any, until: float) -> None:
        self._raw, self._until = raw, until

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amt: int = 2**16, decode_content: bool = True) -> Iterator[bytes]:
        """Yield the body in pieces, each as soon as it has come."""
        got = 0
        try:
            while chunk := self._read(amt, decode_content):
                got += len(chunk)
                if got > MOST_BYTES:
                    raise BodyTooLarge("the body is too large")
                yield chunk
        except BaseException:
            self._raw.close()  # what is left of the answer must not meet the next request
            raise
        finally:
            self._raw.release_conn()

    def _read(self, amt: int, decode_content: bool) -> bytes:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise requests.ReadTimeout("the body came too slowly")
        connection = self._raw.connection
        if connection is not None and connection.sock is not None:
            connection.sock.settimeout(left_s)
        return bytes(self._raw.read1(amt, decode_content=decode_content))


class DeadlineAdapter(HTTPAdapter):
    """Cuts the timeouts of a call to what is left of the request's deadline."""

    def __init__(self, slots: int, source_address: tuple[str, int] | None = None) -> None:
        self._source_address = source_address
        super().__init__(pool_connections=2, pool_maxsize=slots)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Bind connections to the source address, if there is one."""
        super().init_poolmanager(*args, **kwargs, source_address=self._source_address)

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, timeout: tuple[float, float], **kwargs: Any
    ) -> requests.Response:
        """Send a request; `timeout`: seconds to connect, and seconds for the whole answer."""
        left_s = max(0.001, context.current().deadline.left_s())
        connect_s, answer_s = min(timeout[0], left_s), min(timeout[1], left_s)
        until = time.monotonic() + answer_s
        # requests-cache hands its options over in this header; they are no upstream's business.
        request.headers.pop("Cache-Control", None)
        response = super().send(request, timeout=(connect_s, answer_s), **kwargs)
        if response.status_code < 200:
            # The answer proper is still to come, and must not meet the next request.
            response.close()
            raise requests.RequestException("an interim answer")
        response.raw = BoundedBody(response.raw, until)
        return response


def configure(
    session: S, slots: int, proxy: str = "", *, ipv4_only: bool = False, ca_bundle: str = ""
) -> S:
    """Make a session fit to be shared by threads: up to `slots` calls at once, no cookies.

    A session would send one user's cookie with the next user's call. The environment is not
    read: `.netrc` could replace the Authorization header, and `config.py` has read what it
    says of proxies and of certificates.
    """
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.verify = ca_bundle or True
    session.proxies = {"http": proxy, "https": proxy} if proxy else {}
    adapter = DeadlineAdapter(slots, ANY_IPV4 if ipv4_only else None)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def prepared(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
) -> requests.PreparedRequest:
    """Return a request that can be sent; `url` is encoded."""
    return requests.Request(method, url, headers=dict(headers), data=body).prepare()
