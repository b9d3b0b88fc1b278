"""What can go wrong between this service and an upstream.

    BffError
    +-- NotFound              the upstream says there is no such thing        404
    +-- AlreadyThere          what was to be made exists                      never shown
    +-- Rejected              the upstream refuses this request               409 or 422
    +-- UpstreamError         the upstream could not say
        +-- UpstreamTimeout   too slow                                        504
        |   +-- ConnectTimeout    not even a connection in time
        |   +-- CutShort          the request left the call too little time
        +-- CircuitOpen       not asked: it failed too often just now         503
        +-- Saturated         not asked: too many calls in flight             503
        +-- RateLimited       it asked us to wait                             503
        +-- Unreachable       the connection broke                            502
        |   +-- ConnectFailed     no connection could be made
        +-- UpstreamFailed    it answered 5xx                                 502
        |   +-- CredentialRefused it refused our credential
        +-- BadResponse       it answered something that is not the answer    502

The leaves exist for the circuit breaker, which counts them differently; callers see the reason
of their parent.

Anything else that is raised is a bug of ours and becomes a 500.
"""

from __future__ import annotations

from typing import ClassVar

from bff.model import Failed, Missing, Reason


class BffError(Exception):
    """Base of the errors that this service expects."""


class NotFound(BffError):
    """An upstream answered that `what` does not exist."""

    def __init__(self, upstream: str, what: str) -> None:
        super().__init__(f"{upstream} knows no {what}")
        self.upstream = upstream
        self.what = what

    def outcome(self) -> Missing:
        """Return the error as a value."""
        return Missing(self.upstream, self.what)


class AlreadyThere(BffError):
    """What was to be made, and not to be changed, exists."""


class Rejected(BffError):
    """An upstream refused a write for a reason that concerns the caller (409 or 422)."""

    def __init__(self, upstream: str, status: int, detail: str) -> None:
        super().__init__(detail)
        self.upstream = upstream
        self.status = status
        self.detail = detail


class UpstreamError(BffError):
    """An upstream could not say. `retry_after_s`: when asking again may help, if known."""

    reason: ClassVar[Reason]

    def __init__(self, upstream: str, detail: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(f"{upstream}: {self.reason.value}" + (f" ({detail})" if detail else ""))
        self.upstream = upstream
        self.retry_after_s = retry_after_s

    def outcome(self) -> Failed:
        """Return the error as a value; the wait is rounded up to whole seconds."""
        wait = self.retry_after_s
        return Failed(
            self.upstream, self.reason, None if wait is None else max(1, -int(-wait // 1))
        )


class UpstreamTimeout(UpstreamError):
    """No complete answer in time."""

    reason = Reason.TIMEOUT


class ConnectTimeout(UpstreamTimeout):
    """No connection in time."""


class CutShort(UpstreamTimeout):
    """The request left the call less time than usual: it says nothing about the upstream."""


class CircuitOpen(UpstreamError):
    """The circuit breaker did not let the call out."""

    reason = Reason.CIRCUIT_OPEN


class Saturated(UpstreamError):
    """All slots of the bulkhead are taken."""

    reason = Reason.SATURATED


class RateLimited(UpstreamError):
    """The upstream answered 429, or its limit would be broken by one more call."""

    reason = Reason.RATE_LIMITED


class Unreachable(UpstreamError):
    """No connection, or it broke."""

    reason = Reason.UNREACHABLE


class ConnectFailed(Unreachable):
    """No connection could be made."""


class UpstreamFailed(UpstreamError):
    """The upstream answered 5xx, or refused our credential."""

    reason = Reason.UPSTREAM_ERROR


class CredentialRefused(UpstreamFailed):
    """The upstream answered 401 or 403: the credential of this service is wrong."""


class BadResponse(UpstreamError):
    """The upstream answered something that is not JSON of the expected shape."""

    reason = Reason.BAD_RESPONSE


ERRORS: dict[Reason, type[UpstreamError]] = {
    error.reason: error for error in UpstreamError.__subclasses__()
}


def from_outcome(failed: Failed) -> UpstreamError:
    """Return the error that a `Failed` outcome stands for."""
    return ERRORS[failed.reason](failed.upstream, retry_after_s=failed.retry_after_s)
