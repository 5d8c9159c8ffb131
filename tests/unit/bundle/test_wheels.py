"""What wheels need, and which are needed."""

import zipfile
from pathlib import Path

import pytest

from bundle import wheels
from bundle.closure import closure, locked


@pytest.mark.parametrize(
    ("name", "glibc"),
    [
        ("a-1-py3-none-any.whl", (2, 0)),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", (2, 17)),
        ("a-1-cp311-abi3-manylinux_2_34_x86_64.manylinux_2_28_x86_64.whl", (2, 28)),
        ("a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_28_x86_64.whl", (2, 17)),
        ("a-1-1-cp311-cp311-manylinux1_x86_64.whl", (2, 5)),
    ],
)
def test_the_oldest_c_library_by_a_name(name: str, glibc: tuple[int, int]) -> None:
    assert wheels.of_name(name, "x86_64") == glibc


@pytest.mark.parametrize(
    "name",
    [
        "a-1-cp311-cp311-manylinux_2_17_aarch64.whl", "a-1-cp311-cp311-musllinux_1_2_x86_64.whl",
        "a-1-cp311-cp311-win_amd64.whl", "a-1-cp311-cp311-linux_x86_64.whl",
    ],
)  # fmt: skip
def test_a_wheel_for_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not for x86_64"):
        wheels.of_name(name, "x86_64")


@pytest.mark.parametrize(
    ("name", "python", "fits"),
    [
        ("a-1-py3-none-any.whl", "3.12", True),
        ("a-1-py2.py3-none-any.whl", "3.12", True),
        ("a-1-py2-none-any.whl", "3.12", False),
        ("a-1-cp311-cp311-manylinux1_x86_64.whl", "3.11", True),
        ("a-1-cp311-cp311-manylinux1_x86_64.whl", "3.12", False),
        ("a-1-cp311-abi3-manylinux1_x86_64.whl", "3.13", True),
        ("a-1-cp312-abi3-manylinux1_x86_64.whl", "3.11", False),
        ("a-1-pp311-pypy311_pp73-manylinux1_x86_64.whl", "3.11", False),
    ],
)
def test_a_wheel_is_for_some_versions_of_python(name: str, python: str, fits: bool) -> None:
    assert wheels.fits(name, python) is fits


def wheel(directory: Path, tag: str, **files: bytes) -> Path:
    path = directory / f"a-1-cp311-cp311-{tag}.whl"
    with zipfile.ZipFile(path, "w") as content:
        for name, data in files.items():
            content.writestr(name.replace("_so", ".so"), data)
    return path


def test_symbols_that_the_name_denies_are_refused(tmp_path: Path) -> None:
    library = b"\0GLIBC_2.2.5\0GLIBC_2.17\0GLIBC_PRIVATE\0"
    good = wheel(tmp_path, "manylinux_2_17_x86_64", a_so=library, b=b"GLIBC_2.99")
    assert wheels.of_symbols(good) == (2, 17)
    assert wheels.oldest_that_does([good], "x86_64") == (2, 17)
    bad = wheel(tmp_path, "manylinux_2_5_x86_64", a_so=library)
    with pytest.raises(ValueError, match=r"uses glibc 2\.17, which its name denies"):
        wheels.oldest_that_does([good, bad], "x86_64")


METADATA = {
    "top": ["Plain>=1", "old; python_version < '3.12'", "with[extra]", "off; extra == 'more'",
            "win; sys_platform == 'win32'"],
    "plain": ["top"],
    "with": ["deep; extra == 'extra'"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("pythons", "more"), [(["3.11"], {"old"}), (["3.12"], set()), (["3.12", "3.11"], {"old"})]
)
def test_what_is_needed_on_any_of_these_versions(pythons: list[str], more: set[str]) -> None:
    found = closure("top", lambda name: METADATA.get(name, []), pythons)
    assert found == {"plain", "with", "deep", "top"} | more


LOCK = """\
alpha==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via
    #   beta
beta-b==2 \\
    --hash=sha256:bb
    # via top
# The following packages are considered to be unsafe in a requirements file:
pip==26 \\
    --hash=sha256:cc
    # via x
"""


def test_versions_and_hashes_come_from_the_lock() -> None:
    assert locked(LOCK, ["pip", "beta-b"]) == (
        "beta-b==2 \\\n    --hash=sha256:bb\npip==26 \\\n    --hash=sha256:cc\n"
    )
    with pytest.raises(ValueError, match=r"not in requirements\.lock: gamma, zeta"):
        locked(LOCK, ["zeta", "alpha", "gamma"])
