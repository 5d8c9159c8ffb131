"""What was learned counts for so long, and there is no more of it than there is room for."""

from pushcli_server.chef.kept import Kept


def test_what_was_learned_has_an_age() -> None:
    kept: Kept[str, int] = Kept(10)
    assert kept.find("a") is None
    kept.put("a", 1, 100.0)
    found = kept.find("a")
    assert found is not None
    assert found.value == 1
    assert (found.is_within(5.0, 105.0), found.is_within(5.0, 105.1)) == (True, False)


def test_what_was_asked_for_longest_ago_goes() -> None:
    kept: Kept[str, int] = Kept(2)
    kept.put("a", 1, 0.0)
    kept.put("b", 2, 0.0)
    kept.find("a")
    kept.put("c", 3, 0.0)
    assert (kept.find("b"), len(kept)) == (None, 2)
    assert kept.find("a") is not None


def test_nothing_is_left_of_what_is_forgotten() -> None:
    kept: Kept[str, int] = Kept(2)
    kept.put("a", 1, 0.0)
    kept.forget()
    assert kept.find("a") is None
