"""The made-up app that the sandbox plays: its client id and secrets, generated once and kept in the data directory."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SandboxCredentials:
    """What Slack's app page would show, for the played Slack."""

    client_id: str
    client_secret: str = field(repr=False)
    signing_secret: str = field(repr=False)


def sandbox_credentials(data_dir: Path) -> SandboxCredentials:
    """Read them from `<data_dir>/sandbox-app.json` (0600), or generate that file.

    Two processes that generate at the same time agree: the file appears whole, and the first one wins.
    """
    path = data_dir / "sandbox-app.json"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        fresh = SandboxCredentials(
            client_id=f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}",
            client_secret=secrets.token_hex(16),
            signing_secret=secrets.token_hex(16),
        )
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(fresh)))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return SandboxCredentials(**json.loads(path.read_text()))
