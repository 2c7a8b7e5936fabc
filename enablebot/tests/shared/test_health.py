import asyncio

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from enablebot.shared.errors import DatabaseUnavailable, SchemaMissing
from enablebot.shared.health import Pings, health_endpoint, ready_endpoint

pytestmark = pytest.mark.anyio


async def works() -> None: ...


async def hangs() -> None:
    await asyncio.Event().wait()


async def ignores_its_end() -> None:
    while True:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
            return


async def breaks() -> None:
    raise RuntimeError("postgres://user:secret@host is down")


async def is_down() -> None:
    raise DatabaseUnavailable("The database does not answer. Try again in a moment.")


def client(pings: Pings) -> AsyncClient:
    app = FastAPI()
    app.add_route("/health", health_endpoint)
    app.add_route("/ready", ready_endpoint(pings))
    return AsyncClient(transport=ASGITransport(app=app), base_url="http://test")


async def test_ready_when_every_part_answers() -> None:
    pings = Pings()
    pings.add("database", works)
    pings.add("keys", works)
    assert await pings.ready() == (True, {"database": "ok", "keys": "ok"})


async def test_nothing_to_ask_is_ready() -> None:
    assert await Pings().ready() == (True, {})


async def test_each_part_says_what_is_wrong_with_it() -> None:
    pings = Pings(deadline_seconds=0.05)
    for name, ping in {"a": works, "b": is_down, "c": breaks, "d": hangs, "e": ignores_its_end}.items():
        pings.add(name, ping)
    async with client(pings) as http:
        answer = await http.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "not ready"
    assert answer.json()["parts"] == {
        "a": "ok",
        "b": "The database does not answer. Try again in a moment.",
        "c": "failed (RuntimeError)",
        "d": "no answer within 0.05 s",
        "e": "no answer within 0.05 s",
    }
    assert "secret" not in answer.text
    await asyncio.sleep(0.3)


async def test_ready_again_as_soon_as_the_part_is_back() -> None:
    down = True

    async def ping() -> None:
        if down:
            raise SchemaMissing("The schema is missing. Run `python -m enablebot migrate`.")

    pings = Pings()
    pings.add("database", ping)
    async with client(pings) as http:
        assert (await http.get("/ready")).status_code == 503
        down = False
        assert (await http.get("/ready")).status_code == 200


async def test_health_touches_nothing() -> None:
    asked = 0

    async def count() -> None:
        nonlocal asked
        asked += 1

    pings = Pings()
    pings.add("database", count)
    pings.begin_draining()
    async with client(pings) as http:
        answer = await http.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert asked == 0


async def test_simultaneous_callers_share_one_round_and_one_hanging_up_harms_nobody() -> None:
    asked = 0
    go = asyncio.Event()

    async def count() -> None:
        nonlocal asked
        asked += 1
        await go.wait()

    pings = Pings()
    pings.add("database", count)
    callers = [asyncio.create_task(pings.ready()) for _ in range(50)]
    await asyncio.sleep(0)
    callers[0].cancel()
    await asyncio.sleep(0)
    go.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert asked == 1
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [(True, {"database": "ok"})] * 49


async def test_a_draining_process_is_not_ready_and_asks_nobody() -> None:
    pings = Pings()
    pings.add("database", breaks)
    pings.begin_draining()
    async with client(pings) as http:
        answer = await http.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {"process": "draining"}


async def test_drain_hooks_run_side_by_side_and_one_that_fails_keeps_nobody() -> None:
    started: list[str] = []
    both = asyncio.Event()

    async def first() -> None:
        started.append("first")
        await both.wait()

    async def second() -> None:
        started.append("second")
        both.set()

    pings = Pings()
    for hook in (first, breaks, second):
        pings.on_drain(hook)
    await asyncio.wait_for(pings.drain(), timeout=5)
    assert sorted(started) == ["first", "second"]
    assert pings.draining
