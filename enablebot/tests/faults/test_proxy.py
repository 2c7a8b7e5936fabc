"""The fault proxy does what each of its modes says, seen from both of its ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from enablebot.tests.faults.proxy import FaultProxy, Mode, Target

pytestmark = pytest.mark.anyio

_ANSWER = b"pong" * 100


class Echo:
    """A server that notes what it hears and answers every request with the same long answer."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Target]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        yield Target(port=server.sockets[0].getsockname()[1])
        server.close()
        self.hang_up()
        await server.wait_closed()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while heard := await reader.read(1000):
                self.heard.append(heard)
                writer.write(_ANSWER)
        except OSError:
            pass


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def leave(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def ask(self) -> bytes:
        self.writer.write(b"ping")
        async with asyncio.timeout(5):
            return await self.reader.readexactly(len(_ANSWER))

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(0.15):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


Connect = Callable[[FaultProxy], Awaitable[Client]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """A client of a proxy, gone after the test."""
    clients: list[Client] = []

    async def connect(proxy: FaultProxy) -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", proxy.port)))
        return clients[-1]

    yield connect
    for client in clients:
        await client.leave()


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    async with echo.listening() as target, FaultProxy(target) as proxy:
        yield proxy


async def heard(echo: Echo, count: int) -> None:
    async with asyncio.timeout(5):
        while len(echo.heard) < count:
            await asyncio.sleep(0.001)


async def test_pass_brings_requests_there_and_answers_back(proxy: FaultProxy, connect: Connect) -> None:
    client = await connect(proxy)
    assert await client.ask() == _ANSWER
    assert await client.ask() == _ANSWER
    assert (proxy.accepted, proxy.open_connections, proxy.struck) == (1, 1, 0)


async def test_delay_brings_everything_later(proxy: FaultProxy, connect: Connect) -> None:
    client = await connect(proxy)
    proxy.switch("delay", delay_seconds=0.1)
    clock = asyncio.get_running_loop().time
    began = clock()
    assert await client.ask() == _ANSWER
    assert clock() - began >= 0.2


async def test_refuse_resets_open_connections_and_new_ones(proxy: FaultProxy, connect: Connect) -> None:
    before = await connect(proxy)
    await before.ask()
    proxy.switch("refuse")
    with pytest.raises(ConnectionResetError):
        await before.reader.read(1)
    after = await connect(proxy)
    with pytest.raises(ConnectionResetError):
        await after.reader.read(1)
    proxy.switch("pass")
    assert await (await connect(proxy)).ask() == _ANSWER


@pytest.mark.parametrize("is_open", [True, False])
async def test_blackhole_swallows_what_is_sent_and_never_gives_it_back(
    proxy: FaultProxy, echo: Echo, is_open: bool, connect: Connect
) -> None:
    client = await connect(proxy) if is_open else None
    if client:
        await client.ask()
    proxy.switch("blackhole")
    client = client or await connect(proxy)
    client.writer.write(b"lost")
    assert await client.hears_nothing()
    assert b"lost" not in echo.heard
    proxy.switch("pass")
    with pytest.raises(ConnectionResetError):
        await client.reader.read(1)
    assert b"lost" not in echo.heard
    assert proxy.struck == 1


@pytest.mark.parametrize("is_open", [True, False])
async def test_stall_holds_back_and_delivers_late(
    proxy: FaultProxy, echo: Echo, is_open: bool, connect: Connect
) -> None:
    client = await connect(proxy) if is_open else None
    if client:
        await client.ask()
    proxy.switch("stall")
    client = client or await connect(proxy)
    client.writer.write(b"late")
    assert await client.hears_nothing()
    assert b"late" not in echo.heard
    proxy.switch("pass")
    assert await client.reader.readexactly(len(_ANSWER)) == _ANSWER
    assert b"late" in echo.heard


async def test_drop_reply_lets_the_request_through_and_not_its_answer(
    proxy: FaultProxy, echo: Echo, connect: Connect
) -> None:
    client = await connect(proxy)
    proxy.switch("drop_reply")
    client.writer.write(b"one")
    await heard(echo, 1)
    client.writer.write(b"two")
    await heard(echo, 2)
    assert await client.hears_nothing()
    assert echo.heard == [b"one", b"two"]
    proxy.switch("pass")
    with pytest.raises(ConnectionResetError):
        await client.reader.read(1)


async def test_cut_reply_passes_a_part_and_closes(proxy: FaultProxy, echo: Echo, connect: Connect) -> None:
    client = await connect(proxy)
    proxy.switch("cut_reply", cut_after=10)
    client.writer.write(b"ping")
    async with asyncio.timeout(5):
        assert await client.reader.read(-1) == _ANSWER[:10]
    assert (echo.heard, proxy.struck) == ([b"ping"], 1)
    proxy.switch("pass")
    assert await (await connect(proxy)).ask() == _ANSWER


async def test_two_targets_get_their_turn_and_a_dead_one_is_passed_over(connect: Connect) -> None:
    first, second = Echo(), Echo()
    async with first.listening() as one, second.listening() as two, FaultProxy(one, two) as proxy:
        for _ in range(4):
            client = await connect(proxy)
            await client.ask()
        assert (len(first.heard), len(second.heard)) == (2, 2)
        async with FaultProxy(Target(port=1), two) as half_dead:
            for _ in range(3):
                assert await (await connect(half_dead)).ask() == _ANSWER


async def test_a_unix_socket_is_a_target_as_well(tmp_path_factory: pytest.TempPathFactory, connect: Connect) -> None:
    path = str(tmp_path_factory.mktemp("s") / "socket")
    echo = Echo()
    server = await asyncio.start_unix_server(echo.serve, path)
    async with FaultProxy(Target(path=path)) as proxy:
        assert await (await connect(proxy)).ask() == _ANSWER
        modes: list[Mode] = ["refuse", "pass"]
        for mode in modes:
            proxy.switch(mode)
        assert await (await connect(proxy)).ask() == _ANSWER
    server.close()
    echo.hang_up()
    await server.wait_closed()
