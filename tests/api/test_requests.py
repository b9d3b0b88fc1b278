"""The rules of every answer: ids, timings, parameters, methods, conditional requests, CORS."""

from __future__ import annotations

import re

import pytest

from bff.reads import READS
from tests.api.conftest import MakeClient
from tests.api.openapi import ContractClient, Document
from tests.api.upstreams import Upstream, films

PLACES = {"{movie_id}": "550", "{person_id}": "819", "{window}": "week"}


def paths(document: Document) -> dict[str, list[str]]:
    """Return every documented path, filled in, with its methods."""
    found = {}
    for template, item in document.spec["paths"].items():
        path = template
        for name, value in PLACES.items():
            path = path.replace(name, value)
        found[path] = [method.upper() for method in item if method != "parameters"]
    return found


def with_query(path: str) -> str:
    """Return the path with the query that it cannot do without."""
    return f"{path}?query=fight" if "/search" in path else path


def test_request_id_when_it_is_a_token_then_it_is_taken_over(
    client: ContractClient, tmdb: Upstream, users: Upstream, logs: list[str]
) -> None:
    """The caller's id is in the answer, in each upstream call and in each log line."""
    given = "a-Z0!#$%&'*+.^_`|~" + "x" * 110

    response = client.get("/api/dashboard/feed", headers={"X-Request-ID": given})

    assert response.headers["X-Request-ID"] == given
    assert {call.headers["X-Request-ID"] for call in tmdb.calls + users.calls} == {given}
    assert logs
    assert all(f"request_id={given} " in line for line in logs)


def test_request_id_when_it_is_no_token_then_a_new_one_is_made(
    client: ContractClient, logs: list[str], subtests: pytest.Subtests
) -> None:
    """What could break a header or a log line is replaced, never passed on."""
    for given in (
        "",
        "x" * 129,
        "two words",
        "a\r\nSet-Cookie: planted=1",
        "a\nX-Planted: 1",
        "tab\there",
        "nul\x00",
        "üml\xe4ut",
        'quo"te',
        "a,b",
        "${jndi:ldap://x}",
    ):
        with subtests.test(given=ascii(given)):
            response = client.get("/health", environ_overrides={"HTTP_X_REQUEST_ID": given})

            assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-ID"])
            assert "X-Planted" not in response.headers
            assert not [line for line in logs if given and given in line]


def test_request_id_when_two_requests_have_none_then_the_ids_differ(
    client: ContractClient,
) -> None:
    """A made-up id belongs to one request, and a problem document carries it."""
    first, second = client.get("/api/nothing"), client.get("/api/nothing")

    assert first.json["request_id"] != second.json["request_id"]


def test_server_timing_when_an_upstream_is_asked_then_it_has_an_entry_per_call(
    client: ContractClient,
) -> None:
    """Each call shows with its upstream, operation and milliseconds."""
    timing = client.get("/api/dashboard/feed").headers["Server-Timing"]

    assert re.search(r'tmdb;desc="\w+";dur=\d+\.\d', timing)
    assert len(re.findall(r'users;desc="\w+";dur=\d+\.\d', timing)) == 2


def test_server_timing_when_the_answer_is_known_then_it_says_cache(
    client: ContractClient, tmdb: Upstream
) -> None:
    """The second request is served from memory and says so."""
    client.get("/api/movies/popular")
    response = client.get("/api/movies/popular")

    assert response.headers["Server-Timing"].startswith("cache;")
    assert re.search(r"hit; ttl=\d+", response.headers["Cache-Status"])
    assert len(tmdb.calls) == 1


def test_cache_when_it_is_switched_off_then_every_read_asks_tmdb(
    make_client: MakeClient, tmdb: Upstream
) -> None:
    """CACHE_ENABLED=false sends every read out."""
    client = make_client(CACHE_ENABLED="false")

    responses = [client.get("/api/movies/popular") for _ in range(2)]

    assert [response.status_code for response in responses] == [200, 200]
    assert len(tmdb.calls) == 2


def test_parameter_when_it_is_unknown_then_every_operation_refuses_it(
    client: ContractClient, document: Document, tmdb: Upstream, users: Upstream
) -> None:
    """An unknown query parameter is 422 everywhere, before any upstream is asked."""
    for path, methods in paths(document).items():
        for method in methods:
            body = {"movie_id": 13} if method == "POST" else {"progress": 0.5}
            if method == "PUT" and "history" not in path:
                body = {}
            mark = "&" if "?" in with_query(path) else "?"
            response = client.open(f"{with_query(path)}{mark}planted=1", method=method, json=body)
            assert response.status_code == 422, (method, path)
            assert response.json["errors"] == {"planted": ["Unknown field."]}, (method, path)

    assert tmdb.calls + users.calls == []


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/problems/validation", "/problems/nothing"]
)
@pytest.mark.parametrize(
    ("query", "word"), [("planted=1", "Unknown field."), ("a=1&a=1", "Must be given once.")]
)
def test_parameter_when_the_address_is_not_in_the_document_then_it_is_refused_all_the_same(
    client: ContractClient, path: str, query: str, word: str
) -> None:
    """The document, its pages and the kinds of problems take no parameter."""
    response = client.get(f"{path}?{query}")

    assert response.status_code == 422
    assert response.json["errors"] == {query[: query.index("=")]: [word]}


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/dashboard/feed", "/health"])
def test_parameter_when_it_is_given_twice_then_it_is_refused(
    client: ContractClient, path: str, tmdb: Upstream
) -> None:
    """Two values for one name are ambiguous: 422, even if they are the same."""
    response = client.get(f"{path}?page=1&page=1")

    assert response.status_code == 422
    assert list(response.json["errors"]) == ["page"]
    assert not tmdb.calls


def test_page_when_it_is_outside_1_to_500_then_it_is_422_without_a_call(
    client: ContractClient, tmdb: Upstream, users: Upstream, subtests: pytest.Subtests
) -> None:
    """Every list with pages refuses the page itself."""
    paged = [row.route for row in READS if "page" in row.query().fields]
    for page in ("0", "501", "-1", "abc", "1.5", "", "9" * 30, "%00", "1%0A"):
        with subtests.test(page=page):
            for route in [*paged, "/api/dashboard/feed", "/api/dashboard/complete"]:
                path = route.replace("{movie_id}", "550").replace("{window}", "day")
                mark = "?query=a&" if "search" in path else "?"
                response = client.get(f"{path}{mark}page={page}")
                assert response.status_code == 422, path
                assert list(response.json["errors"]) == ["page"], path

    assert tmdb.calls + users.calls == []


def test_page_when_it_is_500_then_tmdb_is_asked_for_it(
    client: ContractClient, tmdb: Upstream
) -> None:
    """500 is the last page that may be asked for."""
    tmdb.answers("/movie/popular", json=films(1, page=500, total_pages=500))

    assert client.get("/api/movies/popular?page=500").json["page"] == 500
    assert tmdb.calls[0].query["page"] == "500"


def test_total_pages_when_tmdb_counts_beyond_500_then_it_is_clamped(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Nobody is shown a page that cannot be asked for; the number of results is TMDB's."""
    tmdb.answers("*", json=films(1, total_pages=48_000, total_results=960_000))

    for path in ("movies/popular", "dashboard/feed", "dashboard/search/enriched?query=a"):
        body = client.get(f"/api/{path}").json
        assert body["total_pages"] == 500, path
        assert body["total_results"] == 960_000, path


@pytest.mark.parametrize(
    ("given", "sent"),
    [("de", "de"), ("pt-br", "pt-BR"), ("zh-hans-cn", "zh-Hans-CN"), ("es-419", "es-419")],
)
def test_language_when_it_is_bcp_47_then_tmdb_is_told_in_one_spelling(
    client: ContractClient, tmdb: Upstream, given: str, sent: str
) -> None:
    """One language has one spelling, and so one place in the cache."""
    assert client.get(f"/api/movies/popular?language={given}").status_code == 200
    assert tmdb.calls[0].query["language"] == sent


def test_language_when_it_is_none_then_it_is_422(
    client: ContractClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """A word that is no language never reaches TMDB."""
    for language in ("english", "d", "de_DE", "de-DE-x", "de%0A", "", "1"):
        with subtests.test(language=language):
            response = client.get(f"/api/movies/550?language={language}")

            assert response.status_code == 422
            assert list(response.json["errors"]) == ["language"]
            assert not tmdb.calls


def test_region_when_it_is_lower_case_then_tmdb_gets_the_iso_code(
    client: ContractClient, tmdb: Upstream
) -> None:
    """A region is spelled as ISO 3166-1 has it."""
    assert client.get("/api/movies/now-playing?region=de").status_code == 200
    assert tmdb.calls[0].query["region"] == "DE"


def test_region_when_it_is_none_then_it_is_422(
    client: ContractClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """A word that is no country never reaches TMDB."""
    for region in ("DEU", "1", "", "D%C3%89", "DE%20"):
        with subtests.test(region=region):
            response = client.get(f"/api/movies/popular?region={region}")

            assert response.status_code == 422
            assert list(response.json["errors"]) == ["region"]
            assert not tmdb.calls


def test_language_and_region_when_a_read_is_of_tmdb_then_they_are_parameters_of_it(
    document: Document,
) -> None:
    """Every read of TMDB takes both."""
    for path, item in document.spec["paths"].items():
        if re.match(r"/api/(movies|search|people|dashboard)", path):
            names = {parameter.get("name") for parameter in item["get"]["parameters"]}
            assert {"language", "region"} <= names, path


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/dashboard/feed"])
def test_etag_when_the_caller_has_the_answer_then_it_is_304_without_a_body(
    client: ContractClient, path: str
) -> None:
    """A strong tag; weak, listed and `*` all match it; a 304 carries the caching headers."""
    first = client.get(path)
    tag = first.headers["ETag"]

    assert tag.startswith('"')
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": given})
        assert again.status_code == 304, given
        assert again.headers["ETag"] == tag
        for name in ("Cache-Control", "Vary"):
            if name == "Vary" and name not in first.headers:
                continue
            assert name in again.headers
        assert "Content-Type" not in again.headers


UNDESCRIBED = ["/openapi.json", "/docs", "/redoc", "/problems/validation", "/web/dev.json"]
FILES = ["/docs-ui/swagger-ui/swagger-ui.css", "/docs-ui/redoc/redoc.standalone.js"]


def test_etag_when_a_get_answers_200_then_it_has_one_and_a_304_of_the_same_kind(
    client: ContractClient, document: Document
) -> None:
    """The rule is for every GET: documents, pages, files and health are no exception."""
    client.put("/api/users/history/550", json={"progress": 0.5})
    client.put("/api/users/watchlist/550", json={})
    for path in [*map(with_query, paths(document)), *UNDESCRIBED, *FILES]:
        first = client.get(path)
        assert first.status_code == 200, path
        assert re.fullmatch(r'"[0-9a-f.-]+"', first.headers["ETag"]), path
        if path == "/metrics":  # another one each time
            continue
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b""), path
        assert again.headers["ETag"] == first.headers["ETag"], path
        seen, kept = (answer.headers["Cache-Control"] for answer in (first, again))
        assert re.sub(r"\d+", "", seen) == re.sub(r"\d+", "", kept), path


def test_etag_when_the_caller_has_something_else_then_it_is_200(client: ContractClient) -> None:
    """A tag of other bytes, or one without quotes, does not match."""
    tag = client.get("/api/movies/popular").headers["ETag"]

    for given in ('"0123456789abcdef01234567"', tag.strip('"')[:-1], ""):
        assert client.get("/api/movies/popular", headers={"If-None-Match": given}).data


def test_etag_when_the_users_data_changes_then_the_tag_changes(client: ContractClient) -> None:
    """A write is seen by the next conditional request."""
    tag = client.get("/api/users/favorites").headers["ETag"]
    client.delete("/api/users/favorites/13")

    response = client.get("/api/users/favorites", headers={"If-None-Match": tag})

    assert response.status_code == 200
    assert response.headers["ETag"] != tag


def test_etag_when_a_section_is_not_fresh_then_there_is_none(
    client: ContractClient, users: Upstream
) -> None:
    """A page that is not all it could be is not to be taken as the last word."""
    users.answers("/favorites", 500)

    response = client.get("/api/dashboard/feed", headers={"If-None-Match": "*"})

    assert response.status_code == 200
    assert "ETag" not in response.headers


def test_cache_control_when_the_answer_is_tmdbs_then_it_is_public_for_what_is_left(
    client: ContractClient, tmdb: Upstream
) -> None:
    """max-age is at most TMDB's own, and never more than our time to live."""
    tmdb.answers("/movie/popular", json=films(1), headers={"Cache-Control": "public, max-age=60"})

    for _ in range(2):
        header = client.get("/api/movies/popular").headers["Cache-Control"]
        found = re.fullmatch(r"public, max-age=(\d+)", header)
        assert found
        assert int(found[1]) <= 60


@pytest.mark.parametrize(
    "path",
    [
        "/api/dashboard/feed",
        "/api/dashboard/complete",
        "/api/dashboard/movie/550/enriched",
        "/api/dashboard/search/enriched?query=a",
        "/api/users/favorites",
        "/api/users/watchlist/680",
        "/api/users/history",
    ],
)
def test_cache_control_when_the_answer_is_personal_then_it_is_private(
    client: ContractClient, path: str
) -> None:
    """No shared cache may keep it, and a client's own must ask again."""
    response = client.get(path)

    assert response.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in response.headers["Vary"]


def test_head_when_get_exists_then_it_has_the_headers_and_no_body(
    client: ContractClient, document: Document
) -> None:
    """HEAD answers as GET would, without the bytes."""
    for path, methods in paths(document).items():
        if "GET" not in methods or path.startswith("/api/users/history/"):
            continue
        got, headed = client.get(with_query(path)), client.head(with_query(path))
        assert headed.status_code == got.status_code, path
        assert got.status_code == (404 if path.endswith("watchlist/550") else 200), path
        assert headed.data == b""
        if path != "/metrics":  # it counts the very requests that ask for it
            assert headed.headers.get("ETag") == got.headers.get("ETag"), path
        assert headed.headers["Content-Type"] == got.headers["Content-Type"]


def test_method_when_it_is_not_offered_then_it_is_405_with_allow(
    client: ContractClient, document: Document
) -> None:
    """Every path names in Allow what it does offer."""
    for path, methods in paths(document).items():
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"} - set(methods):
            response = client.open(path, method=method)
            assert response.status_code == 405, (method, path)
            allowed = set(response.headers["Allow"].split(", "))
            assert allowed == {*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


def test_options_when_it_is_asked_then_allow_is_the_whole_answer(
    client: ContractClient, document: Document
) -> None:
    """Flask answers for each address, pages and files too: `Allow` and no body."""
    for path in ("/docs", "/docs-ui/redoc/redoc.standalone.js", "/", *paths(document)):
        response = client.options(path)

        assert response.status_code == 200, path
        assert "OPTIONS" in response.headers["Allow"]
        assert response.data == b""


@pytest.mark.parametrize(
    "path", ["/api", "/api/movies", "/api/movies/popular/", "/api//movies/popular", "/x%0Ay"]
)
def test_path_when_it_is_unknown_then_it_is_404(
    client: ContractClient, path: str, logs: list[str]
) -> None:
    """An unknown path is a problem document, never a page of HTML or a redirect."""
    assert client.get(path).json["type"] == "/problems/not-found"


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/users/favorites/550"), ("GET", "/api/dashboard/feed")]
)
@pytest.mark.parametrize("settings", [{}, {"AUTH_ENABLED": "true"}], ids=["open", "closed"])
def test_cors_when_the_origin_is_configured_then_the_preflight_allows_it(
    make_client: MakeClient, method: str, path: str, settings: dict[str, str]
) -> None:
    """A browser's preflight carries no token, and is answered all the same."""
    client = make_client(**settings)
    response = client.options(
        path,
        headers={
            "Origin": "http://localhost:3000",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
        },
    )

    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert method in response.headers["Access-Control-Allow-Methods"]
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    assert "authorization" in allowed
    assert "idempotency-key" in allowed


def test_cors_when_the_origin_is_another_then_nothing_is_allowed(client: ContractClient) -> None:
    """Neither the preflight nor an answer opens the door to a foreign page."""
    foreign = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}

    for response in (
        client.options("/api/dashboard/feed", headers=foreign),
        client.get("/api/dashboard/feed", headers=foreign),
        client.get("/api/dashboard/feed"),
    ):
        assert not [name for name, _ in response.headers if "access-control" in name.lower()]


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/movies/0", "/api/nothing"])
def test_cors_when_the_origin_is_configured_then_answers_and_errors_can_be_read(
    client: ContractClient, path: str
) -> None:
    """A page reads problem documents as well, and the headers that tell of them."""
    response = client.get(path, headers={"Origin": "http://localhost:8080"})

    assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:8080"
    assert "Origin" in response.headers["Vary"]
    exposed = response.headers["Access-Control-Expose-Headers"]
    for name in ("X-Request-ID", "X-Degraded", "ETag", "Retry-After", "RateLimit", "Location"):
        assert name in exposed


def test_id_when_it_is_no_number_of_tmdbs_then_it_is_422_without_a_call(
    client: ContractClient,
    document: Document,
    tmdb: Upstream,
    users: Upstream,
    subtests: pytest.Subtests,
) -> None:
    """Every path with a number refuses what cannot be one."""
    plain = ("0", "-1", "2147483648", "9223372036854775808", "1e3", "1.0", "+1")
    asked = [
        (template, method)
        for template, item in document.spec["paths"].items()
        for method in ("get", "put", "delete")
        if "_id}" in template and method in item
    ]
    for number in (*plain, "abc", "%D9%A1", "%00", "null"):
        with subtests.test(number=number):
            for template, method in asked:
                path = re.sub(r"\{\w+\}", number, template)
                response = client.open(path, method=method.upper(), json={})
                assert response.status_code == 422, (method, path)
                assert list(response.json["errors"]) == ["id"]

    assert tmdb.calls + users.calls == []


def test_id_when_it_is_the_largest_then_tmdb_is_asked(
    client: ContractClient, tmdb: Upstream
) -> None:
    """2^31-1 is a number, and TMDB knows no such film."""
    response = client.get("/api/movies/2147483647")

    assert response.status_code == 404
    assert len(tmdb.calls) == 1


def test_query_when_it_is_no_text_to_look_for_then_it_is_422(
    client: ContractClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """Broken UTF-8, NUL, control characters, nothing and 10 kB are refused by every search."""
    for query in (
        "q=%ff",
        "query=%ff%fe",
        "query=%00",
        "query=a%00b",
        "query=" + "x" * 10_240,
        "query=" + "%F0%9F%98%80" * 300,
        "query=",
        "query=%20%20",
        "query=a%0D%0Ab",
        "",
    ):
        with subtests.test(query=query[:40]):
            for path in ("movies/search", "search/multi", "dashboard/search/enriched"):
                assert client.get(f"/api/{path}?{query}").status_code == 422
    assert not tmdb.calls


@pytest.mark.parametrize(
    "text", ["😀", "Amélie", "東京", "a&b=c#d", "100% wolf", "\u202eevil", "'; --"]
)
def test_query_when_it_is_unusual_then_tmdb_gets_it_as_it_is(
    client: ContractClient, text: str, tmdb: Upstream
) -> None:
    """What a person may type arrives at TMDB unchanged, and comes back in the answer."""
    tmdb.answers("/search/movie", json=films())

    body = client.get("/api/dashboard/search/enriched", query_string={"query": text}).json

    assert body["query"] == text
    assert tmdb.calls[0].query["query"] == text
