"""The files a deployment is made of, and what they start."""

import re
from importlib.util import find_spec
from pathlib import Path

from enablebot.cli import _parser

ROOT = Path(__file__).parents[3]
SERVER = ROOT / "docs" / "deploy" / "server"

_PYTHON = re.compile(r"(?:^|/)python3?(?:\.\d+)?$")


def insist_startable(command: list[str]) -> None:
    """Fail unless `python -m …` names a module of ours that can be run, with arguments it takes."""
    while command and (command[0] == "/usr/bin/env" or "=" in command[0]):
        command = command[1:]
    assert len(command) >= 3, command
    python, flag, module, *arguments = command
    assert _PYTHON.search(python), command
    assert flag == "-m", command
    if module == "enablebot":
        # argparse ends the process, and with it the test, where the command is unknown.
        _parser().parse_args(arguments)
        return
    found = find_spec(module)
    assert found is not None, f"{module} does not exist"
    assert found.origin is not None
    assert 'if __name__ == "__main__":' in Path(found.origin).read_text(), f"{module} cannot be run"
