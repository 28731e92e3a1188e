import os

import pytest

from simnb._files import replace_whole


def test_the_new_file_takes_the_place_of_the_old_one_in_one_step(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("before")
    with replace_whole(path) as part:
        part.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["kept.txt"]


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_what_was_there_is_unchanged_after_an_exception_and_nothing_else_is_left(tmp_path, exception):
    path = tmp_path / "kept.txt"
    path.write_text("before")

    def write_half():
        with replace_whole(path) as part:
            part.write_text("half")
            raise exception("half-way")

    with pytest.raises(exception, match="half-way"):
        write_half()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["kept.txt"]


def test_a_block_that_writes_nothing_is_an_error_and_no_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="part"), replace_whole(tmp_path / "kept.txt"):
        pass
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_removed_after_a_day_and_what_another_writes_stays(tmp_path):
    left, written = tmp_path / ".kept.txt.0123abcd.part", tmp_path / ".kept.txt.4567abcd.part"
    for path in (left, written):
        path.write_text("half")
    os.utime(left, (0, 0))
    with replace_whole(tmp_path / "kept.txt") as part:
        part.write_text("after")
    assert sorted(os.listdir(tmp_path)) == [written.name, "kept.txt"]
