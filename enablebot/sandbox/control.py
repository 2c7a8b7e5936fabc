"""`/sandbox/api`: what a person, a demo or a test does with the sandbox over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from enablebot.sandbox.borders import is_cross_origin, is_foreign_host
from enablebot.sandbox.live import live_updates
from enablebot.sandbox.manifest import APP_ID, SHORTCUTS
from enablebot.sandbox.refusal import Refused

if TYPE_CHECKING:
    from enablebot.sandbox.sandbox import Sandbox

Json = dict[str, Any]
_NOT_FOUND = (
    "team_not_found",
    "channel_not_found",
    "user_not_found",
    "message_not_found",
    "thread_not_found",
    "file_not_found",
)


def control_routes(sandbox: Sandbox) -> Mount:
    """The control API; loopback only, without a login, so that it refuses other hosts and other sites."""
    control = Control(sandbox)
    reading: dict[str, Callable[[Json], Json]] = {
        "state": lambda _: control.state(),
        "messages": control.messages,
        "ledger": lambda _: sandbox.ledger.as_json(),
        "faults": lambda _: {"faults": sandbox.faults.left()},
        "crowd": lambda _: sandbox.crowd.as_json(),
        "progress": lambda _: control.progress(),
        "shown": lambda _: {"messages": control.shown()},
    }
    acting: dict[str, Callable[[Json], Awaitable[Json]]] = {
        "messages": control.post,
        "edit": control.edit,
        "delete": control.delete,
        "react": control.react,
        "open": control.open_app,
        "stop": control.stop,
        "click": control.click,
        "shortcut": control.use_shortcut,
        "promote": control.promote,
        "invite": control.invite,
        "authorize": control.authorize,
        "uninstall": control.uninstall,
        "events": control.send_event,
        "redeliver": control.redeliver,
        "verify": control.verify,
        "urls": control.set_urls,
        "sockets": control.end_sockets,
        "faults": control.set_faults,
        "crowd": control.gather_crowd,
        "talk": control.talk,
        "reset": control.reset,
    }

    async def read(request: Request) -> Response:
        refused = _foreign(request)
        if refused:
            return refused
        name = request.path_params["name"]
        if name == "updates":
            return live_updates(sandbox, request)
        if name not in reading:
            return _json({"ok": False, "error": "not_found"}, 404)
        return await _answered(lambda given: _now(reading[name](given)), dict(request.query_params))

    async def act(request: Request) -> Response:
        refused = _foreign(request)
        if refused:
            return refused
        name = request.path_params["name"]
        if name == "upload":
            return await _uploaded(request, control)
        if name not in acting:
            return _json({"ok": False, "error": "not_found"}, 404)
        # A page of another site can send a form or plain text without asking first, but not JSON.
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _json({"ok": False, "error": "send JSON with Content-Type: application/json"}, 415)
        try:
            given = orjson.loads(await request.body() or b"{}")
        except orjson.JSONDecodeError as error:
            return _json({"ok": False, "error": f"invalid JSON: {error}"}, 400)
        if not isinstance(given, dict):
            return _json({"ok": False, "error": "the body must be a JSON object"}, 400)
        return await _answered(acting[name], given)

    return Mount(
        "/sandbox/api",
        routes=[Route("/{name}", read, methods=["GET"]), Route("/{name}", act, methods=["POST"])],
    )


class Control:
    """The operations, each from JSON to JSON; a missing field is a KeyError, a refusal Refused."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def state(self) -> Json:
        world = self._sandbox.world
        return {
            "workspaces": [asdict(team) for team in world.teams.values()],
            "users": [asdict(user) for user in world.users.values()],
            "channels": [asdict(channel) for channel in world.channels.values() if channel.kind != "im"],
            "ims": [
                {"id": c.id, "team": c.team, "user": c.members[0], "prompts": world.prompts.get(c.id)}
                for c in world.channels.values()
                if c.kind == "im"
            ],
            "installs": [
                {
                    "team": team,
                    "installed": team in world.installs,
                    "bot_user_id": world.installs[team].bot_user if team in world.installs else None,
                    "bot_id": world.installs[team].bot_id if team in world.installs else None,
                    "scopes": world.installs[team].scopes if team in world.installs else [],
                    "installer": world.installs[team].installer if team in world.installs else None,
                }
                for team in world.teams
            ],
            "urls": asdict(self._sandbox.urls),
            "sockets": self._sandbox.sockets.connected,
            "views": world.views,
            "shortcuts": list(SHORTCUTS),
        }

    def messages(self, query: Json) -> Json:
        """All messages of a channel, or one thread's; `channel=@bot` needs `user` too."""
        team, channel, thread_ts = query["team"], query["channel"], query.get("thread_ts") or None
        if channel == "@bot":
            channel = self._sandbox.people.placed(team=team, user=query["user"], channel="@bot")[1].id
        answer: Json = {"channel": channel, "messages": self._sandbox.messages(team, channel, thread_ts)}
        session = self._sandbox.sessions.find(channel, thread_ts) if thread_ts else None
        return answer | {"session": asdict(session) if session else None}

    async def post(self, given: Json) -> Json:
        message = self._sandbox.people.write(
            team=given["team"],
            channel=given["channel"],
            user=given["user"],
            text=str(given.get("text") or "") if given.get("files") else str(given["text"]),
            thread_ts=given.get("thread_ts"),
            files=[str(file_id) for file_id in given.get("files") or ()],
        )
        return {"channel": message.channel, "ts": message.ts}

    def upload(self, query: Json, content: bytes) -> Json:
        """Takes a file's bytes; `object` in the query, as JSON, changes what its file object says."""
        overrides = orjson.loads(query["object"]) if query.get("object") else {}
        if not isinstance(overrides, dict):
            raise ValueError("object must be a JSON object")  # noqa: TRY004 - answered like every other wrong value
        file_id = self._sandbox.upload(
            team=query["team"], user=query["user"], name=query["name"], content=content, overrides=overrides
        )
        return {"file": file_id}

    async def edit(self, given: Json) -> Json:
        message = self._sandbox.people.edit(**_only(given, "team", "channel", "user", "ts", "text"))
        return {"channel": message.channel, "ts": message.ts}

    async def delete(self, given: Json) -> Json:
        self._sandbox.people.delete(**_only(given, "team", "channel", "user", "ts"))
        return {}

    async def react(self, given: Json) -> Json:
        self._sandbox.people.react(**_only(given, "team", "channel", "user", "ts", "name"))
        return {}

    async def open_app(self, given: Json) -> Json:
        place = self._sandbox.people.open_app(
            team=given["team"], user=given["user"], tab=str(given.get("tab", "messages"))
        )
        return {"channel": place.id}

    async def stop(self, given: Json) -> Json:
        return {"stopped": self._sandbox.people.stop(**_only(given, "team", "channel", "user", "thread_ts"))}

    async def click(self, given: Json) -> Json:
        answer = await self._sandbox.click(
            **_only(given, "team", "channel", "ts", "user", "action_id"), value=given.get("value")
        )
        return {"acknowledged": not answer.reason, "status": answer.status, "reason": answer.reason}

    async def use_shortcut(self, given: Json) -> Json:
        answer = await self._sandbox.use_shortcut(**_only(given, "team", "channel", "ts", "user", "callback_id"))
        return {"acknowledged": not answer.reason, "status": answer.status, "reason": answer.reason}

    async def promote(self, given: Json) -> Json:
        """Makes a person an admin or owner of their workspace, or takes that from them."""
        person = self._sandbox.people.promote(
            **_only(given, "team", "user"),
            is_admin=given.get("is_admin") is True,
            is_owner=given.get("is_owner") is True,
        )
        return {"is_admin": person.is_admin, "is_owner": person.is_owner}

    async def invite(self, given: Json) -> Json:
        self._sandbox.invite(given["team"], given["channel"])
        return {}

    async def authorize(self, given: Json) -> Json:
        """Answers the consent page of an authorize link and returns where the browser would go."""
        granting = self._sandbox.granting
        asked = granting.ask(dict(parse_qsl(urlsplit(given["url"]).query)))
        return {
            "location": granting.decide(
                asked.id, team=given["team"], user=given["user"], allow=given.get("allow", True) is True
            )
        }

    async def uninstall(self, given: Json) -> Json:
        if not self._sandbox.uninstall(given["team"]):
            raise Refused("app_not_installed")
        return {}

    async def send_event(self, given: Json) -> Json:
        """Sends any event, also one that no real Slack would send."""
        entry = self._sandbox.announcer.send_raw(
            given["team"], given["event"], event_id=given.get("event_id"), overrides=given.get("envelope")
        )
        return {"event_id": entry.event_id}

    async def redeliver(self, given: Json) -> Json:
        entry = self._sandbox.delivery.redeliver(given["event_id"])
        if entry is None:
            raise Refused("event_not_found")
        return {"event_id": entry.event_id}

    async def verify(self, _: Json) -> Json:
        return {"verified": await self._sandbox.delivery.challenge()}

    async def set_urls(self, given: Json) -> Json:
        self._sandbox.config_urls(
            events_url=given.get("events_url"),
            interactions_url=given.get("interactions_url"),
            redirect_url=given.get("redirect_url"),
        )
        return {"urls": asdict(self._sandbox.urls)}

    async def end_sockets(self, given: Json) -> Json:
        """Ends every socket: announced, by Slack's reason, or as a network does, by `sever`."""
        reason, sockets = given["reason"], self._sandbox.sockets
        return {"ended": sockets.sever() if reason == "sever" else sockets.end(reason)}

    async def set_faults(self, given: Json) -> Json:
        self._sandbox.faults.replace(given["faults"])
        return {"faults": self._sandbox.faults.left()}

    def progress(self) -> Json:
        """How far a talk and its delivery are, in numbers, cheap enough to be asked all the time."""
        return {
            "talking": self._sandbox.crowd.is_talking,
            "said": len(self._sandbox.crowd.said),
            "sent": len(self._sandbox.ledger.deliveries),
            "under_way": self._sandbox.delivery.under_way,
        }

    def shown(self) -> list[Json]:
        """Every message of the bot that people can see, in every workspace, with the workspace whose bot it is."""
        world = self._sandbox.world
        return [
            {
                "team": message.team,
                "channel": channel,
                "ts": message.ts,
                "thread_ts": message.thread_ts or message.ts,
                "bot": message.user,
                "text": message.text,
                "streaming_state": message.streaming_state,
            }
            for channel, log in world.logs.items()
            for message in log.by_ts.values()
            if message.app_id == APP_ID and message.ephemeral_to is None
        ]

    async def gather_crowd(self, given: Json) -> Json:
        """Makes workspaces with the app in them and returns what an install would have."""
        installs = self._sandbox.crowd.gather(
            workspaces=int(given["workspaces"]),
            channels=int(given["channels"]),
            install=given.get("install") is not False,
        )
        return {"installs": installs}

    async def talk(self, given: Json) -> Json:
        """Lets the crowd talk; `GET crowd` says what was said so far. Nought messages hush it."""
        if int(given["messages"]) == 0:
            self._sandbox.crowd.hush()
            return {}
        self._sandbox.crowd.talk(
            messages=int(given["messages"]),
            per_second=float(given["per_second"]),
            seed=int(given.get("seed", 0)),
            mix=given.get("mix"),
            text=str(given.get("text") or "Where is parcel {token}?"),
            most_under_way=int(given.get("most_under_way") or 100),
        )
        return {}

    async def reset(self, _: Json) -> Json:
        self._sandbox.reset()
        return {}


async def _uploaded(request: Request, control: Control) -> Response:
    # As with JSON: another site's page cannot send this type without asking first.
    if request.headers.get("content-type", "").partition(";")[0] != "application/octet-stream":
        return _json({"ok": False, "error": "send the bytes with Content-Type: application/octet-stream"}, 415)
    content = await request.body()
    return await _answered(lambda query: _now(control.upload(query, content)), dict(request.query_params))


def _only(given: Json, *names: str) -> dict[str, str]:
    return {name: str(given[name]) for name in names}


async def _now(value: Json) -> Json:
    return value


async def _answered(act: Callable[[Json], Awaitable[Json]], given: Json) -> Response:
    try:
        return _json({"ok": True, **await act(given)})
    except Refused as refused:
        return _json({"ok": False, "error": refused.error}, 404 if refused.error in _NOT_FOUND else 400)
    except KeyError as missing:
        return _json({"ok": False, "error": f"missing field: {missing.args[0]}"}, 400)
    except (TypeError, ValueError) as error:
        return _json({"ok": False, "error": str(error)}, 400)


def _foreign(request: Request) -> Response | None:
    if is_foreign_host(request) or is_cross_origin(request):
        return _json({"ok": False, "error": "only pages and programs of this machine may use the sandbox"}, 403)
    return None


def _json(body: Json, status: int = 200) -> Response:
    return Response(
        orjson.dumps(body), status, {"Cache-Control": "no-store"}, media_type="application/json; charset=utf-8"
    )
