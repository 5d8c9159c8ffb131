"""Patterns: what they match, and that a request never becomes more than text."""

import re
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushcli.whitelist.entry import Entry, InvalidEntry, parse
from pushcli.whitelist.match import find
from pushcli.whitelist.shell import invocation
from tests.support.examples import examples
from tests.unit.pushcli.whitelist.shells import HOSTILE, SHELLS, run


def pattern(expression: str, command: object, **more: object) -> Entry:
    value = {"command_line": command, **more} if more else command
    return parse(f"/{expression}/", value, local=True)


def command_for(entry: Entry, request: str) -> str | tuple[str, ...] | None:
    found = find({entry.name: entry}, request)
    return None if found is None else found.command


def reason(expression: str, command: object) -> str:
    with pytest.raises(InvalidEntry) as refused:
        pattern(expression, command)
    assert refused.value.reason.isprintable()
    return refused.value.reason


def script_for(command: str, groups: int = 2) -> str:
    """The script that a shell runs for a command, whatever the request."""
    rendered = command_for(pattern(":".join(["(.*)"] * groups), command), ":" * (groups - 1))
    assert isinstance(rendered, tuple)
    assert rendered[:2] == ("/bin/sh", "-c")
    assert rendered[3] == "sh"
    return rendered[2]


def test_groups_are_arguments_of_a_shell_s_script() -> None:
    entry = pattern(r"service (\w+) (\w+)", r"service \1 \2; echo \0")
    script = 'service "${1}" "${2}"; echo "${3}"'
    assert command_for(entry, "service ntp restart") == (
        "/bin/sh", "-c", script, "sh", "ntp", "restart", "service ntp restart",
    )  # fmt: skip


def test_only_the_groups_up_to_the_last_that_is_referred_to_are_passed() -> None:
    entry = pattern("(.)(.)(.)", r"echo \2")
    assert command_for(entry, "abc") == ("/bin/sh", "-c", 'echo "${2}"', "sh", "a", "b")
    assert command_for(pattern("(.)(.)", r"echo \0"), "ab") == (
        "/bin/sh", "-c", 'echo "${1}"', "sh", "ab",
    )  # fmt: skip


def test_nine_groups_and_the_whole_are_ten_parameters() -> None:
    assert script_for(r"echo \9\0", 9) == 'echo "${9}""${10}"'


@pytest.mark.parametrize(
    ("command", "script"),
    [
        (r"a x\1y", 'a x"${1}"y'),
        (r'a "x \1 y"\2', 'a "x ${1} y""${2}"'),
        (r"a=\1 b --c=\2 > \1", 'a="${1}" b --c="${2}" > "${1}"'),
        (r'a "$(b \1 "', None),
        (r'a "$(b \1 | c) \2"', 'a "$(b "${1}" | c) ${2}"'),
        (r'a ${x:-\1} "${x+y\2}"', 'a ${x:-"${1}"} "${x+y${2}}"'),
        ("a <<E\n\\1 ${x:-\\2} $(b \\1)\nE\nc \\1",
         'a <<E\n${1} ${x:-${2}} $(b "${1}")\nE\nc "${1}"'),
        ("a <<-'E'\n\t$1 \\\\n\n\tE\nb \\1", "a <<-'E'\n\t$1 \\\\n\n\tE\nb \"${1}\""),
        (r"case \1 in \2) a;; esac", 'case "${1}" in "${2}") a;; esac'),
        (r'a \\1 "\\1" \$1 "\$1" \1', 'a \\\\1 "\\\\1" \\$1 "\\$1" "${1}"'),
    ],
)  # fmt: skip
def test_a_reference_is_a_word_outside_quotes_and_text_inside(
    command: str, script: str | None
) -> None:
    if script is None:
        assert reason("(.*):(.*)", command)
    else:
        assert script_for(command) == script


def test_groups_are_put_into_arguments_as_they_are() -> None:
    entry = pattern("ping (.*)", ["ping", "-c1", r"host=\1", r"\\1 \n"])
    assert command_for(entry, "ping a' $b") == ("ping", "-c1", "host=a' $b", r"\1 \n")


def test_a_group_that_took_no_part_is_empty() -> None:
    rendered = command_for(pattern("a(b)?(c)?", r"echo \1 \2"), "ac")
    assert rendered == ("/bin/sh", "-c", 'echo "${1}" "${2}"', "sh", "", "c")


def test_unsafe_substitution_pastes_text_anywhere() -> None:
    entry = pattern("x(.*)", r"""echo "\1" '\1' \\1""", unsafe_substitution=True)
    assert command_for(entry, "x$(id)") == r"""echo "$(id)" '$(id)' \\1"""


@pytest.mark.parametrize(
    "request_",
    ["xrestart a", "restart a;id", "restart a\n", "\nrestart a", "restart ", "Restart a"],
)
def test_the_whole_request_must_match(request_: str) -> None:
    assert command_for(pattern(r"restart \w+", "true"), request_) is None


def test_the_longest_alternative_is_tried_too() -> None:
    assert command_for(pattern("a|ab", "true"), "ab") == "true"


@pytest.mark.parametrize("character", [*map(chr, range(32)), *map(chr, range(127, 160)), "\u2028",
                                       "\u2029", "\ud800"])  # fmt: skip
def test_control_characters_match_nothing(character: str) -> None:
    assert command_for(pattern("(?s)(.*)", r"echo \1"), f"a{character}b") is None


def test_a_pattern_s_own_name_is_no_request() -> None:
    entry = pattern("x(.)", r"echo \1")
    assert command_for(entry, "/x(.)/") is None


def test_no_expression_takes_long() -> None:
    pytest.importorskip("re2")
    before = time.process_time()
    assert command_for(pattern("(a+)+$", "true"), "a" * 50_000 + "b") is None
    assert command_for(pattern("(a+)+$", "true"), "a" * 50_000) == "true"
    assert command_for(pattern("(((x*)*)*)*y{1000}", "true"), "x" * 50_000) is None
    assert time.process_time() - before < 1


def test_no_expression_takes_much_memory() -> None:
    for expression in ("((a{100}){100}){10}", "a{5000}", r"\pL{900}"):
        assert reason(expression, "true").startswith("not a regular expression: ")


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("(a", "missing )"),
        (r"(a)\1", "no back-references"),
        ("a(?=b)", "no look-around"),
        ("a**", "bad repetition"),
        ("a" * 1001, "more than 1000 characters"),
    ],
)
def test_a_bad_expression_is_refused(expression: str, why: str) -> None:
    assert why in reason(expression, "true")


@pytest.mark.parametrize("command", [r"echo \1", ["echo", r"\1"]])
def test_a_group_that_does_not_exist_is_refused(command: object) -> None:
    assert reason("a", command) == r"\1 refers to a group that the expression does not have"
    assert pattern("a", r"echo \0")


@pytest.mark.parametrize(
    "command",
    [
        r"echo '\1'", r"echo `id \1`", r"echo `id` \1",
        r"echo $\1", r"echo $'\1'", r'echo $"\1"', r"echo $'a' \1",
        r"echo ${x/a/\1}",
        r"echo $((\1))", r"echo $((1)) \1", r"((x=\1))", r"echo $[\1]",
        "cat <<E \\1\nE",
        r"cat <<<\1", "# \\1", "true # it's\necho \\1", r"echo 'a \1", r'echo "a \1',
        r"echo \1 'a", "echo \\1 \\",
        "echo $\\\n\\1", "cat <\\\n<E \\1", r'echo "`id`" \1', r'echo "${x:-"a"}" \1',
        r'echo "$((1))" \1',
        r'echo "$(echo ")")" \1', r"a[\1]=1", r"a[ \1 ]=1", r"a=(\1)", r"[[ \1 -eq 1 ]]",
        r"eval \1", r"let \1", r"\eval \1", r"e'va'l \1", r'"eval" \1', r"e\val \1",
        r"\sh -c \1", r"'bash' '-c' \1", r"sh -c -- \1", r"sh -cx \1", r"bash -c -x \1",
        r"bash -o pipefail -c \1", r"bash --rcfile x -c \1", r"sh \1 \1", r"sh -x \1 \1",
        r"busybox \1 \1", r"su bob \1 \1", r"su -c true \1", r"$SHELL -c \1", r"sh $x \1",
        r"{sh,-c} \1", r"{eval,\1}", r"read \1", r"mapfile -C \1 -c1 a", r"compgen -W \1",
        r"printf -v \1 x", r"printf -v\1 x", r"printf \1 \1 x", r"test -v \1", r"[ -v \1 ]",
        r"[ \1 \1 ]", r"test \1 \1", r"[ \1 $x \1 ]", r"test $x \1", r"printf $x \1 \1",
        r"sh >x -c \1", r"bash 2>x -c \1", r"sh 2>&1 -c \1", r"sh <x -c \1", r"sh >|x -c \1",
        r"sh <>x -c \1", r"bash {fd}>x -c \1", r"sh &>x -c \1", r"sh $(true) -c \1",
        r"sh -c $(true) \1", r"sh $(case x in x) true;; esac) -c \1", r"read <x \1",
        r"printf >x -v \1 y", r"cat <(true) \1", r"/bin/s? -c \1", r"/bin/[s]h -c \1",
        r"$x -x -c \1", r"sh -- $x \1", r"BASH_ENV=\1 bash x", r"env BASH_ENV=\1 bash x",
        r"export PS4=\1", r"ENV=\1 sh -i x", r"\1 \1", r"a=b \1 -c \1", r"if \1 \1; then a; fi",
        r"echo \1 | sh", r"echo \1 | sudo bash -x", r"echo \1 | (sh)", r"echo \1 | sh -s a",
        r"echo \1 | bash /dev/stdin", r"echo \1 | . /dev/stdin", r"(sh; echo \1)",
        r"command \1 \1", r"sudo /bin/\1 -c \1",
        r"trap \1 EXIT", r"sh -c \1", r"/bin/bash -ec \1", r"su -c \1 bob", r"declare -i a=\1",
        r'echo "$(case x in x) ";; esac)" \1', r"x;# \1", r"echo >&\1", r"echo 2>& \1x",
    ],
)  # fmt: skip
def test_references_where_quoting_would_not_hold_are_refused(command: str) -> None:
    assert reason("(.*)", command)
    assert pattern("(.*)", command, unsafe_substitution=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sh", "-c", r"\1"], ["/bin/bash", r"\1"], ["sudo", "sh", r"-\1", "x"], [r"\1", r"\1"],
        ["env", r"BASH_ENV=\1", "bash", "x"], ["su", r"\1"], ["env", "sh", "-s", r"\1"],
    ],
)  # fmt: skip
def test_a_shell_in_a_list_is_a_shell_too(arguments: list[str]) -> None:
    assert reason("(.*)", arguments)
    assert pattern("(.*)", arguments, unsafe_substitution=True)


def test_what_only_a_shell_does_is_harmless_in_a_list() -> None:
    for arguments in (["printf", r"\1", r"\1"], ["test", "-v", r"\1"], ["ls", r"{a,\1}", "eval"]):
        assert pattern("(.*)", arguments)
    assert pattern("(.*)", ["sh", "-c", 'echo "$1"', "x", r"\1"])


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (r"echo '\1'", r'\1 stands in single quotes, where no shell expands it: use double quotes '
         r'("\1"), or write \\1 in them if no group is meant'),
        (r"printf '%s\0' x", r"write \\1 in them"),
        (r"sh -c 'echo \1'", r"""pass it as an argument: sh -c 'echo "$1"' sh \1"""),
        (r'grep "^\1$" f', r"for a dollar sign \$"),
        ("cat <<'E'\n\\1\nE", r"\1 stands in a here-document whose name is quoted: write <<EOF"),
        (r"cat <<E | grep \1", "last on its line can stand beside references"),
        ("x=$(cat <<E\n\\1\nE\n)", "outside ( ): write <<EOF"),
        ("cat <<E\n\\1\n", "write <<EOF"),
        (r"f() { echo \1; }; f", "call a script instead"),
        (r"f () { echo hi; }; f; echo \1", "call a script instead"),
        (r"function f { echo \1; }", "a function, shift, getopts"),
        (r"set -- a \1", "set with more than options"),
        (r"set -e; set a; echo \1", "set with more than options"),
        (r"if a; then shift; fi; echo \1", "shift"),
        (r"for i; do echo \1; done", "for without in"),
        (r"for i do echo \1; done", "for without in"),
        (r"getopts a x; echo \1", "getopts"),
        (r"echo $1 \1", r"for a group write \1, not $1"),
        (r'echo "$2" \1', r"for a group write \1, not $1"),
        (r"echo ${1} \1", r"for a group write \1, not $1"),
        (r"echo ${1:-x} \1", r"for a group write \1, not $1"),
        (r'echo "$@" \1', r"for a group write \1, not $1"),
        (r"echo $* \1", r"for a group write \1, not $1"),
        (r"echo $# \1", r"for a group write \1, not $1"),
        ("cat <<E\n$1\nE\necho \\1", r"for a group write \1, not $1"),
        (r"printf \1", "write -- first"),
        (r"echo \1 # x", "leave it out"),
        (r"echo \1 `id`", "use $( )"),
        (r"sh -c \1", r"""sh -c 'echo "$1"' sh \1"""),
        ("( " * 30 + r"echo \1" + ")" * 30, "more than 20 times"),
    ],
)  # fmt: skip
def test_the_reason_says_what_to_write_instead(command: str, advice: str) -> None:
    assert advice in reason("(.*)", command)


@pytest.mark.parametrize(
    "command",
    [
        r"unset \1", r"a[b]=1; echo \1", r"b=\1; a[b]=1", r"RANDOM=\1", r"OPTIND=\1 x",
        r"for HISTCMD in \1; do :; done", r"echo \1 | read SRANDOM", r"export \1", r"readonly x\1",
        r'y=\1; test -v "$y"', r'y=\1; read "$y"', r'y=\1; printf "$y" a', r'y=\1; unset "$y"',
        r'y=\1; echo >&"$y"', r"wait \1", r"wait -n -p \1", r". \1", r"source \1",
        r"command . /dev/stdin; echo \1", "sh <<E\n\\1\nE", "sh /dev/fd/3 3<<E\n\\1\nE",
        r"enable \1", r"fc -s; echo \1", r'echo "$(eval x)" \1', r'y=\1; sh -c "$y"',
        r"echo \1 {a,b}", r"coproc \1 \1", r"y=\1; $y", r'y=\1; "$y" \1', r'"$y"eval \1',
        r"e$(true)val \1", r'y=\1; [ $y = a ]', r"jobs \1", r"[ $(echo \1) = a ]",
        r"case a in eval) eval \1;; esac", r"printf [-]v \1",
        r"env -i $SHELL -c \1", r"sudo -n /bin/s? -c \1", r"eval \1 )",
        r"sh $? \1",
    ],
)  # fmt: skip
def test_what_shells_read_again_in_other_ways_is_refused_too(command: str) -> None:
    assert reason("(.*)", command)


@pytest.mark.parametrize(
    "command",
    [
        r"cp \1 .", r". ./lib.sh; a \1", r"sudo systemctl enable \1", r"redis-cli set \1 x",
        r"set -euo pipefail; a \1", r"a & wait -- $!; b \1", r"export A=\1 B; c", r"wait; echo \1",
        r"ls a[0-9] \1", r"watch \1", r"ssh host \1", r"env -S \1", r"flock f -c \1", r"sudo -s \1",
        r"awk '{ print $1 }' \1", r"printf -v x %s \1", r"find . -name \1", r"echo ${0##*/} \1",
        r'[ $? = 0 ] && [ "$(id -u)" = 0 ] && echo \1', r'"$HOME/bin"/x \1',
        r"case a in $x) ;; *) \1;; esac",
    ],
)  # fmt: skip
def test_what_only_other_programs_may_read_again_is_the_author_s_part(command: str) -> None:
    assert pattern("(.*)", command)


def test_commands_without_references_may_say_what_they_like() -> None:
    command = "cat <<'E' # $(id)\nit's `id` $((1))\nE\n"
    assert command_for(pattern(".*", command), "x") == command


# --- what shells make of it

FINE = [
    (r"printf '%s\n' pre\1 x \2", ["pre{1}", "x", "{2}"]),
    (r"printf '%s\n' \1\2 a\1b\2c", ["{1}{2}", "a{1}b{2}c"]),
    (r"""printf '%s\n' 'it'\''s' "$x" "${x%e}" \1""", ["it's", "value", "valu", "{1}"]),
    (r"""y=\1; printf '%s\n' "$y" """, ["{1}"]),
    (r"printf '%s\n' $(echo a; echo \1 >&2) \2", ["a", "{2}"]),
    ("printf '%s\\n' \\\n  \\1 a#b \\\n\t\\2", ["{1}", "a#b", "{2}"]),
    (r"""if [ \1 = \1 ]; then printf '%s\n' \1 --o=\2; fi""", ["{1}", "--o={2}"]),
    (r"case \1 in a) printf '1\n';; *) printf '%s\n' \2;; esac", ["{2}"]),
    (r"{ printf '%s\n' \1 & wait; } && (printf '%s\n' \2)", ["{1}", "{2}"]),
    (r"""for i in \1 \2; do printf '%s\n' "$i"; done""", ["{1}", "{2}"]),
    (r"""printf "%s\n" "$(echo a b)" \1 "\\1" """, ["a b", "{1}", r"\1"]),
    (r"""sh -c 'printf "%s\n" "$1" "$2"' x \1 \2""", ["{1}", "{2}"]),
    (r"""bash -eo pipefail -c 'printf "%s\n" "$@"' - \1 \2""", ["{1}", "{2}"]),
    (r"""while read x; do :; done; [ y != \1 ] && printf -- '%s\n' \1; [ x = \2 ] || echo 2""",
     ["{1}", "2"]),
    (r"""sh -c 'printf "%s\n" "$1"' x \1 2>&1 >&2 2>/dev/null; printf '%s\n' >&1 \2""",
     ["{1}", "{2}"]),
    (r"""printf '%s\n' 2>/dev/null \1 $(echo a >&2; (exit \2)) </dev/null""", ["{1}"]),
    (r"""if [ "$x" = \1 ]; then :; else X=\1 printf '%s\n' "${x}" \2 ; fi""", ["value", "{2}"]),
    (r"""printf 'printf "%%s\\n" "$3"' >/dev/null; sh -c 'printf "%s\n" "$2"' x -s \1; true \2""",
     ["{1}"]),
    (r"""find / -prune -exec printf '%s\n' {} \1 \;""", ["/", "{1}"]),
    (r"""printf '%s\n' $? "$0" \1 >/dev/null; printf '%s\n' \2 \\1 \$\2 "$0" """,
     ["{2}", r"\1", "${2}", "sh"]),
]  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("request_", HOSTILE)
def test_groups_arrive_as_literal_text(shell: str, request_: str) -> None:
    for command, expected in FINE:
        rendered = command_for(pattern("(.*):(.*)", command), f"{request_}:two")
        assert isinstance(rendered, tuple)
        ran = run(shell, rendered)
        words = [word.replace("{1}", request_).replace("{2}", "two") for word in expected]
        assert (ran.created, ran.output.decode().split("\n")) == ([], [*words, ""]), rendered


# Alone, most combinations of these are refused; enough are not.
FRAGMENTS = st.sampled_from([
    r"\1", r"\2", " ", " ", "'", '"', "`", "$", "$(", ")", "((", "$((", "${", "}", "${x", ":-",
    "\\", "\n", "\\\n", " \\\n", "#", " #", "<<E\n", "<", ">", ">&", "&>", "&", ";", "|", "[", "]",
    "[[ ", " ]]", "a[", "]=", "=(", "x", "a=", "eval ", "case x in x)", ";; esac", "{ ", "!", "~",
    "*", "=", "$x", '"$x"', "'a'", "$[", "1", "f() ", "<(", "$#", "$$", "é", "-eq 1", "-c ", "%",
    '"$(echo x)"', r"'\''", r"\"", r"\$", "{a,", "..", "for i in ", "; do echo $i; done", "test ",
    "sh ", "bash ", "-x ", "-- ", "'-c' ", r"\sh ", "e'v'al ", "-v ", "printf ", "read ", "su ",
    "-o pipefail ", "{sh,-c} ", ",", "0 ",
    ">x ", "2>&1 ", "</dev/null ", "{fd}>x ", "$(true) ", "BASH_ENV=", "PS4=", "set -x; ",
    "; true", " bash x", "env ", "command ", "? ", "export ",
    "cat <<E\n", "\nE\n", "<<-E\n\t", "<<'E'\n", '"$(', ')"', "${u:-", "${x:+", "unset ", "wait ",
    "jobs ", "RANDOM=", "\\1; $a ", '\\1; "$a" ', "set ", "shift; ", "for i; do ", '"$u"', ". ",
])  # fmt: skip
TEXT = st.text(
    st.sampled_from("abX '\"\\$`(){}[];&|<>#*?~!=%é\u00a0日-,.:^@/\n") | st.characters(),
    max_size=12,
)
CANARY = "touch CANARY"
# Whatever the context, one of these ends it, begins another, or is evaluated there.
ATTACKS = st.sampled_from([
    f"$({CANARY})", f"`{CANARY}`", f"'; {CANARY}; '", f'"; {CANARY}; "', f"a[$({CANARY})]",
    f"\\'; {CANARY} #",
    f"}}; {CANARY};", f"); {CANARY};", f"'$({CANARY})'", f"\"$({CANARY})\"", f"\\\\'`{CANARY}`'",
    f"]$({CANARY})",
    f"x'$({CANARY})", f"{CANARY}", f"${{x:-$({CANARY})}}", f" & {CANARY} & ", f"|{CANARY}",
    f"-v a[$({CANARY})]", "-va[$(touch${IFS}CANARY)]", "-pDIRSTACK[$(touch${IFS}CANARY)]", "-v",
    f"PATH[$({CANARY})]", f"eval {CANARY}", f"\nE\n{CANARY}\n", f"}}\"; {CANARY}; \"",
])  # fmt: skip


@pytest.mark.timeout(120)
@settings(max_examples=examples(1500), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(FRAGMENTS, max_size=5),
    more=st.lists(FRAGMENTS, max_size=5),
    groups=st.tuples(TEXT | ATTACKS, ATTACKS),
)
def test_no_request_makes_a_shell_run_anything_else(
    parts: list[str], more: list[str], groups: tuple[str, str]
) -> None:
    command = "echo " + "".join(parts) + r"\1" + "".join(more)
    try:
        entry = pattern("(.*):(.*)", command)
    except InvalidEntry:
        return
    rendered = command_for(entry, ":".join(groups))
    if rendered is not None:
        assert isinstance(rendered, tuple)
        for shell in SHELLS:
            assert "CANARY" not in run(shell, rendered).created, (shell, rendered)


@pytest.mark.timeout(120)
@settings(max_examples=examples(60), deadline=None)
@given(groups=st.tuples(TEXT | ATTACKS, TEXT))
def test_any_text_arrives_as_it_is(groups: tuple[str, str]) -> None:
    request = "|".join(groups)
    entry = pattern("(?s)(.*)", r"printf '%s\n' pre\1 x \0 y'\'\1\\" + r"\"")
    rendered = command_for(entry, request)
    if rendered is None:
        assert re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", request)
        return
    assert isinstance(rendered, tuple)
    expected = f'pre{request}\nx\n{request}\ny\\{request}\\"\n'
    for shell in SHELLS:
        ran = run(shell, rendered)
        assert (ran.created, ran.output.decode()) == ([], expected)


# A value is passed as it is, whatever it is: here line breaks too, which no request may have.
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
AWKWARD = st.sampled_from([
    "", " ", "a b", "*", "?", "~", "-n", "-v", "--", "'", '"', "\\", "\\\\", "a\nb", "\nE\n", "E",
    "\t", "$x", "$(touch CANARY)", "`touch CANARY`", "}", "${x}", "$1", "#", "!", "(", "[a-z]",
    "{a,b}", "&",
])  # fmt: skip
P = r'/usr/bin/printf "%s\\0" X'
CONTEXTS = [
    (rf"{P} \1 Y", "X|{1}|Y|"),
    (rf"{P} a\1b\2c \2\1", "X|a{1}b{2}c|{2}{1}|"),
    (rf'{P} "a \1  b\2" ""\1 Y', "X|a {1}  b{2}|{1}|Y|"),
    (rf'{P} "\\\1\"\2\$\`" Y', 'X|\\{1}"{2}$`|Y|'),
    (rf"{P} \'\1\\\2\" 'it'\1's' Y", "X|'{1}\\{2}\"|it{1}s|Y|"),
    (rf"{P} ${{u:-\1}} ${{u-a\2}} ${{x:+\2}} ${{x-\1}} Y", "X|{1}|a{2}|{2}|value|Y|"),
    (rf'{P} "${{u:-\1}}" "a${{u-\2b}}" "${{x+\2}}" Y', "X|{1}|a{2}b|{2}|Y|"),
    (rf'{P} "$(printf %s. \1)" "a$(printf %s. x\2 | cat)" Y', "X|{1}.|ax{2}.|Y|"),
    (rf'y=$(printf %s. "\1"\2 $(true)); {P} "$y" Y', "X|{1}{2}.|Y|"),
    (rf'y=\1; z="$y"\2; {P} "$y" "$z" Y', "X|{1}|{1}{2}|Y|"),
    (r"y=\1 /usr/bin/printenv -0 y; true \2", "{1}|"),
    (r"""sh -c '/usr/bin/printf "$@"' sh "%s\\0" X \1 \2""", "X|{1}|{2}|"),
    (r"""sudo=x; env bash -euc '/usr/bin/printf "$@"' bash "%s\\0" "$0" \1""", "sh|{1}|"),
    (rf'export y=\1; {P} "$y" Y', "X|{1}|Y|"),
    (rf"case a\1 in a\1) {P} m\2;; *) {P} n;; esac", "X|m{2}|"),
    (rf"case a in (a) {P} \1;; esac; {P} \2", "X|{1}|X|{2}|"),
    (
        '{ cat; printf "\\\\0"; } <<E\n \\1 "\\2" \'\\1\' \\$x \\\\ ${u:-\\2}$(printf %s. \\1)\nE',
        " {1} \"{2}\" '{1}' $x \\ {2}{1}.\n|",
    ),
    ('{ cat; printf "\\\\0"; } <<-E\n\t\t\\1\n\tE', "{1}\n|"),
    ("{ cat; printf \"\\\\0\"; } <<'E'\n$1 ${x} `id`\nE\n" + rf"{P} \1", "$1 ${x} `id`\n|X|{1}|"),
    (rf"{P} \1 Y | cat | cat", "X|{1}|Y|"),
    (rf'for i in \1 "\2" x; do {P} "$i"; done', "X|{1}|X|{2}|X|x|"),
    (rf"if [ x\1 = x\1 ] && ! [ a\1 = b ]; then ( {P} \2 ); else {{ {P} n; }}; fi", "X|{2}|"),
    (rf"set -e; {P} \0 \1 2>/dev/null </dev/null; true \2", "X|{0}|{1}|"),
    (rf'{P} \1 >out; cat <out; {P} "$0" \2', "X|{1}|X|sh|{2}|"),
]


@pytest.mark.timeout(120)
@settings(max_examples=150, deadline=None)
@given(
    contexts=st.lists(st.sampled_from(CONTEXTS), min_size=1, max_size=6),
    groups=st.tuples(*[AWKWARD | VALUES | ATTACKS] * 3),
)
def test_a_value_is_one_word_in_every_context(
    contexts: list[tuple[str, str]], groups: tuple[str, str, str]
) -> None:
    # \0 is that of this shell's own text.
    parameters = invocation("\n".join(text for text, _ in contexts), groups)
    expected = "".join(
        groups[int(part)] if part in ("0", "1", "2") else part.replace("|", "\0")
        for _, words in contexts
        for part in re.split(r"\{([012])\}", words)
    )
    for shell in SHELLS:
        ran = run(shell, parameters)
        assert ran.output.decode() == expected, (shell, parameters)
        assert set(ran.created) <= {"out"}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("request_", ["", "x y*", "-n", "'\"\\$(touch X)"])
def test_each_context_by_itself(shell: str, context: tuple[str, str], request_: str) -> None:
    text, words = context
    ran = run(shell, invocation(text, [request_] * 3))
    expected = re.sub(r"\{[012]\}", lambda _: request_, words.replace("|", "\0"))
    assert (ran.output.decode(), set(ran.created) - {"out"}) == (expected, set())


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ["a b", "*", "-n", "~", "$(touch X)", "'\"", "a\nb", "&1", ">x"])
def test_a_redirection_s_target_is_one_name(shell: str, name: str) -> None:
    text = r"echo a > \1; echo b >> \1; cat < \1 2>&1"
    ran = run(shell, invocation(text, ["", name]))
    assert (ran.created, ran.output) == ([name], b"a\nb\n")


def test_expressions_are_loaded_with_the_first_pattern_only() -> None:
    code = (
        "import sys; from pushcli.whitelist.entry import parse;"
        "from pushcli.whitelist.match import find;"
        "e = parse('a', 'b', local=True); find({'a': e}, 'x'); print('re2' in sys.modules);"
        "parse('/a/', 'b', local=True); print('re2' in sys.modules, 'cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]
