"""Finds what knife reads on this machine, and adds profiles made of it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from pushcli.client.credentials import add_profile, profile_of_values, profile_text, profiles
from pushcli.errors import ConfigError, NotFound
from pushcli.migration import workstation
from pushcli.migration.finding import System
from pushcli.migration.reading import statements, toml_tables
from pushcli.migration.workstation import WorkstationDraft
from pushcli.migration.writing import Addition, NewFile

_AUTHORITIES = "chef-ca.pem"
_RUBY = ("config.rb", "knife.rb")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What knife reads here, and the profiles of it."""

    paths: list[str]
    draft: WorkstationDraft


def read(system: System, file: Path | None, home: Path, env: Mapping[str, str], name: str) -> Found:
    """Read knife's files.

    Args:
        file: alone; None: those that knife reads.
        name: of the profile that a Ruby file becomes; "" for `default`.

    Raises:
        NotFound: there is none.
        ConfigError: one cannot be read, or something in it is missing or wrong.
    """
    ruby, credentials = _given(file) if file else (_first_ruby(home, env), _credentials(home))
    if ruby is None and credentials is None:
        raise NotFound("there is no knife.rb, config.rb or credentials file here", "give FILE")
    draft = WorkstationDraft()
    if credentials is not None:
        context = credentials.parent / "context"
        active = system.read(str(context)).strip() if _is_there(context) else ""
        draft = workstation.from_credentials(
            toml_tables(system, str(credentials)), active, file=str(credentials)
        )
    if ruby is not None:
        found = statements(system, str(ruby), env)
        made = workstation.from_knife(found, file=str(ruby), name=name, beside=_names_beside(ruby))
        draft = workstation.joined(draft, made)
    if not draft.profiles:
        raise ConfigError(f"{credentials} has no profile that can be used", "look into it")
    return Found(paths=[str(path) for path in (ruby, credentials) if path], draft=draft)


def additions(
    target: Path, made: Mapping[str, Mapping[str, str]], trusted: Sequence[str]
) -> tuple[list[NewFile], list[Addition]]:
    """What is to be written: a file of authorities, and profiles.

    Raises:
        ConfigError: a profile of that name is there already, and another one; or is wrong.
    """
    there = profiles(target) if target.exists() else {}
    files = []
    more: dict[str, str] = {}
    if trusted:
        place = target.parent / _AUTHORITIES
        files.append(NewFile(path=place, content="".join(trusted), summary=f"{len(trusted)} "
                             f"certificate{'s' if len(trusted) > 1 else ''}"))  # fmt: skip
        more = {"ca_file": _AUTHORITIES}
    added = []
    for name, given in made.items():
        values = {**given, **more}
        profile_of_values(name, values, f"profile {name!r}")
        if name in there and there[name] != values:
            raise ConfigError(
                f"{target} has another profile {name!r} already",
                "rename that one, or give --name NAME",
            )
        added.append(
            Addition(
                path=target, content=profile_text(name, values), is_there=name in there,
                add=partial(add_profile, target, name, values),
            )
        )  # fmt: skip
    return files, added


def _is_there(path: Path) -> bool:
    """Whether there is something, if only something that cannot be read: reading it tells why."""
    try:
        return path.exists()
    except OSError:
        return True


def _names_beside(file: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in file.parent.iterdir())
    except OSError:
        return frozenset()


def _given(file: Path) -> tuple[Path | None, Path | None]:
    path = file.absolute()
    return (path, None) if path.suffix == ".rb" else (None, path)


def _credentials(home: Path) -> Path | None:
    path = home / ".chef" / "credentials"
    return path if _is_there(path) else None


def _first_ruby(home: Path, env: Mapping[str, str]) -> Path | None:
    return next((path for path in _rubies(home, env) if _is_there(path)), None)


def _rubies(home: Path, env: Mapping[str, str]) -> Iterator[Path]:
    places = [Path(env["KNIFE_HOME"]).absolute()] if env.get("KNIFE_HOME") else []
    here = Path.cwd()
    places += [place / ".chef" for place in (here, *here.parents)]
    for place in (*places, home / ".chef"):
        yield from (place / name for name in _RUBY)
