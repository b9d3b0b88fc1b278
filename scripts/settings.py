"""The settings that `config.py` reads, found by letting it read."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import config


def defaults() -> dict[str, Any]:
    """Return every setting's name and its default in an empty environment."""
    found: dict[str, Any] = {}

    class Recorder(config._Reader):  # noqa: SLF001 - the one place that looks inside
        def _read(self, parse: Any, name: str, default: Any, check: Any = None) -> Any:
            found[name] = default
            return super()._read(parse, name, default, check)

    with (
        mock.patch.object(config, "_Reader", Recorder),
        mock.patch.dict(os.environ, {"ENV_FILE": os.devnull}, clear=True),
    ):
        for kind in (config.Config, config.UserServiceConfig, config.TmdbStubConfig):
            kind.from_env()
    return found
