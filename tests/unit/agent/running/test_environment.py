"""What of a job's environment reaches its command."""

import pytest

from pushcli_agent.running.environment import Rule, VariableRefused, compose, is_dangerous
from pushcli_agent.running.users import User, choose

OWN = {"CHEF_PUSH_NODE_NAME": "web01", "CHEF_PUSH_JOB_ID": "ab"}
SELF = choose(None, None)
OTHER = User("deploy", SELF.uid + 12_345, 1, (1,), "/home/deploy", "/bin/dash")


def composed(
    given: dict[str, str],
    allowed: frozenset[str] | None = None,
    inherited: dict[str, str] | None = None,
    user: User = SELF,
    *,
    widened: tuple[str, ...] = (),
    exact: bool = False,
) -> dict[str, str]:
    rule = Rule(allowed=allowed, widened=widened, exact=exact)
    return compose(inherited or {}, user, given, rule, OWN)


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "PATH", "IFS", "ENV", "BASH_ENV", "SHELLOPTS",
        "BASHOPTS", "BASH_XTRACEFD", "PS4", "PROMPT_COMMAND", "CDPATH", "ZDOTDIR",
        "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "RUBYOPT", "RUBYLIB", "GEM_HOME", "GEM_PATH",
        "BUNDLE_GEMFILE", "PERL5LIB", "PERL5OPT", "PERLLIB", "NODE_OPTIONS", "NODE_PATH",
        "GCONV_PATH", "GLIBC_TUNABLES", "MALLOC_CHECK_", "LOCPATH", "HOSTALIASES", "RES_OPTIONS",
        "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH",
        "DOTNET_STARTUP_HOOKS",
        "LUA_PATH", "LUA_INIT", "LUA_INIT_5_4", "TCLLIBPATH", "PHPRC", "PHP_INI_SCAN_DIR",
        "R_PROFILE",
        "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "OPENSSL_CONF", "OPENSSL_MODULES", "HOME", "EDITOR",
        "PAGER", "LESSOPEN", "TAR_OPTIONS", "MAKEFLAGS", "SUDO_ASKPASS", "SSH_ASKPASS",
        "GNUMAKEFLAGS", "ZIPOPT", "APT_CONFIG", "SVN_SSH", "PIP_INDEX_URL", "VIMINIT", "MAVEN_OPTS",
        "PSQL_PAGER", "KUBECONFIG", "ANSIBLE_CONFIG", "KRB5_CONFIG", "SSLKEYLOGFILE", "HGRCPATH",
        "XDG_CONFIG_HOME", "npm_config_node_options", "DBUS_SYSTEM_BUS_ADDRESS", "RSYNC_RSH",
    ],
)  # fmt: skip
def test_a_variable_that_makes_a_command_another_one_is_refused(name: str) -> None:
    with pytest.raises(VariableRefused, match=f"^environment variable {name} is not allowed$"):
        composed({"HARMLESS": "1", name: "/tmp/evil"})


@pytest.mark.parametrize(
    "name",
    ["", "1A", "A B", "A=B", "A-B", "Ä", "BASH_FUNC_ls%%", "BASH_FUNC_ls()", "A\n", "A\0", "a.b"],
)
@pytest.mark.parametrize("allowed", [None, "it"])
def test_a_name_that_is_none_is_refused_even_if_allowed(name: str, allowed: str | None) -> None:
    with pytest.raises(VariableRefused, match="invalid environment variable name") as refused:
        composed({name: "x"}, None if allowed is None else frozenset({name}))
    assert "\n" not in str(refused.value)
    assert "\0" not in str(refused.value)


@pytest.mark.parametrize("text", ["\0", "a\0LD_PRELOAD=/tmp/evil.so"])
def test_a_nul_byte_is_refused(text: str) -> None:
    with pytest.raises(VariableRefused, match="environment variable A contains a NUL byte"):
        composed({"A": text})


def test_text_that_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(VariableRefused, match="A is not text"):
        composed({"A": "\ud800"})


@pytest.mark.parametrize(
    "name",
    ["RAILS_ENV", "DEPLOY_VERSION", "http_proxy", "LANG", "LC_ALL", "TZ", "DEBUG", "A_PATH",
     "MY_LD_PRELOAD", "_x", "lower", "TMPDIR", "USER"],
)  # fmt: skip
def test_other_variables_arrive(name: str) -> None:
    assert composed({name: "v 1\n=\"'$"})[name] == "v 1\n=\"'$"


def test_the_agents_own_variables_win() -> None:
    environment = composed({"CHEF_PUSH_NODE_NAME": "forged", "CHEF_PUSH_JOB_ID": "forged"})
    assert {name: environment[name] for name in OWN} == OWN
    environment = composed({"CHEF_PUSH_JOB_ID": "forged"}, frozenset({"CHEF_PUSH_JOB_ID"}))
    assert environment["CHEF_PUSH_JOB_ID"] == "ab"


def test_a_list_of_allowed_variables_renames_all_others() -> None:
    allowed = frozenset({"LD_PRELOAD", "A"})
    given = {"LD_PRELOAD": "1", "A": "2", "B": "3", "PATH": "4"}
    environment = composed(given, allowed, {"PATH": "/bin"})
    assert environment["LD_PRELOAD"] == "1"
    assert environment["A"] == "2"
    assert environment["CHEF_PUSH_ENV_B"] == "3"
    assert environment["CHEF_PUSH_ENV_PATH"] == "4"
    assert environment["PATH"] == "/bin"
    assert "B" not in environment


def test_an_empty_list_allows_nothing() -> None:
    assert composed({"A": "1"}, frozenset())["CHEF_PUSH_ENV_A"] == "1"


def test_what_concerns_only_the_agent_is_not_handed_on() -> None:
    inherited = dict.fromkeys(
        [
            "PUSHCLI_KEY",
            "CHEF_PUSH_JOB_FILE",
            "NOTIFY_SOCKET",
            "LISTEN_FDS",
            "WATCHDOG_USEC",
            "PWD",
        ],
        "x",
    )
    environment = composed({}, inherited={**inherited, "PATH": "/bin", "http_proxy": "p"})
    assert not inherited.keys() & environment.keys()
    assert (environment["PATH"], environment["http_proxy"]) == ("/bin", "p")


def test_the_agents_own_login_is_kept_and_completed() -> None:
    environment = composed({}, inherited={"HOME": "/somewhere"})
    assert environment["HOME"] == "/somewhere"
    assert (environment["USER"], environment["LOGNAME"]) == (SELF.name, SELF.name)


def test_another_user_gets_a_login_of_its_own() -> None:
    inherited = dict.fromkeys(
        ["HOME", "USER", "LOGNAME", "MAIL", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "SUDO_USER"], "root"
    )
    environment = composed({}, inherited={**inherited, "LANG": "C"}, user=OTHER)
    assert environment == {
        "HOME": "/home/deploy", "USER": "deploy", "LOGNAME": "deploy", "SHELL": "/bin/dash",
        "LANG": "C", **OWN,
    }  # fmt: skip


def test_case_does_not_hide_a_dangerous_name() -> None:
    assert is_dangerous("ld_preload")
    assert not is_dangerous("BUILD_ID")


# --- a node that has a list


def refusal(given: dict[str, str], **rule: object) -> str:
    with pytest.raises(VariableRefused) as refused:
        composed(given, frozenset({"A"}), widened=("BRANCH",), exact=True, **rule)  # type: ignore[arg-type]
    assert str(refused.value).isprintable()
    return str(refused.value)


def test_what_would_arrive_renamed_is_refused_with_the_line_that_allows_it() -> None:
    assert refusal({"A": "1", "B": "2"}) == (
        "environment variable B is not allowed: allow it with "
        'allowed_overwritable_env_vars = ["A", "B"] in agent.toml, '
        'or env = ["BRANCH", "B"] in the entry'
    )
    assert refusal({"B": "2", "C": "3"}).startswith("environment variables B, C are not allowed: ")


def test_a_job_with_thousands_of_variables_is_refused_in_one_line() -> None:
    text = refusal({f"VARIABLE_{number}": "" for number in range(5000)})
    assert "VARIABLE_9 and 4990 more are not allowed" in text
    assert len(text) < 2000


@pytest.mark.parametrize("name", ["CHEF_PUSH_JOB_ID", "CHEF_PUSH_NODE_NAME", "CHEF_PUSH_JOB_FILE"])
def test_what_would_not_arrive_at_all_is_refused_even_if_listed(name: str) -> None:
    assert refusal({name: "x"}) == f"environment variable {name} is for the agent alone to set"
    with pytest.raises(VariableRefused, match="for the agent alone"):
        composed({name: "x"}, frozenset({name}), exact=True)


def test_what_is_listed_arrives_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"A": "1", "BRANCH": ""}
    environment = composed(given, frozenset({"A"}), widened=("BRANCH",), exact=True)
    assert given.items() <= environment.items()


@pytest.mark.parametrize(
    "name",
    ["https_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
     "CC", "CFLAGS", "JAVA_HOME", "COMPILER_PATH", "GCC_EXEC_PREFIX", "TMPDIR", "LANG", "LC_ALL",
     "LANGUAGE", "TZ", "USER", "LOGNAME", "TERM", "COLUMNS", "a", "_", "CHEF_PUSH_ENV_A"],
)  # fmt: skip
@pytest.mark.parametrize("exact", [True, False])
def test_no_name_at_all_passes_an_empty_list(name: str, exact: bool) -> None:
    if exact:
        with pytest.raises(VariableRefused, match=f"^environment variable {name} is not allowed:"):
            composed({name: "x"}, frozenset(), exact=True)
    else:
        assert composed({name: "x"}, frozenset(), {name: "kept"}).get(name) != "x"


def test_an_entry_may_allow_a_dangerous_variable_where_there_is_no_list() -> None:
    assert composed({"MAKEFLAGS": "-j4"}, widened=("MAKEFLAGS",))["MAKEFLAGS"] == "-j4"
    assert composed({"A": "1"}, exact=True)["A"] == "1"
