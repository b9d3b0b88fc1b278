"""Who is asking: the subject of the Bearer token."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import jwt
from flask import Blueprint, current_app, request

from bff import context

DEMO_USER = "demo-user-123"
# The subject travels in a header to the user service.
_SUBJECT = re.compile(r"[!-~]{1,128}", re.ASCII)


class Unauthorized(Exception):
    """No token where one is needed, or one that does not hold. `detail` is for the caller."""

    def __init__(self, detail: str, error: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.challenge = 'Bearer realm="movie-dashboard"' + (f', error="{error}"' if error else "")


@dataclass(frozen=True)
class Identity:
    """Reads Bearer tokens (RFC 6750) that are JSON Web Tokens. Thread-safe.

    One algorithm is accepted, the configured one, whatever the token says of
    itself. `audience`: a token must be made for it; where it is empty, a token
    must name no audience at all.
    """

    required: bool
    secret: str = field(repr=False)
    algorithm: str
    audience: str

    def user(self) -> str:
        """Return the user of the request at hand; raise `Unauthorized`. Read once per request."""
        here = context.current()
        if here.user is None:
            here.user = self._read(request.headers.get("Authorization"))
        return here.user

    def _read(self, header: str | None) -> str:
        if header is None:
            if self.required:
                raise Unauthorized("a Bearer token is needed")
            return DEMO_USER
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("the Authorization header holds no Bearer token", "invalid_request")
        if not self.secret:
            raise Unauthorized("tokens are not accepted: no key is configured", "invalid_token")
        return self._subject(token.strip())

    def _subject(self, token: str) -> str:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self.secret,
                algorithms=[self.algorithm],
                audience=self.audience or None,
                options={"require": ["sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized("the token has expired", "invalid_token") from None
        except jwt.InvalidAudienceError:
            raise Unauthorized("the token is for another audience", "invalid_token") from None
        except jwt.PyJWTError:
            raise Unauthorized("the token is not valid", "invalid_token") from None
        subject = claims["sub"]
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            raise Unauthorized("the token's subject cannot be used", "invalid_token")
        return subject


def guard(blueprint: Blueprint) -> None:
    """Ask for the user before each request of a blueprint, so that no route can forget it.

    Not for OPTIONS: a browser's preflight carries no token (Fetch standard, CORS-preflight).
    """

    @blueprint.before_request
    def identify() -> None:
        if request.method != "OPTIONS":
            current_app.extensions["bff"].identity.user()
