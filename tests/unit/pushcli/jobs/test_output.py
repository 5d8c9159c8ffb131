from pushcli.jobs.output import Alike, Outputs, alike, as_data, block


def one(node: str, words: str, outputs: Outputs) -> Alike:
    return Alike([node], words, words, outputs)


def test_each_channel_stands_under_a_heading_of_its_own() -> None:
    lines = block(one("web01", "failed, exit code 3", {"stdout": b"a\n\nb", "stderr": b"c\n"}))
    assert lines == ["web01 (failed, exit code 3)", "  a", "", "  b", "web01 stderr", "  c"]


def test_a_command_that_wrote_nothing_is_said_to() -> None:
    assert block(one("web01", "succeeded", {"stdout": b"", "stderr": b""})) == [
        "web01 (succeeded): no output"
    ]
    assert block(one("web01", "succeeded", {})) == ["web01 (succeeded)"]
    lost = one("web01", "succeeded", {})._replace(missing="no output arrived")
    assert block(lost) == ["web01 (succeeded): no output arrived"]


def test_the_same_output_stands_once_under_all_its_nodes() -> None:
    group = Alike(
        [f"web{n:02}" for n in range(1, 19)], "failed", "failed, exit code 1", {"stderr": b"x"}
    )
    assert block(group) == [
        "web[01-18] (18 failed, exit code 1)", "web[01-18] stderr", "  x",
    ]  # fmt: skip


def test_nodes_are_alike_in_state_words_and_every_byte() -> None:
    same, other = {"stdout": b"a", "stderr": b""}, {"stdout": b"a\n", "stderr": b""}
    swapped = {"stdout": b"", "stderr": b"a"}
    groups = alike([
        Alike(["f1"], "failed", "failed, exit code 1", same),
        Alike(["n1"], "succeeded", "succeeded", other),
        Alike(["f2"], "failed", "failed, exit code 2", same),
        Alike(["n2"], "succeeded", "succeeded", dict(same)),
        Alike(["n3"], "succeeded", "succeeded", same),
        Alike(["f3"], "failed", "failed, exit code 2", dict(same)),
        Alike(["n4"], "succeeded", "succeeded", swapped),
        Alike(["n5"], "succeeded", "succeeded", {}),
    ])  # fmt: skip
    # What failed and what is rare is last.
    assert [group.nodes for group in groups] == [
        ["n2", "n3"], ["n1"], ["n4"], ["n5"], ["f2", "f3"], ["f1"],
    ]  # fmt: skip


def test_programs_get_text_where_it_is_text_and_base64_where_it_is_not() -> None:
    assert as_data({"stdout": "é\x1b".encode(), "stderr": b"\xff"}) == {
        "stdout": "é\x1b",
        "stderr_base64": "/w==",
    }
