"""TMDB's answers where workers share them: requests-cache over files or Redis, and its locks.

What may be lost fails open: a torn entry is a miss, and a store that cannot be used is left
alone with one warning. User data never comes here: requests-cache leaves `Authorization` out
of its keys.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from cattrs.errors import BaseValidationError
from requests_cache import CachedSession
from requests_cache.backends.base import BaseCache, BaseStorage
from requests_cache.backends.redis import RedisDict
from requests_cache.models.response import CachedResponse
from requests_cache.serializers import orjson_serializer

from bff.observability.logs import event
from bff.readiness import Checks, check
from bff.upstream.shared import RedisClient, RedisError, try_lock

log = logging.getLogger(__name__)

KEPT = (200, 404)  # answers with these statuses
IGNORED = ("api_key", "Authorization")  # neither part of a key nor kept
PRUNE_EVERY = 500  # writes of one worker
LEAST_BYTES = 4096  # what a file takes of a disk, a lock of no bytes among them
POLL_S = 0.01
WARN_EVERY_S = 60.0  # a disk that is nearly full fails now and then
NAMESPACE = "bff:tmdb:answers"
_OWN = re.compile(r"[0-9a-f]+\.(json|lock|[^.]+\.new)")  # an answer, its lock, one being written


class FileStorage(BaseStorage[str, Any]):
    """One file an answer, written whole or not at all. Kept for `keep_s`, within `most_bytes`."""

    def __init__(self, folder: Path, keep_s: float, most_bytes: int) -> None:
        super().__init__(serializer=orjson_serializer)
        self.folder, self._keep_s, self._most_bytes = folder, keep_s, most_bytes
        self._writes = 0

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def __getitem__(self, key: str) -> Any:
        try:
            return self.deserialize(key, self._path(key).read_bytes())
        except FileNotFoundError:
            raise KeyError(key) from None

    def __setitem__(self, key: str, value: Any) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f"{key}.", suffix=".new", dir=self.folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(self.serialize(value))
            os.replace(name, self._path(key))
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        self._writes += 1
        if self._writes % PRUNE_EVERY == 1:
            self.prune()

    def __delitem__(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[str]:
        return (path.stem for path in self.folder.glob("*.json"))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def prune(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        kept, bytes_left = time.time() - self._keep_s, self._most_bytes
        for found, path in sorted(_files(self.folder), key=lambda one: -one[0].st_mtime):
            bytes_left -= max(found.st_size, LEAST_BYTES)
            if found.st_mtime < kept or bytes_left < 0:
                with suppress(OSError):
                    os.unlink(path)


def _files(folder: Path) -> Iterator[tuple[os.stat_result, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if _OWN.fullmatch(entry.name):  # the folder may hold what is not ours
                with suppress(OSError):  # another worker has removed it
                    yield entry.stat(), entry.path


class SharedCache(BaseCache):
    """A cache whose failures are misses, with one warning until it works again.

    Reading and writing fail apart: on a full disk one works and the other does not.
    """

    def __init__(self, storage: BaseStorage[str, Any]) -> None:
        super().__init__()
        self.responses = storage
        self.faults: dict[str, str] = {}
        self._quiet_until = 0.0
        self._lock = threading.Lock()

    def get_response(self, key: str, default: Any = None) -> Any:
        """Return what is kept under a key; what is torn, or of somebody else, is a miss."""
        with self._failing_open("read"):
            found = super().get_response(key)
            if isinstance(found, CachedResponse) and found.status_code in KEPT:
                return found
        return default

    def save_response(self, *args: Any, **kwargs: Any) -> None:
        """Keep an answer."""
        with self._failing_open("write"):
            super().save_response(*args, **kwargs)

    @contextmanager
    def _failing_open(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (OSError, RedisError, BaseValidationError) as error:
            with self._lock:
                now, known = time.monotonic(), bool(self.faults)
                self.faults[verb] = f"{verb}: {type(error).__name__}"
                if not known and now >= self._quiet_until:
                    self._quiet_until = now + WARN_EVERY_S
                    event(log, logging.WARNING, "cache.unusable", fault=self.faults[verb])
        else:
            self.faults.pop(verb, None)


class Tier:
    """The session whose answers all workers share, and the locks for one flight per key.

    Thread-safe; never raises. Lives as long as the app.
    """

    def __init__(
        self,
        storage: BaseStorage[str, Any],
        lock: Callable[[str, float], AbstractContextManager[bool]],
    ) -> None:
        self._cache = SharedCache(storage)
        self.session = CachedSession(
            backend=self._cache, allowable_codes=KEPT, ignored_parameters=IGNORED
        )
        self.lock = lock  # name, seconds to wait -> whether this worker is the one that asks

    def name(self, request: requests.PreparedRequest) -> str:
        """Return the name under which the answer of a request is kept."""
        return self._cache.create_key(request)

    def get(self, name: str) -> CachedResponse | None:
        """Return what is kept under a name, however old, or None."""
        found: CachedResponse | None = self._cache.get_response(name)
        return found

    def health(self) -> Checks:
        """Return what readiness tells: whether the last look and the last write succeeded."""
        fault = " ".join(self._cache.faults.values())
        said = check(fault or "usable", not fault, kind="datastore", output="each worker asks TMDB")
        return {"cache:store": [said]}


def on_files(folder: Path, keep_s: float, most_bytes: int) -> Tier:
    """Return what the workers of one machine share. An answer lives for `keep_s` at most."""
    return Tier(
        FileStorage(folder, keep_s, most_bytes),
        lambda name, wait_s: _file_lock(folder / f"{name}.lock", wait_s),
    )


def on_redis(client: RedisClient, stale_s: int, call_s: float) -> Tier:
    """Return what all machines share; a worker that dies gives its lock back after `call_s`."""
    storage = RedisDict(
        NAMESPACE, connection=client, ttl_offset=stale_s, serializer=orjson_serializer
    )
    return Tier(
        storage,
        lambda name, wait_s: try_lock(client, f"{NAMESPACE}:lock:{name}", call_s, wait_s),
    )


@contextmanager
def _file_lock(path: Path, wait_s: float) -> Iterator[bool]:
    """Hold the lock of a file, which ends with the process; where none can be made, go on."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError:
        yield True
        return
    try:
        yield _locked(descriptor, time.monotonic() + wait_s)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, until: float) -> bool:
    """Wait for a lock; True as well where the file system knows no locks."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_S)
        except OSError:
            return True
        else:
            return True
