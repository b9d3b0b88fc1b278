"""Decorators that run a view in a transaction on the caller's lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, current_app, g, make_response, request
from werkzeug.exceptions import Conflict, NotFound

from user_stub import idempotency
from user_stub.models import IdempotencyRecord
from user_stub.problems import problem
from user_stub.store import Store

View = Callable[..., Any]
Headers = dict[str, Any]


def reads(view: View) -> View:
    """Replace the headers (`ReadHeadersSchema`) with the caller's lists, read from one snapshot."""

    @wraps(view)
    def wrapper(headers: Headers, **path: Any) -> Any:
        with current_app.extensions["store"].reading(headers["user_id"]) as lists:
            g.library_revision = lists.library.revision
            return view(lists, **path)

    return wrapper


def writes(view: View) -> View:
    """Replace the headers (`WriteHeadersSchema`) with the caller's lists, and commit the changes.

    With an idempotency key the view runs once, and its response is kept and replayed. Put this
    above `blp.response`, so that the encoded response is kept. 404 and 409 are kept too, but not
    412: the same key may follow without the condition.
    """

    @wraps(view)
    def wrapper(headers: Headers, *args: Any, **path: Any) -> Response:
        store: Store = current_app.extensions["store"]
        user_id, key = headers["user_id"], headers.get("key")
        request_hash = _request_hash(headers.get("fingerprint"))
        with store.keys.claimed(user_id, key), store.writing(user_id) as lists:
            g.library_revision = lists.library.revision
            earlier = key and idempotency.find(lists.session, user_id, key, request_hash)
            record = earlier or _record(view, lists, *args, **path)
            if key and not earlier:
                record.user_id, record.key, record.request_hash = user_id, key, request_hash
                lists.session.add(record)
        g.library_revision = lists.library.revision
        response = _response(record)
        if earlier:
            response.headers["Idempotency-Replayed"] = "true"
        return response

    return wrapper


def _record(view: View, *args: Any, **path: Any) -> IdempotencyRecord:
    """Call a view and return its response as a record, which is not in the database yet."""
    try:
        response = make_response(view(*args, **path))
    except (NotFound, Conflict) as error:
        return IdempotencyRecord(status=error.code, body=json.dumps({"detail": error.description}))
    return IdempotencyRecord(
        status=response.status_code,
        body=response.get_data(as_text=True),
        location=response.headers.get("Location"),
    )


def _response(record: IdempotencyRecord) -> Response:
    if record.status >= 400:
        return problem(record.status, **json.loads(record.body))
    headers = {"Location": record.location} if record.location else {}
    return Response(record.body, record.status, headers, content_type="application/json")


def _request_hash(fingerprint: str | None) -> str:
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode())
    digest.update(request.get_data() if fingerprint is None else fingerprint.encode())
    return digest.hexdigest()
