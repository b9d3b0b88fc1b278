"""How a fault is read from JSON and which calls it concerns."""

from __future__ import annotations

from typing import Any

import pytest

from stub_faults.fault import PROFILES, Fault, FaultError, parse

WRONG: dict[str, list[Any]] = {
    "colour": ["red"],
    "profile": ["sleepy", ["slow"]],
    "match": ["favorites", 5],
    "method": ["post"],
    "times": [0, True],
    "latency_ms": ["800", -1, float("nan")],
    "error_rate": [1.5, True],
    "status": [200, 503.5],
    "retry_after": [-1, 2],
    "hang": [1],
    "reset": ["yes"],
    "garbage": [None],
    "truncate": [0],
    "slow_body_ms": [600_001],
    "after": ["no"],
}


@pytest.mark.parametrize("key", WRONG)
def test_parse_when_a_value_is_wrong_then_its_key_is_named(key: str) -> None:
    """An unknown key and a value of the wrong type or range are refused by their key."""
    for value in WRONG[key]:
        with pytest.raises(FaultError) as caught:
            parse({key: value})
        assert list(caught.value.errors) == [key], value


def test_parse_when_several_keys_are_wrong_then_all_are_named() -> None:
    """Every wrong key is reported at once."""
    with pytest.raises(FaultError) as caught:
        parse({"status": 1, "colour": "red", "latency_ms": 5})

    assert sorted(caught.value.errors) == ["colour", "status"]


@pytest.mark.parametrize("document", [[], "slow", None, 5])
def test_parse_when_it_is_no_object_then_it_is_refused(document: object) -> None:
    """JSON that is not an object is no fault."""
    with pytest.raises(FaultError):
        parse(document)


@pytest.mark.parametrize("profile", PROFILES)
def test_parse_when_it_names_a_profile_then_the_profiles_keys_hold(profile: str) -> None:
    """A profile sets its own keys, which is also what is shown; keys beside it win."""
    assert parse({"profile": profile}).as_json() == {"profile": profile, **PROFILES[profile]}
    fault = parse({"profile": profile, "match": "/a", "latency_ms": 5})

    assert (fault.profile, fault.match, fault.latency_ms) == (profile, "/a", 5)


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
def test_failure_status_when_it_is_not_named_then_it_is_500_for_an_error_rate(
    document: dict[str, Any], status: int | None
) -> None:
    """A bare error rate answers 500; a named status wins; other faults have none."""
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
def test_match_when_compared_then_it_is_a_prefix_with_or_without_the_base(
    match: str, path: str, expected: bool
) -> None:
    """A fault matches a prefix of the path and the named method; /health only by its name."""
    assert Fault(match=match).concerns("GET", path, "/3") is expected
    assert not Fault(match=match, method="POST").concerns("GET", path, "/3")
