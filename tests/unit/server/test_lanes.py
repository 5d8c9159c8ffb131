"""Which questions are put where: those that grow have threads and a time limit of their own."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3] / "server/pushcli_server"
QUICK = {
    "identity_reads.client": "one client",
    "identity_reads.client_exists": "one client",
    "identity_reads.group_exists": "one group",
    "identity_reads.is_associated": "one user",
    "identity_reads.is_member": "one member, by an index",
    "identity_reads.keys": "of one name, which has at most a few",
    "identity_reads.organization_exists": "one organization",
    "identity_reads.candidates": "one name",
    "identity_reads.token": "one token",
    "identity_reads.user": "one user",
    "identity_reads.user_exists": "one user",
    "identity_reads.client_keys": "of one name",
    "identity_reads.session_salt": "one client",
    "identity_reads.allows_chef": "at the start",
    "chef_nodes.of_nodes": "one node: asked with one name",
    "whitelist_reads.of_nodes": "one node: asked with one name",
    "reads.nothing": "nothing",
    "reads.job": "one job",
    "reads.is_own_job": "one job",
    "reads.job_by_request": "one job, by an index",
    "reads.job_node": "one node of one job",
    "reads.is_heir": "one client and one job",
    "signatures.find": "one signature",
    "signatures.since": "at the start",
    "reads.nodes": "at the start, before anybody is served",
    "identity_reads.session_salts": "at the start",
    "brake_reads.freezes": "at the start",
    "brake_reads.pauses": "at the start",
    "reads.live_jobs": "at the start",
    "reads.live_job": "at the start",
    "reads.feed_events": "at the start",
}
"""What `Store.ask` may be asked, and why it does not grow with what is stored."""


def asked() -> Iterator[tuple[str, str]]:
    """Of each call of `ask` on a store or its readers: on what, and the question."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".ask"):
                on = ast.unparse(node.func).removesuffix(".ask")
                if "store" in on or "_questions" in on:
                    yield on, ast.unparse(node.args[0])


def test_only_questions_that_do_not_grow_are_put_where_everybody_waits() -> None:
    found = {
        question for on, question in asked() if on.rpartition(".")[2] not in {"lists", "searches"}
    }
    assert found - {"query"} == QUICK.keys()


def test_the_others_have_a_limit() -> None:
    limited = {question for on, question in asked() if on.endswith((".lists", ".searches"))}
    assert {"search.names", "reads.audit", "_page", "chef_nodes.names"} <= limited
    assert not limited & {"identity_reads.candidates", "identity_reads.is_member"}
