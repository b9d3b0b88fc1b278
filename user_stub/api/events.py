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
    "X-Accel-Buffering": "no",  # nginx would hold messages back
}


@blp.route("/events")
@blp.arguments(EventHeadersSchema, location="headers")
@blp.response(200, MESSAGES, content_type=EVENT_STREAM)
@blp.problems(401)
def read_events(headers: dict[str, Any]) -> Response:
    """Stream the committed changes of every user's library.

    Server-sent events that do not end by themselves:

    - `change`, `{"user": "...", "revision": 7}`: the library of `user` has reached `revision`.
      The id is the change's place in the order of all commits. There is one per rise of a
      revision, over all processes on one database.
    - `beat`, `{"seq": 41}`, four times a second: all that was committed before this message was
      made has been sent on this stream; the last change is number 41. The first beat says that
      nothing is missing from now on. Without a message for a second, assume that the stream is
      dead.
    - `reset`, `{"seq": 41}`: some changes after the last message are not kept any more; anything
      may have changed. Changes are kept for an hour, and the last 1,000 in any case.

    With `Last-Event-ID` the later changes come first, then a beat. A stream ends after about five
    minutes, when the service stops, when the database is away, and for a subscriber that does not
    keep up: connect again with `Last-Event-ID`. A process serves 32 streams and refuses more (503).
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
