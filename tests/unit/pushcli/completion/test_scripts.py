import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pushcli.completion.scripts import FILES, install_path, script
from tests.support.waiting import patient

SHIPPED = Path(__file__).parents[4] / "completions"


@pytest.mark.parametrize("shell", FILES)
def test_the_shipped_script_is_what_click_makes(shell: str) -> None:
    """If it fails: `python -m pushcli.completion.scripts completions` writes them anew."""
    assert (SHIPPED / FILES[shell]).read_text() == script(shell)


@pytest.mark.parametrize("shell", FILES)
def test_the_shell_can_read_its_script(shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([program, "-n", SHIPPED / FILES[shell]], check=True, timeout=patient(10))


@pytest.mark.parametrize(
    ("shell", "env", "path"),
    [
        ("bash", {}, "/h/.local/share/bash-completion/completions/pushcli"),
        ("bash", {"XDG_DATA_HOME": "/d"}, "/d/bash-completion/completions/pushcli"),
        ("bash", {"BASH_COMPLETION_USER_DIR": "/u"}, "/u/completions/pushcli"),
        ("zsh", {}, "/h/.local/share/zsh/site-functions/_pushcli"),
        ("fish", {}, "/h/.config/fish/completions/pushcli.fish"),
        ("fish", {"XDG_CONFIG_HOME": "/c"}, "/c/fish/completions/pushcli.fish"),
    ],
)
def test_a_script_goes_where_the_shell_looks(shell: str, env: dict[str, str], path: str) -> None:
    assert install_path(shell, env, Path("/h")) == Path(path)


def test_an_unknown_shell_has_no_script() -> None:
    with pytest.raises(ValueError, match="tcsh"):
        script("tcsh")
    with pytest.raises(ValueError, match="tcsh"):
        install_path("tcsh", {}, Path("/h"))


ASK_BASH = """
source "$1"
COMP_LINE=$2
COMP_POINT=${#2}
_pushcli_completion pushcli
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("jo", ["job"]),
        ("job sta", ["start", "status"]),
        ("job start --quo", ["--quorum"]),
        ("job list -F ", ["text", "json", "yaml", "ndjson"]),
        ("job list --format=js", ["json"]),
        ("job start uptime ", [""]),
    ],
)
def test_bash_completes(words: str, completions: list[str]) -> None:
    program = shutil.which("bash")
    if program is None:
        pytest.skip("bash is not installed")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [program, "--norc", "-c", ASK_BASH, "bash", SHIPPED / "pushcli.bash", f"pushcli {words}"],
        env={"PATH": path, "HOME": "/"}, text=True, capture_output=True, check=True,
        timeout=patient(15),
    )  # fmt: skip
    assert done.stdout.splitlines() == completions
    assert done.stderr == ""
