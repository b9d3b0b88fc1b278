"""Who is asking: tokens that hold, tokens that do not, and what is told of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.api.conftest import JWT_SECRET, MakeClient
from tests.api.openapi import ContractClient
from tests.api.upstreams import Upstream

PERSONAL = [
    ("GET", "/api/dashboard/feed"),
    ("GET", "/api/dashboard/complete"),
    ("GET", "/api/dashboard/movie/550/enriched"),
    ("GET", "/api/dashboard/search/enriched?query=a"),
    *[
        (method, f"/api/users/{name}/550")
        for name in ("favorites", "watchlist", "history")
        for method in ("GET", "PUT", "DELETE")
    ],
    *[("GET", f"/api/users/{name}") for name in ("favorites", "watchlist", "history")],
    *[("POST", f"/api/users/{name}") for name in ("favorites", "watchlist")],
]
FAVORITES = "/api/users/favorites"
# A key of 2048 bits takes a tenth of a second to make; one serves all tests.
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = (
    PRIVATE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def token(claims: dict[str, Any] | None = None, key: str = JWT_SECRET, **more: Any) -> str:
    """Return a signed token for alice."""
    return jwt.encode({"sub": "alice", **(claims or {})}, key, **{"algorithm": "HS256", **more})


def forged(header: bytes, claims: bytes, key: bytes = JWT_SECRET.encode()) -> str:
    """Return a token of these very bytes, signed with HMAC: the library would refuse to make it."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = part(header) + b"." + part(claims)
    return (signed + b"." + part(hmac.new(key, signed, hashlib.sha256).digest())).decode()


def bearer(value: str) -> dict[str, str]:
    """Return the header."""
    return {"Authorization": f"Bearer {value}"}


def refused(client: ContractClient, value: str) -> dict[str, Any]:
    """Assert that a token is refused, everywhere the same, and return the problem."""
    response = client.get(FAVORITES, headers=bearer(value))
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    body: dict[str, Any] = response.json
    assert body["type"] == "/problems/unauthorized"
    return body


@pytest.mark.parametrize("settings", [{"AUTH_ENABLED": "true"}, {}], ids=["needed", "taken"])
def test_token_when_it_holds_then_its_subject_is_the_user(
    make_client: MakeClient, users: Upstream, settings: dict[str, str]
) -> None:
    """HS256 with our key: the user service is asked for the subject's data."""
    client = make_client(**settings)

    response = client.get(FAVORITES, headers=bearer(token({"exp": time.time() + 60})))

    assert response.status_code == 200
    assert users.calls[0].headers["X-User-Id"] == "alice"


def test_token_when_the_scheme_is_in_capitals_then_it_holds(client: ContractClient) -> None:
    """The scheme's name has no case (RFC 9110 section 11.1)."""
    assert client.get(FAVORITES, headers={"Authorization": f"BEARER {token()}"}).json["total"] == 0


def test_token_when_it_is_missing_and_needed_then_every_personal_route_is_401(
    make_client: MakeClient, users: Upstream, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """AUTH_ENABLED closes all of /api/users and /api/dashboard, before any call goes out."""
    client = make_client(AUTH_ENABLED="true")

    for method, path in PERSONAL:
        with subtests.test(method=method, path=path):
            body = {} if method in ("PUT", "POST") else None
            response = client.open(path, method=method, json=body)

            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="movie-dashboard"'
            assert users.calls + tmdb.calls == []


def test_token_when_it_is_wrong_then_every_personal_route_is_401(
    client: ContractClient, users: Upstream, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """A wrong token is refused even where none is needed: nobody becomes the demo user."""
    for method, path in PERSONAL:
        with subtests.test(method=method, path=path):
            body = {} if method in ("PUT", "POST") else None
            response = client.open(path, method=method, json=body, headers=bearer("wrong"))

            assert response.status_code == 401
            assert users.calls + tmdb.calls == []


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/configuration", "/health"])
def test_token_when_the_route_is_not_personal_then_none_is_needed(
    make_client: MakeClient, path: str
) -> None:
    """TMDB's reads and health are open, also to somebody with a token that does not hold."""
    client = make_client(AUTH_ENABLED="true")

    assert client.get(path).status_code == 200
    assert client.get(path, headers=bearer("wrong")).status_code == 200


def test_token_when_it_has_expired_then_it_is_refused(client: ContractClient) -> None:
    """The caller learns that a new token would do."""
    assert "expired" in refused(client, token({"exp": time.time() - 1}))["detail"]


def test_token_when_a_claim_does_not_hold_then_it_is_refused(
    client: ContractClient, subtests: pytest.Subtests
) -> None:
    """Not yet valid, of a wrong form, or for somebody else."""
    for claims in (
        {"nbf": 99_999_999_999},
        {"iat": "never"},
        {"exp": "soon"},
        {"exp": None},
        {"exp": []},
        {"aud": "another-service"},
        {"aud": ["another-service"]},
    ):
        with subtests.test(claims=claims):
            refused(client, token(claims))


def test_token_when_its_claims_are_no_claims_then_it_is_refused(
    client: ContractClient, subtests: pytest.Subtests
) -> None:
    """A good signature over nonsense is no identity, and no error of ours."""
    for claims in (
        b'{"sub":"alice","exp":1e999}',
        b"[1]",
        b"not json",
        b"\xff",
        b'"alice"',
        b"[" * 5000,
        b'{"sub":"alice","exp":NaN}',
    ):
        with subtests.test(claims=claims[:40]):
            refused(client, forged(b'{"alg":"HS256","typ":"JWT"}', claims))


def test_token_when_its_header_is_odd_then_it_is_refused(
    client: ContractClient, subtests: pytest.Subtests
) -> None:
    """The header is read before the signature: whatever stands there, it is 401."""
    for header in (
        b"[" * 5000,
        b"{}",
        b"null",
        b"5",
        b'{"alg":["HS256"]}',
        b'{"alg":null}',
        b'{"alg":"HS256","crit":["x"]}',
        b"\xff\xfe",
        b'{"alg":"HS256","kid":5}',
        b'{"alg":{"a":1}}',
    ):
        with subtests.test(header=header[:40]):
            refused(client, forged(header, b'{"sub":"alice"}'))


def test_token_when_it_names_another_algorithm_then_it_is_refused(
    client: ContractClient, subtests: pytest.Subtests
) -> None:
    """One algorithm is accepted, whatever the token says of itself."""
    for alg in ("none", "None", "NONE", "nOnE", "HS384", "HS512"):
        with subtests.test(alg=alg):
            signed = forged(json.dumps({"alg": alg}).encode(), b'{"sub":"alice"}')
            refused(client, signed)
            refused(client, signed.rpartition(".")[0] + ".")


@pytest.mark.parametrize(("accepted", "used"), [("HS256", "HS512"), ("HS512", "HS256")])
def test_token_when_our_key_signed_it_by_another_algorithm_then_it_is_refused(
    make_client: MakeClient, accepted: str, used: str
) -> None:
    """A good signature by an algorithm that is not the configured one does not count."""
    client = make_client(**({} if accepted == "HS256" else {"JWT_ALGORITHM": accepted}))

    refused(client, token(algorithm=used))
    assert client.get(FAVORITES, headers=bearer(token(algorithm=accepted))).status_code == 200


def test_token_when_the_key_is_another_then_it_is_refused(client: ContractClient) -> None:
    """Nobody else can sign."""
    refused(client, token(key="x" * 40))


def test_token_when_a_byte_of_it_is_changed_then_it_is_refused(client: ContractClient) -> None:
    """A subject that is exchanged breaks the signature."""
    head, _, tail = token().split(".")
    claims = base64.urlsafe_b64encode(b'{"sub":"admin"}').rstrip(b"=").decode()
    refused(client, f"{head}.{claims}.{tail}")


def test_token_when_rs256_is_configured_then_a_signature_of_the_private_key_holds(
    make_client: MakeClient,
) -> None:
    """A public key reads what the private one signed."""
    client = make_client(JWT_SECRET=PUBLIC_PEM, JWT_ALGORITHM="RS256")
    signed = jwt.encode({"sub": "alice"}, PRIVATE, "RS256")

    assert client.get(FAVORITES, headers=bearer(signed)).json["total"] == 0


@pytest.mark.parametrize("pem", [PUBLIC_PEM, PUBLIC_PEM.strip()])
def test_token_when_the_public_key_was_used_as_hmac_secret_then_it_is_refused(
    make_client: MakeClient, pem: str
) -> None:
    """Algorithm confusion: everybody knows the public key, so it must not be taken as a secret."""
    client = make_client(JWT_SECRET=PUBLIC_PEM, JWT_ALGORITHM="RS256")

    refused(client, forged(b'{"alg":"HS256"}', b'{"sub":"alice"}', pem.encode()))


def test_token_when_an_audience_is_configured_then_the_token_must_be_for_it(
    make_client: MakeClient, subtests: pytest.Subtests
) -> None:
    """A token that was made for another service does not open this one."""
    client = make_client(JWT_AUDIENCE="dashboard")

    for claims, status in (
        ({"aud": "dashboard"}, 200),
        ({"aud": ["x", "dashboard"]}, 200),
        ({"aud": "other"}, 401),
        ({}, 401),
        ({"aud": []}, 401),
        ({"aud": "dashboards"}, 401),
    ):
        with subtests.test(claims=claims):
            assert client.get(FAVORITES, headers=bearer(token(claims))).status_code == status


def test_token_when_the_subject_cannot_be_a_header_then_it_is_refused(
    client: ContractClient, users: Upstream, subtests: pytest.Subtests
) -> None:
    """The subject travels in a header: what could break out of it is no identity."""
    texts = ("", " ", "a b", "a\r\nX-Admin: 1", "nul\x00", "ü", "x" * 129)
    for subject in (*texts, 5, None, ["alice"], {"a": 1}):
        with subtests.test(subject=subject):
            claims = json.dumps({"sub": subject}).encode()
            refused(client, forged(b'{"alg":"HS256"}', claims))
    assert not users.calls


def test_token_when_it_has_no_subject_then_it_is_refused(client: ContractClient) -> None:
    """A token that names nobody identifies nobody."""
    refused(client, jwt.encode({"name": "alice"}, JWT_SECRET, "HS256"))


def test_authorization_when_it_is_no_bearer_token_then_it_is_401(
    client: ContractClient, subtests: pytest.Subtests
) -> None:
    """Another scheme, or none, is not taken for "no token"."""
    bare = ("Bearer", "Bearer ", "bearer\t", "alice", "")
    for header in ("Basic YWxpY2U6cGFzcw==", "Token x", *bare):
        with subtests.test(header=header):
            response = client.get(FAVORITES, headers={"Authorization": header})

            assert response.status_code == 401
            assert "WWW-Authenticate" in response.headers


def test_authorization_when_it_is_garbage_then_it_is_401(
    client: ContractClient, subtests: pytest.Subtests
) -> None:
    """Bytes that are no token are refused like any other wrong one."""
    for raw in ("Bearer ümlaut", "Bearer \xff\xfe.\x80.x", "Bearer a.b.c", "Bearer ..."):
        with subtests.test(raw=ascii(raw)):
            response = client.get(FAVORITES, environ_overrides={"HTTP_AUTHORIZATION": raw})

            assert response.status_code == 401


def test_token_when_no_key_is_configured_then_none_is_accepted(make_client: MakeClient) -> None:
    """Without a key nothing can be checked, and an empty key must not check anything."""
    client = make_client(JWT_SECRET="")

    refused(client, token())
    refused(client, forged(b'{"alg":"HS256"}', b'{"sub":"alice"}', b""))


def test_token_when_it_is_used_then_no_log_line_shows_it(
    client: ContractClient, logs: list[str]
) -> None:
    """Neither a good token nor a wrong one is logged, nor told back."""
    good, wrong = token(), token(key="y" * 40)
    client.get(FAVORITES, headers=bearer(good))
    told = client.get(FAVORITES, headers=bearer(wrong)).data.decode()

    text = "\n".join(logs) + told
    assert logs
    for part in (*good.split("."), *wrong.split(".")):
        assert part not in text
