"""nginx as it is shipped, in front of stand-ins: what it passes, refuses, repeats and keeps."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from scripts.processes import ROOT, until
from tests.deploy.fake import Fake, Request
from tests.deploy.proxy import NGINX, Nginx
from tests.e2e.stack import CALL_TIMEOUT_S, free_ports

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)"),
]

RENDER = ROOT / "deploy" / "nginx" / "render.sh"
PERSONAL = {"Cache_Control": "private, no-cache"}
PUBLIC = {"Cache_Control": "public, max-age=300", "ETag": '"abc"', "RateLimit": '"default";r=1'}


@pytest.fixture(scope="module")
def _fake() -> Iterator[Fake]:
    with Fake() as fake:
        yield fake


@pytest.fixture(scope="module")
def _nginx(_fake: Fake) -> Iterator[Nginx]:
    with Nginx(_fake.port) as nginx:
        yield nginx


@pytest.fixture
def fake(_fake: Fake) -> Fake:
    """Return the stand-in behind `nginx`, which answers {} to everything."""
    _fake.answer = Request.reply
    _fake.requests.clear()
    return _fake


@pytest.fixture
def nginx(_nginx: Nginx, fake: Fake) -> Nginx:
    """Return nginx in front of `fake`."""
    return _nginx


def call(nginx: Nginx, method: str, path: str, **options: Any) -> requests.Response:
    """Send a request to nginx, each over a connection of its own."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, nginx.url + path, **{"timeout": CALL_TIMEOUT_S} | options)


def raw(nginx: Nginx, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes to nginx and read one answer."""
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=CALL_TIMEOUT_S) as sock:
        sock.sendall(request)
        response = http.client.HTTPResponse(sock)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read()


def logged(nginx: Nginx, request_id: str) -> dict[str, Any]:
    """Return the line of the access log for a request; it comes after the answer."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        lines = map(json.loads, nginx.access.read_text().splitlines())
        found[:] = [line for line in lines if line["request_id"] == request_id]
        return bool(found)

    assert until(is_there, CALL_TIMEOUT_S)
    return found[0]


def drop(request: Request) -> None:
    """Close the connection instead of an answer, as an instance does that is killed."""
    request.close_connection = True


# -- What is passed on -------------------------------------------------------------------


def test_forwarded_headers_when_a_client_forges_them_then_nginx_says_what_it_sees(
    nginx: Nginx, fake: Fake
) -> None:
    """The BFF hears the real address, scheme and host, and nothing that the client claims."""
    forged = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port")
    gone = ("Forwarded", "X-Forwarded-Prefix", "X-Real-IP", "X-Forwarded-Port")
    call(nginx, "GET", "/health", headers=dict.fromkeys((*forged, *gone), "6.6.6.6"))

    (request,) = fake.requests
    assert request.headers.get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert request.headers.get_all("X-Forwarded-Proto") == ["http"]
    assert request.headers.get_all("X-Forwarded-Host") == [f"127.0.0.1:{nginx.port}"]
    assert not [name for name in gone if name in request.headers]


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        pytest.param("abc-1.2_3~!#$%&'*+^`|", True, id="all-signs-of-a-token"),
        pytest.param("a" * 128, True, id="longest"),
        pytest.param("a" * 129, False, id="too-long"),
        pytest.param("two words", False, id="not-a-token"),
        pytest.param('a"b', False, id="quote"),
        pytest.param(None, False, id="absent"),
    ],
)
def test_request_id_when_given_then_a_plain_token_is_kept(
    nginx: Nginx, fake: Fake, given: str | None, is_kept: bool
) -> None:
    """BFF, answer and log have one id; the log has neither query nor credential."""
    headers = {"Authorization": "Bearer planted"} | ({"X-Request-ID": given} if given else {})
    answer = call(nginx, "GET", '/health?query=planted"x', headers=headers)

    (passed,) = fake.requests[0].headers.get_all("X-Request-ID")
    assert answer.headers["X-Request-ID"] == passed
    assert (passed == given) is is_kept
    assert re.fullmatch(r"[!-~]{1,128}", passed)
    line = logged(nginx, passed)
    assert (line["status"], line["path"]) == (200, "/health")
    assert "planted" not in nginx.access.read_text()


def test_answer_when_passed_on_then_it_has_security_headers_once(nginx: Nginx, fake: Fake) -> None:
    """What the BFF says of framing and referrers holds; what it leaves out is added."""
    bare = call(nginx, "GET", "/health")
    fake.answer = lambda request: request.reply(
        Referrer_Policy="same-origin", X_Content_Type_Options="nosniff"
    )
    own = call(nginx, "GET", "/")

    assert bare.headers["X-Content-Type-Options"] == own.headers["X-Content-Type-Options"]
    assert own.headers["X-Content-Type-Options"] == "nosniff"
    assert bare.headers["X-Frame-Options"] == "DENY"
    assert bare.headers["Referrer-Policy"] == "no-referrer"
    assert own.headers["Referrer-Policy"] == "same-origin"
    assert bare.headers["Server"] == "nginx"


def test_connection_to_the_bff_when_reads_follow_then_it_is_kept(nginx: Nginx, fake: Fake) -> None:
    """Reads share connections; a write has one of its own."""
    for _ in range(6):
        call(nginx, "GET", "/health")
    reads = {request.client_address for request in fake.requests}
    for _ in range(6):
        call(nginx, "POST", "/api/users/favorites", json={})

    assert len(reads) <= 2, "at most one for each process of nginx"
    assert len({request.client_address for request in fake.requests} - reads) == 6


def test_compression_when_json_is_large_then_it_is_gzip_with_a_weak_etag(
    nginx: Nginx, fake: Fake
) -> None:
    """Large JSON is compressed; its ETag turns weak, and comes to the BFF as the client sent it."""
    body = json.dumps(["film"] * 1000).encode()
    fake.answer = lambda request: request.reply(body, ETag='"abc"')
    plain = call(nginx, "GET", "/api/dashboard/feed", headers={"Accept-Encoding": "identity"})
    packed = call(nginx, "GET", "/api/dashboard/feed", headers={"Accept-Encoding": "gzip"})
    call(nginx, "GET", "/api/movies/popular", headers={"If-None-Match": 'W/"abc"'})

    assert plain.headers["ETag"] == '"abc"'
    assert packed.headers["ETag"] == 'W/"abc"'
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert plain.content == packed.content == body
    assert int(plain.headers["Content-Length"]) > 3 * len(gzip.compress(body))
    assert "Accept-Encoding" not in fake.requests[1].headers
    assert fake.requests[-1].headers["If-None-Match"] == 'W/"abc"'


def test_event_stream_when_events_come_then_each_goes_out_at_once(nginx: Nginx, fake: Fake) -> None:
    """An event reaches the client while the stream is open."""
    seen = threading.Event()

    def stream(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(b"data: 1\n\n")
        request.wfile.flush()
        seen.wait(CALL_TIMEOUT_S)

    fake.answer = stream
    url = f"{nginx.url}/api/events"
    with requests.get(
        url, stream=True, timeout=CALL_TIMEOUT_S, headers={"Accept-Encoding": "gzip"}
    ) as answer:
        assert next(answer.iter_content(9)) == b"data: 1\n\n"
        assert not seen.is_set()
        seen.set()


# -- What is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="no-request-line"),
        pytest.param(b"GET /x HTTP/1.1\r\n\r\n", 400, id="no-host"),
        pytest.param(b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="bad-method"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nA B: c\r\n\r\n", 400, id="bad-header"),
        pytest.param(b"TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n", 405, id="trace"),
        pytest.param(
            b"POST /api/users/favorites HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
            413,
            id="large-body",
        ),
        pytest.param(
            b"POST /api/movies/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"8001\r\n" + b"a" * 0x8001 + b"\r\n8001\r\n" + b"a" * 0x8001 + b"\r\n0\r\n\r\n",
            413,
            id="large-chunks",
        ),
        pytest.param(
            b"GET /?q=" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, id="long-line"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 9000 + b"\r\n\r\n", 431, id="long-header"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: rot13\r\n\r\n", 501, id="bad-coding"
        ),
        pytest.param(b"GET / HTTP/7.1\r\nHost: a\r\n\r\n", 505, id="bad-version"),
    ],
)
def test_refusal_when_nginx_answers_itself_then_it_is_a_problem_document(
    nginx: Nginx, fake: Fake, request_bytes: bytes, status: int
) -> None:
    """What nginx refuses never reaches the BFF, and is application/problem+json."""
    answered, headers, body = raw(nginx, request_bytes)

    document = json.loads(body)
    assert answered == status
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    members = {"type", "title", "status", "detail", "instance", "request_id"}
    assert set(document) == members
    assert all(document.values())
    assert document["status"] == status
    assert document["request_id"] == headers["x-request-id"]
    assert ("allow" in headers) is (status == 405)
    assert fake.requests == []


def test_body_when_as_large_as_the_bff_takes_then_it_is_passed_whole(
    nginx: Nginx, fake: Fake
) -> None:
    """64 kB pass: the limits of nginx and of the BFF are the same."""
    answer = call(nginx, "POST", "/api/users/favorites", data=b"a" * 65536)

    assert answer.status_code == 200
    assert len(fake.requests[0].body) == 65536


def test_metrics_when_asked_from_elsewhere_then_they_are_refused(fake: Fake) -> None:
    """Only the machines that watch over the service read /metrics."""
    with Nginx(fake.port, METRICS_FROM="192.0.2.1") as nginx:
        answer = call(nginx, "GET", "/metrics")

    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"


# -- Instances that fail -----------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET"])
def test_request_when_an_instance_dies_over_it_then_only_a_read_is_sent_again(method: str) -> None:
    """Nobody knows whether a write was done: 502, and no second instance sees it."""
    with Fake(drop) as dying, Fake() as other, Nginx(dying.port, other.port) as nginx:
        paths = [f"/api/users/history/{number}" for number in range(4)]
        answers = [call(nginx, method, path) for path in paths]

        assert dying.requests
        arrived = [request.path for fake in (dying, other) for request in fake.requests]
        lost = [answer for answer in answers if answer.status_code != 200]
        assert {answer.status_code for answer in lost} == (set() if method == "GET" else {502})
        if method != "GET":
            assert sorted(path for path in arrived if path != "/health") == paths
            assert lost[0].json()["reason"] == "unreachable"
            assert lost[0].headers["Retry-After"]


def test_write_when_an_instance_is_gone_then_the_other_takes_it() -> None:
    """A refused connection costs no write, whatever its method."""
    (gone,) = free_ports(1)
    with Fake() as other, Nginx(gone, other.port) as nginx:
        for method in ("POST", "PUT", "DELETE"):
            answers = [call(nginx, method, "/api/users/history/1", data=b"body") for _ in range(6)]

            assert {answer.status_code for answer in answers} == {200}
            bodies = [request.body for request in other.requests if request.command == method]
            assert bodies == [b"body"] * 6


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_request_when_the_bff_closes_idle_connections_then_it_is_answered(
    nginx: Nginx, fake: Fake, method: str
) -> None:
    """A connection that ends between two requests, as in a restart, costs neither."""

    def reply_and_close(request: Request) -> None:
        request.reply()
        request.close_connection = True  # and the answer did not say so

    fake.answer = reply_and_close
    answers = [call(nginx, method, "/api/users/history/1") for _ in range(20)]

    assert {answer.status_code for answer in answers} == {200}


# -- Copies for bad times ----------------------------------------------------------------


def test_public_read_when_no_instance_answers_then_the_copy_is_served(
    nginx: Nginx, fake: Fake
) -> None:
    """The last good answer stands in, marked as such, without what was true of another request."""
    body = json.dumps({"results": [{"title": "Fight Club"}]}).encode()
    fake.answer = lambda request: request.reply(body, **PUBLIC)
    paths = ("/api/movies/550?language=de", "/api/people/287", "/api/configuration")
    fresh = [call(nginx, "GET", path) for path in (*paths, "/api/search/multi?query=a")]
    fake.answer = drop

    for path in paths:
        copy = call(nginx, "GET", path, headers={"If-None-Match": '"abc"'})
        assert (copy.status_code, copy.content) == (200, body)
        assert copy.headers["X-Degraded"] == "bff"
        assert copy.headers["Cache-Control"] == "no-cache"
        assert not copy.headers.keys() & {"ETag", "RateLimit", "Age"}
    head = call(nginx, "HEAD", paths[0])
    other = call(nginx, "GET", "/api/movies/550?language=fr")
    assert all("X-Degraded" not in answer.headers for answer in fresh)
    assert all(answer.headers["ETag"] == '"abc"' for answer in fresh)
    assert head.status_code == 200
    assert head.headers["Content-Length"] == str(len(body))
    assert other.status_code == 502
    assert other.json()["upstream"] == "bff"


def test_public_read_when_an_instance_answers_then_it_is_always_asked(
    nginx: Nginx, fake: Fake
) -> None:
    """A copy never stands in for the BFF, whose limits, ages and errors are its own to tell."""
    fake.answer = lambda request: request.reply(**PUBLIC)
    for _ in range(3):
        call(nginx, "GET", "/api/movies/1")
    asked = len(fake.requests)
    fake.answer = lambda request: request.send_error(503, "the BFF's own words")
    refused = call(nginx, "GET", "/api/movies/1")

    assert asked == 3
    assert refused.status_code == 503
    assert "the BFF's own words" in refused.text


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("/api/users/favorites", PUBLIC, id="not-a-public-address"),
        pytest.param("/api/movies/2", PERSONAL, id="private"),
        pytest.param("/api/movies/3", {"Cache_Control": "no-store"}, id="not-to-be-stored"),
        pytest.param("/api/movies/4", PUBLIC | {"X_Degraded": "tmdb"}, id="degraded"),
        pytest.param("/api/movies/5", PUBLIC | {"Set_Cookie": "a=b"}, id="with-a-cookie"),
    ],
)
def test_answer_when_it_is_not_for_all_then_no_copy_is_made(
    nginx: Nginx, fake: Fake, path: str, headers: dict[str, str]
) -> None:
    """What is personal or incomplete is not kept, and 502 is said in its place."""
    fake.answer = lambda request: request.reply(b'"planted"', **headers)
    assert call(nginx, "GET", path).text == '"planted"'
    fake.answer = drop

    answer = call(nginx, "GET", path)
    assert answer.status_code == 502
    assert answer.headers["Cache-Control"] == "no-store"
    kept = [file for file in (nginx.run / "copies").rglob("*") if file.is_file()]
    assert not [file for file in kept if b"planted" in file.read_bytes()]


def test_copy_when_a_page_of_another_origin_asks_then_it_gets_its_own(
    nginx: Nginx, fake: Fake
) -> None:
    """The CORS headers of a copy are those for the origin that asks."""
    fake.answer = lambda request: request.reply(
        **PUBLIC, Access_Control_Allow_Origin=request.headers.get("Origin", "none")
    )
    origins = ("https://a.example", "https://b.example")
    for origin in origins:
        call(nginx, "GET", "/api/movies/6", headers={"Origin": origin})
    fake.answer = drop

    for origin in origins:
        copy = call(nginx, "GET", "/api/movies/6", headers={"Origin": origin})
        assert copy.headers["Access-Control-Allow-Origin"] == origin
    assert call(nginx, "GET", "/api/movies/6").status_code == 502


# -- TLS and rendering -------------------------------------------------------------------


def test_tls_when_a_certificate_is_set_then_http_only_redirects(fake: Fake, tmp_path: Path) -> None:
    """HTTPS serves, with HSTS and the right scheme for the BFF; plain HTTP says where."""
    nginx = Nginx(fake.port)
    certificate, key = nginx.directory / "certificate", nginx.directory / "key"
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        [*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    key.chmod(0o644)
    nginx.set(TLS_CERTIFICATE=str(certificate), TLS_CERTIFICATE_KEY=str(key))
    with nginx:
        fake.requests.clear()
        moved = call(nginx, "POST", "/api/users/favorites?a=b", allow_redirects=False)
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", nginx.tls_port, context=context)
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        connection.close()

    assert moved.status_code == 308
    assert moved.headers["Location"] == (
        f"https://127.0.0.1:{nginx.tls_port}/api/users/favorites?a=b"
    )
    assert answer.status == 200
    assert answer.getheader("Strict-Transport-Security")
    assert fake.requests[-1].headers["X-Forwarded-Proto"] == "https"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BFF_SERVERS", "127.0.0.1:80; include /etc/passwd"),
        ("SERVER_NAME", "a$b"),
        ("HTTP_LISTEN", "80 ssl{"),
        ("ACCESS_LOG", "/a|b"),
        ("TLS_CERTIFICATE", "/certificate-without-a-key"),
    ],
)
def test_render_when_a_value_could_be_more_than_a_value_then_it_stops(
    name: str, value: str
) -> None:
    """A variable cannot add directives, and a certificate needs its key."""
    rendered = subprocess.run(
        ["/bin/sh", RENDER], env={name: value, "PATH": "/usr/bin:/bin"}, capture_output=True
    )

    assert rendered.returncode == 1
    assert rendered.stdout == b""
    assert name in rendered.stderr.decode()


def test_render_when_nothing_is_set_then_the_defaults_are_those_of_one_machine() -> None:
    """Without variables: one BFF on port 8000, plain HTTP on port 80, no placeholder left."""
    rendered = subprocess.run(
        ["/bin/sh", RENDER], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    site = rendered.stdout.decode()

    assert site.count("server 127.0.0.1:8000 ") == 2
    assert "listen 80;" in site
    assert "ssl" not in site
    assert not re.search(r"@[A-Z_]+@|^ *#\w+: ", site, re.MULTILINE)
