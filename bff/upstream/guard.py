"""The way out to one upstream: pause, ceiling, circuit breaker, retry, and the tree of errors.

Every call passes here, and every way in which it can fail leaves as one of `bff.errors`.
"""

from __future__ import annotations

import http.client
import logging
import random
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import requests
import urllib3

from bff import context
from bff.context import Timing
from bff.errors import (
    BadResponse,
    ConnectFailed,
    ConnectTimeout,
    CredentialRefused,
    CutShort,
    RateLimited,
    Unreachable,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from bff.observability import metrics
from bff.observability.logs import event
from bff.readiness import Checks, check
from bff.upstream.breaker import Breakers
from bff.upstream.rate import DEFAULT_PAUSE_S, RETRIES, Ceiling, Pause, Permits
from bff.upstream.session import MOST_BYTES

log = logging.getLogger(__name__)
T = TypeVar("T")
Read = Callable[[requests.Response, bytes], T]  # makes a value of an answer and its body

RETRYABLE_STATUS = (502, 503, 504)
RETRY_PAUSE_S = 0.1
_RETRY = urllib3.Retry(retry_after_max=86_400)  # only to read a header
GZIP = b"\x1f\x8b"


class _Unavailable(UpstreamFailed):
    """The upstream answered that it cannot just now: asking again may help."""


class Guard:
    """Sends requests to one upstream. Thread-safe; lives as long as the app.

    `timeout_s` bounds a call. Where the upstream limits its callers, `ceiling` keeps the calls
    below that limit and `pause` obeys its Retry-After.
    """

    def __init__(
        self,
        name: str,
        session: requests.Session,
        timeout_s: float,
        breakers: Breakers,
        limiter: Permits,
        pause: Pause | None = None,
        ceiling: Ceiling | None = None,
    ) -> None:
        self.name, self.session, self.timeout_s, self.breakers = name, session, timeout_s, breakers
        self._pause, self._ceiling = pause, ceiling
        self._limiter = limiter
        self.last_success: datetime | None = None

    def send(
        self,
        operation: str,
        key: str,
        request: requests.PreparedRequest,
        read: Read[T],
        **options: Any,
    ) -> T:
        """Send `request`, and return what `read` makes of the answer and its unpacked body.

        `read` sees answers below 500 only and raises `BadResponse` where one is not what was
        asked for. `key` names the thing that is asked for, so that one that always fails
        opens no circuit. A GET may be sent twice, anything else never. `options` go to
        `Session.send`. Raise `UpstreamError`.
        """
        attempt = partial(self._attempt, operation, key, request, read, options)
        try:
            return attempt()
        except (Unreachable, _Unavailable) as error:
            pause_s = random.uniform(0, RETRY_PAUSE_S)  # full jitter
            if (
                request.method != "GET"
                or error.retry_after_s is not None
                or context.current().deadline.left_s() <= pause_s
                or not self._may_retry()
            ):
                raise
        time.sleep(pause_s)
        return attempt()

    def _may_retry(self) -> bool:
        return self._limiter.ask(lambda limiter: limiter.hit(RETRIES, f"{self.name}:retries"))

    def _attempt(
        self,
        operation: str,
        key: str,
        request: requests.PreparedRequest,
        read: Read[T],
        options: Mapping[str, Any],
    ) -> T:
        with self._noted(operation):
            with self.breakers.calling(operation, key, self._permit) as looks, self._translated():
                answer = self._exchange(request, read, options)
            if looks and self._pause is not None:
                self._pause.end()
            self.last_success = datetime.now(UTC)
            return answer

    def _permit(self) -> bool:
        """Take what a call needs to go out; whether it is the one that looks after a pause."""
        if context.current().deadline.left_s() <= 0:
            raise CutShort(self.name, "no time left")
        looks = self._pause is not None and self._pause.check()
        if self._ceiling is not None:
            self._ceiling.take()
        return looks

    def _exchange(
        self, request: requests.PreparedRequest, read: Read[T], options: Mapping[str, Any]
    ) -> T:
        """Send, and read the answer before a cache below can keep it."""
        answers: list[T] = []

        def take(response: requests.Response, **_: Any) -> None:
            if not answers:  # requests-cache calls its hooks once more
                with response:  # a body that nobody reads must not keep its connection
                    answers.append(self._read(response, read))

        request.hooks["response"] = [take]
        timeout = (self.timeout_s, self.timeout_s)
        self.session.send(request, timeout=timeout, allow_redirects=False, **options)
        return answers[0]

    def _read(self, response: requests.Response, read: Read[T]) -> T:
        status = response.status_code
        wait_s = retry_after_s(response.headers)
        if status == 429:  # whatever its body is
            wait_s = wait_s or DEFAULT_PAUSE_S
            if self._pause is not None:
                self._pause.begin(wait_s)
            raise RateLimited(self.name, retry_after_s=wait_s)
        body = response.content  # always read to its end, so that the connection can be used again
        if status >= 500:
            kind = _Unavailable if status in RETRYABLE_STATUS else UpstreamFailed
            raise kind(self.name, f"status {status}", wait_s)
        if status in (401, 403):
            raise CredentialRefused(self.name, "credential refused")
        return read(response, self.unpacked(body))

    def unpacked(self, body: bytes) -> bytes:
        """Unpack a body whose sender did not say that it is packed, as TMDB has done."""
        if not body.startswith(GZIP):
            return body
        unpacker = zlib.decompressobj(wbits=31)
        try:
            unpacked = unpacker.decompress(body, MOST_BYTES)
        except zlib.error as error:
            raise BadResponse(self.name, "a broken gzip") from error
        if not unpacker.eof:
            raise BadResponse(self.name, "the body is too large or broken off")
        return unpacked

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise what `requests` raises as one of `bff.errors`."""
        began_s = min(self.timeout_s, context.current().deadline.left_s())
        try:
            yield
        except requests.RequestException as error:
            raise self._error(error, began_s) from error

    def _error(self, error: requests.RequestException, began_s: float) -> UpstreamError:
        # The text of an error names addresses, and with them the credential.
        causes = tuple(_causes(error))
        if _any(causes, urllib3.exceptions.NewConnectionError):  # a timeout too, to urllib3
            return ConnectFailed(self.name)
        if _any(causes, (requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError)):
            return self._late(ConnectTimeout, began_s)
        if _any(causes, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
            return self._late(UpstreamTimeout, began_s)
        if _any(causes[1:], OSError):
            return Unreachable(self.name)
        if type(error) is requests.ConnectionError and not _any(causes, http.client.HTTPException):
            return ConnectFailed(self.name)
        return BadResponse(self.name, type(error).__name__)

    def _late(self, kind: type[UpstreamTimeout], began_s: float) -> UpstreamTimeout:
        # A request that came with little time left proves nothing against the upstream.
        return (CutShort if began_s < self.timeout_s / 2 else kind)(self.name)

    @contextmanager
    def _noted(self, operation: str) -> Iterator[None]:
        """Tell of a call in the log, the metrics and Server-Timing."""
        started, outcome = time.monotonic(), "ok"
        try:
            yield
        except Exception as error:
            outcome = error.reason.value if isinstance(error, UpstreamError) else "refused"
            raise
        finally:
            duration_ms = (time.monotonic() - started) * 1000
            context.current().timings.append(Timing(self.name, operation, outcome, duration_ms))
            metrics.UPSTREAM_CALLS.labels(self.name, operation, outcome).inc()
            metrics.UPSTREAM_SECONDS.labels(self.name).observe(duration_ms / 1000)
            event(
                log,
                logging.DEBUG if outcome in ("ok", "refused") else logging.WARNING,
                "upstream.call",
                upstream=self.name,
                operation=operation,
                outcome=outcome,
                duration_ms=round(duration_ms, 1),
            )

    def health(self) -> Checks:
        """Return what readiness tells: circuits, pause and last success."""
        moment = self.last_success
        circuits = [
            check(state, state == "closed", of=breaker.operation, kind="component")
            for breaker in self.breakers.all()
            for state in (breaker.state,)
        ]
        told = check(moment and moment.strftime("%Y-%m-%dT%H:%M:%SZ"), kind="component")
        checks = {f"{self.name}:circuit": circuits, f"{self.name}:last_success": [told]}
        return checks | (self._pause.health() if self._pause else {})

    def close(self) -> None:
        """Close the connections."""
        self.session.close()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it wraps, and what those wrap."""
    yield error
    for inner in (*error.args, getattr(error, "reason", None)):
        if isinstance(inner, BaseException) and inner is not error:
            yield from _causes(inner)


def _any(errors: tuple[BaseException, ...], kinds: Any) -> bool:
    return any(isinstance(error, kinds) for error in errors)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (RFC 9110 section 10.2.3), in seconds or as a date; None where unclear."""
    try:
        return _RETRY.parse_retry_after(headers.get("Retry-After", ""))
    except (urllib3.exceptions.InvalidHeader, ValueError, TypeError, OverflowError):
        return None
