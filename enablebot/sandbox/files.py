"""Files people upload: what Slack knows of each, its bytes, and the file object that shows it."""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from enablebot.sandbox.clock import Clock
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.world import File, World

_STUB = "check_file_info"
_LARGEST = 1024 * 1024 * 1024
_NAME = 255
_KINDS: Mapping[str, tuple[str, str, str]] = {
    ".pdf": ("pdf", "PDF", "application/pdf"),
    ".docx": ("docx", "Word Document", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ".pptx": (
        "pptx",
        "PowerPoint Presentation",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ".xlsx": ("xlsx", "Excel Spreadsheet", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ".csv": ("csv", "CSV", "text/csv"),
    ".md": ("markdown", "Markdown (raw)", "text/plain"),
    ".txt": ("text", "Plain Text", "text/plain"),
    ".html": ("html", "HTML", "text/html"),
}


@dataclass(slots=True)
class Files:
    """Every upload of a sandbox; bytes lie in `data_dir/files`, or in memory where there is none."""

    world: World
    clock: Clock
    base_url: Callable[[], str]
    data_dir: Path | None = None
    _memory: dict[str, bytes] = field(default_factory=dict)

    def upload(
        self, *, team: str, user: str, name: str, content: bytes, overrides: Mapping[str, Any] | None = None
    ) -> File:
        """Takes a person's file, which nobody but them sees until it is shared; `overrides` change its file object."""
        if self.world.user_in(team, user) is None:
            raise Refused("user_not_found")
        if not name.strip():
            raise Refused("invalid_name")
        if not content and not (overrides or {}).get("is_external"):
            raise Refused("file_upload_size_zero")
        if len(content) > _LARGEST:
            raise Refused("file_too_large")
        file = File(
            id="F0" + secrets.token_hex(5).upper(),
            team=team,
            user=user,
            name=name[:_NAME],
            size=len(content),
            created=int(self.clock.now()),
            overrides=dict(overrides or {}),
        )
        self.world.files[file.id] = file
        self._keep(file.id, content)
        return file

    def share(self, ids: Iterable[str], *, team: str, user: str, channel: str) -> list[str]:
        """Puts a person's own uploads into a conversation; returns their ids. Raises Refused(`file_not_found`)."""
        files = [self.find(file_id, team=team) for file_id in ids]
        if any(file.user != user for file in files):
            raise Refused("file_not_found")
        for file in files:
            if channel not in file.channels:
                file.channels.append(channel)
        return [file.id for file in files]

    def find(self, file_id: str, *, team: str) -> File:
        """A file of this workspace; raises Refused(`file_not_found`)."""
        file = self.world.files.get(file_id)
        if file is None or file.team != team:
            raise Refused("file_not_found")
        return file

    def is_visible(self, file: File, user: str) -> bool:
        """Whether a person or bot is in a conversation that the file was shared in, or uploaded it."""
        return file.user == user or any(user in self.world.channels[channel].members for channel in file.channels)

    def content(self, file: File) -> bytes:
        path = self._path(file.id)
        if path is None:
            return self._memory.get(file.id, b"")
        return path.read_bytes() if path.exists() else b""

    def shared(self, file_id: str) -> dict[str, Any]:
        """The file as a message carries it, which may be a stub that only `files.info` explains."""
        file = self.world.files[file_id]
        if file.overrides.get("file_access") == _STUB:
            return {"id": file.id, "created": file.created, "timestamp": file.created, "file_access": _STUB}
        return self.picture(file)

    def picture(self, file: File) -> dict[str, Any]:
        """The whole file object, as `files.info` gives it."""
        kinds = [self.world.channels[channel] for channel in file.channels]
        suffix = Path(file.name).suffix.lower()
        filetype, pretty, mimetype = _KINDS.get(suffix, (suffix.lstrip(".") or "binary", "Binary", ""))
        mimetype = mimetype or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        place = f"{self.base_url()}/files-pri/{file.team}-{file.id}"
        name = quote(_as_in_urls(file.name))
        picture: dict[str, Any] = {
            "id": file.id,
            "created": file.created,
            "timestamp": file.created,
            "name": file.name,
            "title": file.name,
            "mimetype": mimetype,
            "filetype": filetype,
            "pretty_type": pretty,
            "user": file.user,
            "user_team": file.team,
            "editable": False,
            "size": file.size,
            "mode": "hosted",
            "is_external": False,
            "external_type": "",
            "is_public": any(channel.kind == "channel" for channel in kinds),
            "public_url_shared": False,
            "display_as_bot": False,
            "username": "",
            "url_private": f"{place}/{name}",
            "url_private_download": f"{place}/download/{name}",
            "permalink": f"{self.base_url()}/files/{file.user}/{file.id}/{name}",
            "channels": [channel.id for channel in kinds if channel.kind == "channel"],
            "groups": [channel.id for channel in kinds if channel.kind in ("group", "mpim")],
            "ims": [channel.id for channel in kinds if channel.kind == "im"],
            "has_rich_preview": False,
            "file_access": "visible",
        }
        changed = {name: value for name, value in file.overrides.items() if name != "file_access"}
        return {name: value for name, value in (picture | changed).items() if value is not None}

    def forget(self) -> None:
        """Throws the bytes away; what was known of them goes with the world."""
        self._memory.clear()
        if self.data_dir is not None:
            for path in (self.data_dir / "files").glob("F0*"):
                path.unlink()

    def _keep(self, file_id: str, content: bytes) -> None:
        path = self._path(file_id)
        if path is None:
            self._memory[file_id] = content
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def _path(self, file_id: str) -> Path | None:
        return None if self.data_dir is None else self.data_dir / "files" / file_id


def _as_in_urls(name: str) -> str:
    """Slack's addresses carry names in small letters, and nothing but what needs no escape."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name.lower())
