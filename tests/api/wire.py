"""What stands in place of the wire: `responses`, one level below where it usually is."""

from __future__ import annotations

from typing import Any

import responses
from requests.adapters import HTTPAdapter

from bff.steps import Steps
from bff.upstream.answers import Answer, unpacked


class Wire(responses.RequestsMock):
    """Answers what would go out."""

    def __init__(self) -> None:
        super().__init__(False, target="bff.upstream.wire.Wire.sending")

    def _on_request(self, adapter: Any, request: Any, **options: Any) -> Any:
        response = super()._on_request(HTTPAdapter(), request, stream=True)
        body, coding = response.raw.read(decode_content=False), "Content-Encoding"
        body = unpacked(body, response.headers.get(coding, ""))
        return _at_once(Answer(response.status_code, response.headers, body))


def _at_once(answer: Answer) -> Steps[Answer]:
    return answer
    yield  # what makes steps of it
