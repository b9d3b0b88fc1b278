"""The Movie Dashboard BFF: the composition root, which alone knows every room."""

from __future__ import annotations

import hashlib
import logging
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from flask import Flask
from limits.strategies import MovingWindowRateLimiter
from werkzeug.middleware.proxy_fix import ProxyFix

from bff import doctor
from bff.api import (
    cors,
    dashboard,
    docs,
    encode,
    health,
    lifecycle,
    limits,
    movies,
    problems,
    users,
    web,
)
from bff.api.encode import Encoder
from bff.api.identity import Identity
from bff.api.services import Services
from bff.fan_out import FanOut
from bff.library_cache import LibraryCache
from bff.limiter import Limiter
from bff.observability import logs
from bff.readiness import Checks
from bff.reads import REFERENCE
from bff.upstream.breaker import BreakerPolicy, Breakers
from bff.upstream.cache import Cache, CachePolicy
from bff.upstream.events import EventStream
from bff.upstream.guard import Guard
from bff.upstream.rate import Ceiling, Pause
from bff.upstream.session import configure
from bff.upstream.shared import RedisClient, connect
from bff.upstream.tier import Tier, on_files, on_redis
from bff.upstream.tmdb import Credential, TmdbClient
from bff.upstream.users import UserClient

if TYPE_CHECKING:
    from bff.observability.traces import Traces
    from config import BreakerSettings, Config

VERSION = "0.1.0"
MOST_BODY_BYTES = 64 * 1024

__all__ = ["VERSION", "create_app"]


class Bff:
    """The running parts of one app. `close` ends pools, connections and threads."""

    def __init__(self, config: Config) -> None:
        self.traces = _traces(config)
        slots = {name: settings.slots for name, settings in config.upstreams.items()}
        self.fan_out = FanOut(config.pool_threads, slots)
        self.redis = connect(config.redis_url) if config.redis_url else None
        self.limiter = Limiter(MovingWindowRateLimiter, config.redis_url)
        self.tier = _tier(config, self.redis) if config.cache.enabled else None
        self.guards = {name: self._guard(config, name) for name in config.upstreams}
        policy = CachePolicy(config.cache.grace_s, config.cache.stale_s, config.cache.answer_bytes)
        self.cache = Cache(policy, self.tier, self.guards["tmdb"]) if self.tier else None
        tmdb, users = config.tmdb.base_url, config.users.base_url
        credential, token = _credential(config), config.user_service_token
        self.libraries = LibraryCache(config.cache.user_bytes)
        self.clients: dict[str, Any] = {
            "tmdb": TmdbClient(
                tmdb, credential, self.guards["tmdb"], self.cache, config.cache.ttl_s
            ),
            "users": UserClient(users, token, self.guards["users"], self.libraries),
        }
        self.events = EventStream(
            users, token, self.libraries, self.guards["users"].breakers.close, config.ca_bundle
        )
        if config.user_service_events:
            self.events.start()

    def _guard(self, config: Config, name: str) -> Guard:
        """Return the way out to an upstream. TMDB's has a proxy, a ceiling and a pause."""
        upstream, policy = config.upstreams[name], _breaker_policy(config.breaker)
        circuits = Breakers(name, policy, self.redis, _circuits(name, upstream.base_url))
        if name != "tmdb":
            session = configure(requests.Session(), upstream.slots, ca_bundle=config.ca_bundle)
            return Guard(name, session, upstream.timeout_s, circuits, self.limiter)
        return Guard(
            name,
            configure(
                self.tier.session if self.tier else requests.Session(),
                upstream.slots,
                config.tmdb_proxy,
                ipv4_only=config.tmdb_ipv4_only,
                ca_bundle=config.ca_bundle,
            ),
            upstream.timeout_s,
            circuits,
            self.limiter,
            Pause(name, self.redis),
            Ceiling(name, _calls_per_second(config), self.limiter),
        )

    def health(self) -> Checks:
        """Return what readiness tells of every part; asks no upstream."""
        checks: Checks = {}
        for part in (*self.guards.values(), self.fan_out, self.tier, self.events, self.redis):
            if part is not None:
                checks.update(part.health())
        return checks

    def close(self) -> None:
        """End everything that outlives a request; idempotent."""
        self.events.close()
        self.fan_out.close()
        for guard in self.guards.values():
            guard.close()
        if self.redis:
            self.redis.close()
        if self.traces:
            self.traces.close()


def create_app(config: Config) -> Flask:
    """Build the app. Call it in the process that serves: threads do not survive a fork."""
    _logging(config)
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MOST_BODY_BYTES, PROPAGATE_EXCEPTIONS=False)
    if config.trusted_proxy_hops:
        hops = config.trusted_proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, hops)  # type: ignore[method-assign]
    parts = Bff(config)
    auth = config.auth
    identity = Identity(auth.required, auth.secret, auth.algorithm, auth.audience)
    if parts.traces:
        parts.traces.instrument(app)
    app.extensions["bff"] = services_of(config, parts, identity)
    lifecycle.register(app, config.page_deadline_s)
    problems.register(app)
    encode.register(app)
    cors.register(app, config.cors_origins)
    if config.rate_limit_enabled:
        limiter = limits.RateLimiter(config.rate_limit_per_minute, config.redis_url)
        limits.register(app, limiter, identity)
    api = docs.register(app, VERSION, config.upstreams)
    for blueprint in (dashboard.blp, users.blp, movies.movies, movies.people, health.blp):
        api.register_blueprint(blueprint)
    app.register_blueprint(web.blp)
    app.cli.add_command(doctor.command(lambda: _subject(config, parts)))
    return app


def services_of(config: Config, parts: Bff, identity: Identity) -> Services:
    """Return what the views work with."""
    stubs = web.stub_origins(config.tmdb.base_url, config.users.base_url)
    return Services(
        fan_out=parts.fan_out,
        tmdb=parts.clients["tmdb"],
        users=parts.clients["users"],
        clients=parts.clients,
        identity=identity,
        encoder=Encoder(config.cache.page_bytes),
        health=parts.health,
        close=parts.close,
        stubs={} if config.tmdb_is_live else stubs,
    )


def _subject(config: Config, parts: Bff) -> doctor.Subject:
    """Return what the doctor looks at. Ends the app's parts: they would call and log meanwhile."""
    parts.close()
    credential, token = _credential(config), config.user_service_token
    return doctor.Subject(
        port=config.port,
        tmdb_url=config.tmdb.base_url,
        tmdb_is_live=config.tmdb_is_live,
        tmdb_headers=credential.headers(),
        tmdb_query=credential.query(),
        tmdb_proxy=config.tmdb_proxy,
        ca_bundle=config.ca_bundle,
        tmdb_timeout_s=config.tmdb.timeout_s,
        users_url=config.users.base_url,
        users_headers={"Authorization": f"Bearer {token}"} if token else {},
        users_events=config.user_service_events,
        redis_url=config.redis_url,
        cache_dir=None if config.redis_url else config.cache.folder,
        workers=config.workers,
        threads=config.threads,
        slots=config.slots,
        secret_is_short=config.auth.secret_is_short,
    )


def _breaker_policy(settings: BreakerSettings) -> BreakerPolicy | None:
    if not settings.enabled:
        return None
    return BreakerPolicy(failures=settings.threshold, open_s=settings.timeout_s)


def _credential(config: Config) -> Credential:
    """Return the credential; the stub takes any, as TMDB takes a valid one."""
    if config.tmdb_is_live:
        return Credential(config.tmdb_api_key, config.tmdb_read_token)
    return Credential(read_token="stub")  # noqa: S106 - a word that opens nothing


def _tier(config: Config, client: RedisClient | None) -> Tier:
    """Return where workers share TMDB's answers: Redis, or files on this machine."""
    cache = config.cache
    if client is not None:
        return on_redis(client, cache.stale_s, call_s=config.tmdb.timeout_s + 1)
    return on_files(cache.folder, cache.stale_s + REFERENCE * cache.ttl_s, cache.disk_bytes)


def _calls_per_second(config: Config) -> int:
    """Return TMDB's ceiling: shared through Redis, else an equal share for each worker."""
    total = config.tmdb_calls_per_second
    return total if config.redis_url else max(1, total // config.workers)


def _circuits(name: str, url: str) -> str:
    """Return where those who ask the same upstream share its circuits.

    A machine may have a user service of its own, whose failure is none of the others'.
    """
    host = urlsplit(url).hostname or ""
    here = host in ("localhost", "::1") or host.startswith("127.")
    place = f"{url} on {socket.gethostname()}" if here else url
    return f"bff:circuit:{name}:{hashlib.sha256(place.encode()).hexdigest()[:16]}"


def _traces(config: Config) -> Traces | None:
    """Return what makes traces; the libraries for it are loaded only where they are used."""
    if not config.otlp_endpoint:
        return None
    from bff.observability.traces import Traces

    return Traces(config.otlp_endpoint, "movie-dashboard-bff", VERSION)


def _logging(config: Config) -> None:
    salt = config.auth.secret or config.user_service_token
    logs.configure(config.log_level, config.log_format, salt)
    if config.auth.secret_is_short:
        logs.event(
            logging.getLogger(__name__),
            logging.WARNING,
            "settings.secret_short",
            setting="JWT_SECRET",
            algorithm=config.auth.algorithm,
        )
