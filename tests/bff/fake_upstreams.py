"""The two upstreams, played in the process: the real stub apps in place of the wire, and faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import requests
from flask import Flask

RECORDED = Path(__file__).resolve().parents[1] / "fixtures" / "tmdb" / "recorded"
Answer = tuple[int, dict[str, str], bytes] | Exception


@dataclass(frozen=True)
class Call:
    """One call as the upstream saw it; `path` is without the base."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class _Rule:
    path: str
    method: str
    answer: Callable[[Call], Answer | None]


@dataclass
class Upstream:
    """One upstream: `app` answers, unless a rule that was added later does. Thread-safe.

    `known` keeps the answers to what was asked, where the app's do not depend on anything else.
    """

    base: str
    app: Flask
    known: dict[Any, Answer] | None = None
    calls: list[Call] = field(default_factory=list)
    rules: list[_Rule] = field(default_factory=list)

    def answers(
        self,
        path: str,
        status: int = 200,
        json: Any = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "*",
    ) -> None:
        """Answer calls of `path` (a pattern of fnmatch) with this from now on."""
        content = orjson.dumps(json) if body is None else body
        told = {"Content-Type": "application/json;charset=utf-8", **(headers or {})}
        self.does(path, lambda _: (status, dict(told), content), method=method)

    def fails(self, path: str, error: Exception, *, method: str = "*") -> None:
        """Raise `error` in place of an answer to calls of `path`."""
        self.does(path, lambda _: error, method=method)

    def does(
        self, path: str, action: Callable[[Call], Answer | None], *, method: str = "*"
    ) -> None:
        """Run `action` for calls of `path`; where it returns None the app answers."""
        self.rules.insert(0, _Rule(path, method, action))

    def heals(self) -> None:
        """Forget all rules."""
        self.rules.clear()

    def asked(self, path: str = "*", method: str = "*") -> list[Call]:
        """Return the calls of a path so far."""
        return [
            call
            for call in self.calls
            if fnmatchcase(call.path, path) and fnmatchcase(call.method, method)
        ]

    def __call__(self, request: requests.PreparedRequest) -> Any:
        """Answer as `responses` wants it."""
        parts = urlsplit(str(request.url))
        base = urlsplit(self.base).path
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        call = Call(
            str(request.method),
            parts.path.removeprefix(base),
            query,
            dict(request.headers),
            bytes(body),
        )
        self.calls.append(call)
        for rule in list(self.rules):
            if fnmatchcase(call.path, rule.path) and fnmatchcase(call.method, rule.method):
                answer = rule.answer(call)
                if answer is not None:
                    return answer
        if self.known is None:
            return self._from_app(call, parts.path, parts.query)
        # Ids of requests and traces differ; no answer depends on them.
        who = [call.headers.get(name) for name in ("Authorization", "X-User-Id", "If-None-Match")]
        key = (call.method, str(request.url), call.body, *who)
        if key not in self.known:
            self.known[key] = self._from_app(call, parts.path, parts.query)
        return self.known[key]

    def _from_app(self, call: Call, path: str, query: str) -> Answer:
        response = self.app.test_client(use_cookies=False).open(
            path, method=call.method, query_string=query, headers=call.headers, data=call.body
        )
        return response.status_code, dict(response.headers), response.data


def recorded(name: str) -> bytes:
    """Return a recorded answer of TMDB by the beginning of its file's name."""
    found = sorted(RECORDED.glob(f"{name}*.json"))
    assert found, name
    return found[0].read_bytes()


def film(number: int, **fields: Any) -> dict[str, Any]:
    """Return a film of a list as TMDB sends it."""
    return {
        "adult": False,
        "backdrop_path": f"/b{number}.jpg",
        "genre_ids": [18],
        "id": number,
        "original_language": "en",
        "original_title": f"Film {number}",
        "overview": "",
        "popularity": 1.5,
        "poster_path": f"/p{number}.jpg",
        "release_date": "1999-10-15",
        "title": f"Film {number}",
        "video": False,
        "vote_average": 7.1,
        "vote_count": 10,
        **fields,
    }


def films(*numbers: int, **fields: Any) -> dict[str, Any]:
    """Return one of TMDB's lists."""
    results = [film(number) for number in numbers]
    more = {"page": 1, "total_pages": 1, "total_results": len(numbers)}
    return {**more, "results": results, **fields}
