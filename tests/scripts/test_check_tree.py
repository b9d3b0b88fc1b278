"""scripts/check_tree.sh: planted credentials and paths of a machine are found."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Put together here, so that this file itself holds nothing that looks like a credential.
HEX = "0123456789abcdef" * 2
PLANTED = {
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "read token": "Authorization: Bearer " + "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiJh",
    "TMDB key": f"curl 'https://example.org/3/movie/550?api_key={HEX}'",
    "cloud key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "password in a URL": "redis://me:" + "hunter2@localhost",
    "secret in code": "session_" + "token = " + "'q8Zr2Lw9Xv4" + "Tn7Bk1Ys6Hd3'",
    "path of a machine": "see /" + "home/somebody/project/file.py",
}
HARMLESS = """
token = read.text("USER_SERVICE_TOKEN", check=_header_value)
TMDB_API_KEY=
JWT_SECRET = "planted-secret-of-at-least-32-bytes"
DATABASE_URL=postgres://u:${PASSWORD}@h/d
credit_id: 52fe4250c3a36847f80149f3
https://example.org/work/root/home/page, ./work/file and ../root/file
"""


def check(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Look through a project of one new file, and one that git ignores."""
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / ".gitignore").write_text(".env\n")
    (folder / ".env").write_text(f"TMDB_API_KEY={HEX}")
    (folder / "notes.py").write_text(text)
    command = [ROOT / "scripts" / "check_tree.sh", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("line", PLANTED.values(), ids=PLANTED)
def test_tree_when_a_credential_is_planted_then_its_place_is_named(
    tmp_path: Path, line: str
) -> None:
    """A new file fails before it is committed, and the output does not publish the secret."""
    done = check(tmp_path, f"first\n{line}\n")

    assert done.returncode == 1
    assert "notes.py:2" in done.stdout
    assert line not in done.stdout


def test_tree_when_lines_only_look_alike_then_nothing_is_found(tmp_path: Path) -> None:
    """Settings without a value, placeholders, ids and files that git ignores are no credentials."""
    done = check(tmp_path, HARMLESS)

    assert (done.returncode, done.stdout) == (0, "")
