"""How a fault is read from JSON and which calls it concerns."""

from __future__ import annotations

from typing import Any

import pytest

from stub_faults.fault import PROFILES, Fault, FaultError, parse


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("colour", "red"),
        ("profile", "sleepy"),
        ("profile", ["slow"]),
        ("match", "favorites"),
        ("match", 5),
        ("method", "post"),
        ("times", 0),
        ("times", True),
        ("latency_ms", "800"),
        ("latency_ms", -1),
        ("latency_ms", float("nan")),
        ("error_rate", 1.5),
        ("error_rate", True),
        ("status", 200),
        ("status", 503.5),
        ("retry_after", -1),
        ("retry_after", 2),
        ("hang", 1),
        ("reset", "yes"),
        ("garbage", None),
        ("truncate", 0),
        ("slow_body_ms", 600_001),
        ("after", "no"),
    ],
)
def test_parse_wrong_value_names_the_key(key: str, value: Any) -> None:
    """Refuse an unknown key and a value of the wrong type or range, naming the key."""
    with pytest.raises(FaultError) as caught:
        parse({key: value})

    assert list(caught.value.errors) == [key]


@pytest.mark.parametrize("document", [[], "slow", None, 5])
def test_parse_other_than_an_object_is_refused(document: object) -> None:
    """Refuse JSON that is not an object."""
    with pytest.raises(FaultError):
        parse(document)


def test_parse_several_wrong_keys_names_all() -> None:
    """Report every wrong key at once."""
    with pytest.raises(FaultError) as caught:
        parse({"status": 1, "colour": "red", "latency_ms": 5})

    assert sorted(caught.value.errors) == ["colour", "status"]


@pytest.mark.parametrize("profile", PROFILES)
def test_parse_profile_sets_its_keys(profile: str) -> None:
    """Give a profile's own keys, which is also what is shown."""
    assert parse({"profile": profile}).as_json() == {"profile": profile, **PROFILES[profile]}


def test_parse_profile_with_other_keys_lets_them_win() -> None:
    """Let keys beside a profile narrow it or change it."""
    fault = parse({"profile": "slow", "match": "/a", "latency_ms": 5})

    assert fault == Fault(profile="slow", match="/a", latency_ms=5)


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({}, None),
        ({"error_rate": 0.5}, 500),
        ({"error_rate": 0.5, "status": 503}, 503),
        ({"status": 404}, 404),
        ({"error_rate": 0.5, "reset": True}, None),
        ({"garbage": True}, None),
    ],
)
def test_failure_status_by_what_is_named(document: dict[str, Any], status: int | None) -> None:
    """Answer 500 for a bare error rate, the named status where there is one."""
    assert parse(document).failure_status == status


@pytest.mark.parametrize(
    ("match", "path", "expected"),
    [
        ("", "/3/movie/popular", True),
        ("", "/health", False),
        ("/health", "/health", True),
        ("/3/movie", "/3/movie/popular", True),
        ("/movie", "/3/movie/popular", True),
        ("/movie/popular", "/3/movie/top_rated", False),
        ("/movie", "/34/movie", False),
        ("/3/movie", "/t/p/w500/a.jpg", False),
    ],
)
def test_concerns_by_path_with_and_without_base(match: str, path: str, expected: bool) -> None:
    """Match a prefix of the path, with or without the base; leave /health alone by default."""
    assert Fault(match=match).concerns("GET", path, "/3") is expected


def test_concerns_by_method() -> None:
    """Match only the named method."""
    fault = Fault(method="POST")

    assert fault.concerns("POST", "/favorites", "")
    assert not fault.concerns("GET", "/favorites", "")
