"""bff/api/encode.py: bytes, tags and what caches are told."""

from __future__ import annotations

import contextvars
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response

from bff import context
from bff.api import encode
from bff.api.encode import Encoder
from bff.context import Deadline, RequestContext, Timing
from bff.model import Failed, Missing, Ok, Reason

APP = Flask("probe")
OK = {"status": "ok", "reason": None, "age": None, "retry_after": None}
LATE = {"status": "unavailable", "reason": "timeout", "age": None, "retry_after": None}
STALE = {"status": "stale", "reason": "timeout", "age": 9, "retry_after": None}
PARTLY = {"status": "ok", "reason": "timeout", "age": None, "retry_after": None}


def page(body: dict[str, Any], tag: str = "") -> Response:
    """Encode a page for a caller who has `tag`."""
    with APP.test_request_context("/", headers={"If-None-Match": tag} if tag else {}):
        return Encoder().page("page", {"a": Ok(1)}, lambda: body)


def read(answer: Ok[dict[str, Any]], *timings: Timing) -> Response:
    """Encode a read of TMDB."""

    def encoded() -> Response:
        context.enter(RequestContext("r", Deadline.after(1), list(timings)))
        with APP.test_request_context("/"):
            return Encoder().read(answer)

    return contextvars.copy_context().run(encoded)


def test_page_when_two_bodies_are_the_same_then_so_is_the_tag() -> None:
    """The tag is of the bytes: it needs no state, and every worker makes the same one."""
    one, same, other = (page({"a": value, "sections": {}}) for value in (1, 1, 2))

    assert one.headers["ETag"] == same.headers["ETag"] != other.headers["ETag"]
    assert one.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("section", [LATE, STALE, PARTLY])
def test_page_when_a_section_has_a_reason_then_it_has_no_tag_and_is_no_304(
    section: dict[str, Any],
) -> None:
    """What is not all it could be must be asked for again."""
    response = page({"sections": {"a": OK, "b": section}}, "*")

    assert response.status_code == 200
    assert "ETag" not in response.headers
    expected = None if section["status"] == "ok" else "b"
    assert response.headers.get("X-Degraded") == expected


def test_read_when_it_is_fresh_then_max_age_is_what_is_left() -> None:
    """A caller keeps it no longer than we would."""
    response = read(Ok({"a": 1}, 10.0, 49.9))

    assert response.headers["Cache-Control"] == "public, max-age=49"
    assert "ETag" in response.headers
    assert "Age" not in response.headers


def test_read_when_it_is_old_then_it_says_how_old_and_why() -> None:
    """An old answer in place of a new one: Age, the reason, no tag."""
    answer = Ok({"a": 1}, 400.9, 0.0, Failed("tmdb", Reason.CIRCUIT_OPEN))
    response = read(answer, Timing("tmdb", "popular", "hit"))

    assert response.headers["Age"] == "400"
    assert "detail=circuit_open" in response.headers["Cache-Status"]
    assert response.headers["X-Degraded"] == "tmdb"
    assert response.headers["Cache-Control"] == "public, max-age=0"
    assert "ETag" not in response.headers


@pytest.mark.parametrize(
    ("outcome", "said"), [("hit", "; hit; ttl=49"), ("ok", "; fwd=miss; stored")]
)
def test_read_when_it_was_in_the_cache_or_not_then_cache_status_says_so(
    outcome: str, said: str
) -> None:
    """RFC 9211: a hit with what is left, or a miss."""
    response = read(Ok({}, 1.0, 49.0, number=1), Timing("tmdb", "popular", outcome))

    assert said in response.headers["Cache-Status"]


def test_written_when_a_write_is_answered_then_nobody_keeps_it() -> None:
    """The answer to a write is for once."""
    response = encode.written({"a": 1}, 201)

    assert (response.status_code, response.headers["Cache-Control"]) == (201, "no-store")


def counting() -> tuple[list[int], Callable[[], dict[str, Any]]]:
    """Return a list that grows with every page that is made, and what makes them."""
    made: list[int] = []

    def make() -> dict[str, Any]:
        made.append(1)
        return {"sections": {}, "number": len(made)}

    return made, make


def test_encoder_when_the_same_values_come_again_then_the_page_is_not_made_again() -> None:
    """A page is a function of its values: kept ones give the bytes that were made before."""
    encoder, value = Encoder(), {"results": []}
    made, make = counting()

    with APP.test_request_context("/"):
        first = encoder.page("p", {"a": Ok(value, number=1)}, make)
        again = encoder.page("p", {"a": Ok(value, 5.0, number=1)}, make)

    assert first.data == again.data
    assert len(made) == 1


@pytest.mark.parametrize(
    "outcome",
    [
        Ok(1),
        Ok(1, number=1, stale_because=Failed("tmdb", Reason.TIMEOUT)),
        Failed("tmdb", Reason.TIMEOUT),
        Missing("tmdb", "film"),
    ],
)
def test_encoder_when_a_value_may_change_then_the_page_is_made_each_time(outcome: Any) -> None:
    """What is not kept, stale or failed is never remembered."""
    encoder = Encoder()
    made, make = counting()

    with APP.test_request_context("/"):
        for _ in range(2):
            encoder.page("p", {"a": outcome, "b": Ok(2, number=1)}, make)

    assert len(made) == 2


def test_encoder_when_values_or_name_differ_then_the_page_is_made_again() -> None:
    """An equal value is not the same one, and a search is for its own words."""
    encoder, value = Encoder(), {"results": []}
    made, make = counting()
    kept, equal = Ok(value, number=1), Ok(dict(value), number=2)

    with APP.test_request_context("/"):
        for name, outcome in (("p", kept), ("p", equal), ("q", kept)):
            encoder.page(name, {"a": outcome}, make)

    assert len(made) == 3


def test_encoder_when_a_page_is_remembered_then_its_values_are_not_held() -> None:
    """Values have a memory of their own with a bound of its own; here only bytes count."""

    class Library(dict[str, Any]):
        """A value that can be watched."""

    encoder, value = Encoder(), Library()
    watched = weakref.ref(value)
    _, make = counting()
    with APP.test_request_context("/"):
        encoder.page("p", {"a": Ok(value, number=1)}, make)
    del value
    gc.collect()

    assert watched() is None


def test_encoder_when_two_users_have_values_of_their_own_then_neither_sees_the_others() -> None:
    """The bytes of one user's values are never another's."""
    encoder = Encoder()
    films = Ok({"results": []}, number=1)
    ann, bob = Ok(["ann"], number=2), Ok(["bob"], number=3)

    def ask(library: Ok[Any]) -> bytes:
        body = {"library": library.value, "sections": {}}
        with APP.test_request_context("/"):
            return encoder.page("p", {"films": films, "library": library}, lambda: body).data

    for library, name in ((ann, b"ann"), (bob, b"bob"), (ann, b"ann")):
        assert name in ask(library)
