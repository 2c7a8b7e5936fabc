"""A reader whose parser was taken over: in place of reading the file it tries what an intruder would try.

Started by `child.read` in the reader's place, so that everything around it is the real thing; what each attempt came
to is told as the document's text, "<attempt>: <outcome>". The document's bytes say what to try, as JSON.
"""

import ctypes
import errno
import json
import mmap
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from enablebot.reader import __main__ as entrance
from enablebot.reader import reading
from enablebot.reader.blocks import Block, Blocks

libc = ctypes.CDLL(None, use_errno=True)
_NUMBERS = {
    "x86_64": {"memfd": 319, "ptrace": 101, "read others": 310, "io_uring": 425, "prlimit": 302},
    "aarch64": {"memfd": 279, "ptrace": 117, "read others": 270, "io_uring": 425, "prlimit": 261},
}
_X32 = 0x40000000
MACHINE, PARENT = os.uname().machine, os.getppid()


def _call(number: int, *arguments: int | bytes) -> int:
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return int(result)


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
    os.wait()


def _connect(family: int, address: Any) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as opened:
        opened.settimeout(2)
        opened.connect(address)


def attempts(task: dict[str, object]) -> dict[str, Callable[[], object]]:
    """Everything an intruder would like to do."""
    numbers = _NUMBERS[MACHINE]
    written = Path(str(task["written"]))
    tried: dict[str, Callable[[], object]] = {
        "read a secret file": Path(str(task["secret"])).read_bytes,
        "read the parent's environment": Path(f"/proc/{PARENT}/environ").read_bytes,
        "read init's environment": Path("/proc/1/environ").read_bytes,
        "read its own environment": Path("/proc/self/environ").read_bytes,
        "read the parent's memory": lambda: os.open(f"/proc/{PARENT}/mem", os.O_RDONLY),
        "list a directory": lambda: next(Path("/").iterdir()),
        "write a file": lambda: written.write_text("was here"),
        "remove a file": Path(str(task["victim"])).unlink,
        "fork": _fork,
        "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "execute": lambda: os.execv("/nothing/of/this/name", ["x"]),
        "connect by TCP": lambda: _connect(socket.AF_INET, ("127.0.0.1", task["port"])),
        "connect to a socket": lambda: _connect(socket.AF_UNIX, task["socket"]),
        "send by UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        "signal the parent": lambda: os.kill(PARENT, 0),
        "trace the parent": lambda: _call(numbers["ptrace"], 2, PARENT, 0, 0),
        "read another's memory": lambda: _call(numbers["read others"], PARENT, 0, 0, 0, 0, 0),
        "make a file of memory": lambda: _call(numbers["memfd"], b"m", 0),
        "set up io_uring": lambda: _call(numbers["io_uring"], 8, 0),
        "raise its limits": lambda: _call(numbers["prlimit"], 0, resource.RLIMIT_CPU, 0, 0),
        "make memory executable": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    }
    if MACHINE == "x86_64":
        tried["open by the x32 numbers"] = lambda: _call(_X32 | 2, b"/etc/passwd", 0)
    return tried


def prepare(content: bytes) -> None:
    """What is done before the walls stand is our own code's."""
    if "bare" in json.loads(content):
        reading.raise_walls = lambda: None  # type: ignore[attr-defined]
        reading.set_limits = lambda **_: None  # type: ignore[attr-defined]


def read(content: bytes) -> Blocks:
    """The attempts, one after the other."""
    task = json.loads(content)
    if "then" in task:
        _misbehave(task["then"])
    names = sorted(name for name in os.environ if name != "LC_CTYPE")
    yield Block(f"environment: {' '.join(names) or 'empty'}", kind="code")
    yield Block(f"open: {' '.join(str(number) for number in range(1024) if _is_open(number))}", kind="code")
    for name, attempt in attempts(task).items():
        try:
            attempt()
        except OSError as refused:
            outcome = errno.errorcode.get(refused.errno or 0, str(refused))
        else:
            outcome = "done"
        yield Block(f"{name}: {outcome}", kind="code")


def _misbehave(how: str) -> None:
    out = sys.stdout.buffer
    match how:
        case "hang":
            while True:
                pass
        case "babble":
            out.write(b"not json\n")
        case "endless line":
            while True:
                out.write(b"x" * 65536)
        case "endless talk":
            while True:
                out.write(b'{"progress": 5}\n' * 1000)
        case "nothing":
            os._exit(0)
        case "crash":
            ctypes.string_at(0)
        case "grow":
            held = [bytearray(1024 * 1024) for _ in range(100_000)]
            held.clear()
        case "grow outside Python":
            libc.malloc.restype = ctypes.c_void_p
            while True:
                ctypes.memset(libc.malloc(1024 * 1024), 1, 1024 * 1024)
        case "quote":
            raise ValueError("the document's own words")
        case _:
            out.write(json.dumps(json.loads(how)).encode() + b"\n")
    out.flush()
    os._exit(0)


def _is_open(number: int) -> bool:
    try:
        os.lseek(number, 0, os.SEEK_CUR)
    except OSError as failure:
        return failure.errno == errno.ESPIPE
    return True


if __name__ == "__main__":
    module = ModuleType("enablebot.reader.formats.plain")
    module.prepare, module.read = prepare, read  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    entrance.main()
