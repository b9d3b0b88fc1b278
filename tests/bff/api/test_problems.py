"""bff/api/problems.py: which problem document, status and headers each error becomes."""

from __future__ import annotations

import pytest
from flask import Flask

from bff.api import problems
from bff.api.problems import KINDS, flat
from bff.errors import ERRORS, BffError, NotFound, Rejected
from bff.model import Reason

STATUS = {
    Reason.TIMEOUT: 504,
    Reason.CIRCUIT_OPEN: 503,
    Reason.SATURATED: 503,
    Reason.RATE_LIMITED: 503,
    Reason.UNREACHABLE: 502,
    Reason.UPSTREAM_ERROR: 502,
    Reason.BAD_RESPONSE: 502,
}


def answer(error: Exception) -> tuple[int, dict[str, object], dict[str, str]]:
    """Return status, problem and headers that an app answers an error with."""
    app = Flask("probe")
    problems.register(app)

    @app.get("/x")
    def fail() -> str:
        raise error

    response = app.test_client().get("/x")
    return response.status_code, response.json or {}, dict(response.headers)


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("wait", [None, 7.0])
def test_problem_when_an_upstream_fails_then_status_and_members_say_how(
    reason: Reason, wait: float | None
) -> None:
    """The table of the contract: upstream, reason and, where known, when to ask again."""
    status, body, headers = answer(ERRORS[reason]("tmdb", "planted-detail", wait))

    assert status == STATUS[reason]
    assert (body["upstream"], body["reason"]) == ("tmdb", reason.value)
    assert "planted-detail" not in str(body)
    expected = 7 if wait else 1 if status == 503 else None
    assert body.get("retry_after") == expected
    assert headers.get("Retry-After") == (str(expected) if expected else None)


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (NotFound("tmdb", "film 5"), 404, "there is no such film 5"),
        (Rejected("users", 409, "it is there"), 409, "it is there"),
        (Rejected("users", 422, "wrong"), 422, "wrong"),
        (BffError("planted"), 500, "something went wrong on our side"),
        (ValueError("planted"), 500, "something went wrong on our side"),
        (ZeroDivisionError(), 500, "something went wrong on our side"),
    ],
)
def test_problem_when_an_error_is_raised_then_its_kind_says_what(
    error: Exception, status: int, detail: str
) -> None:
    """Expected errors say what is wrong; a bug says nothing."""
    told, body, headers = answer(error)

    assert (told, body["status"], body["detail"]) == (status, status, detail)
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Cache-Control"] == "no-store"


def test_kinds_when_they_are_compared_then_no_two_share_a_status() -> None:
    """A status of ours is one kind of problem, so that an exception finds its kind."""
    statuses = [kind.status for kind in KINDS.values()]

    assert len(statuses) == len(set(statuses))
    assert all(kind.title and kind.advice for kind in KINDS.values())


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ({"query": {"page": ["a", "b"]}}, {"page": ["a", "b"]}),
        ({"json": {"genres": {0: {"id": ["a"]}}}}, {"genres.0.id": ["a"]}),
        ({"json": ["a"]}, {"request": ["a"]}),
        ({"json": "a"}, {"request": ["a"]}),
        (["a"], {"request": ["a"]}),
        ({"json": {"_schema": [5]}}, {"_schema": ["5"]}),
    ],
)
def test_flat_when_messages_are_nested_then_each_text_has_the_path_of_its_field(
    messages: object, told: dict[str, list[str]]
) -> None:
    """`errors` is one level deep, whatever webargs made of it."""
    assert flat(messages) == told
