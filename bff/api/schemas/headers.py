"""Request headers that operations take, for the document."""

from __future__ import annotations

from marshmallow import Schema, fields, validate


class IdempotencySchema(Schema):
    """The header of a write that may be sent again."""

    key = fields.String(
        data_key="Idempotency-Key",
        validate=validate.Regexp(r"^[!-~]{0,255}$"),
        metadata={
            "description": "Names the write, for 24 hours, by a text such as a UUID: sent again "
            "with the same key, it is not done twice, and the first answer comes again, also "
            "where TMDB says something else of the film by then. The same key with another "
            "request is 422, or 409 while the first is under way. Empty: no key.",
        },
    )


class RevisionSchema(Schema):
    """The header of a read that must not be older than a write."""

    revision = fields.String(
        data_key="X-Library-Revision",
        metadata={
            "description": "What the last write answered in its header of the same name: the "
            "answer is at least as new. A browser's cookie `library_revision` does the same.",
            "example": "17",
        },
    )
