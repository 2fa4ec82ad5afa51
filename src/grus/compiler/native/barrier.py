"""Where native threads wait for one another."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os

from llvmlite import ir

from grus.compiler.native.emitter import I64, Emitter, Value

SPINS = 1 << 12  # looks at a barrier between two offers of the core to another thread


def emit_barrier(e: Emitter, counter: Value, count: Value) -> None:
    """Wait until ``count`` threads are here, if there are several.

    ``counter`` points to an int64, zero at first, that only grows, so that it needs no resetting; a negative one lets everyone pass: the
    work was given up.
    """
    b = e.b
    with b.if_then(b.icmp_signed(">", count, I64(1)), likely=False):
        counter = b.bitcast(counter, I64.as_pointer())
        arrived = b.atomic_rmw("add", counter, I64(1), "acq_rel")
        target = b.mul(b.add(b.sdiv(arrived, count), I64(1)), count)
        before = b.block
        head, idle, give_way, done = (e.function.append_basic_block(name) for name in ("wait", "idle", "give_way", "met"))
        b.branch(head)
        b.position_at_end(head)
        turns = b.phi(I64)
        turns.add_incoming(I64(1), before)
        seen = b.load_atomic(counter, "acquire", 8, typ=I64)
        b.cbranch(b.and_(b.icmp_signed("<", seen, target), b.icmp_signed(">=", seen, I64(0))), idle, done)
        b.position_at_end(idle)
        after = b.add(turns, I64(1))
        turns.add_incoming(after, idle)
        b.cbranch(b.icmp_signed("==", b.and_(turns, I64(SPINS - 1)), I64(0)), give_way, head)
        b.position_at_end(give_way)
        turns.add_incoming(after, give_way)
        # There may be fewer cores than threads.
        if hasattr(os, "sched_yield"):
            kind = ir.FunctionType(ir.IntType(32), [])
            b.call(e.module.globals.get("sched_yield") or ir.Function(e.module, kind, "sched_yield"), [])
        b.branch(head)
        b.position_at_end(done)
