"""Another user's process at the socket of the ranks: SOCKET JOB COUNT-FILE. Runs until it is ended.

It takes all places for processes that say nothing, tries to be a rank of the job, to report for one and to
let it leave, sends what is no message, and has jobs of its own come and go.
"""

import os
import socket
import struct
import sys
import time

HELLO, REPORT, BYE, WELCOME = 1, 2, 3, 4
STEPS = range(7, 14)
path, job, count_file = sys.argv[1:]


def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect(path)
    return s


def message(kind, arg=0, epoch=0, status=0, pairs=(), text=b""):
    head = struct.pack("=IHHIIIIIIII", 0x32524A4E, kind, 0, epoch, status, arg, 0, len(pairs), 0, 0, len(text))
    return head + b"".join(struct.pack("=II", *p) for p in pairs) + text


def say(*packets):
    """Sends them on one connection, and returns the type of the first answer, or None."""
    with connect() as s:
        try:
            for packet in packets:
                s.send(packet)
            answer = s.recv(65536)
        except (ConnectionError, BrokenPipeError, socket.timeout):
            return None
        return struct.unpack_from("=IH", answer)[1] if len(answer) >= 6 else None


def hello(name, rank, size, **more):
    return message(HELLO, arg=os.getpid(), pairs=[(rank, size)], text=name.encode() + b"\n0.1.0", **more)


silent = []
rounds = 0
while True:
    silent = silent[-200:] + [connect() for _ in range(20)]
    for rank in range(2):
        assert say(hello(job, rank, 2)) != WELCOME, "taken for a rank of another user's job"
    for step in STEPS:
        assert say(message(REPORT, arg=step, epoch=rounds)) is None
    assert say(message(BYE)) is None
    assert say(os.urandom(5000)) is None
    assert say(b"") is None
    say(hello("mine.%d" % rounds, 0, 1, epoch=4294901760), message(REPORT, arg=10, epoch=4294901760), message(BYE))
    rounds += 1
    with open(count_file, "w") as out:
        print(rounds, file=out)
    time.sleep(0.02)
