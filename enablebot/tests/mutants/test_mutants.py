"""The judge of mutants is judged: what survives is told, and nothing passes for caught that saw no bug."""

import asyncio
import fcntl
import subprocess
from pathlib import Path

import pytest

from enablebot.tests.mutants.__main__ import ROOT, examine, main
from enablebot.tests.mutants.bugs import MUTANTS, TO_COME
from enablebot.tests.mutants.judging import run_tests
from enablebot.tests.mutants.mutant import Change, Mutant, NotPlantable, ToCome, copy_tree

pytestmark = pytest.mark.anyio

_SUM = "def add(a, b):\n    return a + b\n"
_TESTS = """
import pytest
from sums import add

def test_adds():
    assert add(2, 2) == 4

@pytest.mark.parametrize("other", [0, 1])
def test_adds_each(other):
    assert add(2, other) == 2 + other

def test_looks_away():
    assert add

def test_skips_what_is_odd():
    if add(2, 2) != 4:
        pytest.skip("odd")

@pytest.fixture
def four():
    assert add(2, 2) == 4

def test_has_a_fixture(four):
    pass
"""

_HANGING = """
import fcntl, subprocess

def test_hangs():
    with open("alive", "w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        subprocess.Popen(["sleep", "600"], pass_fds=[alive.fileno()]).wait()
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of two files that git would take, and one that it would not; its tests need none of our plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "sums.py").write_text(_SUM)
    (tmp_path / "test_sums.py").write_text(_TESTS)
    (tmp_path / ".gitignore").write_text("cache\n")
    (tmp_path / "cache").write_text("stale")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def difference(*tests: str, old: str = "a + b", new: str = "a - b") -> Mutant:
    return Mutant("difference", (Change("sums.py", old, new),), tuple(f"test_sums.py::{test}" for test in tests))


async def test_a_mutant_that_its_tests_notice_is_caught_and_the_tree_is_left_alone(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    caught = difference("test_adds", "test_adds_each", "test_adds_each[1]")
    assert await examine([caught], [ToCome("quotient", "with division")], source=tree) == 0
    table = capsys.readouterr().out.splitlines()
    assert "difference  caught    3 of 3 tests red" in table[1]
    assert table[2].split(maxsplit=1) == ["quotient", "to come   with division"]
    assert table[-1] == "1 caught, 0 survived, 1 to come."
    assert (tree / "sums.py").read_text() == _SUM


async def test_a_mutant_survives_unless_every_test_it_names_fails_by_itself(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = ("test_looks_away", "test_skips_what_is_odd", "test_has_a_fixture")
    unimportable = Mutant(
        "unimportable", (Change("sums.py", "def add", "import nowhere\n\ndef add"),), ("test_sums.py::test_adds",)
    )
    assert await examine([difference("test_adds", *blind), unimportable], [], source=tree) == 1
    said = capsys.readouterr().out
    assert "difference    SURVIVED  1 of 4 tests red" in said
    assert [f"test_sums.py::{each}" in said for each in blind] == [True] * 3
    assert "unimportable  SURVIVED  0 of 1 tests red" in said
    assert said.endswith("0 caught, 2 survived, 0 to come.\n")


async def test_a_mutant_whose_tests_are_red_or_missing_anyway_is_not_judged_which_is_an_error(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "test_sums.py").write_text(
        _TESTS.replace("assert add(2, 2) == 4\n\n@pytest.mark", "assert 0\n\n@pytest.mark")
    )
    assert await examine([difference("test_adds"), difference("test_adds_each")], [], source=tree) == 2
    said = capsys.readouterr().out
    assert "red      test_sums.py::test_adds" in said
    assert said.count("difference  NOT JUDGED") == 1
    assert said.endswith("1 caught, 0 survived, 1 not judged, 0 to come.\n")
    # pytest then runs none of them.
    assert await examine([difference("test_that_is_gone"), difference("test_adds_each")], [], source=tree) == 2
    said = capsys.readouterr().out
    assert "missing  test_sums.py::test_that_is_gone" in said
    assert said.endswith("0 caught, 0 survived, 2 not judged, 0 to come.\n")


@pytest.mark.slow
async def test_tests_that_hang_have_seen_nothing_and_leave_no_process_behind(tree: Path) -> None:
    (tree / "test_sums.py").write_text(_HANGING)
    run = await run_tests(["test_sums.py::test_hangs"], tree, patience_seconds=15)
    assert run.colours == {"test_sums.py::test_hangs": "missing"}
    assert "did not end" in run.output
    with (tree / "alive").open() as alive:
        # Held as long as one of them lives.
        await asyncio.wait_for(asyncio.to_thread(fcntl.flock, alive, fcntl.LOCK_EX), 20)


@pytest.mark.parametrize("old", ["a * b", "a", "a + b"])
async def test_an_old_text_that_is_not_there_exactly_once_is_an_error(
    tree: Path, capsys: pytest.CaptureFixture[str], old: str
) -> None:
    stale = difference("test_adds", old=old, new="a + b")
    assert await examine([difference("test_adds"), stale], [], source=tree) == 2
    said = capsys.readouterr().out
    assert "no longer applies to sums.py" in said
    assert "bugs" in said


@pytest.mark.parametrize("new", ["a - unknown", "a +"])
async def test_a_mutant_that_makes_no_sense_is_an_error(
    tree: Path, capsys: pytest.CaptureFixture[str], new: str
) -> None:
    assert await examine([difference("test_adds", new=new)], [], source=tree) == 2
    assert "makes no sense in sums.py" in capsys.readouterr().out


def test_a_file_that_is_gone_is_an_error(tree: Path) -> None:
    (tree / "sums.py").unlink()
    with pytest.raises(NotPlantable, match="no such file"):
        difference("test_adds").plant(tree)


def test_only_what_git_would_take_is_copied(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = tmp_path_factory.mktemp("copy")
    copy_tree(tree, copy)
    assert sorted(path.name for path in copy.iterdir()) == [".gitignore", "sums.py", "test_sums.py"]


def test_an_unknown_mutant_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "nothing of the kind"]) == 2
    assert MUTANTS[0].name in capsys.readouterr().out


# The list itself


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_of_the_list_still_applies_and_names_tests_that_are_there(mutant: Mutant) -> None:
    mutant.check(ROOT)
    assert mutant.tests
    for test in mutant.tests:
        path, name = test.split("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8"), test


def test_names_are_given_once() -> None:
    names = [mutant.name for mutant in MUTANTS] + [entry.name for entry in TO_COME]
    assert len(names) == len(set(names))
