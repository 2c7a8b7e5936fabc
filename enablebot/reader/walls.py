"""The walls around the reader child: what it may still ask of the kernel once a stranger's file lies open.

Linux, x86_64 and aarch64: a seccomp filter that knows the few calls a computing process needs (memory, its own pipes,
the clock, its end) and answers every other one with EPERM: no files, no sockets, no processes, no looking into others.
Elsewhere there are limits only. Nothing here needs a privilege. Sources: seccomp(2), prctl(2), setrlimit(2).
"""

import ctypes
import os
import platform
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_KILL_PROCESS, _ALLOW, _REFUSE = 0x80000000, 0x7FFF0000, 0x00050000 | 1  # SECCOMP_RET_ERRNO with EPERM
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JSET|K, BPF_RET|K
_NUMBER_AT, _ARCHITECTURE_AT, _PROTECTION_AT = 0, 4, 32  # offsets in struct seccomp_data; the third argument's low half
_PROT_EXEC = 4

# What a process needs that only computes. x86_64 and aarch64 number them differently.
_CALLS: dict[str, tuple[int, int]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "mremap": (25, 216),
    "sched_yield": (24, 124),
    "madvise": (28, 233),
    "getpid": (39, 172),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
}
# Memory, but none that can be executed: whoever breaks a parser finds no place for code of their own.
_MEMORY_CALLS: dict[str, tuple[int, int]] = {"mmap": (9, 222), "mprotect": (10, 226)}

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


class WallsMissing(Exception):
    """This machine cannot wall a process in; the message says why."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def leave_the_house() -> None:
    """First of all: keep nothing the parent had open, die with it, stand back for it, and be closed to others."""
    os.closerange(3, 65536)
    os.nice(10)  # reading can wait, questions cannot
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def set_limits(*, memory: int, seconds: int) -> None:
    """Bytes of address space and seconds of processor time; no files, no file growth, no processes, no core."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, 3)
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CPU, seconds)


def raise_walls() -> None:
    """From here on this process computes, and talks over the pipes it has; raises WallsMissing."""
    machine = platform.machine()
    if sys.platform != "linux":
        raise WallsMissing(f"{platform.system()} has no seccomp: the reader runs behind limits alone")
    if machine not in _ARCHITECTURES:
        raise WallsMissing(f"the filter of system calls is written for x86_64 and aarch64, and this is {machine}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise WallsMissing(f"the kernel refuses no_new_privs ({os.strerror(ctypes.get_errno())})")
    code = _filter(*_ARCHITECTURES[machine])
    held = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(held))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise WallsMissing(f"the kernel refuses a seccomp filter ({os.strerror(ctypes.get_errno())})")


def find_gap() -> str | None:
    """Knock at each wall once it stands: what still gave way, None when nothing did."""
    attempts: dict[str, Callable[[], object]] = {
        "open a file": lambda: os.open("/dev/null", os.O_RDONLY),
        "open a socket": socket.socket,
        "start a process": os.fork,
    }
    for what, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        return f"a walled-in process could still {what}"
    return None


def _limit(which: int, most: int) -> None:
    # A hard limit may already be lower; Darwin refuses some of them altogether.
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    # Out of time is SIGXCPU at the soft limit; the hard one a second later is for who would ignore it.
    ceiling = most + 1 if which == resource.RLIMIT_CPU and (hard == resource.RLIM_INFINITY or hard > most) else most
    try:
        resource.setrlimit(which, (most, ceiling))
    except (ValueError, OSError):
        if sys.platform == "linux":
            raise


def _filter(column: int, architecture: int) -> bytes:
    """The filter as BPF: another architecture's calls end the process, unknown calls are refused."""
    free = [numbers[column] for numbers in _CALLS.values()]
    memory = [numbers[column] for numbers in _MEMORY_CALLS.values()]
    # From the end: … | jset EXEC | refuse | allow. Jumps count the instructions between.
    steps = [(_LOAD, 0, 0, _ARCHITECTURE_AT), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL_PROCESS)]
    steps.append((_LOAD, 0, 0, _NUMBER_AT))
    left = len(free) + len(memory)
    for number in free:
        left -= 1
        steps.append((_EQUAL, left + 4, 0, number))
    for number in memory:
        left -= 1
        steps.append((_EQUAL, left + 1, 0, number))
    steps += [
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _PROTECTION_AT),
        (_ANY_BIT, 0, 1, _PROT_EXEC),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
