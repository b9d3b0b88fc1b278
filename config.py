"""Settings: the one reader of the environment and of `.env`.

Each process reads its own frozen dataclass once, at its start. Every fault is
collected, and the start stops with the whole list (`ConfigError`), never with
the value of a secret in it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from environs import Env, EnvValidationError, ValidationError, validate

ROOT = Path(__file__).resolve().parent

TMDB_LIVE_URL = "https://api.themoviedb.org/3"
FAULT_PROFILES = ("slow", "flaky", "rate_limited", "down", "garbage")
JWT_ALGORITHMS = (
    *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512"),
    *("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"),
)
LOOPBACK = "127.0.0.1"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
TRACING_MODULES = (
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.instrumentation.flask",
    "opentelemetry.instrumentation.requests",
    "opentelemetry.instrumentation.threading",
)
HMAC_KEY_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}


class ConfigError(Exception):
    """The settings are wrong; `faults` lists every one of them as `NAME: what is wrong`."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"wrong settings, nothing was started:\n{lines}")


def _split(value: str) -> SplitResult:
    """Take an address apart; the error of urllib would quote it, and with it a password."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # only looked at when asked for
    except ValueError:
        raise ValidationError("is not a well-formed address") from None
    return parts


def _http_url(value: str) -> None:
    parts = _split(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValidationError("must be an http:// or https:// address")
    if parts.query or parts.fragment:
        raise ValidationError("must not carry a query or a fragment")
    if "@" in parts.netloc:
        # It would show in log lines; the credentials have settings of their own.
        raise ValidationError("must not carry a user name or a password")


def _otlp_endpoint(value: str) -> None:
    if not value:
        return
    _http_url(value)
    if not all(_is_installed(name) for name in TRACING_MODULES):
        raise ValidationError("needs OpenTelemetry: pip install -r requirements-tracing.txt")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


def _proxy_url(value: str) -> None:
    if not value:
        return
    parts = _split(value)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
        raise ValidationError("must be an http://[user:password@]host:port address of a proxy")


def _redis_url(value: str) -> None:
    if not value:
        return
    parts = _split(value)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValidationError("must be a redis://, rediss:// or unix:// address")
    if parts.scheme != "unix" and not re.fullmatch(r"/?|/[0-9]+", parts.path):
        # The client would take any other path for database 0.
        raise ValidationError("must name a database by its number, as in redis://127.0.0.1:6379/0")
    from redis import ConnectionPool  # only the BFF has the setting, and few have a Redis

    try:
        ConnectionPool.from_url(value).make_connection()  # reads every option, connects to nobody
    except (TypeError, ValueError):
        raise ValidationError("has an option that is unknown or has a wrong value") from None


def _origin(value: str) -> bool:
    return value == "*" or re.fullmatch(r"https?://[^/\s]+", value) is not None


def _origins(value: list[str]) -> None:
    wrong = [origin for origin in value if not _origin(origin.strip())]
    if wrong:
        raise ValidationError("not an origin such as http://localhost:3000: " + ", ".join(wrong))


def _file(value: str) -> None:
    if value and not Path(value).exists():
        raise ValidationError("must be a file, or a folder of certificates")


def _address(value: str) -> None:
    try:
        ip_address(value.strip("[]"))
    except ValueError:
        raise ValidationError("must be an address such as 127.0.0.1, 0.0.0.0 or ::1") from None


def hosts(bind: str) -> tuple[str, ...]:
    """Return what to listen on for `bind`, IPv6 in brackets, as it stands before a port.

    127.0.0.1 brings ::1 along where there is IPv6, because clients take `localhost` for either.
    """
    host = bind.strip("[]")
    if host == LOOPBACK and _has_ipv6():
        return (LOOPBACK, "[::1]")
    return (f"[{host}]" if ":" in host else host,)


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def _header_value(value: str) -> None:
    if not value.isascii() or not all(char.isprintable() and char != " " for char in value):
        raise ValidationError("must be printable ASCII without spaces")


class _Reader:
    """Reads typed variables and collects the faults of all of them."""

    def __init__(self) -> None:
        self.env = Env(eager=False)
        path = Path(os.environ.get("ENV_FILE", ROOT / ".env"))
        if path.is_file():
            self.env.read_env(str(path), recurse=False)
        self.faults: list[str] = []

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        return int(
            self._read(self.env.int, name, default, validate.Range(min=low, max=high)) or default
        )

    def megabytes(self, name: str, default: int) -> int:
        return self.integer(name, default, 1, 1_000_000) * 2**20

    def boolean(self, name: str, default: bool) -> bool:
        return bool(self._read(self.env.bool, name, default))

    def text(self, name: str, default: str = "", check: Any = None) -> str:
        return str(self._read(self.env.str, name, default, check) or "")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        return self.text(name, default, validate.OneOf(choices))

    def texts(self, name: str, default: list[str], check: Any = None) -> tuple[str, ...]:
        values = self._read(self.env.list, name, default, check) or []
        return tuple(text.strip() for text in values)

    def spelled(self, name: str) -> str:
        """Return a variable that other programs read as well, in small letters or in capitals."""
        return (os.environ.get(name.lower()) or self.text(name)).strip()

    def fault(self, text: str) -> None:
        """Add a fault that concerns several settings."""
        self.faults.append(text)

    def close(self) -> None:
        """Raise `ConfigError` with every fault, if there is one."""
        faults: list[str] = []
        try:
            self.env.seal()
        except EnvValidationError as error:
            messages = cast("Mapping[str, list[str]]", error.error_messages)
            for name, texts in sorted(messages.items()):
                faults.extend(f"{name}: {text}" for text in texts)
        faults += self.faults
        if faults:
            raise ConfigError(faults)

    def _read(self, parse: Any, name: str, default: Any, check: Any = None) -> Any:
        # Set but empty means "not set": a form of a platform, a line of .env without a value.
        if not self.env.str(name, "").strip():
            return default
        return parse(name, default, validate=check)


def _workers(read: _Reader) -> int:
    return read.integer("WEB_CONCURRENCY", max(2, min(os.cpu_count() or 1, 8)), 1, 256)


def _bind(read: _Reader) -> str:
    return read.text("BIND", LOOPBACK, _address)


@dataclass(frozen=True)
class UpstreamSettings:
    """How one upstream is reached: `timeout_s` per socket operation, `slots` calls at once."""

    base_url: str
    timeout_s: float
    slots: int


@dataclass(frozen=True)
class BreakerSettings:
    """Circuit breaker: opens after `threshold` failures in a row, probes after `timeout_s`."""

    enabled: bool
    threshold: int
    timeout_s: int


@dataclass(frozen=True)
class CacheSettings:
    """TMDB cache: `ttl_s` for a list, `grace_s` of refresh behind, `stale_s` of stale-if-error.

    `answer_bytes`, `page_bytes` and `user_bytes` are what one worker keeps in memory of
    TMDB's answers, of ready pages and of users' lists; `folder` holds at most `disk_bytes`.
    """

    enabled: bool
    ttl_s: int
    grace_s: int
    stale_s: int
    answer_bytes: int
    page_bytes: int
    user_bytes: int
    folder: Path
    disk_bytes: int


@dataclass(frozen=True)
class AuthSettings:
    """Bearer tokens. `required` refuses requests without one; `secret` is a key or a PEM."""

    required: bool
    secret: str = field(repr=False)
    algorithm: str
    audience: str

    @property
    def secret_is_short(self) -> bool:
        """Whether an HMAC key is shorter than its hash (worth a warning, RFC 7518 section 3.2)."""
        return 0 < len(self.secret.encode()) < HMAC_KEY_BYTES.get(self.algorithm, 0)


@dataclass(frozen=True)
class Config:
    """Settings of the BFF. Read once per process; immutable, so safe for every thread."""

    port: int
    bind: str
    debug: bool
    log_level: str
    log_format: str
    otlp_endpoint: str
    cors_origins: tuple[str, ...]
    upstreams: Mapping[str, UpstreamSettings]
    tmdb_api_key: str = field(repr=False)
    tmdb_read_token: str = field(repr=False)
    tmdb_calls_per_second: int
    tmdb_ipv4_only: bool
    ca_bundle: str
    tmdb_proxy: str = field(repr=False)
    user_service_token: str = field(repr=False)
    user_service_events: bool
    cache: CacheSettings
    redis_url: str = field(repr=False)
    breaker: BreakerSettings
    rate_limit_enabled: bool
    rate_limit_per_minute: int
    auth: AuthSettings
    page_deadline_s: float
    workers: int
    threads: int
    pool_threads: int
    trusted_proxy_hops: int

    @property
    def tmdb(self) -> UpstreamSettings:
        """How TMDB is reached."""
        return self.upstreams["tmdb"]

    @property
    def users(self) -> UpstreamSettings:
        """How the user service is reached."""
        return self.upstreams["users"]

    @property
    def slots(self) -> int:
        """Calls to all upstreams at once."""
        return sum(upstream.slots for upstream in self.upstreams.values())

    @property
    def tmdb_is_live(self) -> bool:
        """Whether a TMDB credential is set; without one the stub serves."""
        return bool(self.tmdb_api_key or self.tmdb_read_token)

    @classmethod
    def from_env(cls) -> Config:
        """Read the environment and `.env`; raise `ConfigError` with every fault."""
        read = _Reader()
        api_key = read.text("TMDB_API_KEY", check=_header_value)
        token = read.text("TMDB_READ_TOKEN", check=_header_value)
        stub = f"http://127.0.0.1:{read.integer('TMDB_STUB_PORT', 3002, 1, 65535)}/3"
        users_here = f"http://127.0.0.1:{read.integer('USER_SERVICE_PORT', 3001, 1, 65535)}"
        tmdb_url = read.text(
            "TMDB_BASE_URL", TMDB_LIVE_URL if api_key or token else stub, _http_url
        )
        deadline_ms = read.integer("PAGE_DEADLINE_MS", 2000, 50, 20_000)
        pool = read.integer("POOL_THREADS", 64, 4, 4096)
        # Each upstream: the prefix of its settings, and its address.
        places = {
            "tmdb": ("TMDB", tmdb_url),
            "users": ("USER_SERVICE", read.text("USER_SERVICE_URL", users_here, _http_url)),
        }
        share = pool // len(places)
        config = cls(
            port=read.integer("PORT", 8000, 1, 65535),
            bind=_bind(read),
            debug=read.boolean("DEBUG", False),
            log_level=read.choice("LOG_LEVEL", "INFO", LOG_LEVELS),
            log_format=read.choice("LOG_FORMAT", "auto", ("auto", "text", "json")),
            otlp_endpoint=read.text("OTEL_EXPORTER_OTLP_ENDPOINT", "", _otlp_endpoint),
            cors_origins=read.texts(
                "CORS_ORIGINS", ["http://localhost:3000", "http://localhost:8080"], _origins
            ),
            upstreams={
                name: _upstream(read, prefix, url, deadline_ms, share)
                for name, (prefix, url) in places.items()
            },
            tmdb_api_key=api_key,
            tmdb_read_token=token,
            tmdb_calls_per_second=read.integer("TMDB_CALLS_PER_SECOND", 40, 1, 10_000),
            tmdb_ipv4_only=read.boolean("TMDB_IPV4_ONLY", False),
            ca_bundle=read.text("REQUESTS_CA_BUNDLE", check=_file),
            tmdb_proxy=_tmdb_proxy(read, tmdb_url),
            user_service_token=read.text("USER_SERVICE_TOKEN", check=_header_value),
            user_service_events=read.boolean("USER_SERVICE_EVENTS", True),
            cache=_cache(read),
            redis_url=read.text("REDIS_URL", check=_redis_url),
            breaker=BreakerSettings(
                enabled=read.boolean("CIRCUIT_BREAKER_ENABLED", True),
                threshold=read.integer("CIRCUIT_BREAKER_FAILURE_THRESHOLD", 5, 1, 1000),
                timeout_s=read.integer("CIRCUIT_BREAKER_TIMEOUT_SECONDS", 60, 1, 3600),
            ),
            rate_limit_enabled=read.boolean("RATE_LIMIT_ENABLED", True),
            rate_limit_per_minute=read.integer("RATE_LIMIT_PER_MINUTE", 300, 1, 1_000_000),
            auth=_auth(read),
            page_deadline_s=deadline_ms / 1000,
            workers=_workers(read),
            threads=read.integer("THREADS", 64, 1, 512),
            pool_threads=pool,
            trusted_proxy_hops=read.integer("TRUSTED_PROXY_HOPS", 0, 0, 10),
        )
        if config.slots > pool:
            names = " and ".join(f"{prefix}_CONCURRENT_CALLS" for prefix, _ in places.values())
            read.fault(
                f"POOL_THREADS: {pool} is below {names} together ({config.slots}); calls would "
                "queue instead of being refused"
            )
        read.close()
        return config


def _tmdb_proxy(read: _Reader, base_url: str) -> str:
    """Return the proxy on the way to TMDB: TMDB_PROXY, or what all programs are told."""
    try:
        target = _split(base_url)
    except ValidationError:
        return ""  # a fault of TMDB_BASE_URL already
    host = target.hostname or ""
    own = read.text("TMDB_PROXY", check=_proxy_url)
    general, without = read.spelled("HTTPS_PROXY"), read.spelled("NO_PROXY")
    here = host in ("localhost", "::1") or host.startswith("127.")
    if here or _goes_without(target.netloc, host, without):
        return ""
    if own or target.scheme != "https" or not general:
        return own
    proxy = general if "://" in general else f"http://{general}"
    try:
        _proxy_url(proxy)
    except ValidationError as error:
        read.fault(f"HTTPS_PROXY: {error}; TMDB_PROXY goes before it")
    return proxy


def _goes_without(netloc: str, host: str, names: str) -> bool:
    """Whether NO_PROXY names a host: itself, with its port, a domain above it, or all (`*`)."""
    asked = [name.strip().lower() for name in names.split(",") if name.strip()]
    domains = [f".{name.lstrip('*.')}" for name in asked]
    return (
        "*" in asked
        or netloc.lower() in asked
        or any(f".{host}".endswith(domain) for domain in domains if domain != ".")
    )


def _upstream(
    read: _Reader, prefix: str, base_url: str, deadline_ms: int, share: int
) -> UpstreamSettings:
    timeout_ms = read.integer(f"{prefix}_TIMEOUT_MS", min(1500, deadline_ms), 10, 20_000)
    slots = read.integer(f"{prefix}_CONCURRENT_CALLS", share, 1, 4096)
    if timeout_ms > deadline_ms:
        read.fault(
            f"{prefix}_TIMEOUT_MS: {timeout_ms} is above PAGE_DEADLINE_MS ({deadline_ms}); "
            "an abandoned call would outlive its page"
        )
    return UpstreamSettings(base_url.rstrip("/"), timeout_ms / 1000, slots)


def _cache(read: _Reader) -> CacheSettings:
    ttl_s = read.integer("CACHE_TTL", 300, 1, 86_400)
    grace_s = read.integer("CACHE_GRACE", max(600, ttl_s), 1, 604_800)
    stale_s = read.integer("CACHE_STALE_IF_ERROR", max(86_400, grace_s), 1, 2_592_000)
    if grace_s < ttl_s:
        read.fault(f"CACHE_GRACE: {grace_s} is below CACHE_TTL ({ttl_s})")
    if stale_s < grace_s:
        read.fault(f"CACHE_STALE_IF_ERROR: {stale_s} is below CACHE_GRACE ({grace_s})")
    return CacheSettings(
        enabled=read.boolean("CACHE_ENABLED", True),
        ttl_s=ttl_s,
        grace_s=grace_s,
        stale_s=stale_s,
        answer_bytes=read.megabytes("CACHE_MEMORY_MB", 64),
        page_bytes=read.megabytes("PAGE_MEMORY_MB", 16),
        user_bytes=read.megabytes("USER_MEMORY_MB", 16),
        folder=Path(read.text("CACHE_DIR", str(ROOT / "var" / "cache"))),
        disk_bytes=read.megabytes("CACHE_DISK_MB", 256),
    )


def _auth(read: _Reader) -> AuthSettings:
    auth = AuthSettings(
        required=read.boolean("AUTH_ENABLED", False),
        # A PEM in one line of an .env file carries its line breaks as \n.
        secret=read.text("JWT_SECRET").replace("\\n", "\n"),
        algorithm=read.choice("JWT_ALGORITHM", "HS256", JWT_ALGORITHMS),
        audience=read.text("JWT_AUDIENCE"),
    )
    if auth.required and not auth.secret:
        read.fault("JWT_SECRET: must be set while AUTH_ENABLED is true")
    is_pem = auth.secret.lstrip().startswith("-----BEGIN")
    if auth.secret and auth.algorithm and is_pem == (auth.algorithm in HMAC_KEY_BYTES):
        # A public key taken for an HMAC secret would let everybody sign.
        kind = "a shared secret" if is_pem else "a public key in PEM"
        read.fault(f"JWT_SECRET: must be {kind} for JWT_ALGORITHM {auth.algorithm}")
    return auth


@dataclass(frozen=True)
class UserServiceConfig:
    """Settings of the user service."""

    port: int
    token: str = field(repr=False)
    database_url: str = field(repr=False)
    fault_profile: str
    log_level: str
    bind: str = LOOPBACK

    @classmethod
    def from_env(cls) -> UserServiceConfig:
        """Read the environment and `.env`; raise `ConfigError` with every fault."""
        read = _Reader()
        config = cls(
            port=read.integer("USER_SERVICE_PORT", 3001, 1, 65535),
            token=read.text("USER_SERVICE_TOKEN", check=_header_value),
            database_url=_database_url(read),
            fault_profile=_fault_profile(read),
            log_level=read.choice("LOG_LEVEL", "INFO", LOG_LEVELS),
            bind=_bind(read),
        )
        read.close()
        return config


def _database_url(read: _Reader) -> str:
    """Return an SQLAlchemy address; a PaaS gives `postgres://`, which SQLAlchemy refuses."""
    url = read.text("DATABASE_URL", f"sqlite:///{ROOT / 'var' / 'users.sqlite'}")
    scheme, _, rest = url.partition("://")
    if scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        try:
            if not _split(f"postgresql://{rest}").path.strip("/"):
                read.fault("DATABASE_URL: names no database")
        except ValidationError as error:
            read.fault(f"DATABASE_URL: {error}")
        return f"postgresql+psycopg://{rest}"
    if scheme != "sqlite" or not rest.startswith("/"):
        read.fault("DATABASE_URL: must be a postgres:// or sqlite:/// address")
    return url


def _fault_profile(read: _Reader) -> str:
    return read.choice("FAULT_PROFILE", "", ("", *FAULT_PROFILES))


@dataclass(frozen=True)
class TmdbStubConfig:
    """Settings of the TMDB stub."""

    port: int
    fault_profile: str
    log_level: str
    bind: str = LOOPBACK

    @classmethod
    def from_env(cls) -> TmdbStubConfig:
        """Read the environment and `.env`; raise `ConfigError` with every fault."""
        read = _Reader()
        config = cls(
            port=read.integer("TMDB_STUB_PORT", 3002, 1, 65535),
            fault_profile=_fault_profile(read),
            log_level=read.choice("LOG_LEVEL", "INFO", LOG_LEVELS),
            bind=_bind(read),
        )
        read.close()
        return config
