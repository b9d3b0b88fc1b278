"""bff/schemas/problems.py: the problem documents that are written are those that are described."""

from __future__ import annotations

import pytest

from bff.api.problems import KINDS, example


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_problem_when_it_is_an_example_then_its_schema_accepts_it(kind: object) -> None:
    """Each kind has the members that its schema names."""
    told = example(kind)  # type: ignore[arg-type]

    assert kind.schema().validate(told) == {}  # type: ignore[attr-defined]
    assert kind.schema().validate({**told, "status": "x"})  # type: ignore[attr-defined]
