"""bff/pages/sections.py: what a section says, and the error of a required one."""

from __future__ import annotations

from typing import Any

import pytest

from bff.errors import UpstreamError
from bff.model import Failed, Outcome, Reason
from bff.pages import sections
from tests.bff.pages.outcomes import outcomes_of, says


@pytest.mark.parametrize("outcome", outcomes_of("value"), ids=repr)
def test_section_when_it_tells_an_outcome_then_status_reason_and_wait_are_there(
    outcome: Outcome[Any],
) -> None:
    """Fresh, stale with its age, unavailable with its reason."""
    assert says(sections.section(outcome), outcome)


def test_required_when_it_failed_then_the_error_carries_upstream_and_wait() -> None:
    """The error of a required section is the one of its outcome."""
    with pytest.raises(UpstreamError) as caught:
        sections.required(Failed("tmdb", Reason.RATE_LIMITED, 9))

    assert (caught.value.upstream, caught.value.retry_after_s) == ("tmdb", 9)
