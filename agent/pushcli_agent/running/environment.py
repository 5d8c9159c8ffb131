"""The environment of a job's command (Push Jobs protocol, section 6).

What a job sets must not change what a whitelisted command is. Only a list of the variables
that may be set can promise that (`allowed_overwritable_env_vars`, `env` of an entry): where
there is none, what is known to make a shell, the dynamic linker, an interpreter or a common
tool load or run something else is refused, and the rest is a matter of trust.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from pushcli_agent.running import allowing
from pushcli_agent.running.users import User

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RENAMED = "CHEF_PUSH_ENV_"
_RESERVED = frozenset({"CHEF_PUSH_NODE_NAME", "CHEF_PUSH_JOB_ID", "CHEF_PUSH_JOB_FILE"})
"""What the agent sets for the command; a job cannot, not even what the agent leaves unset."""

_PREFIXES = (
    # The dynamic linker and the C library.
    "LD_", "DYLD_", "GLIBC_", "MALLOC_", "GCONV_", "LIBC_", "NSS_", "RESOLV_",
    # Shells.
    "BASH", "ZDOT", "KSH_",
    # Interpreters and virtual machines: search paths, preloaded modules, options.
    "PYTHON", "RUBY", "GEM_", "BUNDLE", "PERL", "NODE_", "NPM_CONFIG_", "LUA_", "TCL",
    "JAVA_TOOL_", "JAVA_OPT", "JDK_JAVA_", "_JAVA_", "CORECLR_", "DOTNET_", "COMPLUS_",
    "PHPRC", "PHP_INI", "GUILE_", "R_PROFILE", "R_ENVIRON", "R_LIBS", "R_HOME", "ERL_",
    "JULIA_", "GOFLAGS",
    # Tools that run what their variables name.
    "GIT_", "SSH_ASKPASS", "RSYNC_", "SUDO_", "DBUS_", "SYSTEMD_", "OPENSSL_", "KRB5_",
    "ANSIBLE_", "PIP_", "UV_", "CARGO_", "RUSTC_", "PSQL", "LIBMYSQL_", "DPKG_",
)  # fmt: skip
_NAMES = frozenset({
    "PATH", "IFS", "ENV", "SHELLOPTS", "PS4", "PROMPT_COMMAND", "CDPATH", "FPATH", "SHELL",
    "GLOBIGNORE", "POSIXLY_CORRECT",
    # Where programs look for their settings, and with them for code.
    "HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME", "XDG_DATA_DIRS", "CLASSPATH",
    "VIRTUAL_ENV", "CURL_HOME", "WGETRC", "INPUTRC", "NETRC", "APT_CONFIG", "GNUPGHOME",
    "KUBECONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "DOCKER_CONFIG", "MYSQL_HOME",
    "PGSYSCONFDIR", "PGSERVICEFILE", "AWKPATH", "AWKLIBPATH", "GTK_MODULES", "QT_PLUGIN_PATH",
    "EMACSLOADPATH",
    # Writes the secrets of TLS connections to a file.
    "SSLKEYLOGFILE",
    # Files of the C library, read by every program.
    "LOCPATH", "NLSPATH", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "GETCONF_DIR", "TZDIR",
    "TERMINFO", "TERMINFO_DIRS", "TERMCAP", "TERMPATH", "GMON_OUT_PREFIX",
    # Programs that other programs call.
    "EDITOR", "VISUAL", "PAGER", "MANPAGER", "BROWSER", "LESSOPEN", "LESSCLOSE", "TAR_OPTIONS",
    "MAKEFLAGS", "MAKEFILES", "MFLAGS", "GNUMAKEFLAGS", "ZIPOPT", "CVS_RSH", "SVN_SSH", "BZR_SSH",
    "FCEDIT", "KUBE_EDITOR", "HGEDITOR", "HGRCPATH", "VIMINIT", "EXINIT", "NULLCMD", "READNULLCMD",
    "MAVEN_OPTS", "GRADLE_OPTS", "ANT_OPTS", "ANT_ARGS", "SBT_OPTS", "CATALINA_OPTS",
    "ELIXIR_ERL_OPTIONS",
})  # fmt: skip
_OF_THE_AGENT = re.compile(
    r"PUSHCLI_.*|CHEF_PUSH_.*|NOTIFY_SOCKET|WATCHDOG_.*|LISTEN_.*|INVOCATION_ID|JOURNAL_STREAM"
    r"|SYSTEMD_EXEC_PID|OLDPWD|PWD|SHLVL|_"
)
_OF_A_LOGIN = re.compile(r"HOME|USER|LOGNAME|SHELL|MAIL|XDG_.*|SUDO_.*|SSH_.*|DBUS_.*")


_LISTED = 10
"""Names in one line."""


class VariableRefused(Exception):
    """A job's variable that may not be set; one line, for the operator."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What a job may set.

    Args:
        allowed: `allowed_overwritable_env_vars`; None: all but dangerous ones.
        widened: the entry's `env`.
        exact: whether a variable that is not allowed is refused rather than renamed.
    """

    allowed: frozenset[str] | None = None
    widened: tuple[str, ...] = ()
    exact: bool = False


def is_dangerous(name: str) -> bool:
    """Whether a variable can turn a command into another one.

    Upper and lower case count the same: a few tools read theirs in lower case.
    """
    return name.upper().startswith(_PREFIXES) or name.upper() in _NAMES


def compose(
    inherited: Mapping[str, str],
    user: User,
    given: Mapping[str, str],
    rule: Rule,
    own: Mapping[str, str],
) -> dict[str, str]:
    """The command's whole environment.

    Args:
        inherited: the agent's own; what concerns only the agent is left out.
        user: as whom the command runs; of another user than the agent's own, nothing that
            belongs to the agent's login is handed on.
        given: the job's.
        rule: what of it may be set.
        own: what the agent sets; it wins.

    Raises:
        VariableRefused: the job sets what it may not.
    """
    kept = {name: text for name, text in inherited.items() if not _OF_THE_AGENT.fullmatch(name)}
    if user.is_other:
        kept = {name: text for name, text in kept.items() if not _OF_A_LOGIN.fullmatch(name)}
    login = {"HOME": user.home, "USER": user.name, "LOGNAME": user.name, "SHELL": user.shell}
    return login | kept | dict(_admitted(given, rule)) | dict(own)


def _admitted(given: Mapping[str, str], rule: Rule) -> Iterator[tuple[str, str]]:
    for name, text in given.items():
        _check(name, text)
    if rule.allowed is None:
        yield from _all_but_dangerous(given, rule)
        return
    allowed = rule.allowed.union(rule.widened) - _RESERVED
    _require_allowed(given, rule, allowed)
    for name, text in given.items():
        if name not in _RESERVED:
            yield (name if name in allowed else _RENAMED + name), text


def _all_but_dangerous(given: Mapping[str, str], rule: Rule) -> Iterator[tuple[str, str]]:
    for name, text in given.items():
        if is_dangerous(name) and name not in rule.widened:
            raise VariableRefused(f"environment variable {name} is not allowed")
        if name not in _RESERVED:
            yield name, text


def _require_allowed(given: Mapping[str, str], rule: Rule, allowed: frozenset[str]) -> None:
    """Refuse what would arrive under another name, or not at all, if the job wants that."""
    missing = [name for name in given if name not in allowed]
    if not rule.exact or not missing:
        return
    for name in missing:
        if name in _RESERVED:
            raise VariableRefused(f"environment variable {name} is for the agent alone to set")
    line = allowing.list_line(
        "allowed_overwritable_env_vars", rule.allowed or (), "env", rule.widened, missing
    )
    names = ", ".join(name[:64] for name in missing[:_LISTED])
    more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
    words = "variable {} is" if len(missing) == 1 else "variables {} are"
    raise VariableRefused(f"environment {words.format(names + more)} not allowed: {line}")


def _check(name: str, text: str) -> None:
    if not _NAME.fullmatch(name):
        raise VariableRefused(f"invalid environment variable name {name[:64]!r}")
    if name in _RESERVED:
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise VariableRefused(f"environment variable {name[:64]} is not text") from None
    if "\0" in text:
        raise VariableRefused(f"environment variable {name[:64]} contains a NUL byte")
