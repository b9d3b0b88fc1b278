"""What the service says about itself: configuration, health and readiness."""

from __future__ import annotations

from functools import partial

from marshmallow import EXCLUDE, Schema
from marshmallow.fields import Dict, List, Nested, Raw, String

from bff.schemas import fields as f
from bff.schemas.base import AnswerSchema

STATUSES = ("pass", "warn", "fail")


class ImageConfigurationSchema(AnswerSchema):
    """Where pictures are."""

    base_url = f.string("As in `<base_url><size><path>`.", "https://image.tmdb.org/t/p/")
    poster_sizes = f.many(f.string("Size.", "w342"), "Sizes of posters.")
    backdrop_sizes = f.many(f.string("Size.", "w780"), "Sizes of backdrops.")
    profile_sizes = f.many(f.string("Size.", "w185"), "Sizes of portraits.")


class ConfigurationSchema(AnswerSchema):
    """What a frontend needs to know once."""

    images = Nested(ImageConfigurationSchema)
    tmdb = f.one_of(("live", "stub"), "Whether films come from TMDB or from the stub.")
    attribution = f.string("What a page that shows these data must say.")


class HealthSchema(AnswerSchema):
    """The process answers."""

    status = f.one_of(["healthy"], "Always `healthy`.")
    service = f.one_of(["movie-dashboard-bff"], "Name of the service.")
    version = f.string("Version of the service.", "0.1.0")


class CheckSchema(Schema):
    """One thing that was looked at (draft-inadarei-api-health-check)."""

    class Meta:
        unknown = EXCLUDE  # readers must expect more

    componentId = f.string("Whose it is, where there are several.")  # noqa: N815 - the draft's names
    componentType = f.one_of(  # noqa: N815
        ("component", "datastore", "system"), "What kind of part it is.", required=True
    )
    observedValue = Raw(  # noqa: N815
        allow_none=True,
        required=True,
        metadata={
            "description": "What was found; null: nothing.",
            "type": ["string", "number"],
        },
    )
    observedUnit = f.string("Unit of the value.")  # noqa: N815
    status = f.one_of(STATUSES, "`warn`: it works, but not as well as it could.", required=True)
    output = f.string("What is wrong, in words.")


class ReadinessSchema(AnswerSchema):
    """Whether the process can do its work (draft-inadarei-api-health-check)."""

    status = f.one_of(STATUSES, "`warn`: it works, but not as well as it could.")
    version = f.string("Version of this interface.", "0")
    releaseId = f.string("Version of the service.", "0.1.0")  # noqa: N815
    serviceId = f.string("Name of the service.", "movie-dashboard-bff")  # noqa: N815
    description = f.string("What the checks are, in words.")
    checks = f.field(
        partial(Dict, keys=String(), values=List(Nested(CheckSchema))),
        "By `component:measurement`: `tmdb:circuit` (one for each class of operations), "
        "`tmdb:last_success`, `tmdb:in_flight`, the same of `users`, `pool:waiting`, "
        "`cache:store`, `changes:stream`, and with Redis `redis:ping`.",
    )
