"""Every number that comes from outside has a range where it is read, found in the definitions."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import click
import msgspec
import pytest
from msgspec import inspect

import pushcli.protocol
import pushcli_server.rest
from pushcli.terminal import params
from pushcli.whitelist import statements
from pushcli_agent.config import AgentSettings
from pushcli_agent.link import config_answer
from tests.support.commands_tree import all_commands

UNBOUNDED = {
    # The old server's REST takes numbers and texts through `job_request`, which has its own.
    ("RunSpec", "run_timeout"): "rest.job_request checks it; whoever else makes one is ours",
    ("Commit", "run_timeout"): "a float; the agent's supervisor compares it only",
    ("Outcome", "exit_code"): "made from messages that have ranges, and by our supervisor",
    ("Outcome", "signal"): "as exit_code",
    ("Outcome", "started_at"): "as exit_code",
    ("Outcome", "ended_at"): "as exit_code",
    ("Outcome", "stdout_size"): "as exit_code",
    ("Outcome", "stderr_size"): "as exit_code",
    ("Outcome", "stdout_dropped"): "as exit_code",
    ("Outcome", "stderr_dropped"): "as exit_code",
    ("Outcome", "stdout_cut_at"): "as exit_code",
    ("Outcome", "stderr_cut_at"): "as exit_code",
    ("SignedHeaders", "signed_at"): "refused where it is far from the server's clock",
    ("Signed", "version"): "made from a body that has the range",
    ("PublicNumbers", "modulus"): "of a key, whose bits are counted",
    ("PublicNumbers", "exponent"): "of a key, whose bits are counted",
}
"""Numbers without a range, and why that is good."""


def modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def structs() -> Iterator[type[msgspec.Struct]]:
    seen: dict[type[msgspec.Struct], None] = {}
    for package in (pushcli.protocol, pushcli_server.rest):
        for module in modules(package):
            for value in vars(module).values():
                if (
                    isinstance(value, type)
                    and issubclass(value, msgspec.Struct)
                    and value.__module__.startswith(package.__name__)
                ):
                    seen[value] = None
    seen |= dict.fromkeys((AgentSettings, config_answer._Answer, config_answer._Heartbeat))
    seen |= dict.fromkeys(
        value
        for value in vars(statements).values()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value is not msgspec.Struct
    )
    yield from seen


def numbers(kind: inspect.Type) -> Iterator[inspect.IntType | inspect.FloatType]:
    match kind:
        case inspect.IntType() | inspect.FloatType():
            yield kind
        case inspect.UnionType(types):
            for each in types:
                yield from numbers(each)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            yield from numbers(item)
        case inspect.DictType(value_type=value):
            yield from numbers(value)


FIELDS = [
    (struct, field)
    for struct in structs()
    for field in inspect.type_info(struct).fields  # type: ignore[attr-defined]
    if list(numbers(field.type))
]


def test_there_are_numbers_to_look_at() -> None:
    assert len(FIELDS) > 20


@pytest.mark.parametrize(
    ("struct", "field"), FIELDS, ids=[f"{struct.__name__}.{field.name}" for struct, field in FIELDS]
)
def test_every_number_of_a_message_or_body_has_both_bounds(
    struct: type[msgspec.Struct], field: inspect.Field
) -> None:
    if (struct.__name__, field.name) in UNBOUNDED:
        return
    for number in numbers(field.type):
        low = number.ge if number.gt is None else number.gt
        high = number.le if number.lt is None else number.lt
        assert low is not None, "it has no lower bound"
        assert high is not None, "it has no upper bound"


def test_no_exception_is_listed_that_is_none() -> None:
    assert UNBOUNDED.keys() <= {(struct.__name__, field.name) for struct, field in FIELDS}


PARAMETERS = {
    f"{' '.join(path)} {(parameter.opts or [parameter.name])[0]}".strip(): parameter
    for path, command in all_commands()
    for parameter in command.params
    if not getattr(parameter, "count", False)
}
"""But for those that are counted: `-VV`."""


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_number_on_the_command_line_has_a_range(name: str) -> None:
    parameter = PARAMETERS[name]
    match parameter.type:
        case click.IntRange() | click.FloatRange() as kind:
            assert kind.min is not None
            assert kind.max is not None
        case kind:
            assert not isinstance(kind, click.types.IntParamType | click.types.FloatParamType), (
                "give it a range"
            )


HUGE: list[Any] = ["9" * 400, "1e400", "-1", "nan", "inf", "99999999999999999999"]


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("kind", [params.Seconds(), params.Duration(), params.Moment()])
def test_lengths_of_time_have_a_range(kind: click.ParamType[float], value: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(value, None, None)
