"""The files that git tracks."""

from __future__ import annotations

import subprocess
from pathlib import Path


def tracked(root: Path) -> list[str]:
    """Return the paths, relative to `root`, of what is tracked or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=root,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return sorted(path for path in listed.split("\0") if path and (root / path).is_file())
