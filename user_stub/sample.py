"""The sample data of a new database and of `/reset`; the facts are TMDB's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from user_stub.schemas import NewFavoriteSchema, NewWatchlistItemSchema

_DATA = json.loads(Path(__file__).with_name("sample.json").read_text("utf-8"))

# In the order of the lists.
FAVORITES: list[dict[str, Any]] = NewFavoriteSchema(many=True).load(_DATA["favorites"])
WATCHLIST: list[dict[str, Any]] = NewWatchlistItemSchema(many=True).load(_DATA["watchlist"])
