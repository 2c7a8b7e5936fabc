"""As whom the embedded Postgres runs: it refuses to run as root."""

import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from enablebot.shared.errors import DatabaseError

_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Unprivileged:
    """A way to run a program without being root: by a prefix, by a change of user, or as we are."""

    prefix: tuple[str, ...] = ()
    user: int | None = None

    @property
    def owners(self) -> frozenset[int]:
        """Who may own the server's files."""
        me = os.getuid() if sys.platform != "win32" else 0
        return frozenset({me} if self.user is None else {me, self.user})

    def run(self, command: list[str], *, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; what it printed is in stdout."""
        return subprocess.run(  # noqa: S603 - our own binaries
            [*self.prefix, *command],
            env=environment,
            cwd="/" if sys.platform != "win32" else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
        )

    def take_over(self, path: Path) -> None:
        """Make a file or directory belong to the account."""
        if self.user is not None:
            os.chown(path, self.user, self.user)

    def insist_on_reaching(self, path: Path) -> None:
        """Raise DatabaseError when another user than ours could not get to a directory that ours can."""
        if self.user is None:
            return
        for step in (path, *path.parents):
            if not step.stat().st_mode & stat.S_IXOTH:
                raise DatabaseError(
                    f"Postgres refuses to run as root, and user `nobody` may not enter {step}. Run EnableBot as an "
                    "ordinary user, move it and ENABLEBOT_DATA_DIR to where everybody may pass, or set DATABASE_URL."
                )


@cache
def find_unprivileged() -> Unprivileged:
    """Choose how to run Postgres: as we are; as root in a user namespace, where files stay root's; else as `nobody`."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return Unprivileged()
    unshare = shutil.which("unshare")
    if unshare is not None:
        prefix = (unshare, "--user", f"--map-user={_NOBODY}", "--")
        if Unprivileged(prefix=prefix).run(["true"], environment=dict(os.environ)).returncode == 0:
            return Unprivileged(prefix=prefix)
    return Unprivileged(user=_NOBODY)
