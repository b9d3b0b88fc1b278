"""The stream of changes."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, request

from user_stub.api.blueprint import JsonBlueprint
from user_stub.schemas import EventHeadersSchema
from user_stub.store import Store

blp = JsonBlueprint("events", __name__, description="Changes as they happen")

EVENT_STREAM = "text/event-stream"
MESSAGES = {"type": "string", "description": "Server-sent events"}
HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # or nginx holds messages back
}


@blp.route("/events")
@blp.arguments(EventHeadersSchema, location="headers")
@blp.response(200, MESSAGES, content_type=EVENT_STREAM)
@blp.problems(401)
def read_events(headers: dict[str, Any]) -> Response:
    """Stream the committed changes of every user's library.

    Server-sent events of three kinds:

    - `change`, `{"user": "...", "revision": 7}`: the library of `user` has reached `revision`.
      The id is the change's number in the order of commits. There is one for each revision,
      whichever process of the service made it.
    - `beat`, `{"seq": 41}`, four times a second: everything committed before this message has
      been sent on this stream; the last change is number 41. The first beat means that nothing
      is missing from now on. After a second without a message, treat the stream as dead.
    - `reset`, `{"seq": 41}`: some changes are no longer kept, so anything may have changed.
      Changes are kept for an hour, and the last 1,000 in any case.

    With `Last-Event-ID` the later changes come first, then a beat. A stream ends after about five
    minutes, when the service stops, when the database is unreachable, and if the subscriber does
    not keep up: connect again with `Last-Event-ID`. A process serves at most 32 streams (503).
    """
    if request.method == "HEAD":
        return Response(content_type=EVENT_STREAM, headers=HEADERS)
    store: Store = current_app.extensions["store"]
    store.prepare()
    sock = request.environ.get("gunicorn.socket")
    stream = store.streams.subscribe(headers.get("last_event_id"), sock)
    response = Response(stream, content_type=EVENT_STREAM, headers=HEADERS)
    response.call_on_close(stream.close)
    return response
