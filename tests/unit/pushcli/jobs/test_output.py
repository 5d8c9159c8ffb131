from pushcli.jobs.output import as_data, block


def test_each_channel_stands_under_a_heading_of_its_own() -> None:
    lines = block("web01", "failed, exit code 3", {"stdout": b"a\n\nb", "stderr": b"c\n"})
    assert lines == ["web01 (failed, exit code 3)", "  a", "", "  b", "web01 stderr", "  c"]


def test_a_command_that_wrote_nothing_is_said_to() -> None:
    assert block("web01", "succeeded", {"stdout": b"", "stderr": b""}) == [
        "web01 (succeeded): no output"
    ]


def test_programs_get_text_where_it_is_text_and_base64_where_it_is_not() -> None:
    assert as_data({"stdout": "é\x1b".encode(), "stderr": b"\xff"}) == {
        "stdout": "é\x1b",
        "stderr_base64": "/w==",
    }
