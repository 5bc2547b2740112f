"""Cuts the network off a process and all it will ever start, where no sandbox can: by a system-call filter. Linux.

Fargate forbids namespaces; a filter needs no right at all. Behind it nobody opens a socket that is not a UNIX one, not
even on loopback, and nothing takes the filter off again. Source: seccomp(2), linux/seccomp.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _OF_ALL_THREADS = 1, 1
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_AF_UNIX = 1
_IO_URING_SETUP = 425  # its queues open sockets without a system call
_X32 = 0x40000000  # the same calls under other numbers
_CALLS = {"x86_64": (0xC000003E, 41, 317), "aarch64": (0xC00000B7, 198, 277)}
"""By machine: how the kernel calls it, `socket`, `seccomp`. Source: linux/audit.h, asm/unistd.h."""


class NetworkError(Exception):
    """The network cannot be cut here; the message says why."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def cut_network() -> None:
    """From now on this process, its threads and whatever they start reach no network, and no loopback either.

    Raises:
        NetworkError: this machine or its kernel has no such filter.
    """
    machine = platform.machine()
    if machine not in _CALLS:
        raise NetworkError(f"The network cannot be cut on a machine of kind {machine!r}.")
    architecture, socket_number, seccomp_number = _CALLS[machine]
    text = _filter(architecture, socket_number)
    kept = ctypes.create_string_buffer(text, len(text))
    program = _Program(len(text) // 8, ctypes.cast(kept, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise NetworkError(f"The network cannot be cut: {os.strerror(ctypes.get_errno())}.")
    if libc.syscall(seccomp_number, _SET_MODE_FILTER, _OF_ALL_THREADS, ctypes.byref(program)) != 0:
        raise NetworkError(f"The network cannot be cut: {os.strerror(ctypes.get_errno())}.")


def _filter(architecture: int, socket_number: int) -> bytes:
    """The program: other architectures and x32 are refused whole, sockets but UNIX ones and io_uring by themselves."""
    refuse = _REFUSE | errno.EACCES
    steps = (
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 0, 7, architecture),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_AT_LEAST, 5, 0, _X32),
        (_JUMP_EQUAL, 4, 0, _IO_URING_SETUP),
        (_JUMP_EQUAL, 0, 2, socket_number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_JUMP_EQUAL, 0, 1, _AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, refuse),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
