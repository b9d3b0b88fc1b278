"""Problem documents (RFC 9457), as the document describes them; `bff.api.problems` writes them."""

from __future__ import annotations

from functools import partial

from marshmallow import EXCLUDE, Schema
from marshmallow.fields import Dict, List, String
from marshmallow.validate import Range

from bff.model import Reason
from bff.schemas import fields as f

text = partial(f.string, required=True)
wait = partial(f.integer, validate=Range(min=1))


class ProblemSchema(Schema):
    """A problem document (RFC 9457)."""

    class Meta:
        unknown = EXCLUDE  # a kind of problem may say more

    type = text("Kind of problem, an address relative to this service.", "/problems/not-found")
    title = text("The kind in words.", "Not found")
    status = f.integer("The HTTP status.", 404, required=True, validate=Range(min=400))
    detail = text("What is wrong this time.", "there is no such film 999999999")
    instance = text("Path of the request.", "/api/movies/999999999")
    request_id = text("Id of the request, as in X-Request-ID and in the log.", "example-request-1")


class ValidationProblemSchema(ProblemSchema):
    """A problem document that says what is wrong, by field."""

    errors = f.field(
        partial(Dict, keys=String(), values=List(String())),
        "What is wrong, by field; omitted where `detail` says it.",
        {"page": ["Must be greater than or equal to 1 and less than or equal to 500."]},
    )


class WaitProblemSchema(ProblemSchema):
    """A problem document that says how long to wait."""

    retry_after = wait("Seconds to wait, as in Retry-After.", 24, required=True)


class UpstreamProblemSchema(ProblemSchema):
    """A problem document that names the upstream at fault."""

    upstream = text("Which upstream failed.", "tmdb")  # the document lists them all
    reason = f.one_of((reason.value for reason in Reason), "How it failed.", required=True)
    retry_after = wait("Seconds to wait, as in Retry-After; omitted where unknown.", 60)
