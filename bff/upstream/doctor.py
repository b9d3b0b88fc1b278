"""What is wrong with a deployment, and what to do about it: the findings of `flask doctor`.

Each check looks at one thing from outside, as the service itself would use
it, and takes at most `CHECK_S`; all of them run side by side. No finding
quotes a secret, nor a part of an address that may hold one.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import redis
import requests

from bff import context
from bff.context import Deadline, RequestContext
from bff.schemas.base import Malformed
from bff.schemas.library import FavoritesSchema
from bff.schemas.reading import reader
from bff.upstream import session
from bff.upstream.names import Address, Names

OK, WARN, FAIL = "OK", "WARN", "FAIL"
CHECK_S = 3.0
IPV6_S = 1.0
MOST_SKEW_S = 60.0
LEAST_REDIS = (5, 0)  # scripts that write after asking for the time
LEAST_FREE, LOW_FREE = 16 * 1024 * 1024, 512 * 1024 * 1024
SERVICE, USER_SERVICE = "movie-dashboard-bff", "user-service"
CLIENTS = 1000  # connections that gunicorn's gthread worker holds at the most
OWN_FILES = 64  # libraries, log, metrics, listening socket, wake-up pipes


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, what was found, and what to do."""

    check: str
    level: str
    found: str
    advice: str = ""


Findings = list[Finding]


@dataclass(frozen=True)
class Subject:
    """What the doctor looks at: the settings, in plain values."""

    port: int
    tmdb_url: str
    tmdb_is_live: bool
    tmdb_headers: dict[str, str] = field(repr=False)
    tmdb_query: dict[str, str] = field(repr=False)
    tmdb_proxy: str = field(repr=False)
    users_url: str
    users_token: str = field(repr=False)
    users_events: bool
    redis_url: str = field(repr=False)
    cache_file: Path
    workers: int
    threads: int
    slots: int
    secret_is_short: bool
    algorithm: str


def examine(subject: Subject) -> Findings:
    """Make all checks, side by side, and return what they found in a fixed order."""
    checks: list[Callable[[Subject], Findings]] = [
        settings,
        tmdb,
        user_service,
        redis_server,
        cache_file,
        port,
        file_limit,
        processors,
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        results = [pool.submit(_bounded, check, subject) for check in checks]
    return [finding for result in results for finding in result.result()]


def _bounded(check: Callable[[Subject], Findings], subject: Subject) -> Findings:
    context.enter(RequestContext("doctor", Deadline.after(CHECK_S)))
    try:
        return check(subject)
    except Exception as error:
        # A doctor that falls ill says so; the text of the error may hold an address.
        return [Finding(check.__name__, FAIL, f"the check failed: {type(error).__name__}")]


def _left_s() -> float:
    return max(0.05, context.current().deadline.left_s())


# -- settings


def settings(subject: Subject) -> Findings:
    """Look at the settings that are allowed and still wrong; contradictions stop the start."""
    found = [Finding("settings", OK, "the settings do not contradict each other")]
    if subject.secret_is_short:
        found.append(
            Finding(
                "settings",
                WARN,
                f"JWT_SECRET is shorter than the hash of {subject.algorithm} and can be guessed",
                "set one of at least 32 random bytes: openssl rand -base64 48",
            )
        )
    here = urlsplit(subject.users_url).hostname in ("127.0.0.1", "localhost", "::1")
    if not subject.users_token and not here:
        found.append(
            Finding(
                "settings",
                WARN,
                "the user service is on another machine and USER_SERVICE_TOKEN is not set",
                "set the same USER_SERVICE_TOKEN for both: whoever reaches it is any user",
            )
        )
    return found


# -- the way to an address


class Unreached(Exception):
    """Nothing answers; holds the finding."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.found, self.advice = found, advice


_TRY_PROXY = (
    "this network may block it: set TMDB_PROXY (or HTTPS_PROXY) to a proxy that reaches it, "
    "or use another network or DNS server"
)


def _resolved(host: str, number: int) -> list[Address]:
    try:
        return Names().addresses(host, number, _left_s())
    except TimeoutError:
        raise Unreached(
            f"DNS: the name {host} was not resolved in {CHECK_S:.0f} s",
            "the DNS server of this machine does not answer: see /etc/resolv.conf",
        ) from None
    except OSError:
        raise Unreached(
            f"DNS: the name {host} has no address",
            "correct the name in the settings, or this machine's DNS server (/etc/resolv.conf)",
        ) from None


def _try(address: Address, timeout_s: float) -> str:
    family, kind, proto, _, where = address
    try:
        with socket.socket(family, kind, proto) as sock:
            sock.settimeout(timeout_s)
            sock.connect(where)
    except TimeoutError:
        return "timeout"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "error")
    return "ok"


def _reached(host: str, number: int, check: str, advice: str) -> Findings:
    """Try every address of a name at once; raise `Unreached` where none takes a connection."""
    found = _resolved(host, number)[:8]
    with ThreadPoolExecutor(len(found)) as pool:
        results = list(
            pool.map(
                _try,
                found,
                [IPV6_S if each[0] == socket.AF_INET6 else _left_s() - 0.2 for each in found],
            )
        )
    said = list(zip(found, results, strict=True))
    old = [result for each, result in said if each[0] != socket.AF_INET6]
    new = [result for each, result in said if each[0] == socket.AF_INET6]
    if "ok" not in results:
        if "refused" in results:
            raise Unreached(f"{host}:{number} refuses the connection", advice)
        if "timeout" in results:
            raise Unreached(f"{host}:{number} does not answer", advice)
        raise Unreached(f"{host}:{number} cannot be reached ({', '.join(set(results))})", advice)
    if "ok" in old and new and "ok" not in new:
        return [
            Finding(
                check,
                WARN,
                f"IPv6: {host} has IPv6 addresses, and they cannot be reached from here",
                "nothing fails, IPv4 is used first; have IPv6 repaired, or taken off this machine",
            )
        ]
    return []


_UNTRUSTED = (
    "the certificate is signed by nobody this machine trusts",
    "a proxy is in between, or somebody else: install its root certificate, or go another way",
)
_CERTIFICATE = {
    9: ("the certificate is not valid yet", "set this machine's clock"),
    10: ("the certificate has expired", "set this machine's clock; if it is right, tell the owner"),
    62: ("the certificate is for another name", "correct the address; or somebody is in between"),
    64: ("the certificate is for another address", "use the name in place of the number"),
}


def _below(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything that led to it."""
    left, seen = [error], set[int]()
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        causes = (*one.args, one.__cause__, one.__context__, getattr(one, "reason", None))
        left += [cause for cause in causes if isinstance(cause, BaseException)]


def _refusal(error: BaseException) -> tuple[str, str] | None:
    """Return what is wrong with TLS, if that is what went wrong."""
    for one in _below(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return _CERTIFICATE.get(one.verify_code, _UNTRUSTED)
        if isinstance(one, ssl.SSLError):
            return ("no TLS connection could be made", "is the address https and the port right?")
    return None


def _is_late(error: BaseException) -> bool:
    return any(isinstance(one, requests.Timeout | TimeoutError) for one in _below(error))


@dataclass(frozen=True)
class _Said:
    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


def _ask(url: str, headers: dict[str, str], query: dict[str, str], proxy: str = "") -> _Said:
    """Send one GET, as the service would; raise `requests.RequestException`."""
    with (
        session.build(1, proxy) as http,
        http.get(
            url,
            headers=headers,
            params=query,
            timeout=_left_s(),
            stream=True,
            allow_redirects=False,
        ) as response,
    ):
        body = response.raw.read(1024 * 1024, decode_content=True)
        return _Said(response.status_code, response.headers, body)


def _ends(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


# -- TMDB


def tmdb(subject: Subject) -> Findings:
    """Go the whole way to TMDB: name, connection, TLS, credential, clock, answer."""
    host, number = _ends(subject.tmdb_url)
    if subject.tmdb_proxy:
        host, number = _ends(subject.tmdb_proxy)
        advice = "correct TMDB_PROXY (or HTTPS_PROXY), or start the proxy"
    elif subject.tmdb_is_live:
        advice = _TRY_PROXY
    else:
        advice = "start the stub (./start-all.sh), or set TMDB_READ_TOKEN to use the real TMDB"
    try:
        found = _reached(host, number, "tmdb", advice)
    except Unreached as error:
        through = "the proxy: " if subject.tmdb_proxy else ""
        return [Finding("tmdb", FAIL, through + error.found, error.advice)]
    try:
        said = _ask(
            f"{subject.tmdb_url}/configuration",
            subject.tmdb_headers,
            subject.tmdb_query,
            subject.tmdb_proxy,
        )
    except (requests.RequestException, OSError) as error:
        return [*found, _no_answer(subject, error)]
    return [*found, *_skew(said), *_tmdb_says(subject, said)]


def _no_answer(subject: Subject, error: BaseException) -> Finding:
    host, _ = _ends(subject.tmdb_url)
    wrong = _refusal(error)
    if wrong is not None:
        return Finding("tmdb", FAIL, f"TLS with {host}: {wrong[0]}", wrong[1])
    if isinstance(error, requests.exceptions.ProxyError):
        return Finding(
            "tmdb",
            FAIL,
            f"the proxy does not let through to {host}",
            "correct user and password in TMDB_PROXY, or have the proxy allow it",
        )
    if _is_late(error):
        return Finding("tmdb", FAIL, f"{host} takes the connection and does not answer", _TRY_PROXY)
    return Finding(
        "tmdb", FAIL, f"{host} closes the connection ({type(error).__name__})", _TRY_PROXY
    )


def _skew(said: _Said) -> Findings:
    try:
        moment = parsedate_to_datetime(said.headers.get("Date", ""))
        skew_s = (datetime.now(UTC) - moment).total_seconds()
    except (ValueError, TypeError):
        return []
    if abs(skew_s) <= MOST_SKEW_S:
        return [Finding("clock", OK, "this machine's clock agrees with TMDB's")]
    side = "ahead of" if skew_s > 0 else "behind"
    return [
        Finding(
            "clock",
            WARN,
            f"this machine's clock is {abs(skew_s):.0f} s {side} TMDB's",
            "set it (timedatectl set-ntp true): tokens and certificates would expire too early "
            "or too late",
        )
    ]


def _tmdb_says(subject: Subject, said: _Said) -> Findings:
    body = said.json()
    from_tmdb = isinstance(body, dict) and ("images" in body or "status_code" in body)
    host, _ = _ends(subject.tmdb_url)
    if said.status == 407:
        advice = "correct user and password in TMDB_PROXY"
        return [Finding("tmdb", FAIL, "the proxy refuses the password", advice)]
    if said.status in (401, 403) and from_tmdb:
        return [
            Finding(
                "tmdb",
                FAIL,
                "TMDB refuses the credential",
                "copy it anew from themoviedb.org (settings, API): the long one is "
                "TMDB_READ_TOKEN, the short one TMDB_API_KEY",
            )
        ]
    if said.status == 429:
        advice = "wait; if others use this address too, lower TMDB_CALLS_PER_SECOND"
        return [Finding("tmdb", WARN, "TMDB says that it is asked too often", advice)]
    if said.status >= 500:
        advice = "nothing to do here: old answers serve meanwhile"
        return [Finding("tmdb", WARN, f"{host} answers with status {said.status}", advice)]
    if said.status != 200 or not isinstance(body, dict) or "images" not in body:
        return [
            Finding(
                "tmdb",
                FAIL,
                f"what answers at {host} is not TMDB (status {said.status})",
                "correct TMDB_BASE_URL; a page of the provider or of a proxy may stand in: "
                + _TRY_PROXY,
            )
        ]
    kind = "TMDB" if subject.tmdb_is_live else "the stub of TMDB"
    return [Finding("tmdb", OK, f"{kind} answers at {host} and takes the credential")]


# -- the user service


def user_service(subject: Subject) -> Findings:
    """Ask the user service for its health, for a list, and for its stream."""
    host, number = _ends(subject.users_url)
    advice = "start it (./start-all.sh starts both), or correct USER_SERVICE_URL"
    try:
        found = _reached(host, number, "users", advice)
    except Unreached as error:
        return [Finding("users", FAIL, error.found, error.advice)]
    headers = {"X-User-Id": "doctor"}
    if subject.users_token:
        headers["Authorization"] = f"Bearer {subject.users_token}"
    try:
        wrong = _health_says(_ask(f"{subject.users_url}/health", headers, {}))
        wrong = wrong or _list_says(_ask(f"{subject.users_url}/favorites", headers, {}))
        if wrong:
            return [*found, wrong]
        found.append(Finding("users", OK, f"the user service answers at {host}:{number}"))
        if subject.users_events:
            found.append(_stream(subject, headers))
    except (requests.RequestException, OSError) as error:
        tls = _refusal(error)
        late = "does not answer in time" if _is_late(error) else "closes the connection"
        what = f"TLS: {tls[0]}" if tls else late
        found.append(
            Finding("users", FAIL, f"{host}:{number} {what}", tls[1] if tls else "see its log")
        )
    return found


_OTHER = "correct USER_SERVICE_URL: docs/architecture.md says what a user service has to answer"


def _health_says(said: _Said) -> Finding | None:
    body = said.json()
    if said.status == 503:
        return Finding(
            "users",
            FAIL,
            "the user service runs, and its database is away",
            "start the database, or correct the user service's DATABASE_URL; it recovers by itself",
        )
    name = body.get("service") if isinstance(body, dict) else None
    if said.status != 200 or name != USER_SERVICE:
        what = f"calls itself {name!r}"[:60] if name else f"has no /health of ours ({said.status})"
        return Finding("users", FAIL, f"another service is at USER_SERVICE_URL: it {what}", _OTHER)
    return None


def _list_says(said: _Said) -> Finding | None:
    if said.status in (401, 403):
        return Finding(
            "users",
            FAIL,
            "the user service refuses the token",
            "set the same USER_SERVICE_TOKEN for the BFF and for the user service",
        )
    try:
        reader(FavoritesSchema)(said.json() if said.status == 200 else None)
    except Malformed:
        return Finding(
            "users",
            FAIL,
            f"the user service keeps another contract: /favorites (status {said.status}) "
            "is no list of favourites",
            "bring BFF and user service to the same version",
        )
    return None


def _stream(subject: Subject, headers: dict[str, str]) -> Finding:
    with (
        session.build(1) as http,
        http.get(
            f"{subject.users_url}/events", headers=headers, stream=True, timeout=_left_s()
        ) as response,
    ):
        kind = response.headers.get("Content-Type", "")
        status = response.status_code
    if status == 200 and kind.startswith("text/event-stream"):
        return Finding("users", OK, "it has a stream of changes")
    return Finding(
        "users",
        WARN,
        f"it has no stream of changes (status {status})",
        "each request asks it for the user's lists: slower, not wrong; "
        "USER_SERVICE_EVENTS=false says that this is meant",
    )


# -- Redis


def redis_server(subject: Subject) -> Findings:
    """Log in to Redis, and look at its version."""
    if not subject.redis_url:
        if subject.workers > 1:
            found = "not used: cache, limits and circuits are this machine's own"
        else:
            found = "not used"
        return [Finding("redis", OK, found)]
    parts = urlsplit(subject.redis_url)
    where = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
    client = redis.Redis.from_url(
        subject.redis_url,
        socket_timeout=CHECK_S / 3,
        socket_connect_timeout=CHECK_S / 3,
        retry=None,
    )
    try:
        said: Any = client.info("server")
    except redis.AuthenticationError:
        return [_no_password(where)]
    except redis.ResponseError as error:
        if str(error).startswith(("NOAUTH", "WRONGPASS")):
            return [_no_password(where)]
        said = {}
    except (redis.RedisError, OSError) as error:
        return [
            Finding(
                "redis",
                FAIL,
                f"Redis at {where} cannot be reached ({type(error).__name__})",
                "start it, or correct REDIS_URL; meanwhile each worker is on its own",
            )
        ]
    finally:
        client.close()
    version = str(said.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < LEAST_REDIS:
        least = ".".join(map(str, LEAST_REDIS))
        return [
            Finding(
                "redis",
                FAIL,
                f"Redis {version} at {where} is too old",
                f"its scripts need Redis {least} or newer",
            )
        ]
    return [Finding("redis", OK, f"Redis {version or 'of unknown version'} answers at {where}")]


def _no_password(where: str) -> Finding:
    return Finding(
        "redis",
        FAIL,
        f"Redis at {where} refuses the password, or asks for one",
        "set it in REDIS_URL: redis://:PASSWORD@host:6379/0, special characters as %XX",
    )


# -- this machine


def cache_file(subject: Subject) -> Findings:
    """Write into the folder of the cache, and look at the room that is left."""
    folder, probe = subject.cache_file.parent, subject.cache_file.with_name(".doctor")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
        if subject.cache_file.exists() and not os.access(subject.cache_file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        free = shutil.disk_usage(folder).free
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return [_no_room(folder, FAIL, "no room is left")]
        return [
            Finding(
                "cache",
                FAIL,
                f"{subject.cache_file} cannot be written ({error.strerror})",
                "set CACHE_FILE to a file that the service's user may write; meanwhile each "
                "worker asks TMDB for itself",
            )
        ]
    if free < LOW_FREE:
        level = FAIL if free < LEAST_FREE else WARN
        return [_no_room(folder, level, f"{free // 1024 // 1024} MB are left")]
    return [Finding("cache", OK, f"{folder} can be written")]


def _no_room(folder: Path, level: str, found: str) -> Finding:
    return Finding(
        "cache",
        level,
        f"on the disk of {folder} {found}",
        "make room, or set CACHE_FILE to another disk; the cache grows to 256 MB",
    )


def port(subject: Subject) -> Findings:
    """Find out whether the port is free, and if not, who has it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", subject.port))
            sock.listen(1)
        except OSError as error:
            taken = error
        else:
            return [Finding("port", OK, f"port {subject.port} is free")]
    if taken.errno == errno.EACCES:
        advice = "set PORT to one above 1023, and put a proxy in front"
        return [Finding("port", FAIL, f"port {subject.port} is for root only", advice)]
    if taken.errno != errno.EADDRINUSE:
        return [Finding("port", FAIL, f"port {subject.port}: {taken.strerror}", "set PORT")]
    try:
        body = _ask(f"http://127.0.0.1:{subject.port}/health", {}, {}).json()
    except (requests.RequestException, OSError):
        body = None
    if isinstance(body, dict) and body.get("service") == SERVICE:
        return [Finding("port", OK, f"this service already runs on port {subject.port}")]
    who = owner(subject.port)
    return [
        Finding(
            "port",
            FAIL,
            f"port {subject.port} is taken by {who or 'another program'}",
            "end that program, or set PORT to another number",
        )
    ]


def owner(number: int, proc: Path = Path("/proc")) -> str:
    """Return name and process id of who listens on a port of this machine, if it can be seen."""
    inodes = set()
    for table in ("net/tcp", "net/tcp6"):
        for line in _lines(proc / table):
            parts = line.split()
            if len(parts) > 9 and parts[3] == "0A" and int(parts[1][-4:], 16) == number:
                inodes.add(f"socket:[{parts[9]}]")
    for process in proc.iterdir() if inodes else ():
        if process.name.isdigit() and inodes & _open_files(process):
            name = next(iter(_lines(process / "comm")), "?")
            return f"{name} (process {process.name})"
    return ""


def _lines(file: Path) -> Iterable[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return ()


def _open_files(process: Path) -> set[str]:
    found = set()
    try:
        for file in (process / "fd").iterdir():
            found.add(os.readlink(file))
    except OSError:  # somebody else's, or gone meanwhile
        pass
    return found


def file_limit(subject: Subject) -> Findings:
    """Compare the limit for open files with what one worker may need."""
    pooled = 64 if subject.redis_url else 0
    need = CLIENTS + subject.slots + pooled + OWN_FILES
    formula = (
        f"{CLIENTS} clients + {subject.slots} upstream calls + {pooled} to Redis + {OWN_FILES} own"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= need:
        limit = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
        return [Finding("files", OK, f"{limit} open files, a worker needs {need} ({formula})")]
    able = "ulimit -n" if hard == resource.RLIM_INFINITY or hard >= need else "as root: ulimit -Hn"
    return [
        Finding(
            "files",
            WARN if soft >= need - CLIENTS + 4 * subject.threads else FAIL,
            f"a worker may open {soft} files and needs up to {need} ({formula})",
            f"{able} {need}, or LimitNOFILE={need} in the unit of systemd",
        )
    ]


def processors(subject: Subject) -> Findings:
    """Compare workers and threads with the processors that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    said = f"{subject.workers} workers with {subject.threads} threads on {cores} processors"
    if subject.workers > 2 * cores + 1:
        advice = f"set WEB_CONCURRENCY to {max(2, cores)}: more workers only take memory and turns"
        return [Finding("processors", WARN, said, advice)]
    if subject.workers < cores:
        advice = f"set WEB_CONCURRENCY to {cores}, or the other processors have nothing to do"
        return [Finding("processors", WARN, said, advice)]
    if subject.threads > 64:
        advice = "set THREADS to 64 or less: threads of one worker share one processor"
        return [Finding("processors", WARN, said, advice)]
    return [Finding("processors", OK, said)]
