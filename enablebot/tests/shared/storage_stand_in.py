"""A small, strict stand-in for the HTTP API of Supabase Storage, as far as originals use it.

Form of paths, bodies and errors as in https://supabase.github.io/storage: failures are status 400 with a `statusCode`
of their own, as text. What the real one would refuse is refused, and written down as a fault.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

KEY = "sb_secret_only-for-tests"


@dataclass
class Storage:
    """Buckets with their objects. `fails_with` answers everything with that status; `broken` with somebody's page."""

    url: str = ""
    buckets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    public: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    fails_with: int | None = None
    broken: bool = False

    def object_names(self) -> list[str]:
        """Return the names of all objects, of whichever bucket."""
        return sorted(name for objects in self.buckets.values() for name in objects)


@asynccontextmanager
async def storage_stand_in() -> AsyncIterator[Storage]:
    """Serve a stand-in on a free port of this machine."""
    storage = Storage()
    app = web.Application(middlewares=[_gate(storage)], client_max_size=50 * 2**20)
    base = "/storage/v1"
    app.router.add_post(f"{base}/bucket", _make_bucket)
    app.router.add_post(f"{base}/object/list/{{bucket}}", _list)
    app.router.add_post(f"{base}/object/{{bucket}}/{{name:.+}}", _upload)
    app.router.add_get(f"{base}/object/{{bucket}}/{{name:.+}}", _download)
    app.router.add_delete(f"{base}/object/{{bucket}}", _remove)
    app[_STORAGE] = storage
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        storage.url = f"http://{host}:{port}"
        yield storage
    finally:
        await runner.cleanup()


_STORAGE: web.AppKey[Storage] = web.AppKey("storage", Storage)


def _gate(storage: Storage) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Any) -> web.StreamResponse:
        storage.calls.append(f"{request.method} {request.path.removeprefix('/storage/v1')}")
        if storage.fails_with is not None:
            return _error(storage.fails_with, "Internal", "the disk is full, says sb_secret_canary")
        if storage.broken:
            return web.Response(text="<html>Welcome to the hotel</html>", content_type="text/html")
        if request.headers.get("Authorization") != f"Bearer {KEY}" or request.headers.get("apikey") != KEY:
            return _error(403, "Unauthorized", "Invalid Compact JWS")
        answer: web.StreamResponse = await handler(request)
        return answer

    return check


def _error(status: int, error: str, message: str) -> web.Response:
    body = {"statusCode": str(status), "error": error, "message": message}
    return web.json_response(body, status=status if status >= 500 else 400)


def _objects(request: web.Request) -> dict[str, bytes] | None:
    return request.app[_STORAGE].buckets.get(request.match_info["bucket"])


def _no_bucket() -> web.Response:
    return _error(404, "Bucket not found", "Bucket not found")


def _fault(request: web.Request, what: str) -> web.Response:
    request.app[_STORAGE].faults.append(what)
    return _error(400, "InvalidRequest", what)


async def _make_bucket(request: web.Request) -> web.Response:
    storage, asked = request.app[_STORAGE], await request.json()
    if set(asked) - {"id", "name", "public", "file_size_limit", "allowed_mime_types"} or "id" not in asked:
        return _fault(request, f"a bucket of {sorted(asked)}")
    if asked["id"] in storage.buckets:
        return _error(409, "Duplicate", "The resource already exists")
    storage.buckets[asked["id"]] = {}
    if asked.get("public"):
        storage.public.add(asked["id"])
    return web.json_response({"name": asked["id"]})


async def _upload(request: web.Request) -> web.Response:
    objects, name = _objects(request), request.match_info["name"]
    content, fields = None, set()
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        data = bytes(await part.read())
        if part.filename is not None:
            content, kind = data, part.headers.get("Content-Type", "")
            if kind != "application/octet-stream":
                return _fault(request, f"sealed bytes sent as {kind}")
        else:
            fields.add(part.name)
    if content is None or fields - {"cacheControl", "metadata"}:
        return _fault(request, f"an upload of {fields}")
    if objects is None:
        return _no_bucket()
    if len(name) > 1000 or any(part in {"", ".", ".."} for part in name.split("/")):
        return _fault(request, f"the key {name!r}")
    if name in objects and request.headers.get("x-upsert") != "true":
        return _error(409, "Duplicate", "The resource already exists")
    objects[name] = content
    return web.json_response({"Key": f"{request.match_info['bucket']}/{name}", "Id": "an id"})


async def _download(request: web.Request) -> web.Response:
    objects = _objects(request)
    if objects is None:
        return _no_bucket()
    if (content := objects.get(request.match_info["name"])) is None:
        return _error(404, "not_found", "Object not found")
    return web.Response(body=content, content_type="application/octet-stream")


async def _list(request: web.Request) -> web.Response:
    """One level below a folder: its objects, and folders without an id; pages of at most 1,000."""
    objects, asked = _objects(request), await request.json()
    if objects is None:
        return web.json_response([])
    if not 1 <= asked["limit"] <= 1000 or asked["offset"] < 0 or asked["prefix"].endswith("/"):
        return _fault(request, f"a list of {asked}")
    folder = asked["prefix"] + "/"
    below = sorted({name.removeprefix(folder).split("/")[0] for name in objects if name.startswith(folder)})
    page = below[asked["offset"] : asked["offset"] + asked["limit"]]
    return web.json_response([{"name": one, "id": one if folder + one in objects else None} for one in page])


async def _remove(request: web.Request) -> web.Response:
    objects, asked = _objects(request), await request.json()
    if objects is None:
        return _no_bucket()
    if set(asked) != {"prefixes"} or not asked["prefixes"] or len(asked["prefixes"]) > 1000:
        return _fault(request, f"a removal of {asked}")
    # Whole names only, though the field is called so.
    gone = [name for name in asked["prefixes"] if objects.pop(name, None) is not None]
    return web.json_response([{"name": name} for name in gone])
