"""config.py: every setting's default, its good and its bad values, and how faults are told."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import config
from config import Config, ConfigError, TmdbStubConfig, UserServiceConfig
from scripts.settings import defaults

MB = 2**20
SECRET = "planted-value-that-must-not-show"
PEM = "-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----"
Kind = type[Config] | type[UserServiceConfig] | type[TmdbStubConfig]


@pytest.fixture(autouse=True)
def _empty_environment() -> Iterator[None]:
    """Every test starts without any setting, and without the developer's .env."""
    with mock.patch.dict(os.environ, {"ENV_FILE": os.devnull}, clear=True):
        yield


def read(kind: Kind = Config, **settings: str) -> Any:
    """Read the settings of a process from this environment."""
    with mock.patch.dict(os.environ, settings):
        return kind.from_env()


def faults(kind: Kind = Config, **settings: str) -> list[str]:
    """Return the faults of a wrong environment."""
    with pytest.raises(ConfigError) as caught:
        read(kind, **settings)
    return caught.value.faults


def test_config_when_nothing_is_set_then_the_contracts_defaults_hold() -> None:
    """The defaults are those of the documentation."""
    settings = read()

    assert (settings.port, settings.bind, settings.debug) == (8000, "127.0.0.1", False)
    assert (settings.log_level, settings.log_format) == ("INFO", "auto")
    assert settings.cors_origins == ("http://localhost:3000", "http://localhost:8080")
    assert settings.tmdb == config.UpstreamSettings("http://127.0.0.1:3002/3", 1.5, 32)
    assert settings.users == config.UpstreamSettings("http://127.0.0.1:3001", 1.5, 32)
    assert settings.breaker == config.BreakerSettings(enabled=True, threshold=5, timeout_s=60)
    cache = settings.cache
    assert (cache.enabled, cache.ttl_s, cache.grace_s, cache.stale_s) == (True, 300, 600, 86_400)
    assert (cache.answer_bytes, cache.page_bytes, cache.user_bytes) == (64 * MB, 16 * MB, 16 * MB)
    assert (cache.folder, cache.disk_bytes) == (config.ROOT / "var" / "cache", 256 * MB)
    assert (settings.rate_limit_enabled, settings.rate_limit_per_minute) == (True, 300)
    assert (settings.auth.required, settings.auth.algorithm) == (False, "HS256")
    assert (settings.page_deadline_s, settings.trusted_proxy_hops) == (2.0, 0)
    assert (settings.threads, settings.pool_threads) == (64, 64)
    assert 2 <= settings.workers <= 8


def test_config_when_nothing_is_set_then_no_secret_has_a_value() -> None:
    """No credential has a default."""
    settings = read()

    assert settings.tmdb_api_key == settings.tmdb_read_token == settings.user_service_token == ""
    assert settings.redis_url == settings.auth.secret == settings.auth.audience == ""
    assert read(UserServiceConfig).token == ""
    assert settings.tmdb_is_live is False


def test_service_configs_when_nothing_is_set_then_the_contracts_defaults_hold() -> None:
    """The user service and the TMDB stub have their ports, and no fault profile."""
    users, tmdb = read(UserServiceConfig), read(TmdbStubConfig)

    assert (users.port, users.fault_profile, users.log_level) == (3001, "", "INFO")
    assert users.database_url == f"sqlite:///{config.ROOT / 'var' / 'users.sqlite'}"
    assert (tmdb.port, tmdb.fault_profile, tmdb.log_level) == (3002, "", "INFO")


# A row is a setting: its name, a value, what to look at, and what is expected there.
# fmt: off
GOOD: list[tuple[str, str, str, Any]] = [
    ("PORT", "9000", "port", 9000),
    ("BIND", "10.0.0.1", "bind", "10.0.0.1"),
    ("DEBUG", "yes", "debug", True),
    ("LOG_LEVEL", "DEBUG", "log_level", "DEBUG"),
    ("LOG_FORMAT", "json", "log_format", "json"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://traces:4318", "otlp_endpoint", "http://traces:4318"),
    ("CORS_ORIGINS", "https://a.b, http://b:81", "cors_origins", ("https://a.b", "http://b:81")),
    ("CORS_ORIGINS", "*", "cors_origins", ("*",)),
    ("TMDB_API_KEY", "abc", "tmdb_api_key", "abc"),
    ("TMDB_READ_TOKEN", "a.b-c", "tmdb_read_token", "a.b-c"),
    ("TMDB_BASE_URL", "https://tmdb.example/3/", "tmdb.base_url", "https://tmdb.example/3"),
    ("TMDB_STUB_PORT", "4002", "tmdb.base_url", "http://127.0.0.1:4002/3"),
    ("TMDB_TIMEOUT_MS", "800", "tmdb.timeout_s", 0.8),
    ("TMDB_CONCURRENT_CALLS", "9", "tmdb.slots", 9),
    ("TMDB_CALLS_PER_SECOND", "30", "tmdb_calls_per_second", 30),
    ("REQUESTS_CA_BUNDLE", __file__, "ca_bundle", __file__),
    ("TMDB_IPV4_ONLY", "true", "tmdb_ipv4_only", True),
    ("TMDB_PROXY", "http://proxy:3128", "tmdb_proxy", ""),  # the stub is on this machine
    ("HTTPS_PROXY", "http://proxy:3128", "tmdb_proxy", ""),
    ("USER_SERVICE_URL", "http://users:80", "users.base_url", "http://users:80"),
    ("USER_SERVICE_PORT", "4001", "users.base_url", "http://127.0.0.1:4001"),
    ("USER_SERVICE_TOKEN", "abc", "user_service_token", "abc"),
    ("USER_SERVICE_TIMEOUT_MS", "900", "users.timeout_s", 0.9),
    ("USER_SERVICE_CONCURRENT_CALLS", "8", "users.slots", 8),
    ("USER_SERVICE_EVENTS", "0", "user_service_events", False),
    ("CACHE_ENABLED", "0", "cache.enabled", False),
    ("CACHE_TTL", "60", "cache.ttl_s", 60),
    ("CACHE_TTL", "7200", "cache.grace_s", 7200),
    ("CACHE_TTL", "7200", "cache.stale_s", 86_400),
    ("CACHE_GRACE", "900", "cache.grace_s", 900),
    ("CACHE_GRACE", "604800", "cache.stale_s", 604_800),
    ("CACHE_STALE_IF_ERROR", "3600", "cache.stale_s", 3600),
    ("CACHE_MEMORY_MB", "10", "cache.answer_bytes", 10 * MB),
    ("PAGE_MEMORY_MB", "11", "cache.page_bytes", 11 * MB),
    ("USER_MEMORY_MB", "12", "cache.user_bytes", 12 * MB),
    ("CACHE_DISK_MB", "13", "cache.disk_bytes", 13 * MB),
    ("CACHE_DIR", "some/folder", "cache.folder", Path("some/folder")),
    ("REDIS_URL", "rediss://h:6379/1", "redis_url", "rediss://h:6379/1"),
    ("REDIS_URL", "unix:///run/redis.sock", "redis_url", "unix:///run/redis.sock"),
    ("CIRCUIT_BREAKER_ENABLED", "false", "breaker.enabled", False),
    ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "2", "breaker.threshold", 2),
    ("CIRCUIT_BREAKER_TIMEOUT_SECONDS", "7", "breaker.timeout_s", 7),
    ("RATE_LIMIT_ENABLED", "off", "rate_limit_enabled", False),
    ("RATE_LIMIT_PER_MINUTE", "7", "rate_limit_per_minute", 7),
    ("JWT_SECRET", "abc", "auth.secret", "abc"),
    ("JWT_ALGORITHM", "ES256", "auth.algorithm", "ES256"),
    ("JWT_AUDIENCE", "movies", "auth.audience", "movies"),
    ("PAGE_DEADLINE_MS", "500", "page_deadline_s", 0.5),
    ("PAGE_DEADLINE_MS", "500", "tmdb.timeout_s", 0.5),
    ("WEB_CONCURRENCY", "1", "workers", 1),
    ("THREADS", "16", "threads", 16),
    ("POOL_THREADS", "8", "pool_threads", 8),
    ("POOL_THREADS", "8", "users.slots", 4),
    ("TRUSTED_PROXY_HOPS", "2", "trusted_proxy_hops", 2),
]
BAD: list[tuple[Kind, str, tuple[str, ...]]] = [
    (Config, "PORT", ("x", "0", "65536", "-1", "80.5")),
    (Config, "BIND", ("localhost", "127.0.0.1:80", "[::1]:80", "1.2.3")),
    (Config, "DEBUG", ("maybe", "2")),
    (Config, "LOG_LEVEL", ("LOUD",)),
    (Config, "LOG_FORMAT", ("xml",)),
    (Config, "CORS_ORIGINS", ("localhost", "http://a/path", "a, *", ",")),
    (Config, "TMDB_API_KEY", ("a b", "k\u00e9y", "a\nb")),
    (Config, "TMDB_READ_TOKEN", ("a b",)),
    (Config, "TMDB_BASE_URL", (
        "api.themoviedb.org/3", "ftp://a", "http://", "http://[bad", "http://a:99999",
        "http://a?b=c", "http://a#b", "http://user:password@a")),
    (Config, "TMDB_PROXY", (
        "proxy:3128", "https://p", "socks5://p:1080", "http://", "http://p:x")),
    (Config, "TMDB_STUB_PORT", ("x", "0")),
    (Config, "TMDB_TIMEOUT_MS", ("9", "x", "20001")),
    (Config, "TMDB_CONCURRENT_CALLS", ("0", "x")),
    (Config, "USER_SERVICE_URL", ("users",)),
    (Config, "USER_SERVICE_PORT", ("x",)),
    (Config, "USER_SERVICE_TOKEN", ("a b",)),
    (Config, "USER_SERVICE_TIMEOUT_MS", ("0",)),
    (Config, "USER_SERVICE_CONCURRENT_CALLS", ("0",)),
    (Config, "CACHE_ENABLED", ("often",)),
    (Config, "CACHE_TTL", ("0", "86401", "x")),
    (Config, "CACHE_GRACE", ("0",)),
    (Config, "CACHE_STALE_IF_ERROR", ("x",)),
    (Config, "CACHE_MEMORY_MB", ("0",)),
    (Config, "REQUESTS_CA_BUNDLE", ("/no/such/file.pem",)),
    (Config, "REDIS_URL", ("localhost:6379", "http://a", "redis://[")),
    (Config, "CIRCUIT_BREAKER_ENABLED", ("x",)),
    (Config, "CIRCUIT_BREAKER_FAILURE_THRESHOLD", ("0",)),
    (Config, "CIRCUIT_BREAKER_TIMEOUT_SECONDS", ("0",)),
    (Config, "RATE_LIMIT_ENABLED", ("x",)),
    (Config, "RATE_LIMIT_PER_MINUTE", ("0",)),
    (Config, "AUTH_ENABLED", ("x",)),
    (Config, "JWT_ALGORITHM", ("none", "HS1", "hs256")),
    (Config, "PAGE_DEADLINE_MS", ("49", "20001", "2s")),
    (Config, "WEB_CONCURRENCY", ("0", "257", "auto")),
    (Config, "THREADS", ("0", "513")),
    (Config, "POOL_THREADS", ("3", "4097")),
    (Config, "TRUSTED_PROXY_HOPS", ("-1", "11")),
    (UserServiceConfig, "USER_SERVICE_PORT", ("x",)),
    (UserServiceConfig, "USER_SERVICE_TOKEN", ("a b",)),
    (UserServiceConfig, "DATABASE_URL", (
        "users.sqlite", "sqlite://", "mysql://h/d", "postgres://h", "postgres://[/d",
        "postgres://h:port/d")),
    (UserServiceConfig, "FAULT_PROFILE", ("sleepy",)),
    (UserServiceConfig, "LOG_LEVEL", ("x",)),
    (TmdbStubConfig, "TMDB_STUB_PORT", ("70000",)),
    (TmdbStubConfig, "FAULT_PROFILE", ("SLOW",)),
    (TmdbStubConfig, "LOG_LEVEL", ("x",)),
]
# fmt: on


@pytest.mark.parametrize(("name", "value", "where", "expected"), GOOD)
def test_setting_when_it_is_good_then_it_is_taken(
    name: str, value: str, where: str, expected: Any
) -> None:
    """A value from the environment replaces the default."""
    assert attrgetter(where)(read(**{name: value})) == expected


@pytest.mark.parametrize(("kind", "name", "values"), BAD)
def test_setting_when_it_is_bad_then_its_name_is_in_the_one_fault(
    kind: Kind, name: str, values: tuple[str, ...]
) -> None:
    """A wrong value stops the start with a fault that names the setting."""
    for value in values:
        (fault,) = faults(kind, **{name: value})
        assert fault.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("bind", "ipv6", "listens"),
    [
        ("127.0.0.1", True, ("127.0.0.1", "[::1]")),
        ("127.0.0.1", False, ("127.0.0.1",)),
        ("10.0.0.1", True, ("10.0.0.1",)),
        ("::1", True, ("[::1]",)),
        ("[::1]", True, ("[::1]",)),
        ("::", True, ("[::]",)),
    ],
)
def test_hosts_when_asked_for_then_localhost_is_both_addresses_where_there_are_both(
    monkeypatch: pytest.MonkeyPatch, bind: str, ipv6: bool, listens: tuple[str, ...]
) -> None:
    """Any other address stands for itself; one of IPv6 gets its brackets."""
    monkeypatch.setattr(config, "_has_ipv6", lambda: ipv6)

    assert config.hosts(bind) == listens


def test_config_when_several_settings_are_wrong_then_all_are_named_at_once() -> None:
    """Nobody has to start five times to find five faults."""
    wrong = {"PORT": "x", "DEBUG": "x", "CACHE_TTL": "0", "REDIS_URL": "x", "AUTH_ENABLED": "true"}
    with pytest.raises(ConfigError) as caught:
        read(**wrong)

    named = {fault.split(":")[0] for fault in caught.value.faults}
    assert named == {"PORT", "DEBUG", "CACHE_TTL", "REDIS_URL", "JWT_SECRET"}
    assert all(fault in str(caught.value) for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"PAGE_DEADLINE_MS": "500", "TMDB_TIMEOUT_MS": "501"}, "TMDB_TIMEOUT_MS"),
        ({"USER_SERVICE_TIMEOUT_MS": "2001"}, "USER_SERVICE_TIMEOUT_MS"),
        ({"POOL_THREADS": "8", "TMDB_CONCURRENT_CALLS": "5"}, "POOL_THREADS"),
        ({"USER_SERVICE_CONCURRENT_CALLS": "33"}, "POOL_THREADS"),
        ({"CACHE_TTL": "700", "CACHE_GRACE": "699"}, "CACHE_GRACE"),
        ({"CACHE_STALE_IF_ERROR": "599"}, "CACHE_STALE_IF_ERROR"),
        ({"AUTH_ENABLED": "true"}, "JWT_SECRET"),
        ({"JWT_SECRET": PEM}, "JWT_SECRET"),
        ({"JWT_SECRET": SECRET, "JWT_ALGORITHM": "RS256"}, "JWT_SECRET"),
    ],
)
def test_config_when_two_settings_contradict_each_other_then_the_one_to_change_is_named(
    settings: dict[str, str], name: str
) -> None:
    """Settings that are right alone and wrong together are a fault."""
    (fault,) = faults(**settings)

    assert fault.startswith(f"{name}: ")


def test_setting_when_it_is_empty_then_it_counts_as_not_set(subtests: pytest.Subtests) -> None:
    """An empty variable, as a platform's form leaves it, gives the default."""
    plain = {kind: kind.from_env() for kind in (Config, UserServiceConfig, TmdbStubConfig)}

    for name in sorted(defaults()):
        for value in ("", " ", "\t"):
            with subtests.test(name=name, value=value):
                assert {kind: read(kind, **{name: value}) for kind in plain} == plain


@pytest.mark.parametrize(
    ("credential", "live"),
    [({}, False), ({"TMDB_API_KEY": "k"}, True), ({"TMDB_READ_TOKEN": "t"}, True)],
)
def test_tmdb_when_a_credential_is_set_then_it_is_live(
    credential: dict[str, str], live: bool
) -> None:
    """Either credential alone sends the calls to the real TMDB."""
    settings = read(**credential)

    assert settings.tmdb_is_live is live
    assert (settings.tmdb.base_url == config.TMDB_LIVE_URL) is live


PROXY, OTHER = f"http://someone:{SECRET}@proxy:3128", "http://other:8080"


@pytest.mark.parametrize(
    ("settings", "proxy"),
    [
        ({"TMDB_PROXY": PROXY, "HTTPS_PROXY": OTHER}, PROXY),
        ({"HTTPS_PROXY": OTHER}, OTHER),
        ({"https_proxy": OTHER, "HTTPS_PROXY": PROXY}, OTHER),
        ({"HTTPS_PROXY": "other:8080"}, OTHER),
        ({"HTTP_PROXY": OTHER}, ""),
        ({"HTTPS_PROXY": OTHER, "TMDB_BASE_URL": "http://tmdb.example/3"}, ""),
        ({"TMDB_PROXY": PROXY, "TMDB_BASE_URL": "http://tmdb.example/3"}, PROXY),
        ({"HTTPS_PROXY": OTHER, "NO_PROXY": "localhost, .themoviedb.org"}, ""),
        ({"TMDB_PROXY": PROXY, "no_proxy": "*"}, ""),
        ({"HTTPS_PROXY": OTHER, "NO_PROXY": "themoviedb.example"}, OTHER),
        ({"TMDB_PROXY": PROXY, "TMDB_BASE_URL": "http://127.0.0.1:3002/3"}, ""),
        ({"HTTPS_PROXY": "socks5://p:1080", "NO_PROXY": "api.themoviedb.org"}, ""),
    ],
)
def test_proxy_when_several_variables_name_one_then_the_most_particular_wins(
    settings: dict[str, str], proxy: str
) -> None:
    """TMDB_PROXY before HTTPS_PROXY, which is for https only; NO_PROXY before both."""
    assert read(TMDB_READ_TOKEN="t", **settings).tmdb_proxy == proxy


def test_proxy_when_the_general_one_cannot_be_used_then_it_is_a_fault_without_its_value() -> None:
    """A proxy of another kind would be passed by in silence."""
    (fault,) = faults(TMDB_READ_TOKEN="t", HTTPS_PROXY=f"socks5://me:{SECRET}@p:1080")

    assert fault.startswith("HTTPS_PROXY: ")
    assert SECRET not in fault


@pytest.mark.parametrize(
    ("kind", "name", "good", "bad"),
    [
        (Config, "TMDB_PROXY", f"http://me:{SECRET}@proxy:3128", f"socks5://me:{SECRET}@p"),
        (Config, "TMDB_API_KEY", SECRET, f"{SECRET} {SECRET}"),
        (Config, "TMDB_READ_TOKEN", SECRET, f"{SECRET}\n"),
        (Config, "USER_SERVICE_TOKEN", SECRET, f"{SECRET}\u00e9"),
        (Config, "TMDB_BASE_URL", "", f"http://u:{SECRET}@h"),
        (Config, "USER_SERVICE_URL", "", f"http://u:{SECRET}@[h"),
        (Config, "REDIS_URL", f"redis://:{SECRET}@h:6379", f"redis://:{SECRET}@h:port"),
        (Config, "REDIS_URL", "", f"http://:{SECRET}@h"),
        (Config, "JWT_SECRET", SECRET, PEM.replace("AAAA", SECRET)),
        (UserServiceConfig, "USER_SERVICE_TOKEN", SECRET, f"{SECRET} x"),
        (UserServiceConfig, "DATABASE_URL", f"postgres://u:{SECRET}@h/d", f"mysql://{SECRET}@h/d"),
        (UserServiceConfig, "DATABASE_URL", "", f"postgres://u:{SECRET}@h"),
        (UserServiceConfig, "DATABASE_URL", "", f"postgres://u:{SECRET}@h:port/d"),
    ],
)
def test_secret_when_settings_or_faults_are_printed_then_it_does_not_show(
    kind: Kind, name: str, good: str, bad: str
) -> None:
    """Neither the repr, which lands in logs and tracebacks, nor a fault or its cause quotes it."""
    settings = read(kind, **{name: good})
    with pytest.raises(ConfigError) as caught:
        read(kind, **{name: bad})

    assert name in str(caught.value)
    for text in (repr(settings), str(settings), str(caught.value), repr(caught.value.__context__)):
        assert SECRET not in text


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_database_url_when_it_names_postgres_in_any_way_then_sqlalchemy_understands_it(
    scheme: str,
) -> None:
    """The address that a platform gives becomes SQLAlchemy's; that of a file is kept."""
    settings = read(UserServiceConfig, DATABASE_URL=f"{scheme}://u:p@h:5432/d?sslmode=require")

    assert settings.database_url == "postgresql+psycopg://u:p@h:5432/d?sslmode=require"
    assert read(UserServiceConfig, DATABASE_URL="sqlite:///a/b").database_url == "sqlite:///a/b"


@pytest.mark.parametrize("profile", config.FAULT_PROFILES)
@pytest.mark.parametrize("kind", [UserServiceConfig, TmdbStubConfig])
def test_fault_profile_when_it_is_known_then_it_is_taken(kind: Kind, profile: str) -> None:
    """Both stubs know the profiles of the contract."""
    assert read(kind, FAULT_PROFILE=profile).fault_profile == profile


@pytest.mark.parametrize(
    ("algorithm", "secret", "short"),
    [
        ("HS256", "a" * 31, True),
        ("HS256", "a" * 32, False),
        ("HS512", "a" * 63, True),
        ("HS512", "a" * 64, False),
        ("HS256", "", False),
        ("RS256", PEM, False),
    ],
)
def test_jwt_secret_when_shorter_than_its_hash_then_it_says_so(
    algorithm: str, secret: str, short: bool
) -> None:
    """RFC 7518 section 3.2 asks for a key as long as the hash."""
    auth = read(JWT_ALGORITHM=algorithm, JWT_SECRET=secret).auth

    assert auth.secret_is_short is short


def test_jwt_secret_when_a_pem_stands_in_one_line_then_it_gets_its_line_breaks() -> None:
    """A .env file writes the line breaks of a key as \\n."""
    auth = read(JWT_ALGORITHM="RS256", JWT_SECRET=PEM, AUTH_ENABLED="true").auth

    assert auth.secret.splitlines() == [
        "-----BEGIN PUBLIC KEY-----",
        "AAAA",
        "-----END PUBLIC KEY-----",
    ]


def test_env_file_when_it_exists_then_it_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    """A variable of the environment has priority, even an empty one; no file is needed."""
    file = tmp_path / "settings.env"
    file.write_text("PORT=9001\nTHREADS=5\nTMDB_API_KEY='abc'\nCACHE_TTL=\n")

    settings = read(ENV_FILE=str(file), THREADS="6")

    assert (settings.port, settings.threads, settings.tmdb_api_key) == (9001, 6, "abc")
    assert settings.cache.ttl_s == 300
    assert read(ENV_FILE=str(file), TMDB_API_KEY="").tmdb_is_live is False
    assert read(ENV_FILE=str(tmp_path / "none")).port == 8000
    file.write_text("PORT=many\n")
    assert faults(ENV_FILE=str(file)) == ["PORT: Not a valid integer."]


def test_config_when_somebody_changes_it_then_it_refuses() -> None:
    """Settings are frozen, so that every thread can share them."""
    settings = read()

    with pytest.raises(AttributeError):
        settings.port = 1


def shown() -> dict[str, str]:
    """Return the settings that .env.example shows, name -> value."""
    text = (config.ROOT / ".env.example").read_text()
    return dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", text, re.MULTILINE))


def test_env_example_when_compared_with_config_then_both_name_the_same_settings() -> None:
    """Every setting is in .env.example, and nothing else is."""
    assert sorted(shown()) == sorted(defaults())


def test_env_example_when_every_line_is_taken_then_it_is_the_defaults(tmp_path: Path) -> None:
    """The values that .env.example shows are the defaults."""
    file = tmp_path / "settings.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in shown().items()))
    for kind in (Config, UserServiceConfig, TmdbStubConfig):
        plain = read(kind, ENV_FILE=os.devnull)
        with mock.patch.dict(os.environ, {"ENV_FILE": str(file)}, clear=True):
            assert kind.from_env() == plain


def test_env_example_when_a_setting_is_shown_then_a_line_explains_it() -> None:
    """Each setting, or group of settings, has a comment right above it."""
    lines = (config.ROOT / ".env.example").read_text().splitlines()
    for above, line in itertools.pairwise(lines):
        if re.match(r"#[A-Z0-9_]+=", line):
            assert above.startswith("#")
            assert len(above) > 2


def test_env_example_when_looked_at_then_no_secret_has_a_value() -> None:
    """The example holds no credential."""
    secret = re.compile("KEY|TOKEN|SECRET|REDIS_URL|DATABASE_URL")

    assert [name for name, value in shown().items() if secret.search(name) and value] == []
