"""The state of the service."""

from __future__ import annotations

from typing import Any

from flask import current_app
from sqlalchemy import text

from user_stub.api.blueprint import JsonBlueprint
from user_stub.schemas import HealthSchema

VERSION = "0.1.0"

blp = JsonBlueprint("health", __name__, description="State of the service")


@blp.route("/health")
@blp.response(200, HealthSchema)
@blp.problems()
def read_health() -> Any:
    """Check the service and its database."""
    with current_app.extensions["store"].database.reading() as session:
        session.execute(text("SELECT 1"))
    body = {"status": "healthy", "service": "user-service", "version": VERSION}
    return body, {"Cache-Control": "no-store"}
