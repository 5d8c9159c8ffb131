"""The type of parameters that are about one node."""

from typing import Any

import click

from pushcli.errors import PushcliError
from pushcli.protocol.names import is_node_name
from pushcli.terminal.params import NodeName


class OneNode(NodeName):
    """A node's name; a set, a glob or a file is refused for being more than one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        text = str(value)
        if not is_node_name(text):
            self.fail(_wrong(text), param, ctx)
        return text


def _wrong(text: str) -> str:
    from pushcli.nodes import targets  # noqa: PLC0415 - rarely needed

    try:
        expression = targets.parse(text)
    except PushcliError as error:
        return str(error)
    if expression.has_glob or expression.files:
        return f"expected one node, got {text!r}"
    try:
        count = len(targets.evaluate(expression, (), {}))
    except PushcliError as error:
        return str(error)
    return f"expected one node, got {count}" if count > 1 else f"write the node's name: {text!r}"
