"""The Tab key in real shells, each on a pseudo-terminal."""

import shutil
from pathlib import Path

import pytest

from tests.integration.cli.shells import SHELLS, shell_with_completion


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_a_command_and_an_option(shell: str, tmp_path: Path) -> None:
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli aud\t--of-s\t")
        child.expect("--of-server")
        child.send(" --li\t")
        child.expect("--limit")


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_shows_what_there_is(shell: str, tmp_path: Path) -> None:
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli job sta\t\t")
        child.expect("start")
        child.expect("status")


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_a_profile_of_the_credentials_file(shell: str, tmp_path: Path) -> None:
    credentials = tmp_path / ".pushcli" / "credentials"
    credentials.parent.mkdir()
    credentials.write_text('[default]\n[staging-eu]\nchef_server_url = "https://x/y"\n')
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli job list --profile sta\t")
        child.expect("staging-eu")


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_goes_by_the_file_that_is_named_before(shell: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("[elsewhere]\n")
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli -c other job list --profile else\t")
        child.expect("elsewhere")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_broken_credentials_file_leaves_the_line_alone(shell: str, tmp_path: Path) -> None:
    credentials = tmp_path / ".pushcli" / "credentials"
    credentials.parent.mkdir()
    credentials.write_text("[broken")
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli job list --profile sta\t --help; echo lo''st\r")
        child.expect("lost")
        assert "Traceback" not in child.before
        assert "error" not in child.before


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_a_description_keeps_its_commas_in_fish(tmp_path: Path) -> None:
    with shell_with_completion("fish", tmp_path) as child:
        child.sendline("complete -C 'pushcli jo'")
        child.expect("Start, watch, abort and read jobs")
