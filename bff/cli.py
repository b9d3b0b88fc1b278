"""`flask --app wsgi doctor`: says in words what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
import orjson

if TYPE_CHECKING:
    from bff.upstream.doctor import Finding


def doctor(examine: Callable[[], Sequence[Finding]]) -> click.Command:
    """Return the command; `examine` looks at everything."""

    @click.command("doctor", help="Say what is wrong with this deployment, and what to do.")
    @click.option("--json", "as_json", is_flag=True, help="Say it as JSON.")
    @click.pass_context
    def command(ctx: click.Context, as_json: bool) -> None:
        from bff.upstream.doctor import FAIL, WARN  # nothing of it in a worker that serves

        colours = {FAIL: "red", WARN: "yellow"}
        findings = examine()
        failed = any(finding.level == FAIL for finding in findings)
        if as_json:
            body = {"ok": not failed, "findings": [asdict(finding) for finding in findings]}
            click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
        else:
            for finding in findings:
                level = click.style(f"{finding.level:<4}", fg=colours.get(finding.level, "green"))
                advice = f" -> {finding.advice}" if finding.advice else ""
                click.echo(f"{level} {finding.check:<10} {finding.found}{advice}")
        ctx.exit(1 if failed else 0)

    return command
