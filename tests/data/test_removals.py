"""removed.jsonl: what it says, what it may not say, and that no line is ever lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorize.data.removals import NONE, Removal, Removals, add_removals, read_removals

A, B = "a" * 64, "0123456789abcdef" * 4
PLACE = ("landscapes", "a/b.jpg")


def test_content_goes_under_any_name_and_a_place_whatever_lies_there(tmp_path: Path) -> None:
    path = tmp_path / "removed.jsonl"
    lines = [{"id": A.upper()}, {"dataset": "landscapes", "path": "a/b.jpg", "id": B}]
    path.write_text("\n" + "\n\n".join(map(json.dumps, lines)), encoding="utf-8")
    removals = read_removals(path)
    assert removals == Removals(frozenset({A, B}), frozenset({PLACE}))
    assert removals.cover("other", "x.jpg", A)
    assert removals.cover("other", "x.jpg", B)
    assert removals.cover(*PLACE, None)
    assert removals.cover(*PLACE, "c" * 64)
    assert not removals.cover("other", "a/b.jpg", "c" * 64)
    assert not removals.cover("landscapes", "a/b.jpeg", None)


def test_nothing_removed_covers_nothing(tmp_path: Path) -> None:
    (tmp_path / "removed.jsonl").touch()
    assert read_removals(tmp_path / "removed.jsonl") == NONE
    assert not NONE.cover("", "", None)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('["id"]', "no object of texts"),
        ('{"id": 7}', "no object of texts"),
        ('{"id": null}', "no object of texts"),
        ('{"id": ""}', "no object of texts"),
        ("{}", "nothing alone names no photo"),
        ('{"dataset": "a"}', "dataset alone names no photo"),
        ('{"path": "a", "id": "' + A + '"}', "id, path alone names no photo"),
        ('{"id": "' + A + '", "why": "asked"}', "unknown key 'why'"),
        ('{"id": "' + A[1:] + '"}', "is no id"),
        ('{"id": "g' + A[1:] + '"}', "is no id"),
        ('{"id": "' + A + '\\n"}', "is no id"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_allowed(tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "removed.jsonl"
    path.write_text(json.dumps({"id": A}) + "\n\n" + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 3") as caught:
        read_removals(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert 'a line is {"id"' in str(caught.value)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="line 3"):
        add_removals(path, [Removal(B)])
    assert path.read_bytes() == before


def test_a_missing_file_brings_nothing_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"git checkout removed\.jsonl"):
        read_removals(tmp_path / "removed.jsonl")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "removed.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_removals(tmp_path / "removed.jsonl")


def test_adding_appends_once_and_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "removed.jsonl"
    path.write_text('{"id":"' + A + '"}', encoding="utf-8")  # by hand, without a newline
    first = Removal(B, PLACE)
    assert add_removals(path, [Removal(A), first, first, Removal(place=PLACE), Removal(B)]) == [first]
    again = path.read_bytes()
    assert again == ('{"id":"' + A + '"}\n{"dataset": "landscapes", "path": "a/b.jpg", "id": "' + B + '"}\n').encode()
    assert add_removals(path, [first]) == []
    assert path.read_bytes() == again
    assert [one.name for one in tmp_path.iterdir()] == ["removed.jsonl"]


def test_a_wrong_id_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "removed.jsonl"
    path.touch()
    with pytest.raises(ValueError, match="is no id"):
        add_removals(path, [Removal(A), Removal("deadbeef")])
    assert path.read_bytes() == b""


@given(
    st.lists(
        st.tuples(st.text("\u2028\n\r\x00/\u202eä\U0001f600a", min_size=1), st.text("\n\u2029b/", min_size=1)),
        max_size=8,
    )
)
def test_any_name_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, places: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("removals") / "removed.jsonl"
    for place in places:
        add_removals(path, [Removal(place=place)])
    path.touch()
    assert read_removals(path).paths == frozenset(places)
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(set(places))


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from colorize.data.removals import Removal, add_removals\n"
        "for i in range(25): add_removals(Path('removed.jsonl'), [Removal(f'{int(sys.argv[1]) * 100 + i:064x}')])"
    )
    command = [sys.executable, "-c", program]
    writers = [subprocess.Popen([*command, str(number)], cwd=tmp_path) for number in range(4)]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 4
    assert len(read_removals(tmp_path / "removed.jsonl").ids) == 100


def test_remarks_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "removed.jsonl"
    path.write_text("# why this file is here\n")
    assert read_removals(path) == NONE
    assert len(add_removals(path, [Removal(id="a" * 64)])) == 1
    assert path.read_text() == "# why this file is here\n" + json.dumps({"id": "a" * 64}) + "\n"
    assert read_removals(path).ids == {"a" * 64}
