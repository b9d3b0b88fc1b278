"""The two clients: the requests they send, and what they make of the answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bff.errors import BadResponse
from bff.reads import CONFIGURATION, ENRICHED, READS
from bff.schemas.tmdb import GenresSchema
from bff.upstream.tmdb import Credential, decode

RECORDED = Path(__file__).resolve().parents[1] / "fixtures" / "tmdb" / "recorded"


def errors_of_tmdb() -> Iterator[Path]:
    """Yield TMDB's own error bodies."""
    for file in sorted(RECORDED.glob("*.json")):
        body = orjson.loads(file.read_bytes())
        if isinstance(body, dict) and {"status_code", "errors"} & set(body):
            yield file


@pytest.mark.parametrize("row", [*READS, CONFIGURATION, ENRICHED], ids=lambda row: row.name)
def test_decode_when_the_body_is_an_error_of_tmdbs_then_it_is_a_bad_response(row: Any) -> None:
    """An error that comes with status 200 is never taken for an answer."""
    files = list(errors_of_tmdb())

    assert len(files) > 8
    for file in files:
        with pytest.raises(BadResponse):
            decode(row.schema, "tmdb", file.read_bytes())


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b"1", b'"x"', b"<html>", b'{"a": "\xff"}', b"[" * 5000]
)
def test_decode_when_the_body_is_no_record_then_it_is_a_bad_response(body: bytes) -> None:
    """Whatever comes, the error is the upstream's, and does not quote what came."""
    with pytest.raises(BadResponse) as caught:
        decode(GenresSchema, "tmdb", body)

    assert re.fullmatch(
        r"tmdb: bad_response \((not JSON|not a GenresSchema: the whole answer)\)", str(caught.value)
    )


def test_credential_when_key_and_token_are_there_then_the_token_wins() -> None:
    """The token goes into a header; the key, which would show in addresses, is not sent."""
    both = Credential("the-key", "the-token")

    assert both.headers() == {"Authorization": "Bearer the-token"}
    assert both.query() == {}
    assert Credential("the-key").query() == {"api_key": "the-key"}
    assert Credential("the-key").headers() == {}
    assert Credential().headers() == Credential().query() == {}


def test_credential_when_it_is_printed_then_it_tells_nothing() -> None:
    """A credential in a traceback or a log is one that is lost."""
    for text in (repr(Credential("the-key", "the-token")), str(Credential("the-key"))):
        assert "the-" not in text
