"""Fail where an OpenAPI document of the BFF or of the user service is not valid OpenAPI 3.1."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

SERVICES = {"BFF": "wsgi", "user service": "user_stub.wsgi"}
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")


def document(module: str) -> Any:
    """Build the application of `module` and return what it serves as /openapi.json."""
    app = importlib.import_module(module).app
    try:
        response = app.test_client().get("/openapi.json")
        if response.status_code != 200:
            raise SystemExit(f"{module}: /openapi.json answered {response.status_code}")
        return response.get_json()
    finally:
        close = getattr(app.extensions.get("bff"), "close", None)
        if callable(close):
            close()


def faults(spec: Any) -> Iterator[str]:
    """Yield what is wrong with one document."""
    # A third of a second to import, which each process that collects the tests would pay.
    from openapi_spec_validator import OpenAPIV31SpecValidator

    version = str(spec.get("openapi", ""))
    if not version.startswith("3.1."):
        yield f"openapi is {version!r}, not 3.1"
        return
    for error in OpenAPIV31SpecValidator(spec).iter_errors():
        yield f"{'/'.join(str(part) for part in error.absolute_path)}: {error.message}"
    for path, item in spec.get("paths", {}).items():
        for method in METHODS:
            if method in item and not item[method].get("summary"):
                yield f"{method.upper()} {path}: no summary"


def main() -> int:
    """Check each service's document, built without its files or anybody's settings."""
    code = 0
    with tempfile.TemporaryDirectory() as directory:
        os.environ |= {
            "ENV_FILE": os.devnull,
            "CACHE_DIR": directory,
            "DATABASE_URL": f"sqlite:///{directory}/users.sqlite",
        }
        for name, module in SERVICES.items():
            spec = document(module)
            wrong = list(faults(spec))
            for fault in wrong:
                print(f"{name}: {fault}")
            if wrong:
                code = 1
            else:
                print(f"{name}: valid OpenAPI {spec['openapi']}, {len(spec['paths'])} paths")
    return code


if __name__ == "__main__":
    sys.exit(main())
