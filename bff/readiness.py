"""What readiness tells of a part, in the words of health+json (draft-inadarei-api-health-check).

A check stands under `component:measurement`. Whether a part is well, the part
itself says; what that means for the service is decided where all of them meet.
"""

from __future__ import annotations

from typing import Any

Check = dict[str, Any]
Checks = dict[str, list[Check]]


def check(
    value: object,
    well: bool = True,
    *,
    kind: str,
    of: str = "",
    unit: str = "",
    output: str = "",
) -> Check:
    """Return one check; `of` says whose, `unit` what is counted, `output` what is wrong."""
    made: Check = {"componentType": kind, "observedValue": value}
    if of:
        made["componentId"] = of
    if unit:
        made["observedUnit"] = unit
    if output and not well:
        made["output"] = output
    made["status"] = "pass" if well else "warn"
    return made
