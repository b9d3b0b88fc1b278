"""Schemas to JSON Schema, by the same library that makes the API document."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from bff.api.docs import Rules
from bff.schemas.base import AnswerSchema


class Validator:
    """Holds values against a schema, as the API document has it."""

    def __init__(self, schema: type[AnswerSchema]) -> None:
        spec = APISpec("Test", "1", "3.1.0", [MarshmallowPlugin(), Rules()])
        spec.components.schema("It", schema=schema)
        self._components = spec.to_dict()["components"]
        ref = {"$ref": "#/components/schemas/It"}
        self._validator = jsonschema_rs.Draft202012Validator(
            {**ref, "components": self._components}
        )

    def is_valid(self, value: Any) -> bool:
        """Whether a value is as documented."""
        return self._validator.is_valid(orjson.loads(orjson.dumps(value)))

    def errors(self, value: Any) -> list[str]:
        """Return what is wrong, each with the path of its field."""
        found = self._validator.iter_errors(orjson.loads(orjson.dumps(value)))
        return [f"{list(error.instance_path)}: {error.message}" for error in found]
