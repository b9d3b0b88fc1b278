"""Fixtures for whole requests, and those that they need."""

from tests.bff.app import (
    _app,
    _no_pause,
    _users_app,
    _wire,
    client,
    document,
    fresh,
    logs,
    make_client,
    tmdb,
    users,
)

__all__ = [
    "_app",
    "_no_pause",
    "_users_app",
    "_wire",
    "client",
    "document",
    "fresh",
    "logs",
    "make_client",
    "tmdb",
    "users",
]
