#!/usr/bin/python3
"""Python by mpi4py: pickled objects and buffers, point-to-point and collective, windows, files' views."""

import array
import hashlib
import sys

from mpi4py import MPI

world = MPI.COMM_WORLD
me, ranks = world.Get_rank(), world.Get_size()
right, left = (me + 1) % ranks, (me - 1) % ranks
digest = hashlib.sha256()


def check(ok, what, round_):
    if not ok:
        print(f"rank {me}: WRONG: {what}, round {round_}", file=sys.stderr, flush=True)
        world.Abort(3)


def thing(rank, round_):
    """Small or large, and nested."""
    return {"rank": rank, "round": round_, "text": "ä" * (round_ % 40), "list": list(range(round_ % 300)),
            "bytes": bytes([rank + round_ & 255]) * (100000 if round_ % 10 == 0 else 10)}


def objects(round_):
    request = world.isend(thing(me, round_), dest=right, tag=round_ % 1000)
    check(world.recv(source=left, tag=round_ % 1000) == thing(left, round_), "object", round_)
    request.wait()
    check(world.sendrecv((me, round_), dest=left, source=right) == (right, round_), "tuple", round_)


def collectives(round_):
    check(world.allgather(thing(me, round_)) == [thing(r, round_) for r in range(ranks)], "allgather", round_)
    root = round_ % ranks
    check(world.bcast(thing(me, round_) if me == root else None, root) == thing(root, round_), "bcast", round_)
    check(world.allreduce([me], op=MPI.SUM) == list(range(ranks)), "sum of lists", round_)
    parts = world.alltoall([(me, r, round_) for r in range(ranks)])
    check(parts == [(r, me, round_) for r in range(ranks)], "alltoall", round_)


def buffers(round_):
    n = 50000 if round_ % 5 == 0 else 17
    out = array.array("i", (me * 1000 + round_ + i for i in range(n)))
    got = array.array("i", [0]) * n
    requests = [world.Irecv(got, source=left), world.Isend(out, dest=right)]
    MPI.Request.Waitall(requests)
    check(got == array.array("i", (left * 1000 + round_ + i for i in range(n))), "buffer", round_)
    total = array.array("i", [0]) * n
    world.Allreduce(out, total, op=MPI.SUM)
    digest.update(total.tobytes())


def main():
    rounds = int(sys.argv[1])
    for round_ in range(rounds):
        objects(round_)
        collectives(round_)
        buffers(round_)
    if me == 0:
        print("objects: ok, digest", digest.hexdigest(), flush=True)


main()
