"""The control paths: call counts, faults, their guard and CORS."""

from __future__ import annotations

import pytest

from tests.stub_faults.host_app import Host

POPULAR = "/3/movie/popular"


def test_calls_counts_by_method_and_path_without_query(host: Host) -> None:
    """Count every call under its method and path, failed ones too, but no control path."""
    host.client.get(f"{POPULAR}?page=1")
    host.client.get(f"{POPULAR}?page=2")
    host.client.post("/favorites")
    host.client.get("/nowhere")
    host.set_fault(status=503)
    host.client.get(POPULAR)

    assert host.client.get("/__calls").json == {
        f"GET {POPULAR}": 3,
        "POST /favorites": 1,
        "GET /nowhere": 1,
    }


def test_calls_delete_resets(host: Host) -> None:
    """Start counting anew after DELETE."""
    host.client.get(POPULAR)

    assert host.client.delete("/__calls").status_code == 204
    assert host.client.get("/__calls").json == {}


def test_faults_shows_what_is_set(host: Host) -> None:
    """Show {} without a fault, the fault that was put last, and {} after DELETE."""
    shown = [host.client.get("/__faults").json]
    host.set_fault(latency_ms=5, match="/movie")
    host.set_fault(status=503)
    shown.append(host.client.get("/__faults").json)
    assert host.client.delete("/__faults").status_code == 204
    shown.append(host.client.get("/__faults").json)

    assert shown == [{}, {"status": 503}, {}]


def test_faults_put_wrong_key_is_422_and_changes_nothing(host: Host) -> None:
    """Refuse a wrong fault with a problem document that names the key; the earlier one stays."""
    host.set_fault(status=503)

    answer = host.client.put("/__faults", json={"statsu": 500})

    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["errors"] == {"statsu": ["unknown key"]}
    assert host.client.get("/__faults").json == {"status": 503}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 60_000, 400),
        (b"[]", 422),
        (b"x" * 70_000, 413),
    ],
    ids=["empty", "cut", "not-utf8", "deep", "array", "large"],
)
def test_faults_put_bad_body_is_refused(host: Host, body: bytes, status: int) -> None:
    """Refuse what is not a JSON object of a sensible size."""
    answer = host.client.put("/__faults", data=body)

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"


def test_control_other_method_is_405_with_allow(host: Host) -> None:
    """Name the allowed methods to others."""
    answer = host.client.post("/__calls")

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, DELETE, HEAD, OPTIONS"


def test_control_unknown_path_is_404(host: Host) -> None:
    """Answer 404 to other paths that begin with two underscores."""
    assert host.client.get("/__other").status_code == 404


@pytest.mark.parametrize(
    "credential", ["", "Bearer wrong", "Basic s3cret", "Bearer", "Bearer \xfc"]
)
def test_control_with_token_without_it_is_401(credential: str) -> None:
    """Ask for the service token once one is set."""
    host = Host(control_token="s3cret")

    answer = host.client.delete("/__faults", headers={"Authorization": credential})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_control_with_token_and_the_right_one_answers() -> None:
    """Let the holder of the token in."""
    host = Host(control_token="s3cret")

    answer = host.client.get("/__calls", headers={"Authorization": "Bearer s3cret"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1:8080", "https://localhost"]
)
def test_control_from_a_local_page_has_cors_headers(origin: str) -> None:
    """Let a page of this machine read, and its preflight pass without the token."""
    host = Host(control_token="s3cret")

    preflight = host.client.options("/__faults", headers={"Origin": origin})
    read = host.client.get(
        "/__faults", headers={"Origin": origin, "Authorization": "Bearer s3cret"}
    )

    assert preflight.status_code == 204
    assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert read.headers["Access-Control-Allow-Origin"] == origin
    assert "Origin" in read.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    ["https://example.org", "http://localhost.example.org", "null", "http://[", "file://localhost"],
)
def test_control_from_another_page_has_no_cors_headers(host: Host, origin: str) -> None:
    """Keep pages of other hosts out."""
    answers = [
        host.client.options("/__faults", headers={"Origin": origin}),
        host.client.get("/__faults", headers={"Origin": origin}),
    ]

    for answer in answers:
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
