"""Ask a server of this project whether it lives: `python deploy/healthcheck.py [address]`.

For containers, whose images have no curl. Exit code 0 or 1. Standard library only.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 2.5


def main(address: str) -> int:
    """Return the exit code for what `address` answers."""
    # Without the proxies of the environment, which know nothing of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=TIMEOUT_S) as answer:
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError) as error:
        sys.stderr.write(f"{address}: {error}\n")
        return 1


if __name__ == "__main__":
    here = f"http://127.0.0.1:{os.environ.get('PORT') or 8000}/health/live"
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else here))
