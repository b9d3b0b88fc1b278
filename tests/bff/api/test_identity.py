"""bff/api/identity.py: which tokens are accepted, and what is said of those that are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.test import TestResponse

from tests.bff.app import JWT_SECRET, MakeClient
from tests.bff.fake_upstreams import Upstream
from tests.contract.client import ContractClient

FAVORITES = "/api/users/favorites"
PLAIN = b'{"alg":"HS256","typ":"JWT"}'
ALICE = b'{"sub":"alice"}'


def token(claims: dict[str, Any] | None = None, key: str = JWT_SECRET, **more: Any) -> str:
    """Return a signed token for alice."""
    return jwt.encode({"sub": "alice", **(claims or {})}, key, **{"algorithm": "HS256", **more})


def forged(header: bytes, claims: bytes, key: bytes = JWT_SECRET.encode()) -> str:
    """Return a token of exactly these bytes, signed with HMAC; the library refuses to make it."""
    signed = f"{segment(header)}.{segment(claims)}"
    return f"{signed}.{segment(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


def segment(data: bytes) -> str:
    """Return `data` as a part of a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bearer(value: str) -> dict[str, str]:
    """Return the header."""
    return {"Authorization": f"Bearer {value}"}


@cache
def key_pair() -> tuple[Any, str]:
    """Return a private key and its public one as PEM; it takes a tenth of a second."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private, private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def refused(client: ContractClient, value: str) -> dict[str, Any]:
    """Assert that a token is refused, and return the problem."""
    response = client.get(FAVORITES, headers=bearer(value))
    assert response.status_code == 401
    challenge = 'Bearer realm="movie-dashboard", error="invalid_token"'
    assert response.headers["WWW-Authenticate"] == challenge
    body: dict[str, Any] = response.json
    assert body["type"] == "/problems/unauthorized"
    return body


def accepted(client: ContractClient, value: str) -> bool:
    """Whether a token is accepted."""
    return client.get(FAVORITES, headers=bearer(value)).status_code == 200


@pytest.mark.parametrize("settings", [{"AUTH_ENABLED": "true"}, {}], ids=["required", "optional"])
def test_token_when_it_is_valid_then_its_subject_is_the_user(
    make_client: MakeClient, users: Upstream, settings: dict[str, str]
) -> None:
    """The user service is asked for the subject's data; the scheme has no case (RFC 9110)."""
    client = make_client(**settings)

    for scheme in ("Bearer", "BEARER"):
        header = f"{scheme} {token({'exp': time.time() + 3600})}"
        assert client.get(FAVORITES, headers={"Authorization": header}).json["total"] == 0
    assert {call.headers["X-User-Id"] for call in users.calls} == {"alice"}


def ask_every_personal_route(client: ContractClient, **headers: str) -> list[TestResponse]:
    """Send every method to every route that belongs to a user."""
    answers = []
    for rule in client.application.url_map.iter_rules():
        if not rule.rule.startswith(("/api/users", "/api/dashboard")):
            continue
        path = rule.rule.replace("<tmdb_id:movie_id>", "550")
        for method in (rule.methods or set()) - {"OPTIONS"}:
            body = {} if method in ("PUT", "POST") else None
            answers.append(client.open(path, method=method, json=body, headers=headers))
    assert len(answers) >= 20
    return answers


def test_personal_routes_when_a_token_is_required_and_missing_then_all_are_401(
    make_client: MakeClient, users: Upstream, tmdb: Upstream
) -> None:
    """AUTH_ENABLED closes all of /api/users and /api/dashboard, before any call goes out."""
    for response in ask_every_personal_route(make_client(AUTH_ENABLED="true")):
        assert response.status_code == 401, response.request.path
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="movie-dashboard"'
    assert users.calls + tmdb.calls == []


def test_personal_routes_when_the_token_is_wrong_then_all_are_401(
    client: ContractClient, users: Upstream, tmdb: Upstream
) -> None:
    """A wrong token is refused even where none is required: nobody becomes the demo user."""
    for response in ask_every_personal_route(client, **bearer("wrong")):
        assert response.status_code == 401, response.request.path
    assert users.calls + tmdb.calls == []


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/configuration", "/health"])
def test_other_routes_when_a_token_is_required_then_they_need_none(
    make_client: MakeClient, path: str
) -> None:
    """TMDB's reads and health are open, even to a caller whose token is wrong."""
    client = make_client(AUTH_ENABLED="true")

    assert client.get(path).status_code == 200
    assert client.get(path, headers=bearer("wrong")).status_code == 200


def test_token_when_it_has_expired_then_the_detail_says_so(client: ContractClient) -> None:
    """The caller learns that a new token would do."""
    assert "expired" in refused(client, token({"exp": time.time() - 1}))["detail"]


_TEXTS = ("", " ", "a b", "a\r\nX-Admin: 1", "nul\x00", "ü", "x" * 129)
INVALID = {
    "claims": [
        token({"nbf": 99_999_999_999}),
        *(token({"iat": "never"}), token({"exp": "soon"}), token({"exp": None})),
        *(token({"exp": []}), token({"aud": "another-service"}), token({"aud": ["another"]})),
        jwt.encode({"name": "alice"}, JWT_SECRET, "HS256"),
        *(forged(PLAIN, b'{"sub":"alice","exp":1e999}'), forged(PLAIN, b"[1]")),
        *(forged(PLAIN, b"not json"), forged(PLAIN, b"\xff"), forged(PLAIN, b'"alice"')),
        *(forged(PLAIN, b"[" * 5000), forged(PLAIN, b'{"sub":"alice","exp":NaN}')),
    ],
    # The subject travels in a header: what could break out of it is no identity.
    "subject": [
        forged(PLAIN, json.dumps({"sub": subject}).encode())
        for subject in (*_TEXTS, 5, None, ["alice"], {"a": 1})
    ],
    "header": [
        forged(header, ALICE)
        for header in (
            *(b"[" * 5000, b"{}", b"null", b"5", b"\xff\xfe"),
            *(b'{"alg":["HS256"]}', b'{"alg":null}', b'{"alg":{"a":1}}'),
            *(b'{"alg":"HS256","crit":["x"]}', b'{"alg":"HS256","kid":5}'),
        )
    ],
    "algorithm": [
        value
        for name in ("none", "None", "NONE", "nOnE", "HS384", "HS512")
        for signed in [forged(json.dumps({"alg": name}).encode(), ALICE)]
        for value in (signed, signed.rpartition(".")[0] + ".")
    ],
    "signature": [
        token(key="x" * 40),
        token(algorithm="HS512"),
        ".".join([token().split(".")[0], segment(b'{"sub":"admin"}'), token().split(".")[2]]),
    ],
}


@pytest.mark.parametrize("part", INVALID)
def test_token_when_a_part_is_invalid_then_it_is_refused(
    client: ContractClient, users: Upstream, part: str
) -> None:
    """Whatever is wrong with a token, the answer is 401 and never a fault of ours."""
    for value in INVALID[part]:
        refused(client, value)
    assert not users.calls


def test_token_when_another_algorithm_is_configured_then_only_that_one_counts(
    make_client: MakeClient,
) -> None:
    """A good signature of our key by HS256 does not count where HS512 is configured."""
    client = make_client(JWT_ALGORITHM="HS512")

    refused(client, token())
    assert accepted(client, token(algorithm="HS512"))


def test_token_when_rs256_is_configured_then_only_the_private_key_signs(
    make_client: MakeClient,
) -> None:
    """Algorithm confusion: everybody knows the public key, so it must not work as a secret."""
    private, public = key_pair()
    client = make_client(JWT_SECRET=public, JWT_ALGORITHM="RS256")

    assert accepted(client, jwt.encode({"sub": "alice"}, private, "RS256"))
    for secret in (public, public.strip()):
        refused(client, forged(PLAIN, ALICE, secret.encode()))


def test_token_when_an_audience_is_configured_then_the_token_must_name_it(
    make_client: MakeClient,
) -> None:
    """A token that was made for another service does not open this one."""
    client = make_client(JWT_AUDIENCE="dashboard")

    for audience in ("dashboard", ["x", "dashboard"]):
        assert accepted(client, token({"aud": audience}))
    for claims in ({"aud": "other"}, {}, {"aud": []}, {"aud": "dashboards"}):
        refused(client, token(claims))


@pytest.mark.parametrize(
    "header",
    [
        *("Basic YWxpY2U6cGFzcw==", "Token x", "Bearer", "Bearer ", "bearer\t", "alice", ""),
        *("Bearer ümlaut", "Bearer \xff\xfe.\x80.x", "Bearer a.b.c", "Bearer ..."),
    ],
    ids=ascii,
)
def test_authorization_when_it_is_no_bearer_token_then_it_is_401(
    client: ContractClient, header: str
) -> None:
    """Another scheme, or none, does not count as "no token"."""
    response = client.get(FAVORITES, environ_overrides={"HTTP_AUTHORIZATION": header})

    assert response.status_code == 401
    assert "WWW-Authenticate" in response.headers


def test_token_when_no_key_is_configured_then_none_is_accepted(make_client: MakeClient) -> None:
    """Without a key nothing can be checked, and an empty key must not check anything."""
    client = make_client(JWT_SECRET="")

    refused(client, token())
    refused(client, forged(PLAIN, ALICE, b""))


def test_token_when_it_is_used_then_no_log_line_and_no_answer_shows_it(
    client: ContractClient, logs: list[str]
) -> None:
    """Neither a good token nor a wrong one."""
    good, wrong = token(), token(key="y" * 40)
    client.get(FAVORITES, headers=bearer(good))
    told = client.get(FAVORITES, headers=bearer(wrong)).data.decode()

    assert logs
    text = "\n".join(logs) + told
    assert not [part for part in (*good.split("."), *wrong.split(".")) if part in text]
