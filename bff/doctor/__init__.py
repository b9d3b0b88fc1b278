"""`flask --app wsgi doctor`: says in words what is wrong with this deployment and what to do.

A check takes the settings and yields findings. None of them quotes a secret or an address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import orjson

OK, WARN, FAIL = "OK", "WARN", "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of the report. `level` is OK, WARN or FAIL; only FAIL is a failure."""

    level: str
    check: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Subject:
    """The settings that the checks read, in plain values.

    Headers and query carry credentials. `slots`: upstream calls that a worker may have in flight.
    `cache_dir`: None where the cache uses no files.
    """

    port: int
    tmdb_url: str
    tmdb_is_live: bool
    tmdb_headers: dict[str, str] = field(repr=False)
    tmdb_query: dict[str, str] = field(repr=False)
    tmdb_proxy: str = field(repr=False)
    ca_bundle: str
    tmdb_timeout_s: float
    users_url: str
    users_headers: dict[str, str] = field(repr=False)
    users_events: bool
    redis_url: str = field(repr=False)
    cache_dir: Path | None
    workers: int
    threads: int
    slots: int
    secret_is_short: bool


def examine(subject: Subject) -> list[Finding]:
    """Run all checks side by side and return what they found, in a fixed order."""
    from bff.doctor import machine, servers  # a worker that serves does not need redis

    checks = [machine.settings, servers.tmdb, servers.user_service, servers.redis_server]
    checks += [machine.cache_directory, machine.port, machine.open_files, machine.processors]
    with ThreadPoolExecutor(len(checks)) as pool:
        results = pool.map(lambda check: _findings(check, subject), checks)
        return [finding for findings in results for finding in findings]


def _findings(check: Callable[[Subject], Iterator[Finding]], subject: Subject) -> list[Finding]:
    findings: list[Finding] = []
    try:
        findings.extend(check(subject))  # keeps what came before an error
    except Exception as error:
        # The text of an error may hold an address with a password.
        found = f"the check itself failed ({type(error).__name__})"
        findings.append(Finding(FAIL, check.__name__, found, "report it; the other findings hold"))
    return findings


def command(subject: Callable[[], Subject]) -> click.Command:
    """Return the command; `subject` is called once, when the command runs."""

    @click.command("doctor", help="Say what is wrong with this deployment and what to do.")
    @click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
    def doctor(as_json: bool) -> None:
        findings = examine(subject())
        failed = any(finding.level == FAIL for finding in findings)
        if as_json:
            body = {"ok": not failed, "findings": [asdict(finding) for finding in findings]}
            click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2))
        else:
            for finding in findings:
                advice = f" -> {finding.advice}" if finding.advice else ""
                click.echo(f"{finding.level:<4} {finding.check:<10} {finding.found}{advice}")
        raise SystemExit(1 if failed else 0)

    return doctor
