import asyncio
import io
import json
import logging
import socket
import sys
import threading
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import httpx2
import openai
import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from starlette.types import Message, Receive, Scope, Send

from enablebot.config.settings import LoggingSettings
from enablebot.shared.errors import NotFound, SlackTokenDead
from enablebot.shared.logging import RequestIdMiddleware, bind, bound, configure_logging
from enablebot.shared.redaction import Redactor
from enablebot.shared.tracebacks import WITHHELD, format_error

BOT = "xoxb-1234567890-1234567890123-CANARYabcdefghijkl"
PASSWORD = "CANARY-p4ss/w@rd"
KNOWN = "CANARYf00dfeed0123456789abcdefff"
TEXT = "CANARY what somebody wrote"

SECRETS = {
    "bot token": BOT,
    "user token": "xoxp-1-2-3-CANARYabc",
    "rotated token": "xoxe.xoxb-1-CANARYabc-def",
    "refresh token": "xoxe-1-CANARYabcdef",
    "app-level token": "xapp-1-A0123-456-CANARYabc",
    "model key": "sk-proj-CANARY_abc-DEF123",
    "supabase key": "sb_secret_CANARYabcdef",
    "signed token": "eyJhbGciOiJIUzI1NiJ9.eyJDQU5BUlki.CANARYsig_-1",
    "bearer": "Bearer CANARYabcdef.123",
    "basic": "Basic Q0FOQVJZCANARY==",
    "incoming webhook": "https://hooks.slack.com/services/T0/B0/CANARY",
    "database address": f"postgres://enablebot:{PASSWORD}@db.internal:5432/x",
    "other address": "https://user:CANARY@host/path",
    "cookie header": "Cookie: session=CANARY; other=CANARY2",
    "cookie in a list of headers": "(b'set-cookie', b'__Host-session=CANARY; Path=/')",
    "cookie in a mapping": "{'Cookie': 'session=CANARY; x=y', 'a': 'b'}",
    "secret in a query": "GET /oauth_redirect?code=CANARY123&state=CANARY456",
    "secret in a form": "client_secret=CANARY123&grant_type=x",
    "secret in JSON": '{"client_secret": "CANARY123", "ok": true}',
    "secret in a mapping": "{'refresh_token': 'CANARY123', 'password': 'CANARY456'}",
    "authorization in a list of headers": "[(b'authorization', b'CANARYabcdef')]",
    "master key": "k1:" + b64encode(b"CANARY-is-thirty-two-bytes-long!").decode(),
    "token in base64": b64encode(BOT.encode()).decode(),
    "token in hex": BOT.encode().hex(),
    "a secret this process holds": f"signed with {KNOWN}!",
}
LIBRARIES = ("asyncpg", "aiohttp.client", "slack_sdk.web.async_client", "openai._base_client", "httpx2", "asyncio", "")
HITS = ("CANARY", "p4ss", b64encode(BOT.encode()).decode()[:24], BOT.encode().hex()[:24], "Q0FOQVJZ", "Q0FOQVJZLWlz")


def leaks(text: str) -> list[str]:
    return [hit for hit in HITS if hit in text]


@pytest.fixture
def restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level, hook, thread_hook = list(root.handlers), root.level, sys.excepthook, threading.excepthook
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hook, thread_hook
    logging.captureWarnings(False)


@pytest.fixture
def log(restored: None) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(LoggingSettings(format="json", level="DEBUG"), secrets=[KNOWN, "short"], stream=stream)
    return stream


@pytest.fixture
def text_log(restored: None) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(LoggingSettings(format="text", level="DEBUG"), secrets=[KNOWN], stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# No secret gets out (OP-2)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_masked_wherever_it_stands(name: str) -> None:
    redactor = Redactor([KNOWN])
    for text in (SECRETS[name], f"before {SECRETS[name]} after", f"a\n{SECRETS[name]}\nb", repr(SECRETS[name])):
        masked = redactor.redact(text)
        assert "***" in masked
        assert leaks(masked) == []


@pytest.mark.parametrize(
    "text",
    [
        "Slack refused chat.postMessage: channel_not_found",
        "The task-force assessed the risk-assessment",
        "GET /slack/install 302 in 3 ms",
        "https://enablebot.example/dashboard?range=7d",
        "tenant 0195f3a0-0000-7000-8000-000000000001 claimed event 42",
        "status code: 200, input_tokens=12",
        "postgresql://db.internal:5432/enablebot",
        "Set the token, then restart",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert Redactor([KNOWN]).redact(text) == text


def raise_nested(secret: str) -> None:
    raise ExceptionGroup(secret, [RuntimeError(secret, {"k": secret})]) from ValueError(secret)


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])
def test_no_secret_passes_by_any_logger_and_any_way(
    library: str, level: int, form: str, request: pytest.FixtureRequest
) -> None:
    stream: io.StringIO = request.getfixturevalue("log" if form == "json" else "text_log")
    logger = logging.getLogger(library)
    for secret in SECRETS.values():
        logger.log(level, "in the message: " + secret)
        logger.log(level, "in the arguments: %s %r %s", secret, secret, {"deep": [secret]})
        logger.log(level, "as an extra", extra={"detail": secret, "bot_token": f"{secret} CANARY".split()[0]})
        try:
            raise_nested(secret)
        except ExceptionGroup:
            logger.log(level, "in a traceback", exc_info=True, stack_info=True)
    assert leaks(stream.getvalue()) == []
    if level >= logging.WARNING:
        assert "in a traceback" in stream.getvalue()


def test_a_record_that_cannot_be_formatted_is_reported_without_its_arguments(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = next(handler for handler in logging.getLogger().handlers if getattr(handler, "stream", None) is log)
    ours.handle(logging.LogRecord("enablebot.test", logging.WARNING, __file__, 1, "%d of %d", (BOT, TEXT), None))
    shown = log.getvalue() + "".join(capsys.readouterr())
    assert "A log record of enablebot.test was lost: TypeError" in shown
    assert leaks(shown) == []


def test_an_error_that_nothing_handled_goes_through_the_log(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError(BOT, TEXT)

    try:
        fail()
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert [line["level"] for line in lines(log)] == ["CRITICAL", "CRITICAL"]
    assert leaks(log.getvalue() + "".join(capsys.readouterr())) == []


def test_warnings_go_through_the_log(log: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"careful with {BOT}", stacklevel=1)
    assert lines(log)[0]["logger"] == "py.warnings"
    assert leaks(log.getvalue()) == []


@pytest.mark.parametrize(
    "piece", ["://", "a:", "xoxb", "cookie:", "token=", "eyJ", "Bearer ", "a" * 43, "786f78", "://a:"]
)
def test_a_long_hostile_text_is_masked_in_the_end(piece: str) -> None:
    """A pattern that is worse than linear shows here by not coming back."""
    assert leaks(Redactor([KNOWN]).redact(piece * (300_000 // len(piece)) + " " + BOT)) == []


# What people wrote


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name])
def test_libraries_say_nothing_below_a_warning(log: io.StringIO, library: str) -> None:
    logging.getLogger(library).debug("Sending a request - body_params: %s", {"text": TEXT})
    logging.getLogger(library).info("HTTP Request: POST %s", TEXT)
    assert log.getvalue() == ""


def test_our_own_loggers_speak_at_the_level_that_was_set(log: io.StringIO) -> None:
    logging.getLogger("enablebot.api.worker").debug("claimed %d", 3)
    assert lines(log)[0]["message"] == "claimed 3"


def test_a_foreign_exception_is_shown_without_its_words(log: io.StringIO) -> None:
    try:
        int(TEXT)
    except ValueError:
        logging.getLogger("enablebot.test").exception("Handling an event failed")
    trace = lines(log)[0]["exception"]
    assert leaks(trace) == []
    assert f"ValueError: {WITHHELD}" in trace
    assert "test_logging.py" in trace


def test_our_own_exceptions_and_those_of_the_network_keep_their_words() -> None:
    ours = SlackTokenDead("The workspace took its token back.", method="auth.test")
    assert "The workspace took its token back." in format_error(ours, shows_foreign_messages=False)
    refused = ConnectionRefusedError(111, "Connection refused")
    assert "[Errno 111] Connection refused" in format_error(refused, shows_foreign_messages=False)
    assert format_error(TimeoutError(), shows_foreign_messages=False).endswith("TimeoutError")


def test_causes_are_shown_in_order_and_circles_end() -> None:
    first, second = NotFound("one"), NotFound("two")
    first.__cause__, second.__cause__ = second, first
    shown = format_error(first, shows_foreign_messages=False)
    assert shown.index("two") < shown.index("one")
    assert shown.count("NotFound") == 2


def test_an_exception_whose_text_raises_is_still_shown() -> None:
    class Spiteful(Exception):
        def __str__(self) -> str:
            raise RuntimeError(TEXT)

    shown = format_error(Spiteful(), shows_foreign_messages=True)
    assert "its message cannot be shown: RuntimeError" in shown
    assert leaks(shown) == []


# Real libraries at DEBUG


class Answers:
    """A loopback server that takes what the libraries send, and tells that it did."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append(f"{dict(request.headers)} {await request.text()}")
        if "broken" in request.path:
            return web.Response(status=500, text=TEXT)
        return web.json_response({"ok": False, "error": "invalid_auth"}, headers={"Set-Cookie": "s=CANARY"})


@pytest.fixture
async def local() -> Any:
    answers = Answers()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answers.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", answers
    await runner.cleanup()


async def call_slack(url: str) -> None:
    client = AsyncWebClient(token=BOT, base_url=f"{url}/api/", retry_handlers=[])
    await client.chat_postMessage(channel="C1", text=TEXT)


async def call_openai(url: str) -> None:
    async with openai.AsyncOpenAI(api_key="sk-CANARYabcdef", base_url=f"{url}/broken", max_retries=1) as client:
        await client.responses.create(model="m", input=TEXT)


async def call_httpx2(url: str) -> None:
    async with httpx2.AsyncClient() as client:
        await client.get(f"{url}/oauth?code=CANARY1", headers={"Authorization": f"Bearer {BOT}", "Cookie": "a=CANARY"})
        raise RuntimeError(TEXT)


async def call_asyncpg(url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        await asyncpg.connect(f"postgres://enablebot:CANARYpw@127.0.0.1:{taken.getsockname()[1]}/{TEXT}", timeout=5)


@pytest.mark.anyio
@pytest.mark.parametrize("call", [call_slack, call_openai, call_httpx2, call_asyncpg], ids=lambda call: call.__name__)
async def test_the_libraries_themselves_leak_nothing_at_debug(
    call: Callable[[str], Any], local: tuple[str, Answers], log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, answers = local
    for name in (*logging.root.manager.loggerDict, *LIBRARIES):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    try:
        await call(url)
    except (SlackApiError, openai.OpenAIError, RuntimeError, OSError):
        logging.getLogger("enablebot.test").exception("The call failed", extra={"library": call.__name__})
    assert lines(log)[-1]["message"] == "The call failed"
    assert leaks(log.getvalue()) == []
    if call is not call_asyncpg:
        assert "CANARY" in answers.seen[0]


# The form of a line


def test_a_json_line_carries_what_a_search_needs(log: io.StringIO) -> None:
    with bind(request_id="r-1", tenant_id=None):
        with bind(event_id=42):
            logging.getLogger("enablebot.api").info("Grüße “%s”", "x", extra={"took_ms": 3, "message_count": None})
        logging.getLogger("enablebot.api").info("second")
    first, second = lines(log)
    assert {name: first[name] for name in first if name != "time"} == {
        "level": "INFO",
        "logger": "enablebot.api",
        "message": "Grüße “x”",
        "request_id": "r-1",
        "event_id": "42",
        "took_ms": 3,
        "message_count": None,
    }
    assert first["time"].endswith("+00:00")
    assert "event_id" not in second
    assert bound() == {}


def test_an_extra_cannot_pose_as_a_part_of_the_line(log: io.StringIO) -> None:
    logging.getLogger("enablebot.api").info("true", extra={"level": "forged", "logger": "forged", "time": "forged"})
    assert "forged" not in log.getvalue()


@pytest.mark.parametrize("nasty", ["a\nb", "a\r\n{}", "\x1b[2J", "\ud800", "\x00", "\u2028", '"}'])
def test_a_nasty_message_stays_on_its_line(nasty: str, log: io.StringIO) -> None:
    logging.getLogger("enablebot.api").warning("%s", nasty)
    assert len(log.getvalue().split("\n")) == 2
    assert log.getvalue().encode().decode().endswith("\n")
    assert lines(log)[0]["message"] == nasty.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("nasty", ["a\n12:00:00 INFO     enablebot: forged", "\x1b[2J\x1b[31m", "a\rb", "\x9b2J"])
def test_a_nasty_message_cannot_forge_a_line_of_text(nasty: str, text_log: io.StringIO) -> None:
    logging.getLogger("enablebot.api").warning("%s", nasty, extra={"field": nasty})
    shown = text_log.getvalue().rstrip("\n")
    assert all(line.startswith("    ") for line in shown.split("\n")[1:])
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown.replace("\n", ""))


def test_a_line_of_text_reads_like_a_sentence(text_log: io.StringIO) -> None:
    with bind(event_id=42):
        logging.getLogger("enablebot.api.worker").info("claimed %d", 3)
    assert text_log.getvalue()[8:] == " INFO     api.worker: claimed 3  event_id=42\n"


def test_text_shows_a_developer_the_whole_exception(text_log: io.StringIO) -> None:
    try:
        int("seven")
    except ValueError:
        logging.getLogger("enablebot.api").exception("failed")
    assert "invalid literal for int() with base 10: 'seven'" in text_log.getvalue()


def test_a_very_long_message_is_cut(log: io.StringIO) -> None:
    logging.getLogger("enablebot.api").info("%s", "a b " * 100_000)
    assert len(log.getvalue()) < 20_000
    assert "(400000 characters)" in lines(log)[0]["message"]


def test_auto_is_text_on_a_terminal_and_json_elsewhere(restored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda shown=is_terminal: shown)
        configure_logging(LoggingSettings(format="auto"), stream=stream)
        logging.getLogger("enablebot").info("hello")
        assert stream.getvalue().startswith("{") is not is_terminal
        assert ("\x1b[32m" in stream.getvalue()) is is_terminal


def test_configuring_again_replaces_the_first_time(log: io.StringIO) -> None:
    other = io.StringIO()
    configure_logging(LoggingSettings(format="json", level="WARNING"), stream=other)
    logging.getLogger("enablebot").info("below")
    logging.getLogger("enablebot").warning("once")
    assert log.getvalue() == ""
    assert [line["message"] for line in lines(other)] == ["once"]


def test_a_plain_handler_that_was_there_before_goes(restored: None) -> None:
    before = io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(before))
    configure_logging(LoggingSettings(format="json"), stream=io.StringIO())
    logging.getLogger("asyncpg").error(BOT)
    assert before.getvalue() == ""


# Request ids


async def request_with(headers: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], str, str]:
    seen: list[str] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        seen.extend([bound()["request_id"], scope["state"]["request_id"]])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await RequestIdMiddleware(app)({"type": "http", "headers": headers}, receive, send)
    return dict(sent[0]["headers"]), seen[0], seen[1]


@pytest.mark.anyio
async def test_every_request_gets_an_id_of_its_own() -> None:
    results = await asyncio.gather(*(request_with([]) for _ in range(20)))
    ids = set()
    for headers, logged, stated in results:
        assert headers[b"x-request-id"].decode() == logged == stated
        ids.add(logged)
    assert len(ids) == 20
    assert bound() == {}


@pytest.mark.anyio
async def test_a_sane_id_is_taken_over() -> None:
    headers, logged, _ = await request_with([(b"x-request-id", b"edge-0195f3a0.7")])
    assert headers[b"x-request-id"] == b"edge-0195f3a0.7"
    assert logged == "edge-0195f3a0.7"


@pytest.mark.anyio
@pytest.mark.parametrize("given", [b"", b"short", b"a" * 65, b"a space 1", b"line\r\nbreak", b'"quote"s', b"\xff" * 10])
async def test_an_id_that_could_do_harm_is_replaced(given: bytes) -> None:
    headers, _, _ = await request_with([(b"x-request-id", given)])
    assert headers[b"x-request-id"] != given
