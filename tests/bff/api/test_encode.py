"""bff/api/encode.py: bytes, tags and what caches are told."""

from __future__ import annotations

import contextvars
import gc
import re
import weakref
from typing import Any

import pytest
from flask import Flask, Response

from bff import context
from bff.api import encode
from bff.api.encode import Encoder
from bff.context import Deadline, RequestContext, Timing
from bff.model import Failed, Missing, Ok, Reason
from tests.bff.fake_upstreams import Upstream, films
from tests.contract.client import ContractClient

APP = Flask("probe")
OK = {"status": "ok", "reason": None, "age": None, "retry_after": None}
LATE = {**OK, "status": "unavailable", "reason": "timeout"}
STALE = {**OK, "status": "stale", "reason": "timeout", "age": 9}
PARTLY = {**OK, "reason": "timeout"}


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


@pytest.mark.parametrize(
    ("outcome", "said"), [("hit", "; hit; ttl=49"), ("ok", "; fwd=miss; stored")]
)
def test_read_when_it_is_fresh_then_max_age_is_what_is_left(outcome: str, said: str) -> None:
    """A caller keeps it no longer than we would; Cache-Status says whether it was here."""
    response = read(Ok({"a": 1}, 10.0, 49.9, number=1), Timing("tmdb", "popular", outcome))

    assert response.headers["Cache-Control"] == "public, max-age=49"
    assert said in response.headers["Cache-Status"]
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


def test_read_when_the_answer_is_known_then_the_headers_say_so(
    fresh: ContractClient, tmdb: Upstream
) -> None:
    """max-age is at most TMDB's own; the second request is served from memory."""
    tmdb.answers("/movie/popular", json=films(1), headers={"Cache-Control": "public, max-age=60"})

    first, second = (fresh.get("/api/movies/popular") for _ in range(2))

    for answer in (first, second):
        found = re.fullmatch(r"public, max-age=(\d+)", answer.headers["Cache-Control"])
        assert found
        assert int(found[1]) <= 60
    assert second.headers["Server-Timing"].startswith("cache;")
    assert re.search(r"hit; ttl=\d+", second.headers["Cache-Status"])
    assert len(tmdb.calls) == 1


def test_etag_when_the_caller_has_something_else_then_it_is_200(client: ContractClient) -> None:
    """A tag of other bytes, one without quotes, and the tag from before a write."""
    path = "/api/users/favorites"
    tag = client.get(path).headers["ETag"]
    for given in ('"0123456789abcdef01234567"', tag.strip('"')[:-1], ""):
        assert client.get(path, headers={"If-None-Match": given}).status_code == 200
    client.delete(f"{path}/13")

    response = client.get(path, headers={"If-None-Match": tag})

    assert response.status_code == 200
    assert response.headers["ETag"] != tag


def test_written_when_a_write_is_answered_then_nobody_keeps_it() -> None:
    """The answer to a write is for once."""
    response = encode.written({"a": 1}, 201)

    assert (response.status_code, response.headers["Cache-Control"]) == (201, "no-store")


class Pages:
    """An encoder of one page that counts how often it is made."""

    def __init__(self) -> None:
        self.made, self._encoder = 0, Encoder()

    def ask(self, outcomes: dict[str, Any], name: str = "p") -> bytes:
        with APP.test_request_context("/"):
            return self._encoder.page(name, outcomes, self._make).data

    def _make(self) -> dict[str, Any]:
        self.made += 1
        return {"sections": {}, "number": self.made}


def test_encoder_when_the_same_values_come_again_then_the_page_is_not_made_again() -> None:
    """A page is a function of its name and values; an equal value is not the same one."""
    pages, kept = Pages(), Ok({}, number=1)

    first = pages.ask({"a": kept})
    assert pages.ask({"a": Ok({}, 5.0, number=1)}) == first
    assert pages.made == 1
    pages.ask({"a": Ok({}, number=2)})
    pages.ask({"a": kept}, "another")

    assert pages.made == 3
    assert pages.ask({"a": kept}) == first  # the values of one user are never another's


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
    pages = Pages()
    for _ in range(2):
        pages.ask({"a": outcome, "b": Ok(2, number=1)})

    assert pages.made == 2


def test_encoder_when_a_page_is_remembered_then_its_values_are_not_held() -> None:
    """Values have a memory of their own with a bound of its own; here only bytes count."""

    class Library(dict[str, Any]):
        """A value that can be watched."""

    pages, value = Pages(), Library()
    watched = weakref.ref(value)
    pages.ask({"a": Ok(value, number=1)})
    del value
    gc.collect()

    assert watched() is None
