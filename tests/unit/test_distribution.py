"""What is shipped: the lock, the licence, the documents that the README names."""

import re
from pathlib import Path

TOP = Path(__file__).parents[2]


def test_the_lock_has_hashes_and_names_no_address() -> None:
    lock = (TOP / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9._-]+==\S+ \\$", lock, flags=re.MULTILINE)
    assert len(pins) > 40
    assert lock.count("--hash=sha256:") >= len(pins)
    assert "://" not in lock
    assert "--index" not in lock
    assert "--find-links" not in lock
    for backend in ("hatchling==", "editables=="):
        assert backend in lock


def test_the_licence_is_the_apache_licence() -> None:
    text = (TOP / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_every_document_that_the_readme_names_is_there() -> None:
    readme = (TOP / "README.md").read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", readme)
    assert links
    assert [link for link in links if not (TOP / link).exists()] == []
