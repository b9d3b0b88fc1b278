"""The Movie Dashboard BFF: the composition root, which alone knows every room."""

from __future__ import annotations

import hashlib
import logging
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from bff import cli
from bff.api import cors, dashboard, docs, health, lifecycle, limits, movies, problems, users, web
from bff.api.app import App
from bff.api.counts import SharedCounts
from bff.api.encode import Encoder
from bff.api.identity import Identity
from bff.api.services import Services
from bff.fan_out import FanOut
from bff.observability import logs
from bff.readiness import Checks
from bff.tracing import Passing, Tracer
from bff.upstream.board import Board, NoBoard
from bff.upstream.breaker import BreakerPolicy
from bff.upstream.cache import Cache, CachePolicy
from bff.upstream.changes import Changes
from bff.upstream.governor import Ceiling, Governor, LocalTurns, Turns
from bff.upstream.guard import Guard, Policy
from bff.upstream.libraries import Libraries
from bff.upstream.store import FileStore, Store
from bff.upstream.tmdb import Credential, TmdbClient
from bff.upstream.users import UserClient

if TYPE_CHECKING:
    from bff.upstream.doctor import Finding
    from bff.upstream.over_redis import OverRedis
    from config import BreakerSettings, Config, UpstreamSettings

VERSION = "0.1.0"
MOST_BODY_BYTES = 64 * 1024

__all__ = ["VERSION", "create_app"]


class Bff:
    """The running parts of one app. `close` ends pools, connections and files."""

    def __init__(self, config: Config) -> None:
        self.fan_out = FanOut(config.pool_threads)
        self.redis = _redis(config)
        self.store = _store(config, self.redis)
        self.tracer = _tracer(config)
        board = self.redis.board() if self.redis else NoBoard()
        submit = self.fan_out.submit
        tmdb = Guard(
            _policy("tmdb", config.tmdb, config.breaker),
            submit,
            Governor("tmdb", _turns(config, self.redis, self.store)),
            board,
            self.tracer,
            config.tmdb_proxy,
        )
        users = Guard(
            _policy("users", config.users, config.breaker),
            submit,
            board=_users_board(config, self.redis),
            tracer=self.tracer,
        )
        self.guards = {"tmdb": tmdb, "users": users}
        self.tmdb = TmdbClient(
            config.tmdb.base_url,
            _credential(config),
            tmdb,
            self._cache(config, tmdb) if config.cache.enabled else None,
            config.cache.ttl_s,
        )
        libraries = Libraries()
        self.users = UserClient(config.users.base_url, config.user_service_token, users, libraries)
        self.changes = Changes(config.users.base_url, config.user_service_token, libraries)
        if config.user_service_events:
            self.changes.start()

    def _cache(self, config: Config, guard: Guard) -> Cache:
        settings = config.cache
        policy = CachePolicy(settings.grace_s, settings.stale_s, settings.entries)
        return Cache(policy, self.store, guard.start, guard.here, guard.policy.timeout_s)

    def health(self) -> Checks:
        """Return what readiness tells of every part; asks no upstream."""
        checks: Checks = {}
        for guard in self.guards.values():
            checks.update(guard.health())
        for part in (self.fan_out, self.store, self.changes, self.redis):
            if part is not None:
                checks.update(part.health())
        return checks

    def close(self) -> None:
        """End everything that outlives a request; idempotent."""
        self.changes.close()
        self.fan_out.close()
        for guard in self.guards.values():
            guard.close()
        self.store.close()
        self.tracer.close()
        if self.redis:
            self.redis.close()


def create_app(config: Config) -> Flask:
    """Build the app. Call it in the process that serves: threads do not survive a fork."""
    _logging(config)
    app = App(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MOST_BODY_BYTES, PROPAGATE_EXCEPTIONS=False)
    if config.trusted_proxy_hops:
        hops = config.trusted_proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, hops)  # type: ignore[method-assign]
    parts = Bff(config)
    auth = config.auth
    identity = Identity(auth.required, auth.secret, auth.algorithm, auth.audience)
    app.extensions["bff"] = services_of(config, parts, identity)
    lifecycle.register(app, config.page_deadline_s, parts.tracer)
    problems.register(app)
    cors.register(app, config.cors_origins)
    if config.rate_limit_enabled:
        limits.Limit(
            config.rate_limit_per_minute,
            identity,
            _local_counts(config),
            parts.redis.counts() if parts.redis else None,
        ).register(app)
    api = docs.register(app, VERSION)
    for blueprint in (dashboard.blp, users.blp, movies.movies, movies.people, health.blp):
        api.register_blueprint(blueprint)
    app.register_blueprint(web.blp)
    app.cli.add_command(cli.doctor(lambda: _examined(config, parts)))
    return app


def services_of(config: Config, parts: Bff, identity: Identity) -> Services:
    """Return what the views work with."""
    stubs = web.stub_origins(config.tmdb.base_url, config.users.base_url)
    return Services(
        fan_out=parts.fan_out,
        tmdb=parts.tmdb,
        users=parts.users,
        identity=identity,
        encoder=Encoder(),
        health=parts.health,
        close=parts.close,
        stubs={} if config.tmdb_is_live else stubs,
    )


def _examined(config: Config, parts: Bff) -> list[Finding]:
    """Look at everything; the app's own parts end first, they would only talk meanwhile."""
    from bff.upstream import doctor  # a program of its own, which no request needs

    parts.close()
    credential = _credential(config)
    return doctor.examine(
        doctor.Subject(
            port=config.port,
            tmdb_url=config.tmdb.base_url,
            tmdb_is_live=config.tmdb_is_live,
            tmdb_headers=credential.headers(),
            tmdb_query=credential.query(),
            tmdb_proxy=config.tmdb_proxy,
            users_url=config.users.base_url,
            users_token=config.user_service_token,
            users_events=config.user_service_events,
            redis_url=config.redis_url,
            cache_file=config.cache.file,
            workers=config.workers,
            threads=config.threads,
            slots=config.tmdb.slots + config.users.slots,
            secret_is_short=config.auth.secret_is_short,
            algorithm=config.auth.algorithm,
        )
    )


def _policy(name: str, upstream: UpstreamSettings, breaker: BreakerSettings) -> Policy:
    policy = BreakerPolicy(
        failures=breaker.threshold, open_s=breaker.timeout_s, slow_s=upstream.timeout_s * 0.9
    )
    return Policy(name, upstream.timeout_s, upstream.slots, policy if breaker.enabled else None)


def _credential(config: Config) -> Credential:
    """Return the credential; the stub takes any, as TMDB takes a valid one."""
    if config.tmdb_is_live:
        return Credential(config.tmdb_api_key, config.tmdb_read_token)
    return Credential(read_token="stub")  # noqa: S106 - a word that opens nothing


def _redis(config: Config) -> OverRedis | None:
    """Return what all machines share; the library for it is loaded only where it is used."""
    if not config.redis_url:
        return None
    from bff.upstream.over_redis import OverRedis

    return OverRedis(config.redis_url)


def _store(config: Config, shared: OverRedis | None) -> Store:
    """Return where workers share TMDB's answers and leases: Redis, or files on this machine."""
    if shared is not None:
        return shared.store()
    return FileStore(config.cache.file, config.cache.entries * 5)


def _turns(config: Config, shared: OverRedis | None, store: Store) -> Turns:
    """Return the turns to call TMDB: shared through Redis, or an equal share per worker."""
    ceiling = Ceiling(config.tmdb_calls_per_second, config.tmdb_connections)
    alone = LocalTurns(ceiling.share(config.workers), store)
    if shared is None:
        return alone
    return shared.turns(ceiling, alone, hold_s=config.tmdb.timeout_s + 1)


def _users_board(config: Config, shared: OverRedis | None) -> Board:
    """Return where those who ask the same user service share its circuits.

    A machine may have a user service of its own: that one fails says nothing of the others.
    """
    if shared is None:
        return NoBoard()
    url = config.users.base_url
    host = urlsplit(url).hostname or ""
    here = host in ("localhost", "::1") or host.startswith("127.")
    place = f"{url} on {socket.gethostname()}" if here else url
    return shared.board(hashlib.sha256(place.encode()).hexdigest()[:16])


def _local_counts(config: Config) -> SharedCounts:
    """Return counts beside the cache; where nothing can be written there, this worker's own."""
    try:
        return SharedCounts(config.cache.file.with_name("request-counts.bin"))
    except OSError as error:
        kind = type(error).__name__
        logs.event(logging.getLogger(__name__), logging.WARNING, "limits.per_worker", fault=kind)
    with tempfile.TemporaryDirectory() as folder:
        return SharedCounts(Path(folder) / "request-counts.bin")  # lives on without its name


def _tracer(config: Config) -> Tracer:
    """Return what makes traces; the libraries for it are loaded only where they are used."""
    if not config.otlp_endpoint:
        return Passing()
    from bff.otel import OtelTracer

    return OtelTracer(config.otlp_endpoint, "movie-dashboard-bff", VERSION)


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
