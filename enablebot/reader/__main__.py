"""The reader child: `python -I …/reader/__main__.py`, fed on stdin, heard on stdout; see `reading.answer`."""

import sys
from pathlib import Path

if __package__ in {None, ""}:  # run as a file: the package lies two directories up, and -I puts nothing on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from enablebot.reader.walls import WallsMissing, find_gap, leave_the_house, raise_walls, set_limits

_MEMORY = 512 * 1024 * 1024


def main() -> None:
    """Read what stdin brings; with --walls only say, in one line, why this machine cannot wall a reader in."""
    leave_the_house()
    if sys.argv[1:] == ["--walls"]:
        set_limits(memory=_MEMORY, seconds=10)
        try:
            raise_walls()
            gap = find_gap()
        except WallsMissing as missing:
            gap = str(missing)
        sys.stdout.write(f"{gap or ''}\n")
        return
    from enablebot.reader.reading import answer

    answer(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
