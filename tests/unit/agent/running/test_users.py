"""As whom jobs may run."""

import os
import pwd

import pytest

from pushcli_agent.running import users
from pushcli_agent.running.users import UserRefused

OWN = pwd.getpwuid(os.geteuid()).pw_name
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs as other users")


def test_without_a_user_a_job_runs_as_the_agent() -> None:
    user = users.choose(None, None)
    assert (user.name, user.uid, user.is_other) == (OWN, os.geteuid(), False)
    assert users.choose(OWN, None) == user


@as_root
def test_root_may_run_jobs_as_unprivileged_users() -> None:
    nobody = users.choose("nobody", None)
    assert nobody.is_other
    assert nobody.uid == pwd.getpwnam("nobody").pw_uid
    assert nobody.gid in nobody.groups
    assert 0 not in nobody.groups


@pytest.mark.parametrize(
    "name", ["no-such-user", "", "nobody\0", "no\nbody", "\ud800", "0", "../x"]
)
def test_an_unknown_user_is_refused(name: str) -> None:
    with pytest.raises(UserRefused, match="unknown user ") as refused:
        users.choose(name, None)
    assert str(refused.value).isprintable()


def test_who_is_not_on_the_list_is_refused_the_agents_own_user_too() -> None:
    allowed = frozenset({"nobody"})
    for name in (None, OWN):
        with pytest.raises(UserRefused, match=f"^user {OWN} is not allowed: allow it with "):
            users.choose(name, allowed)


@as_root
def test_another_account_with_roots_number_must_be_on_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    toor = pwd.struct_passwd(("toor", "x", 0, 0, "", "/root", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: toor)
    with pytest.raises(UserRefused, match=r"^user toor is not allowed: "):
        users.choose("toor", None)
    assert users.choose("toor", frozenset({"toor"})).uid == 0


@as_root
def test_who_is_on_the_list_is_allowed() -> None:
    assert users.choose("nobody", frozenset({"nobody"})).name == "nobody"
    assert users.choose("root", frozenset({"root"})).name == "root"
    with pytest.raises(UserRefused, match="user daemon is not allowed"):
        users.choose("daemon", frozenset({"nobody"}))
    with pytest.raises(UserRefused, match="user nobody is not allowed"):
        users.choose("nobody", frozenset())


@as_root
def test_an_agent_that_is_not_root_runs_jobs_only_as_itself() -> None:
    # Only a process of its own can change its user and end.
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setresuid(*[pwd.getpwnam("nobody").pw_uid] * 3)
            assert users.choose(None, None).name == "nobody"
            for name in ("root", "daemon"):
                for allowed in (None, frozenset({name})):
                    with pytest.raises(UserRefused, match=f"user {name} is not allowed"):
                        users.choose(name, allowed)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


# --- a list, and what an entry adds to it


def test_an_empty_list_lets_jobs_name_nobody_not_even_the_agents_own_user() -> None:
    assert users.choose(None, frozenset()).name == OWN
    with pytest.raises(UserRefused) as refused:
        users.choose(OWN, frozenset())
    assert str(refused.value) == (
        f'user {OWN} is not allowed: allow it with allowed_users = ["{OWN}"] in agent.toml, '
        f'or user = "{OWN}" in the entry'
    )


@as_root
@pytest.mark.parametrize("allowed", [None, frozenset(), frozenset({"daemon"})])
def test_an_entry_names_its_user_whatever_the_list(allowed: frozenset[str] | None) -> None:
    assert users.choose(None, allowed, preset="nobody").name == "nobody"
    assert users.choose("nobody", allowed, preset="nobody", is_local=False).name == "nobody"


@pytest.mark.parametrize("name", ["", "a b\n", "\0", "\ud800", "é", "x" * 65])
def test_what_is_no_name_is_unknown_whatever_the_list(name: str) -> None:
    with pytest.raises(UserRefused, match=r"^unknown user ") as refused:
        users.choose(name, frozenset({"nobody"}))
    assert str(refused.value).isprintable()


def test_a_list_tells_nobody_which_users_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: pytest.fail("looked up"))
    for name in ("daemon", "no-such-user"):
        with pytest.raises(UserRefused, match=f"^user {name} is not allowed: allow it with "):
            users.choose(name, frozenset({"nobody"}))


@as_root
def test_an_entry_widens_to_its_own_user_only() -> None:
    with pytest.raises(UserRefused, match=r'user daemon is not allowed: .* or user = "daemon" in'):
        users.choose("daemon", frozenset(), preset="nobody")
    with pytest.raises(UserRefused, match="unknown user 'no-such-user'"):
        users.choose(None, frozenset(), preset="no-such-user")


@as_root
def test_an_entry_of_the_server_gives_no_rights_that_a_list_of_others_withholds() -> None:
    allowed = frozenset({"nobody"})
    with pytest.raises(UserRefused, match="an entry of the server cannot change that"):
        users.choose(None, allowed, preset="root", is_local=False)
    with pytest.raises(UserRefused) as refused:
        users.choose(None, allowed, is_local=False)
    assert str(refused.value).endswith('allowed_users = ["nobody", "root"] in agent.toml')
    assert users.choose(None, allowed, preset="root").name == "root"
    assert users.choose(None, frozenset(), preset="root", is_local=False).name == "root"
