"""Style sheet, script and drawings: read once, named by their content, cached for a year."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

STATIC_DIRECTORY = Path(__file__).parent / "static"

_MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_YEAR = "public, max-age=31536000, immutable"
# A page of the previous release may ask for a name whose content has changed: it gets today's, unremembered.
_ASK_AGAIN = "public, no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    version: str
    media_type: str
    content: bytes
    compressed: bytes


class Assets:
    """Every file below `directory`, in memory: names are looked up, never turned into paths."""

    def __init__(self, directory: Path = STATIC_DIRECTORY) -> None:
        self._assets = {
            path.relative_to(directory).as_posix(): _read(path)
            for path in sorted(directory.rglob("*"))
            if path.suffix in _MEDIA_TYPES
        }

    def url(self, name: str) -> str:
        """The address of a file, which changes when its content does. KeyError for a name that is not there."""
        return f"/static/{name}?v={self._assets[name].version}"

    def find(self, name: str) -> Asset | None:
        return self._assets.get(name)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(
        version=hashlib.sha256(content).hexdigest()[:16],
        media_type=_MEDIA_TYPES[path.suffix],
        content=content,
        compressed=gzip.compress(content, mtime=0),
    )


def static_routes(assets: Assets) -> APIRouter:
    routes = APIRouter()

    @routes.api_route("/static/{name:path}", methods=["GET", "HEAD"])
    async def serve_asset(request: Request, name: str) -> Response:
        asset = assets.find(name)
        if asset is None:
            raise HTTPException(404)
        is_current = request.query_params.get("v") == asset.version
        headers = {
            "Cache-Control": _YEAR if is_current else _ASK_AGAIN,
            "ETag": f'"{asset.version}"',
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(asset.compressed, media_type=asset.media_type, headers=headers)
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    return routes
