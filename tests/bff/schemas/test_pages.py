"""bff/schemas/pages.py and service.py: every field of a page is described and always present."""

from __future__ import annotations

import pytest

from bff.model import Reason
from bff.schemas import pages, service
from bff.schemas.base import AnswerSchema
from tests.bff.schemas.validator import Validator


@pytest.mark.parametrize(
    "schema",
    [
        pages.FeedSchema,
        pages.EnrichedMovieSchema,
        pages.EnrichedSearchSchema,
        pages.CompleteDashboardSchema,
        service.ConfigurationSchema,
        service.HealthSchema,
        service.ReadinessSchema,
    ],
)
def test_page_when_a_field_is_missing_then_each_is_named(schema: type[AnswerSchema]) -> None:
    """An empty object lacks all of them."""
    told = Validator(schema).errors({})

    assert len(told) == len(schema().fields)
    assert all("required" in error for error in told)


def test_section_when_it_has_a_reason_then_it_is_one_of_the_contract() -> None:
    """A word that nobody documented is no reason."""
    told = {"status": "unavailable", "age": None, "retry_after": None}
    validator = Validator(pages.SectionSchema)

    assert all(validator.is_valid({**told, "reason": reason}) for reason in (*Reason, None))
    assert not validator.is_valid({**told, "reason": "planted"})
