"""The page docs/how-to/rest-api.md, pasted into a shell as it stands, against a real api behind a real port."""

import asyncio
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from enablebot.api.main import create_app
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import EnableBotError
from enablebot.tests.api.rest.callers import settings
from enablebot.tests.api.serving import served
from enablebot.tests.api.slack_side import install
from enablebot.tests.deploy.files import ROOT

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="the page is for bash and curl"),
]

PAGE = ROOT / "docs" / "how-to" / "rest-api.md"
BLOCK = re.compile(r"(?m)^```(sh|json)\n(.*?)^```$", re.DOTALL)


@dataclass
class Step:
    """Something to paste, and what the page says comes back."""

    script: str
    answer: Any = None


def steps() -> list[Step]:
    found: list[Step] = []
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if kind == "sh":
            found.append(Step(text))
        else:
            found[-1].answer = json.loads(text)
    return found


class Shell:
    """A directory in which one step sees the files and variables of those before."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self._directory = directory
        self._environ = environ

    async def paste(self, script: str) -> str:
        whole = (
            f"set -eu -o pipefail; [ ! -f state ] || . ./state; {script}\ndeclare -p KEY URL ID > state 2>&- || true"
        )
        running = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            whole,
            cwd=self._directory,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            said, complaints = await running.communicate()
        assert running.returncode == 0, f"{script}\n{said.decode()}\n{complaints.decode()}"
        return said.decode()


def alike(said: Any, written: Any, at: str = "") -> None:
    """The same members in the same order with values of the same kind; short words as they are written."""
    if isinstance(written, dict):
        assert list(said) == list(written), at
        for name in written:
            alike(said[name], written[name], f"{at}.{name}")
    elif isinstance(written, list):
        assert len(said) == len(written), at
        for one, other in zip(said, written, strict=True):
            alike(one, other, f"{at}[]")
    elif isinstance(written, float):
        assert isinstance(said, int | float), at
    elif not (at.endswith(("id", "_at", "_by", "instance"))):
        assert said == written, at


async def test_every_example_of_the_page_works_and_answers_as_it_says(
    api_database: Database, api_url: str, web_url: str, tmp_path: Path
) -> None:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    # Not a link: this interpreter finds its packages by its own place.
    (binaries / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (binaries / "python").chmod(0o755)
    api = create_app(settings(), database=api_database)
    async with served(api) as url:
        await install(api.services.installations, "T0SANDBOX1")
        environ = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "ENVIRONMENT": "test",
            "DATABASE_URL": web_url,
            "HOME": str(tmp_path),
        }
        shell = Shell(tmp_path, environ)
        answered = 0
        for step in steps():
            said = await shell.paste(step.script.replace("http://localhost:8001", url))
            if step.answer is not None:
                alike(json.loads(said), step.answer)
                answered += 1
        assert answered == 4


def test_the_page_names_every_code_there_is_and_no_other() -> None:
    written = set(
        re.findall(r"`([a-z_]+)`", "".join(line for line in PAGE.read_text().splitlines() if line.startswith("| 4")))
    )

    def kinds(kind: type[EnableBotError]) -> set[type[EnableBotError]]:
        return {kind}.union(*(kinds(each) for each in kind.__subclasses__()))

    known = {kind.code for kind in kinds(EnableBotError)} | {"unauthorized", "invalid_request"}
    assert written <= known
    rest = {kind.code for kind in kinds(EnableBotError) if kind.__module__.startswith("enablebot.api.rest")}
    # Nobody hears that one, and that one is told by 503.
    assert rest - {"sender_left", "unavailable"} <= written
