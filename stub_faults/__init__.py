"""Call counts and injected faults for the two stub services.

`install` puts a WSGI middleware in front of a Flask app. It serves `/__calls` and `/__faults`
and applies the fault that is set to the calls that match it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stub_faults.control import ControlPaths
from stub_faults.fault import PROFILES, Fault, FaultError, parse
from stub_faults.middleware import ErrorBody, FaultMiddleware, problem_body
from stub_faults.state import ActiveFault, State

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["PROFILES", "Fault", "FaultError", "State", "install", "parse"]


def install(
    app: Flask,
    *,
    profile: str = "",
    base: str = "",
    control_token: str = "",
    error_body: ErrorBody = problem_body,
) -> State:
    """Wrap `app.wsgi_app` with call counts and faults; call it once, before the app serves.

    `profile` names the fault that is set from the start (one of `PROFILES`, empty for none).
    `base` is a path prefix (such as `/3`) that a fault's `match` may leave out.
    With `control_token`, the control paths ask for it as a bearer token.
    `error_body` makes the body of a status fault: status -> (body, content type).

    Counts and faults belong to the process: with several workers each has its own, so a stub runs
    one worker with many threads. Return what holds them. Raise `FaultError` for an unknown
    profile.
    """
    state = State()
    if profile:
        state.set_fault(ActiveFault(parse({"profile": profile})))
    control = ControlPaths(state, control_token)
    # Flask documents this assignment as the way to add WSGI middleware.
    app.wsgi_app = FaultMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, state, control, base=base.rstrip("/"), error_body=error_body
    )
    return state
