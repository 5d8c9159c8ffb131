"""Who signed an entry, on our server, of nodes whose agents never told what is in force."""

import json

from pushcli.sandbox.sandbox import ADMIN
from tests.integration.cli.operated import Operated


def test_a_value_that_was_changed_otherwise_has_no_signer_any_more(operated: Operated) -> None:
    operated.ok("client", "create", "silent", "--key-file", "silent.pem")
    operated.fleet.api.post("nodes", {"name": "silent"})
    operated.ok("whitelist", "add", "ntp", "ntpdate", "silent")
    assert ADMIN in operated.ok("whitelist", "show", "silent", "ntp")
    entry = operated.json("whitelist", "show", "silent", "ntp")["entry"]
    assert (entry["signer"], entry["signature"]) == (ADMIN, "holds")
    content = operated.fleet.api.get("nodes/silent")
    content["normal"]["push_jobs"]["whitelist"]["ntp"] = "rm -rf /"
    operated.fleet.api.put("nodes/silent", content)
    out = operated.ok("whitelist", "show", "silent", "ntp")
    assert "not reported, unsigned: changed since it was signed\n" in out
    assert ADMIN not in out
    assert json.dumps("does not match") in operated.ok(
        "whitelist", "show", "silent", "ntp", "-F", "json"
    )
