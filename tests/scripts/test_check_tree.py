"""scripts/check_tree.py: planted credentials are found, and exemptions carry a reason."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts import check_tree

# Put together here, so that this file itself holds nothing that looks like a credential.
HEX = "0123456789abcdef" * 2
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiJhIn0x.abc"
PLANTED = {
    "private-key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "jwt": f"Authorization: Bearer {JWT}",
    "hex-key": f"curl 'https://example.org/3/movie/550?api_key={HEX}'",
    "cloud-key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "url-password": "redis://:" + "hunter2@localhost",
    "assignment": "session_" + "token = " + "'q8Zr2Lw9Xv4Tn7Bk1Ys6Hd3'",
    "machine-path": "see /" + "home/somebody/project/file.py",
}
HARMLESS = [
    "token = read.text('USER_SERVICE_TOKEN', check=_header_value)",
    "TMDB_API_KEY=",
    "JWT_SECRET = 'a-secret-for-tests-of-at-least-32-bytes'",
    "secret_is_short_and_the_name_is_long_enough_to_look_random: bool",
    "postgres://user:password@localhost/movies",
    "redis://localhost:6379/0",
    "DATABASE_URL=postgres://u:${PASSWORD}@h/d",
    "sha256: " + "0123456789abcdef" * 4,
    "credit_id: 52fe4250c3a36847f80149f3",
    "https://example.org/work/root/home/page",
    "./work/file and ../root/file",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return an empty git repository."""
    root = tmp_path / "project"
    root.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def allowed(tmp_path: Path, text: str = "") -> Path:
    """Write a file of exemptions."""
    file = tmp_path / "allowed.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("kind", sorted(check_tree.PATTERNS))
def test_scan_when_a_credential_is_planted_then_it_is_found_by_its_kind(kind: str) -> None:
    """Each pattern finds what it is for, in the line where it stands."""
    found = list(check_tree.scan("a/b.py", f"first\n{PLANTED[kind]}\n"))

    assert kind in {finding.kind for finding in found}
    assert {finding.line for finding in found} == {2}


def test_scan_when_something_is_found_then_it_is_not_published() -> None:
    """The report shows the beginning only, since CI logs are public."""
    for text in PLANTED.values():
        for finding in check_tree.scan("a", text):
            assert len(finding.text) <= 15
            assert HEX not in str(finding)


@pytest.mark.parametrize("line", HARMLESS)
def test_scan_when_a_line_only_looks_alike_then_nothing_is_found(line: str) -> None:
    """Settings without a value, placeholders, hashes and ids are no credentials."""
    assert list(check_tree.scan("a", line)) == []


def test_check_when_a_new_file_holds_a_credential_then_it_fails(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file is scanned before it is committed."""
    (project / "notes.txt").write_text(PLANTED["jwt"])

    assert check_tree.main(project, allowed(tmp_path)) == 1
    assert "notes.txt:1: jwt" in capsys.readouterr().out


def test_check_when_a_file_is_ignored_or_binary_then_it_is_left_alone(
    project: Path, tmp_path: Path
) -> None:
    """A developer's .env is not part of the project, and a picture is not text."""
    (project / ".gitignore").write_text(".env\n")
    (project / ".env").write_text(f"TMDB_API_KEY={HEX}")
    (project / "picture").write_bytes(b"\0" + HEX.encode())

    assert check_tree.main(project, allowed(tmp_path)) == 0


def test_check_when_a_finding_is_exempted_with_a_reason_then_it_passes(
    project: Path, tmp_path: Path
) -> None:
    """An exemption covers one kind in the files that its glob names."""
    (project / "a.json").write_text(HEX)
    text = '[[allowed]]\npath = "*.json"\nkind = "hex-key"\nreason = "a checksum"\n'

    assert check_tree.main(project, allowed(tmp_path, text)) == 0


def test_check_when_an_exemption_is_for_another_kind_then_it_fails(
    project: Path, tmp_path: Path
) -> None:
    """What is exempted is no more than what was looked at."""
    (project / "a.json").write_text(HEX)
    text = '[[allowed]]\npath = "*.json"\nkind = "jwt"\nreason = "a checksum"\n'

    assert check_tree.main(project, allowed(tmp_path, text)) == 1


def test_check_when_an_exemption_is_not_needed_then_it_fails(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exemptions go when what they were for goes."""
    text = '[[allowed]]\npath = "gone.json"\nkind = "*"\nreason = "was needed"\n'

    assert check_tree.main(project, allowed(tmp_path, text)) == 1
    assert "not needed" in capsys.readouterr().out


@pytest.mark.parametrize("reason", ["", 'reason = " "'])
def test_exemption_when_it_has_no_reason_then_it_is_refused(tmp_path: Path, reason: str) -> None:
    """Nobody can allow something without saying why."""
    text = f'[[allowed]]\npath = "a"\nkind = "*"\n{reason}\n'

    with pytest.raises(ValueError, match="reason"):
        check_tree.exemptions(allowed(tmp_path, text))


def test_exemptions_of_the_project_when_read_then_each_is_well_formed() -> None:
    """The file that CI uses can be read."""
    for exemption in check_tree.exemptions(check_tree.ALLOWED):
        assert exemption.kind == "*" or exemption.kind in check_tree.PATTERNS
