"""How a request is made, and the session for what reads a stream or only looks: see `wire.py`."""

from __future__ import annotations

from typing import Any

import requests
from requests.structures import CaseInsensitiveDict

from bff.upstream.sockets import DeadlineAdapter


class Session(requests.Session):
    """A session that sends a request as it is, and keeps nothing of the answer.

    No cookies: one user's would go out with the next user's call. No redirects:
    a credential would travel with them. No hooks. The environment is not read:
    its `.netrc` could replace the Authorization header, and what it says of
    proxies is read by `config.py`. Thread-safe as it is used here: sent to,
    never changed.
    """

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send `request`; `options` are `stream` and `timeout`, others have no meaning here."""
        # What requests does around its adapter costs half as much as the call itself.
        stream = options.get("stream", False)
        response = self.get_adapter(str(request.url)).send(
            request,
            stream=stream,
            timeout=options.get("timeout"),
            verify=self.verify,  # type: ignore[arg-type]  # never None here
        )
        if not stream:
            _ = response.content  # which gives the connection back
        return response


def build(slots: int, proxy: str = "") -> Session:
    """Return a session for up to `slots` calls at once, through `proxy` if there is one."""
    session = Session()
    session.trust_env = False
    adapter = DeadlineAdapter(slots, proxy)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def prepared(
    method: str, url: str, headers: dict[str, str], body: bytes | None = None
) -> requests.PreparedRequest:
    """Return a request that is sent as it is said: `url` is encoded and has a path.

    What `PreparedRequest.prepare` does beyond that (encodings, cookies, hooks)
    costs a tenth of the call.
    """
    request = requests.PreparedRequest()
    request.method, request.url, request.body = method, url, body
    request.headers = CaseInsensitiveDict(headers)
    if body is not None:
        request.headers["Content-Length"] = str(len(body))
    return request
