"""The secrets that development makes for itself, once, so that a first start needs no configuration."""

import os
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from enablebot.config.envfile import read_env_file
from enablebot.shared.encryption.keyring import generate_master_key
from enablebot.shared.errors import SettingsError

_NAMES = ("ENCRYPTION_KEYS", "SESSION_SECRET")


def development_secrets(data_dir: Path) -> Mapping[str, str]:
    """ENCRYPTION_KEYS and SESSION_SECRET of this machine, made on the first call and the same ever after.

    Any number of processes may call it at once: the file appears whole under its name or not at all,
    and whoever comes second reads the first one's.
    """
    path = data_dir / "development.env"
    try:
        if not path.exists():
            _publish(path, _generate())
        path.chmod(0o600)
        found = read_env_file(path).values
    except OSError as error:
        reason = re.sub(r"\W+$", "", error.strerror or "it failed")
        raise SettingsError(
            [f"ENABLEBOT_DATA_DIR: development keys cannot be kept in {path} ({reason}). Name a writable directory."]
        ) from error
    if not all(found.get(name) for name in _NAMES):
        raise SettingsError(
            [
                f"{path} is damaged: it should hold {' and '.join(_NAMES)}. "
                "Restore it; or delete it, and what was sealed with it is lost."
            ]
        )
    return {name: found[name] for name in _NAMES}


def _generate() -> str:
    return (
        "# Made by EnableBot for development on this machine. Without it, what it sealed cannot be read again.\n"
        f"ENCRYPTION_KEYS={generate_master_key(datetime.now(UTC).date())}\n"
        f"SESSION_SECRET={secrets.token_urlsafe(32)}\n"
    )


def _publish(path: Path, text: str) -> None:
    """Let the finished file appear under its name, unless another process was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A hard link refuses to replace what is there, which a rename would not.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
