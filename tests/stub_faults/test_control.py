"""The control paths: call counts, faults, their guard and CORS."""

from __future__ import annotations

import pytest

from tests.stub_faults.host_app import Host

POPULAR = "/3/movie/popular"


def test_calls_when_made_then_each_counts_by_method_and_path(host: Host) -> None:
    """Every call counts without its query, failed ones too, but no control path; DELETE resets."""
    host.client.get(f"{POPULAR}?page=1")
    host.client.get(f"{POPULAR}?page=2")
    host.client.post("/favorites")
    host.client.get("/nowhere")
    host.set_fault(status=503)
    host.client.get(POPULAR)

    counts = {f"GET {POPULAR}": 3, "POST /favorites": 1, "GET /nowhere": 1}
    assert host.client.get("/__calls").json == counts
    assert host.client.delete("/__calls").status_code == 204
    assert host.client.get("/__calls").json == {}


def test_faults_when_set_then_the_last_one_is_shown_until_it_is_deleted(host: Host) -> None:
    """GET shows {} without a fault, the fault that was put last, and {} after DELETE."""
    shown = [host.client.get("/__faults").json]
    host.set_fault(latency_ms=5, match="/movie")
    host.set_fault(status=503)
    shown.append(host.client.get("/__faults").json)
    assert host.client.delete("/__faults").status_code == 204
    shown.append(host.client.get("/__faults").json)

    assert shown == [{}, {"status": 503}, {}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="empty"),
        pytest.param(b"{", 400, id="cut"),
        pytest.param(b"\xff", 400, id="not-utf8"),
        pytest.param(b"[" * 60_000, 400, id="deep"),
        pytest.param(b"[]", 422, id="array"),
        pytest.param(b'{"statsu": 500}', 422, id="wrong-key"),
        pytest.param(b"x" * 70_000, 413, id="large"),
    ],
)
def test_faults_when_the_body_is_wrong_then_it_is_refused_and_the_earlier_fault_stays(
    host: Host, body: bytes, status: int
) -> None:
    """What is not a fault is answered with a problem document, which names a wrong key."""
    host.set_fault(status=503)

    answer = host.client.put("/__faults", data=body)

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    if b"statsu" in body:
        assert answer.json["errors"] == {"statsu": ["unknown key"]}
    assert host.client.get("/__faults").json == {"status": 503}


def test_control_when_the_method_or_path_is_another_then_it_is_405_or_404(host: Host) -> None:
    """Allow lists the methods; other paths with two underscores do not exist."""
    answer = host.client.post("/__calls")

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, DELETE, HEAD, OPTIONS"
    assert host.client.get("/__other").status_code == 404


@pytest.mark.parametrize(
    "credential", ["", "Bearer wrong", "Basic s3cret", "Bearer", "Bearer \xfc", "Bearer s3cret"]
)
def test_control_when_a_token_is_set_then_it_is_asked_for(credential: str) -> None:
    """Once a service token is set, its holder alone is let in."""
    host = Host(control_token="s3cret")

    answer = host.client.delete("/__faults", headers={"Authorization": credential})

    is_right = credential == "Bearer s3cret"
    assert answer.status_code == (204 if is_right else 401)
    assert answer.headers.get("WWW-Authenticate") == (None if is_right else "Bearer")


@pytest.mark.parametrize(
    ("origin", "is_local"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1:8080", True),
        ("https://localhost", True),
        ("https://example.org", False),
        ("http://localhost.example.org", False),
        ("null", False),
        ("http://[", False),
        ("file://localhost", False),
    ],
)
def test_control_when_a_page_asks_then_only_one_of_this_machine_may_read(
    origin: str, is_local: bool
) -> None:
    """A local page may read, and its preflight passes without the token; others get no CORS."""
    host = Host(control_token="s3cret")
    token = {"Origin": origin, "Authorization": "Bearer s3cret"}

    preflight = host.client.options("/__faults", headers={"Origin": origin})
    read = host.client.get("/__faults", headers=token)

    assert read.status_code == 200
    assert read.headers.get("Access-Control-Allow-Origin") == (origin if is_local else None)
    if is_local:
        assert preflight.status_code == 204
        assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        assert "Origin" in read.headers["Vary"]
    else:
        names = [name for answer in (preflight, read) for name, _ in answer.headers]
        assert not [name for name in names if name.startswith("Access-Control")]
