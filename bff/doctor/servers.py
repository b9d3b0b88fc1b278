"""Checks of the servers that the service talks to: TMDB, the user service and Redis."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import redis
import requests

from bff.doctor import FAIL, OK, WARN, Finding, Subject

CONNECT_S, READ_S = 1.5, 5.0  # for each address of a name, and for each read
MOST_SKEW_S = 60.0
BLOCKED = "this network may block it: set TMDB_PROXY to a proxy that reaches it"
CAUSES = (  # why there is no answer, with advice where it is always the same
    (ssl.SSLCertVerificationError, "TLS:", "is the clock right? Then a proxy is in between"),
    (ssl.SSLError, "TLS: no connection", "is the address https, and the port right?"),
    (socket.gaierror, "DNS: the name has no address", "correct it, or see /etc/resolv.conf"),
    (ConnectionRefusedError, "it refuses the connection", ""),
    (TimeoutError, "it does not answer in time", ""),
    (Exception, "it closes the connection or cannot be reached", ""),
)


def get(subject: Subject, url: str, **options: Any) -> requests.Response:
    """Ask as the service does: no redirects, and nothing that the environment says."""
    with requests.Session() as http:
        http.trust_env = False
        http.verify = subject.ca_bundle or True
        return http.get(url, timeout=(CONNECT_S, READ_S), allow_redirects=False, **options)


def json_object(response: requests.Response) -> dict[str, Any]:
    """Return the body if it is a JSON object, else an empty one."""
    with suppress(ValueError):
        if isinstance(body := response.json(), dict):
            return body
    return {}


def _no_answer(check: str, url: str, error: BaseException, advice: str) -> Finding:
    """Say why there is no answer; `advice` is for a server that cannot be reached."""
    target = urlsplit(url).netloc
    if isinstance(error, requests.exceptions.ProxyError):
        target = f"{target} through the proxy"
        advice = "start it, or correct address, user and password in TMDB_PROXY (or HTTPS_PROXY)"
    chain = [error]
    while (below := chain[-1].__context__) is not None:
        chain.append(below)
    found, own = next(it[1:] for it in CAUSES if any(isinstance(one, it[0]) for one in chain))
    detail = getattr(chain[-1], "verify_message", "")
    return Finding(FAIL, check, f"{target}: {found} {detail}".rstrip(), own or advice)


def tmdb(subject: Subject) -> Iterator[Finding]:
    """Go the whole way to TMDB and ask for its configuration."""
    url, via = f"{subject.tmdb_url}/configuration", {"all": subject.tmdb_proxy}
    try:
        response = get(
            subject, url, headers=subject.tmdb_headers, params=subject.tmdb_query, proxies=via
        )
    except requests.RequestException as error:
        stub = "start the stub (./start-all.sh), or set TMDB_READ_TOKEN for the real TMDB"
        yield _no_answer("tmdb", url, error, BLOCKED if subject.tmdb_is_live else stub)
        return
    yield _tmdb_says(subject, response)
    if (took_s := response.elapsed.total_seconds()) > subject.tmdb_timeout_s:
        found = f"it took {took_s:.1f} s to connect and to answer: calls would time out"
        advice = "if its IPv6 addresses do not answer, set TMDB_IPV4_ONLY=true; else it is slow"
        yield Finding(WARN, "tmdb", found, advice)
    if "Date" in response.headers:
        yield _clock(parsedate_to_datetime(response.headers["Date"]))


def _tmdb_says(subject: Subject, response: requests.Response) -> Finding:
    host, status = urlsplit(subject.tmdb_url).netloc, response.status_code
    body = json_object(response)
    if status == 200 and "images" in body:
        kind = "TMDB" if subject.tmdb_is_live else "the TMDB stub"
        return Finding(OK, "tmdb", f"{kind} answers at {host} and accepts the credential")
    if status in (401, 403) and "status_code" in body:
        advice = "copy it again (themoviedb.org, settings, API): TMDB_READ_TOKEN is the long one"
        return Finding(FAIL, "tmdb", "TMDB refuses the credential", advice)
    if status == 429 or status >= 500:
        advice = "wait: old answers are served; after a 429, lower TMDB_CALLS_PER_SECOND"
        return Finding(WARN, "tmdb", f"{host} answers with status {status}", advice)
    advice = f"correct TMDB_BASE_URL (after a 407, TMDB_PROXY); or {BLOCKED}"
    return Finding(FAIL, "tmdb", f"what answers at {host} is not TMDB (status {status})", advice)


def _clock(tmdb_time: datetime) -> Finding:
    skew_s = (datetime.now(UTC) - tmdb_time).total_seconds()
    wrong = abs(skew_s) > MOST_SKEW_S
    side = "ahead of" if skew_s > 0 else "behind"
    found = f"this machine's clock is {abs(skew_s):.0f} s {side} TMDB's"
    advice = "set it (timedatectl set-ntp true): tokens expire too early or too late"
    return Finding(WARN if wrong else OK, "clock", found, advice if wrong else "")


def user_service(subject: Subject) -> Iterator[Finding]:
    """Ask the user service for its health, for a list and for its event stream."""
    try:
        yield _user_service_says(subject.users_url, subject)
    except requests.RequestException as error:
        advice = "start it (./start-all.sh starts both), or correct USER_SERVICE_URL"
        yield _no_answer("users", subject.users_url, error, advice)


def _user_service_says(url: str, subject: Subject) -> Finding:
    headers = {"X-User-Id": "doctor", **subject.users_headers}
    if json_object(health := get(subject, f"{url}/health")).get("service") != "user-service":
        found = f"no healthy user service at USER_SERVICE_URL (status {health.status_code})"
        advice = "after a 503, start its database; else correct USER_SERVICE_URL"
        return Finding(FAIL, "users", found, advice)
    favorites = get(subject, f"{url}/favorites", headers=headers)
    if favorites.status_code in (401, 403):
        advice = "set the same USER_SERVICE_TOKEN for both"
        return Finding(FAIL, "users", "the user service refuses the token", advice)
    if not isinstance(json_object(favorites).get("favorites"), list):
        found = f"the user service breaks the contract (/favorites: {favorites.status_code})"
        return Finding(FAIL, "users", found, "bring BFF and user service to the same version")
    if subject.users_events:
        with get(subject, f"{url}/events", headers=headers, stream=True) as stream:
            kind = stream.headers.get("Content-Type", "")
        if not kind.startswith("text/event-stream"):
            found = f"the user service has no event stream (status {stream.status_code})"
            advice = "every request reads lists anew; if intended, set USER_SERVICE_EVENTS=false"
            return Finding(WARN, "users", found, advice)
    return Finding(OK, "users", f"the user service answers at {urlsplit(url).netloc}")


def redis_server(subject: Subject) -> Iterator[Finding]:
    """Log in to Redis; look at its version, its memory and TMDB's pause."""
    if not subject.redis_url:
        found = f"not used: each of the {subject.workers} workers has its own limits and circuits"
        advice = "a caller may reach RATE_LIMIT_PER_MINUTE in each; set REDIS_URL to share them"
        yield Finding(OK, "redis", found, advice)
        return
    try:
        with redis.Redis.from_url(subject.redis_url, socket_timeout=READ_S) as client:
            pause_s: Any = client.ttl("bff:tmdb:pause")
            info: Any = client.info()
    except redis.exceptions.NoPermissionError:  # for INFO, which the service does not need
        info = {}
    except redis.AuthenticationError:
        advice = "set it in REDIS_URL: redis://:PASSWORD@host:6379/0, special characters as %XX"
        yield Finding(FAIL, "redis", "Redis refuses the password, or asks for one", advice)
        return
    except (redis.RedisError, OSError) as error:
        found = f"Redis cannot be used ({type(error).__name__}); each worker is on its own"
        advice = "start it, correct REDIS_URL, or bring it to version 6.0 or newer"
        yield Finding(FAIL, "redis", found, advice)
        return
    yield Finding(OK, "redis", f"Redis {info.get('redis_version', '')} answers")
    if info.get("maxmemory") and info.get("maxmemory_policy") == "noeviction":
        advice = "set maxmemory-policy to allkeys-lru, so that old answers make room"
        yield Finding(WARN, "redis", "Redis refuses writes once its memory is full", advice)
    if pause_s > 0:
        advice = "wait: old answers are served; if it happens again, lower TMDB_CALLS_PER_SECOND"
        yield Finding(WARN, "tmdb", f"TMDB has asked for a pause: {pause_s} s left", advice)
