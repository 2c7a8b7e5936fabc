"""What a mutant is, and how it is planted into a copy of the tree."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_REMEDY = "Correct the list in enablebot/tests/mutants/bugs/."


class NotPlantable(Exception):
    """The list is out of date: the mutant would change nothing, or something else than it says."""


@dataclass(frozen=True)
class Change:
    """`old`, which `file` holds exactly once, becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A bug worth catching: its changes together, and the tests of which each must turn red.

    A test is named as pytest names it, with or without its parameters; without, one of its cases is enough.
    """

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]

    def planted(self, tree: Path) -> Mapping[str, str]:
        """The text of each file with the bug in it; raises NotPlantable."""
        texts: dict[str, str] = {}
        for change in self.changes:
            path = tree / change.file
            text = texts.get(change.file) or (path.read_text(encoding="utf-8") if path.is_file() else "")
            found = text.count(change.old)
            if found != 1 or change.old == change.new:
                why = f"it holds its old text {found} times" if path.is_file() else "there is no such file"
                raise NotPlantable(f"“{self.name}” no longer applies to {change.file}: {why}. {_REMEDY}")
            texts[change.file] = text.replace(change.old, change.new)
        return texts

    def check(self, tree: Path) -> None:
        """Raise NotPlantable unless every change would change what it says, into something that makes sense.

        A name that nobody knows turns every test red, and says nothing about the bug.
        """
        for file, text in self.planted(tree).items():
            if not file.endswith(".py"):
                continue
            looked = subprocess.run(
                [sys.executable, "-m", "ruff", "check", "--isolated", "--quiet", "--select=F821", "-"],
                input=text,
                capture_output=True,
                text=True,
                check=False,
            )
            if looked.returncode != 0:
                raise NotPlantable(f"“{self.name}” makes no sense in {file}: {looked.stdout}{looked.stderr}{_REMEDY}")

    def plant(self, tree: Path) -> None:
        """Put the bug into a tree; raises NotPlantable."""
        for file, text in self.planted(tree).items():
            (tree / file).write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class ToCome:
    """A bug whose room is not built yet, and the issue that builds it."""

    name: str
    issue: str


def copy_tree(source: Path, target: Path) -> None:
    """Copy what git knows, and what it would take: no caches, no data, no environments."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.split("\0"):
        # A file that was deleted and not committed yet is still listed.
        if name and (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
