"""One word for one thing, and messages as a native operator would write them."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGES = ("pushcli", "pushcli_server", "pushcli_agent")

VERBS = re.compile(r"_*(takes?|taking|tells?|telling|told|says?|saying|said)(_|$)")
"""Beginnings of functions' names that name no act: verify, record, deliver, print_..."""

RULED_OUT = re.compile(
    r"""
    \b(is|are|that's|was)\ no\ (?!longer\b|such\b|more\b)(?<!there\ is\ no\ )(?<!there\ are\ no\ )
    | \b(a|an|value)\ [a-z]+\ that\ is\ no\b
    | \b(nobody|someone|somebody)\ is\ there\b
    | \bnobody's\b
    | \bmend\b
    | \bformer\b
    | \bmakes?\ no\ sense\b
    | \bcounts?\ no\ more\b
    | \banew\b
    | \bany\ more\b
    | \b(does|do|did|will|would)\ not\ count\b
    | \bcan\ be\ had\b
    | \bno\ more\ on\b
    | \blacks\ an?\b
    | \bof\ its\ own\ accord\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""In what operators read."""


@cache
def modules(package: str) -> list[tuple[Path, ast.Module]]:
    """The modules of a package, read but not run."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    files = sorted(Path(found.origin).parent.rglob("*.py"))
    return [(file, ast.parse(file.read_text())) for file in files]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def vague_functions(tree: ast.AST) -> list[str]:
    """Functions that are named take, tell or say something."""
    return [one.name for one in functions(tree) if VERBS.match(one.name)]


def untrue_whethers(tree: ast.AST) -> list[str]:
    """Functions that say whether something is so, and return no boolean."""
    return [
        one.name
        for one in functions(tree)
        if (ast.get_docstring(one) or "").startswith("Whether")
        and not (isinstance(one.returns, ast.Name) and one.returns.id == "bool")
    ]


def names(tree: ast.AST) -> Iterator[str]:
    """Of everything that the code names: what it defines, assigns, imports, passes and uses."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.alias(name=name, asname=other):
                yield from filter(None, (name, other))


def formers(tree: ast.AST) -> list[str]:
    """Names that call the previous one the former one."""
    return [name for name in names(tree) if "former" in re.split(r"[_.]", name.lower())]


def texts(tree: ast.AST, *, helps: bool = False) -> Iterator[str]:
    """String literals without docstrings, which stand alone.

    Args:
        helps: docstrings of decorated functions too: those of commands are their help.
    """
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in alone:
                yield text
    if helps:
        for one in functions(tree):
            if one.decorator_list:
                yield ast.get_docstring(one) or ""


def ruled_out(text: str) -> bool:
    """Whether a text has a phrase that no operator would write; single words are JSON keys."""
    return " " in text.strip() and RULED_OUT.search(text) is not None


def complaints(package: str) -> list[str]:
    """What is wrong in a package, a line each."""
    found = []
    for file, tree in modules(package):
        helps = "commands" in file.parts
        found += [f"{file}: function {name}" for name in vague_functions(tree)]
        found += [f"{file}: {name} says Whether, but is no bool" for name in untrue_whethers(tree)]
        found += [f"{file}: name {name}" for name in formers(tree)]
        found += [f"{file}: {text!r}" for text in texts(tree, helps=helps) if ruled_out(text)]
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_the_code_keeps_to_the_vocabulary(package: str) -> None:
    assert complaints(package) == []


@pytest.mark.parametrize(
    "text",
    [
        "'x' is no node's name", "the value is no string", "nobody is there to agree",
        "mend it there", "The former one expires", "the answer makes no sense",
        "not in force any more", "the token does not count", "only JSON can be had here",
        "'a,' lacks a name",
        "the key counts no more", "edit it anew",
    ],
)  # fmt: skip
def test_phrases_that_no_operator_writes_are_found(text: str) -> None:
    assert ruled_out(text)


@pytest.mark.parametrize(
    "text",
    ["there is no connection", "it is no longer valid", "former", "former_until", "amend it now"],
)
def test_plain_english_and_json_keys_are_let_pass(text: str) -> None:
    assert not ruled_out(text)


def test_what_is_looked_for_in_code_is_found() -> None:
    tree = ast.parse(
        "class A:\n"
        "    def _tell(self, former_key): ...\n"
        "async def said(): ...\n"
        "def tell_all(): ...\n"
        "def untold(): ...\n"
        "def check():\n    'Whether it is so.'\n"
        "def is_so() -> bool:\n    'Whether it is so.'\n"
        "x = f'{x} is no name'\n"
    )
    assert vague_functions(tree) == ["said", "tell_all", "_tell"]
    assert untrue_whethers(tree) == ["check"]
    assert formers(tree) == ["former_key"]
    assert [text for text in texts(tree) if ruled_out(text)] == [" is no name"]


@pytest.mark.parametrize(
    "word",
    [
        "Channel",
        "Job",
        "Whitelist",
        "Whitelists",
        "Conflict",
        "Fleet",
        "Entry",
        "Outcome",
        "RunSpec",
    ],
)
def test_a_word_of_the_trade_names_one_class(word: str) -> None:
    named = [
        f"{file.name}:{node.lineno}"
        for package in PACKAGES
        for file, tree in modules(package)
        for node in ast.walk(tree)
        if (isinstance(node, ast.ClassDef) and node.name == word)
        or (isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == [word])
    ]
    assert len(named) <= 1, named
