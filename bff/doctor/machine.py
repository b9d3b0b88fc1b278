"""Checks of the settings and of this machine: files, port, processors."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import requests

from bff.doctor import FAIL, OK, WARN, Finding, Subject
from bff.doctor.servers import get, json_object

CLIENTS = 1000  # connections that a worker of gunicorn holds by default
OWN_FILES = 128  # Redis, libraries, log, metrics, listening socket, pipes
LOW_MB, MOST_THREADS = 512, 64


def settings(subject: Subject) -> Iterator[Finding]:
    """Look for settings that are allowed and weak; contradictions already stop the start."""
    if subject.secret_is_short:
        advice = "set one of at least 32 random bytes: openssl rand -base64 48"
        yield Finding(WARN, "settings", "JWT_SECRET is short and can be guessed", advice)
    local = urlsplit(subject.users_url).hostname in ("127.0.0.1", "localhost", "::1")
    if not subject.users_headers and not local:
        found = "the user service is on another machine and USER_SERVICE_TOKEN is not set"
        advice = "set the same token for both: without it, whoever reaches it can be any user"
        yield Finding(WARN, "settings", found, advice)


def cache_directory(subject: Subject) -> Iterator[Finding]:
    """Write into the directory of the cache, and look at the room that is left."""
    if (folder := subject.cache_dir) is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
        free_mb = shutil.disk_usage(folder).free // 1024 // 1024
    except OSError as error:
        advice = "make it writable, or set CACHE_DIR; meanwhile each worker asks TMDB for itself"
        yield Finding(FAIL, "cache", f"{folder} cannot be written ({error.strerror})", advice)
        return
    advice = "make room, or set CACHE_DIR to another disk" if free_mb < LOW_MB else ""
    found = f"{folder} can be written, {free_mb} MB are free"
    yield Finding(WARN if advice else OK, "cache", found, advice)


def port(subject: Subject) -> Iterator[Finding]:
    """Find out whether this service has the port, or can have it."""
    with suppress(requests.RequestException):
        health = get(subject, f"http://127.0.0.1:{subject.port}/health")
        if json_object(health).get("service") == "movie-dashboard-bff":
            yield Finding(OK, "port", f"this service already runs on port {subject.port}")
            return
    try:
        socket.create_server(("", subject.port)).close()
    except OSError as error:
        found = f"port {subject.port} cannot be used ({error.strerror})"
        advice = f"see who has it (ss -ltnp sport = :{subject.port}), or set another PORT"
        yield Finding(FAIL, "port", found, advice)
    else:
        yield Finding(OK, "port", f"port {subject.port} is free")


def open_files(subject: Subject) -> Iterator[Finding]:
    """Compare the limit of open files with what one worker may need."""
    need = CLIENTS + (own := subject.slots + OWN_FILES)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"a worker may open {limit} files and needs up to {need} ({CLIENTS} clients, {own} own)"
    fits = limit == resource.RLIM_INFINITY or limit >= need
    level = OK if fits else WARN if limit >= 4 * subject.threads + own else FAIL
    advice = "" if fits else f"ulimit -n {need}, or LimitNOFILE={need} in the unit of systemd"
    yield Finding(level, "files", found, advice)


def processors(subject: Subject) -> Iterator[Finding]:
    """Compare workers and threads with the processors of this machine."""
    cores, workers, threads = os.cpu_count() or 1, subject.workers, subject.threads
    fits = cores <= workers <= 2 * cores + 1 and threads <= MOST_THREADS
    advice = f"set WEB_CONCURRENCY to one or two per processor, THREADS to at most {MOST_THREADS}"
    found = f"{workers} workers with {threads} threads on {cores} processors"
    yield Finding(OK, "processors", found) if fits else Finding(WARN, "processors", found, advice)
