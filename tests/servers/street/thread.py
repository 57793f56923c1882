"""How does a packet take its time, between two ends of a wire in one kernel? A thread takes it in."""

import fcntl
import socket
import struct
import subprocess
from array import array
from pathlib import Path

# linux/sockios.h and linux/ethtool.h
_SIOCETHTOOL, _SGRO, _STSO = 0x8946, 0x2C, 0x1F


def detach(*, receiver: str, sender: str) -> None:
    """Have a thread of the kernel take in what the receiver gets from the sender, as if it had travelled.

    Otherwise all that a SYN brings about happens inside connect(2), where an ICMPv6 message comes too early
    to be seen, and connect(2) goes on for a second. The kernel has such threads where there is GRO, and a
    wire uses that where its other end does no TSO. Both ends must still be in this network.
    """
    _set(receiver, command=_SGRO, value=1)
    _set(sender, command=_STSO, value=0)
    subprocess.run(("ip", "link", "set", receiver, "up"), check=True)
    # What is mounted there shows the networks of others.
    subprocess.run(("mount", "-t", "sysfs", "sysfs", "/sys"), check=True)
    Path(f"/sys/class/net/{receiver}/threaded").write_text("1")


def _set(interface: str, *, command: int, value: int) -> None:
    asked = array("I", (command, value))
    address, _ = asked.buffer_info()
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, struct.pack("16sP", interface.encode(), address))
