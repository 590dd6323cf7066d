#!/usr/bin/env python3
"""A bounded, exhaustive model of the ledger's file that many processes of one machine open.

It searches every interleaving of two or three processes: kill -9 of any of them, power loss, and a
failed fdatasync, at any step. It runs the design, which must hold; then mutants, which must each
break the property that they name; then the states that no rule mends, which must be found too.

    python3 tests/models/ledger_model.py              all; exits with 1 if anything is unexpected
    python3 tests/models/ledger_model.py -v           with the shortest trace of each mutant
    python3 tests/models/ledger_model.py NAME         what has NAME in its name, with traces

What is an atomic step, and what the properties are, is in README.md beside this file.
"""
import sys
import time
from collections import namedtuple
from functools import lru_cache
from itertools import product

# ---------------------------------------------------------------------------------------------
# What a file says
#
# A slot is a filler (None) or a record. `in_group` is how many records of its group are before it.
# Its position is not in it: position = tail + place, as in the format.

Rec = namedtuple('Rec', 'kind who in_group in_call size')  # kind: out, opened, void, moved


def void(in_group):
    return Rec('void', None, in_group, 0, 1)


def is_whole(records, at):
    """How many records the whole call has that begins at this place, or 0."""
    first = records[at]
    if first is None or first.in_call != 0:
        return 0
    call = records[at:at + first.size]
    whole = len(call) == first.size and all(
        r is not None and r.kind != 'void' and r.who == first.who and r.in_call == n
        for n, r in enumerate(call))
    return first.size if whole or first.kind == 'void' else 0


@lru_cache(None)
def recover(values, moved_becomes, voids_anywhere=False):
    """Today's rule (src/ledger/recover.rs), and what becomes of Moved at the end of the file that
    still has the name. Gives the slots as they are to be, and where the last group begins; or why
    it is damage."""
    used = len(values)
    while used and values[used - 1] is None:
        used -= 1
    # Before Moved was written, all was whole and synced.
    is_closed = used > 0 and values[used - 1].kind == 'moved' and moved_becomes == 'filler'
    used -= is_closed
    if not used:
        return (), 0
    group = used if is_closed else used - 1 - values[used - 1].in_group
    if voids_anywhere:
        group = 0
    if group < 0:
        return 'a group begins before its file'
    before, at = values[:group], 0
    while at < group:
        size = is_whole(before, at)
        if not size:
            return 'a synced record is missing' if before[at] is None else 'a call is not whole'
        if before[at].kind == 'moved':
            return 'there is a record behind Moved'
        at += size
    result, rest = list(before), values[:used]
    while at < used:
        size = is_whole(rest, at)
        if size and (rest[at].kind != 'moved' or moved_becomes == 'moved'):
            result.extend(rest[at:at + size])
        else:
            size = 1
            result.append(void(at - group))
        at += size
    return tuple(result), group


# ---------------------------------------------------------------------------------------------
# The state
#
# A slot of a file on the disk: what the page cache says, what a power loss may leave, and whether
# the next fdatasync writes it. A failed fdatasync leaves it clean, though it is not on the disk.
# `error`: the system failed to write a page by itself; the next fdatasync says so, once.

File = namedtuple('File', 'serial tail kept slots error')
# A process: which of its incarnations, which operation (-1: not begun), the step in it, the file
# that it has open, the highest position that it knows, the records that it knows, its opening.
Proc = namedtuple('Proc', 'inc op pc fd end known life')
State = namedtuple('State', 'procs files name names tmp opening alone live lock compact byte '
                            'acked seen row covers lives unrecovered lost kills power fails drops')
# name: the file that has the name. names: those that may have it after a power loss. tmp: the file
# that a compaction writes beside. opening, alone (= `live` exclusively), live (= shared), lock,
# compact: who holds the lock. byte: the state. acked: calls with an Ok. seen: calls that any
# process has seen since the machine started. row: the sign-in (as-of, opening), durable at once.
# covers: calls that began when the row was there. lives: how many openings were recorded.
# unrecovered: nobody has recovered since the power loss. lost: an acknowledged record was removed.

DESIGN = dict(
    byte='before the write',    # or 'never'
    clean='behind the sync',    # or 'before the sync'
    flush='under the lock',     # or 'outside'
    opened=True,                # an Opened record at the first open
    repair_syncs=True,          # repair syncs what the dead holder wrote
    repair_writes_again=True,   # and writes the last group again before
    repair_syncs_folder=True,   # and makes a rename of the dead holder durable
    recovery_syncs_folder=True,
    recovery_writes_again=True,
    repair_reopens=True,        # repair opens the file by its name
    reads_kept=True,            # a reader that is behind the new file's tail reads what it kept
    moved='before the rename',  # or 'behind'
    moved_becomes='filler',     # in the file that still has the name; or 'void', or 'moved'
    recovery_keeps_moved=False,
    voids_anywhere=False,       # not in the last group only
    compact_lock=True,          # one compaction at a time, for its whole length
    compact_checks=True,        # its last step gives up if the name is another file's
    syncs_moved=True,           # the old file is synced behind Moved, before the rename
    clips_groups=True,          # in the new file no group begins before the tail
    room_for_moved=True,        # an append leaves a slot for Moved, and the last one
    whole_calls=True,           # a look takes in whole calls only
    holds_live=True,
    holds_opening=True,
    reads_on=True,              # before it appends
    void_in_group=True,         # a Void keeps its place in its group
    cap=99,                     # slots of a file's tail
    repairs=True,
    seen_stays=True,            # whether the second half of property 2 is checked
    evict=False,                # clean pages may be dropped from the page cache
)


class Broken(Exception):
    """A property does not hold. The first argument is its number."""


class Model:
    def __init__(self, programs, kills=0, power=0, fails=0, drops=0, **changed):
        self.programs = programs
        self.budget = (kills, power, fails, drops)
        self.c = {**DESIGN, **changed}

    def start(self):
        # A file that was made when the store was: it has no record, and the power has failed
        # since, so nobody has recovered it.
        idle = Proc(0, -1, ('-',), None, 0, frozenset(), None)
        kills, power, fails, drops = self.budget
        return State((idle,) * len(self.programs), (File(0, 1, frozenset(), (), False),), 0,
                     frozenset([0]), None, None, None, frozenset(), None, None, 0, frozenset(),
                     frozenset(), None, frozenset(), 0, True, False, kills, power, fails, drops)

    # --- files

    def values(self, file):
        return tuple(slot[0] for slot in file.slots)

    def recover(self, file, by_repair):
        becomes = self.c['moved_becomes']
        if not by_repair and self.c['recovery_keeps_moved']:
            becomes = 'moved'
        values = self.values(file)
        if any(v is not None for v in values[self.c['cap'] - 1:]):
            return 'it does not end in filler'
        found = recover(values, becomes, self.c['voids_anywhere'])
        if not isinstance(found, str) and not self.c['void_in_group']:
            found = (tuple(r if r != void(r.in_group) else void(0) for r in found[0]), found[1])
        return found

    def put(self, s, index, place, record):
        """A slot is written to the page cache."""
        file = s.files[index]
        slots = list(file.slots)
        while len(slots) <= place:
            slots.append((None, frozenset([None]), False))
        old = slots[place][0]
        if old is not None and old.kind in ('out', 'opened') and record != old:
            values, begin = self.values(file), place - old.in_call
            counts = values[begin] and values[begin].who == old.who and is_whole(values, begin)
            if not record or record.kind != 'void' or counts:
                raise Broken(6, f'a record that counts is overwritten, at position '
                                f'{file.tail + place}')
        slots[place] = (record, slots[place][1] | {record}, True)
        return self.set_file(s, index, file._replace(slots=tuple(slots)))

    def touch(self, s, index, first):
        """Slots from a place on are written again with what they say."""
        file = s.files[index]
        slots = tuple((v, poss, True) if n >= first else (v, poss, dirty)
                      for n, (v, poss, dirty) in enumerate(file.slots))
        return self.set_file(s, index, file._replace(slots=slots))

    def set_file(self, s, index, file):
        return s._replace(files=s.files[:index] + (file,) + s.files[index + 1:])

    def synced(self, s, index, ok):
        file = s.files[index]
        slots = tuple((v, frozenset([v]) if ok and dirty else poss, False)
                      for v, poss, dirty in file.slots)
        return self.set_file(s, index, file._replace(slots=slots, error=False))

    # --- what a process knows

    def read_on(self, s, p, under_lock):
        """Takes in what is behind the known end, of the file that the process has open. Says
        whether it met Moved."""
        file = s.files[p.fd]
        values, known, end = self.values(file), set(p.known), p.end
        if end + 1 < file.tail:
            if self.c['reads_kept']:
                known |= {(pos, r) for pos, r in file.kept if pos > end}
            end = file.tail - 1
        at = end + 1 - file.tail
        while at < len(values) and values[at] is not None:
            if values[at].kind == 'moved':
                return p._replace(end=file.tail + at - 1, known=frozenset(known)), True
            size = is_whole(values, at)
            if not size and not self.c['whole_calls'] and not under_lock:
                size = 1
            if not size:
                if under_lock:
                    self.damaged(s, 'a call is not whole, in state 0 and under the lock')
                break
            if values[at].kind != 'void':
                known |= {(file.tail + n, values[n]) for n in range(at, at + size)}
            at += size
        if under_lock and any(v is not None for v in values[at:]):
            self.damaged(s, 'a record behind a filler, in state 0 and under the lock')
        return p._replace(end=file.tail + at - 1, known=frozenset(known)), False

    def read_all(self, s, p, index, slots):
        """What a process knows that has read the whole file."""
        file = s.files[index]
        known = set(file.kept) | {(file.tail + n, r) for n, r in enumerate(slots)
                                  if r.kind not in ('void', 'moved')}
        return p._replace(fd=index, end=file.tail + len(slots) - 1, known=frozenset(known))

    def damaged(self, s, why):
        if s.lost:
            raise Broken(0, 'damage is recognised')
        raise Broken(3, f'a holder says "{why}", but only crashes were before')

    def check(self, s, p, needed):
        """A look that began when `needed` was acknowledged, or seen, is over."""
        calls = {}
        for _, r in p.known:
            if r.kind == 'out':
                calls.setdefault(r.who, []).append(r)
        for who, records in calls.items():
            if len(records) != records[0].size:
                raise Broken(2, f'half of call {who} counts')
        acked, seen, covers = needed
        for who in sorted(acked - calls.keys()):
            raise Broken(1, f'the acknowledged sign-out {who} is not seen')
        for who in sorted(seen - calls.keys() if self.c['seen_stays'] else ()):
            raise Broken(2, f'call {who} was seen, and is gone')
        if s.row and covers & acked and self.is_alive(s.row, p.known):
            raise Broken(4, f'the sign-in with as-of {s.row[0]} is alive, behind the acknowledged '
                            f'sign-out {sorted(covers & acked)[0]}')
        return s._replace(seen=s.seen | frozenset(calls))

    def is_alive(self, row, known):
        as_of, life = row
        begins = sorted((pos, r.who) for pos, r in known if r.kind == 'opened')
        mine = [n for n, (_, who) in enumerate(begins) if who == life]
        if self.c['opened']:
            if not mine or as_of < begins[mine[0]][0]:
                return False
            if mine[0] + 1 < len(begins) and as_of >= begins[mine[0] + 1][0]:
                return False
        return not any(r.kind == 'out' and pos > as_of for pos, r in known)

    def needed(self, s):
        return s.acked, s.seen, s.covers

    # --- the end of a process

    def ended(self, s, i):
        """The kernel lets go of its locks. Its next incarnation may begin."""
        p = s.procs[i]
        gone = Proc(p.inc + 1, -1, ('-',), None, 0, frozenset(), None)
        mine = lambda holder: None if holder == i else holder
        tmp = s.tmp
        if tmp and tmp[0] == i and self.c['compact_lock']:
            tmp = None
        return self.set_proc(s, i, gone)._replace(
            opening=mine(s.opening), alone=mine(s.alone), live=s.live - {i}, lock=mine(s.lock),
            compact=mine(s.compact), tmp=tmp)

    def set_proc(self, s, i, p):
        return s._replace(procs=s.procs[:i] + (p,) + s.procs[i + 1:])

    def power_loss(self, s):
        """Any of the values that a slot may have on the disk, each by itself."""
        for name in sorted(s.names):
            file = s.files[name]
            for values in product(*(sorted(poss, key=repr) for _, poss, _ in file.slots)):
                end = len(values)
                while end and values[end - 1] is None:
                    end -= 1
                slots = tuple((v, frozenset([v]), False) for v in values[:end])
                dead = s
                for i, p in enumerate(s.procs):
                    if p.op >= 0:
                        dead = self.ended(dead, i)
                dead = dead._replace(
                    files=(file._replace(slots=slots, error=False),), name=0,
                    names=frozenset([0]), tmp=None,
                    seen=frozenset(), unrecovered=True, power=s.power - 1)
                says = ' '.join('-' if v is None else v.kind[0] for v in values[:end])
                yield f'POWER LOSS leaves file {file.serial}: [{says}]', dead
                if s.drops:
                    yield from self.without_acknowledged(dead, file)

    def without_acknowledged(self, s, file):
        """An acknowledged record is lost, though no crash can lose it."""
        values = self.values(s.files[0])
        found = recover(values, self.c['moved_becomes'])
        if isinstance(found, str):
            return
        for n, r in enumerate(values[:found[1]]):
            if r and r.kind == 'out' and r.who in s.acked:
                slots = list(s.files[0].slots)
                slots[n] = (None, frozenset([None]), False)
                less = s.files[0]._replace(slots=tuple(slots))
                yield (f'POWER LOSS, and an acknowledged record {r.who} is lost',
                       s._replace(files=(less,), lost=True, drops=s.drops - 1))

    # --- the steps

    def steps(self, s):
        out = []
        if s.power:
            out.extend(self.power_loss(s))
        for i, p in enumerate(s.procs):
            if p.op >= 0 and s.kills:
                out.append((f'p{i}: KILL -9', self.ended(s, i)._replace(kills=s.kills - 1)))
            self.of_process(s, i, p, out)
        if self.c['evict']:
            self.evictions(s, out)
        return [(what, self.tidy(t)) for what, t in out]

    def evictions(self, s, out):
        """The system fails to write a page by itself, or drops a clean one and reads it again."""
        for n, file in enumerate(s.files):
            for at, (v, poss, dirty) in enumerate(file.slots if file else ()):
                new = [] if dirty else [(left, frozenset([left]), False) for left in poss - {v}]
                if dirty and s.fails and len(poss) > 1:
                    new = [(v, poss, False)]
                for slot in new:
                    slots = file.slots[:at] + (slot,) + file.slots[at + 1:]
                    error = dirty or file.error
                    t = self.set_file(s, n, file._replace(slots=slots, error=error))
                    says = 'WRITE FAILS of a page with' if dirty else 'is read from the disk again:'
                    out.append((f'file {file.serial}: {says} place {at}',
                                t._replace(fails=t.fails - dirty)))

    def tidy(self, s):
        """Forgets files that nobody can reach, so that equal states are equal."""
        used = {p.fd for p in s.procs} | s.names | {s.name}
        files = tuple(f if n in used else None for n, f in enumerate(s.files))
        return s if files == s.files else s._replace(files=files)

    def of_process(self, s, i, p, out):
        c = self.c
        incs = self.programs[i]
        if p.inc >= len(incs):
            return
        ops = incs[p.inc]

        def go(what, t, **changed):
            out.append((f'p{i}: {what}', self.set_proc(t, i, t.procs[i]._replace(**changed))))

        def done(what, t, **changed):
            """The operation is over."""
            go(what, t, op=p.op + 1, pc=('-',), **changed)

        def failing(what, t, index, then, give_up):
            """A sync, that may fail."""
            has_error = t.files[index].error
            if not has_error:
                go(what, self.synced(t, index, True), pc=then)
            if t.fails or has_error:
                t = t if has_error else t._replace(fails=t.fails - 1)
                give_up(what + ' FAILS', self.synced(t, index, False))

        def fail(what, t):
            """The state becomes 2 in a step of its own."""
            go(what, t, pc=('failed',))

        def end(what, t):
            out.append((f'p{i}: {what}', self.ended(t, i)))

        pc = p.pc[0]

        # An incarnation begins with opening, and may close when it has done all.
        if p.op == len(ops):
            if p.inc + 1 < len(incs):
                end('closes', s)
            return
        if pc == 'failed':
            t = s._replace(byte=2, lock=None,
                           compact=None if s.compact == i else s.compact)
            if p.life is None:
                end('state 2; the open fails', t)
            else:
                done('state 2, unlocks: Indeterminate', t)
            return
        if p.op == -1:
            if s.opening is None:
                t = s._replace(opening=i)
                go('opens: takes `opening`', t, op=0, pc=('try live',))
            return
        op = ops[p.op]
        step = getattr(self, {'open': 'step_open', 'out': 'step_out', 'look': 'step_look',
                              'in': 'step_in', 'compact': 'step_compact'}[op[0]])
        if pc in REPAIR:
            self.step_repair(s, i, p, go, done, end, failing, fail)
        else:
            step(s, i, p, op, go, done, end, failing, fail)

    # --- opening

    def step_open(self, s, i, p, op, go, done, end, failing, fail):
        c, pc = self.c, p.pc[0]
        others = s.live - {i}

        if pc == 'try live':
            if s.alone is None and not others:
                t = s._replace(alone=i, opening=s.opening if c['holds_opening'] else None)
                if not c['holds_live']:
                    t = t._replace(alone=None)
                found = self.recover(t.files[t.name], False)
                if isinstance(found, str):
                    if t.lost:
                        end('is alone; damaged: ' + found, t)
                        return
                    raise Broken(3, f'recovery says "{found}", but only crashes were before')
                if t.lost:
                    raise Broken(3, 'an acknowledged record was lost, and recovery does not say so')
                go('is alone: recovers', t, fd=t.name, pc=('rewrite', found))
            else:
                go('is not alone', s, pc=('share live',))

        elif pc == 'rewrite':
            self.rewrite(s, i, p, go, c['recovery_writes_again'], ('sync',))

        elif pc == 'sync':
            then = ('sync folder',) if c['recovery_syncs_folder'] else ('recovered',)
            if c['recovery_writes_again']:
                failing('syncs', s, p.fd, then, lambda w, t: end(w + '; the open fails', t))
            else:
                go('does not sync', s, pc=then)

        elif pc == 'sync folder':
            go('syncs the folder', s._replace(names=frozenset([s.name])), pc=('recovered',))

        elif pc == 'recovered':
            found = self.recover(s.files[p.fd], False)
            q = self.read_all(s, p, p.fd, found[0])
            t = self.set_proc(s, i, q)._replace(byte=0, unrecovered=False)
            room = len(found[0]) < c['cap'] - (2 if c['room_for_moved'] else 1)
            if c['opened'] and not room:
                end('has no room for Opened', s)
            elif c['opened']:
                lives = s.lives + 1
                record = Rec('opened', lives, 0, 0, 1)
                t = self.append(t, i, q, record)._replace(lives=lives)
                q = q._replace(end=q.end + 1, known=q.known | {(q.end + 1, record)}, life=None)
                go('state 0, writes Opened', self.set_proc(t, i, q), pc=('sync opened', lives))
            else:
                go('state 0', t, pc=('share', 0))

        elif pc == 'sync opened':
            failing('syncs Opened', s, p.fd, ('share', p.pc[1]),
                    lambda w, t: go(w, t, pc=('failed',)))

        elif pc == 'share':
            t = s._replace(alone=None, opening=None if s.opening == i else s.opening,
                           live=s.live | {i} if c['holds_live'] else s.live)
            t = self.check(t, p, self.needed(s))
            done('`live` is shared now; is open', t, life=p.pc[1])

        elif pc == 'share live':
            if s.alone is None:
                go('takes `live` shared', s._replace(live=s.live | {i}), pc=('join',))

        elif pc == 'join':
            self.lock_and(s, i, p, go, done, end, 'join')

    def joined(self, s, i, p, done):
        """Another process lives, or lived a moment ago: the file is sound, and is read whole."""
        if s.unrecovered:
            raise Broken(7, 'a process has opened, and nobody has recovered')
        found = self.recover(s.files[s.name], True)
        if isinstance(found, str):
            self.damaged(s, found)
        values = self.values(s.files[s.name])
        if found[0] + (None,) * (len(values) - len(found[0])) != values:
            self.damaged(s, 'a call is not whole, in state 0 and under the lock')
        q = self.read_all(s, p, s.name, found[0])
        t = self.check(self.set_proc(s, i, q), q, self.needed(s))
        t = t._replace(lock=None, opening=None if s.opening == i else s.opening)
        lives = [(pos, r.who) for pos, r in q.known if r.kind == 'opened']
        done('reads the file under the lock; is open', t, life=max(lives)[1] if lives else 0)

    # --- the lock, and what every holder does first

    def lock_and(self, s, i, p, go, done, end, then):
        """Takes the lock and looks at the state."""
        if s.lock is not None:
            return
        t = s._replace(lock=i)
        if s.byte == 2:
            t = t._replace(lock=None)
            if then == 'join':
                end('state is 2: the open is refused', t)
            elif then == 'compact':
                done('state is 2: gives up', t._replace(
                    compact=None if s.compact == i else s.compact, tmp=None))
            else:
                done('state is 2: refused', t)
        elif s.byte == 1 and self.c['repairs']:
            fd = s.name if self.c['repair_reopens'] or p.fd is None else p.fd
            found = self.recover(t.files[fd], True)
            if isinstance(found, str):
                self.damaged(s, found)
            q = p._replace(fd=fd)
            go('takes the lock, state is 1: repairs', self.set_proc(t, i, q),
               pc=('repair', found, (then, p.fd, p.pc)))
        else:
            self.locked(t, i, p, go, done, then, p.fd)

    def locked(self, s, i, p, go, done, then, was):
        """Holds the lock, and all before is whole and synced."""
        if then == 'join':
            self.joined(s, i, p, done)
            return
        if then == 'look':
            q = p
            if p.fd != s.name:
                q = p._replace(fd=s.name)
            q, moved = self.read_on(s, q, True)
            t = self.check(self.set_proc(s, i, q), q, p.pc[-1])
            done('has looked under the lock', t._replace(lock=None))
            return
        q = p
        if self.c['reads_on'] or then == 'compact':
            q, moved = self.read_on(s, q, True)
            if moved and (then == 'out' or self.c['compact_checks']):
                q, moved = self.read_on(s, q._replace(fd=s.name), True)
                if moved:
                    raise Broken(5, 'the file that has the name ends in Moved, in state 0')
        byte = 1 if self.c['byte'] == 'before the write' else s.byte
        t = self.set_proc(s, i, q)
        if then == 'out':
            t = self.check(t, q, self.needed(s)) if self.c['reads_on'] else t
            op = self.programs[i][p.inc][p.op]
            records, calls = [], []
            for n, size in enumerate(op[1]):
                who = f'{i}.{p.inc}.{p.op}.{n}'
                calls.append(who)
                records += [Rec('out', who, len(records) + k, k, size) for k in range(size)]
            room = self.c['cap'] - (2 if self.c['room_for_moved'] else 1)
            if q.end + 1 - s.files[q.fd].tail + len(records) > room:
                done('has the lock: Full', t._replace(lock=None))
                return
            go('has the lock, has read on; state 1', t._replace(byte=byte),
               pc=('write', tuple(records), frozenset(calls)))
            return
        # The last step of a compaction.
        if self.c['compact_checks'] and q.fd != was:
            done('has the lock: the name is another file\'s, gives up', t._replace(
                lock=None, byte=0, compact=None if s.compact == i else s.compact, tmp=None))
            return
        start, old = p.pc[1], s.files[q.fd]
        kept = frozenset((pos, r._replace(in_group=0)) for pos, r in q.known if pos <= start)
        tail = [r for n, (r, _, _) in enumerate(old.slots) if start < old.tail + n <= q.end]
        if start < old.tail - 1:
            raise Broken(5, 'a compaction begins before the tail of its file')
        slots = []
        for n, r in enumerate(tail):
            if self.c['clips_groups']:
                r = r._replace(in_group=min(r.in_group, n))
            slots.append((r, frozenset([r]), False))
        new = File(old.serial + 1, start + 1, kept, tuple(slots), False)
        tmp = s.tmp if s.tmp and s.tmp[0] != i else (i, new)
        first = ('moved',) if self.c['moved'] == 'before the rename' else ('rename',)
        go('has the lock, the new file is whole and synced; state 1',
           t._replace(byte=byte, tmp=tmp), pc=first)

    def step_repair(self, s, i, p, go, done, end, failing, fail):
        c, pc, rest = self.c, p.pc[0], p.pc[-1]

        if pc == 'repair':
            self.rewrite(s, i, p, go, c['repair_writes_again'], ('repair sync', rest))

        elif pc == 'repair sync':
            then = ('repair folder' if c['repair_syncs_folder'] else 'repaired', rest)
            if c['repair_syncs']:
                failing('syncs what it repaired', s, p.fd, then, fail)
            else:
                go('does not sync what it repaired', s, pc=then)

        elif pc == 'repair folder':
            go('syncs the folder', s._replace(names=frozenset([s.name])),
               pc=('repaired', rest))

        elif pc == 'repaired':
            then, was, pc = rest
            self.locked(s._replace(byte=0), i, p._replace(pc=pc), go, done, then, was)

    def rewrite(self, s, i, p, go, again, then):
        """Writes what recovery or repair found: what changes slot by slot, the rest at once."""
        slots, first = p.pc[1]
        file = s.files[p.fd]
        values = self.values(file)
        wanted = slots + (None,) * (len(values) - len(slots))
        differ = [n for n, r in enumerate(wanted) if values[n] != r]
        if differ:
            n = differ[0]
            name = 'Void' if wanted[n] else 'filler'
            go(f'writes {name} at place {n}', self.put(s, p.fd, n, wanted[n]), pc=p.pc)
        elif again:
            go('writes the last group again', self.touch(s, p.fd, first), pc=then)
        else:
            go('writes nothing again', s, pc=then)

    # --- appending

    def append(self, s, i, p, record):
        if p.fd != s.name:
            raise Broken(5, 'a record is appended to a file that has not the name')
        if s.unrecovered:
            raise Broken(7, 'a record is appended, and nobody has recovered')
        for n, other in enumerate(s.procs):
            if n != i and other.op >= 0 and other.life is not None and other.end > p.end:
                raise Broken(4 if self.c['reads_on'] else 6,
                             f'position {p.end + 1} is given out again, p{n} knows it')
        return self.put(s, p.fd, p.end + 1 - s.files[p.fd].tail, record)

    def step_out(self, s, i, p, op, go, done, end, failing, fail):
        c, pc = self.c, p.pc[0]

        if pc == '-':
            t = s
            if s.row:
                calls = {f'{i}.{p.inc}.{p.op}.{n}' for n in range(len(op[1]))}
                t = s._replace(covers=s.covers | calls)
            if t.covers != s.covers:
                go('signs out', t, pc=('begun',))
            else:
                self.lock_and(t, i, p, go, done, end, 'out')

        elif pc == 'begun':
            self.lock_and(s, i, p, go, done, end, 'out')

        elif pc == 'write':
            record, rest = p.pc[1][0], p.pc[1][1:]
            t = self.append(s, i, p, record)
            q = p._replace(end=p.end + 1, known=p.known | {(p.end + 1, record)})
            next_ = 'write' if rest else 'sync'
            if not rest and c['clean'] == 'before the sync':
                t = t._replace(byte=0)
            if not rest and c['flush'] == 'outside':
                t = t._replace(byte=0, lock=None)
            go(f'writes {record.who}/{record.in_call} at position {p.end + 1}',
               self.set_proc(t, i, q), pc=(next_, rest, p.pc[2]))

        elif pc == 'sync':
            failing('syncs', s, p.fd, ('ok', p.pc[2]), fail)

        elif pc == 'ok':
            t = s._replace(acked=s.acked | p.pc[1], seen=s.seen | p.pc[1])
            if c['flush'] != 'outside':
                t = t._replace(byte=0, lock=None)
            done('state 0, unlocks: Ok', t)

    # --- looking

    def step_look(self, s, i, p, op, go, done, end, failing, fail):
        if p.pc[0] == '-':
            q, moved = self.read_on(s, p, False)
            t = self.set_proc(s, i, q)
            if moved:
                go('looks, and meets Moved', t, pc=('by name', self.needed(s)))
            else:
                done('looks', self.check(t, q, self.needed(s)))
        else:
            self.lock_and(s, i, p, go, done, end, 'look')

    def step_in(self, s, i, p, op, go, done, end, failing, fail):
        """A sign-in takes its as-of from a look; its row is durable a step later."""
        if p.pc[0] == '-':
            q, _ = self.read_on(s, p, False)
            go(f'signs in: as-of {q.end}', self.set_proc(s, i, q), pc=('row', q.end))
        else:
            done('the row is durable', s._replace(row=(p.pc[1], p.life)))

    # --- compacting

    def step_compact(self, s, i, p, op, go, done, end, failing, fail):
        c, pc = self.c, p.pc[0]

        if pc == '-':
            if c['compact_lock'] and s.compact is not None:
                done('another process compacts', s)
                return
            t = s._replace(compact=i if c['compact_lock'] else None, tmp=(i, None))
            q, moved = self.read_on(s, p, False)
            go(f'begins a new file, of what is up to {q.end}', self.set_proc(t, i, q),
               pc=('c', q.end))

        elif pc == 'c':
            self.lock_and(s, i, p, go, done, end, 'compact')

        elif pc == 'moved':
            place = p.end + 1 - s.files[p.fd].tail
            if p.fd != s.name:
                raise Broken(5, 'Moved is appended to a file that has not the name')
            if place > c['cap'] - 2:
                raise Broken(3, 'there is no slot for Moved, before the last one')
            t = self.put(s, p.fd, place, Rec('moved', 'moved', 0, 0, 1))
            before = c['moved'] == 'before the rename'
            then = ('sync moved',) if c['syncs_moved'] else ('rename',)
            go('writes Moved', t, pc=then if before else ('folder', s.name))

        elif pc == 'sync moved':
            failing('syncs the old file', s, p.fd, ('rename',), fail)

        elif pc == 'rename':
            owner, new = s.tmp or (i, None)
            if new is None:
                raise Broken(1, 'a file that is not whole takes the place of the ledger')
            index = len(s.files)
            lost = s.acked - {r.who for _, r in self.all_of(new)}
            t = s._replace(files=s.files + (new,), name=index, names=s.names | {index}, tmp=None)
            if lost:
                raise Broken(1, f'the new file is without the acknowledged {sorted(lost)[0]}')
            if c['moved'] == 'before the rename':
                go('renames', t, fd=index, pc=('folder', index))
            else:
                go('renames', t, pc=('late moved', index))

        elif pc == 'late moved':
            place = p.end + 1 - s.files[p.fd].tail
            t = self.put(s, p.fd, place, Rec('moved', 'moved', 0, 0, 1))
            go('writes Moved to the old file', t, fd=p.pc[1], pc=('folder', p.pc[1]))

        elif pc == 'folder':
            t = s._replace(names=frozenset([s.name]))
            go('syncs the folder', t, pc=('compacted',))
            if s.fails:
                fail('syncs the folder FAILS', s._replace(fails=s.fails - 1))

        elif pc == 'compacted':
            done('state 0, unlocks', s._replace(
                byte=0, lock=None, compact=None if s.compact == i else s.compact))

    def all_of(self, file):
        return set(file.kept) | {(file.tail + n, r) for n, r in enumerate(self.values(file)) if r}


# ---------------------------------------------------------------------------------------------
# The search

REPAIR = ('repair', 'repair sync', 'repair folder', 'repaired')


def search(model, limit=2_000_000):
    """Breadth first, so a trace is a shortest one. Gives the number of states, and what broke."""
    first = model.start()
    came, frontier = {first: None}, [first]
    while frontier:
        following = []
        for s in frontier:
            try:
                steps = model.steps(s)
            except Broken as broken:
                return len(came), broken.args, trace(came, s)
            for what, t in steps:
                if t not in came:
                    came[t] = (s, what)
                    following.append(t)
            if not steps and any(p.inc < len(model.programs[i]) and
                                 not (p.inc + 1 == len(model.programs[i]) and
                                      p.op == len(model.programs[i][p.inc]))
                                 for i, p in enumerate(s.procs)):
                return len(came), (7, 'nobody can go on'), trace(came, s)
        if len(came) > limit:
            return len(came), (0, 'too many states'), []
        frontier = following
    return len(came), None, []


def trace(came, s):
    steps = []
    while came[s]:
        s, what = came[s]
        steps.append(what)
    return steps[::-1]


# ---------------------------------------------------------------------------------------------
# What is run

OPEN, LOOK, COMPACT, SIGN_IN = ('open',), ('look',), ('compact',), ('in',)


def out(*calls):
    """Sign-outs of one process that it writes as one group: how many records each has."""
    return ('out', calls)


AGAIN = (OPEN, LOOK)

# A scenario: for each process its incarnations, each with its operations; how often a process is
# killed, the power fails, a sync or a write fails, and an acknowledged record is lost.
SCENARIOS = {
    'one process': (
        [((OPEN, out(1, 2)), AGAIN)], dict(kills=2, power=2, fails=1)),
    'two append': (
        [((OPEN, out(1, 2)),), ((OPEN, out(1)), AGAIN)], dict(kills=2, power=1, fails=1)),
    'two append, a third looks': (
        [((OPEN, out(2)),), ((OPEN, out(1)),), (AGAIN,)], dict(kills=1, power=1)),
    'two append often': (
        [((OPEN, out(1), out(2)), AGAIN), ((OPEN, out(1, 1)),)], dict(kills=1, power=1)),
    'an acknowledged record is lost': (
        [((OPEN, out(1), out(2)), AGAIN), ((OPEN, out(1)),)], dict(power=1, drops=1)),
    'a sign-in': (
        [((OPEN, out(1), out(1)),), ((OPEN, SIGN_IN), AGAIN), ((OPEN, out(1), LOOK),)],
        dict(power=1)),
    'a sign-in, killed': (
        [((OPEN, out(1)),), ((OPEN, SIGN_IN), AGAIN), ((OPEN, out(1), LOOK),)],
        dict(kills=1)),
    'compaction': (
        [((OPEN, out(1), COMPACT, out(1)), AGAIN), ((OPEN, LOOK, LOOK),)],
        dict(kills=1, power=1, fails=1)),
    'compaction, a reader stays': (
        [((OPEN, COMPACT), (OPEN, out(1))), ((OPEN, LOOK, LOOK),)], dict(kills=1, power=1)),
    'two compact': (
        [((OPEN, out(1, 1), COMPACT), AGAIN), ((OPEN, COMPACT, out(1)), AGAIN)],
        dict(kills=1, power=1)),
    'two compact, a sync fails': (
        [((OPEN, out(1, 1), COMPACT), AGAIN), ((OPEN, COMPACT, out(1)), AGAIN)],
        dict(kills=1, power=1, fails=1)),
    'two compact, a third looks': (
        [((OPEN, out(1), COMPACT),), ((OPEN, out(1), COMPACT),), ((OPEN, LOOK, LOOK),)],
        dict(kills=1, power=1)),
    'a sign-in and a compaction': (
        [((OPEN, out(1), COMPACT),), ((OPEN, SIGN_IN), AGAIN), ((OPEN, out(1), LOOK),)],
        dict(kills=1, power=1)),
    'three open': (
        [((OPEN, out(1)), AGAIN), ((OPEN, out(1)),), (AGAIN,)], dict(kills=2, power=1)),
    'a full file': (
        [((OPEN, out(1), out(1), COMPACT),), ((OPEN, COMPACT, out(1)),)],
        dict(kills=1, fails=1, cap=4)),
    'pages are dropped': (
        [((OPEN, COMPACT, out(1)),), ((OPEN, LOOK),)],
        dict(fails=1, evict=True, seen_stays=False)),
    'pages are dropped, killed': (
        [((OPEN, out(1)),), ((OPEN, SIGN_IN, LOOK),), ((OPEN, out(1)),)],
        dict(kills=1, fails=1, evict=True, seen_stays=False)),
    'pages are dropped, three': (
        [((OPEN, out(1)),), ((OPEN, LOOK),), ((OPEN, LOOK),)],
        dict(fails=1, evict=True, seen_stays=False)),
}

# Not held, and not promised: see README.md. Every other scenario must hold.
LIMITS = [
    ('a failed sync, and its page is dropped: what was seen is gone, in state 2', 2,
     'pages are dropped, three', dict(seen_stays=True)),
    ('killed between a failed sync and state 2, and then the page is dropped', 4,
     'pages are dropped, killed', {}),
]

# Each mutant: its name, the property that breaks, where, and what is changed.
MUTANTS = [
    ('no state byte, so nobody repairs', 3, 'two append', dict(byte='never')),
    ('state 0 before the sync', 3, 'two append', dict(clean='before the sync')),
    ('the sync is outside the lock', 3, 'two append', dict(flush='outside')),
    ('no Opened at a first open', 4, 'a sign-in', dict(opened=False)),
    ('repair does not sync what the dead holder wrote', 3, 'two append',
     dict(repair_syncs=False)),
    ('repair syncs, and does not write the last group again', 3, 'two append',
     dict(repair_writes_again=False)),
    ('repair does not sync the folder', 1, 'two compact', dict(repair_syncs_folder=False)),
    ('recovery does not sync the folder', 1, 'two compact', dict(recovery_syncs_folder=False)),
    ('recovery does not write the last group again and sync', 3, 'two append',
     dict(recovery_writes_again=False)),
    ('recovery lets Moved stay at the end', 3, 'compaction', dict(recovery_keeps_moved=True)),
    ('repair too', 3, 'compaction', dict(moved_becomes='moved')),
    ('Moved becomes a Void, which uses up its slot', 3, 'a full file',
     dict(moved_becomes='void')),
    ('no slot is left for Moved', 3, 'a full file', dict(room_for_moved=False)),
    ('Moved behind the rename', 1, 'compaction, a reader stays', dict(moved='behind')),
    ('Moved is not synced', 1, 'pages are dropped', dict(syncs_moved=False)),
    ('repair does not open by name', 5, 'two compact', dict(repair_reopens=False)),
    ('a reader behind the tail does not read what was kept', 1, 'two compact',
     dict(reads_kept=False)),
    ('two compactions at a time', 1, 'two compact', dict(compact_lock=False)),
    ('the last step of a compaction does not look at the name', 5, 'two compact',
     dict(compact_checks=False)),
    ('a group begins before the new file', 3, 'two compact', dict(clips_groups=False)),
    ('a look takes in a call that is not whole', 2, 'two append', dict(whole_calls=False)),
    ('`live` is not held', 6, 'two append', dict(holds_live=False)),
    ('`opening` is not held across the recovery', 7, 'two append', dict(holds_opening=False)),
    ('no read-on before an append', 6, 'two append', dict(reads_on=False)),
    ('what is torn becomes Void in every group', 3, 'an acknowledged record is lost',
     dict(voids_anywhere=True)),
    ('a Void begins a group', 3, 'two append', dict(void_in_group=False)),
]


def run(scenario, changed):
    programs, budget = SCENARIOS[scenario]
    began = time.time()
    states, broken, steps = search(Model(programs, **{**budget, **changed}))
    return states, time.time() - began, broken, steps


def report(label, expected, scenario, changed, is_verbose):
    """Says how it went. True if as expected."""
    states, seconds, broken, steps = run(scenario, changed)
    found = broken[0] if broken else None
    is_right = found == expected
    verdict = f'breaks {found}: {broken[1]}' if broken else 'holds'
    mark = '' if is_right else f'UNEXPECTED (expected: {expected or "holds"}) '
    print(f'{states:8} states {seconds:5.1f} s  {mark}{label}: {verdict}', flush=True)
    if broken and (is_verbose or not is_right):
        for number, step in enumerate(steps, 1):
            print(f'           {number:3}. {step}')
        print('                and then it', verdict)
    return is_right


def main(args):
    wanted = [a for a in args if a != '-v']
    is_verbose = '-v' in args or bool(wanted)
    at_a_limit = {scenario for _, _, scenario, changed in LIMITS if not changed}
    groups = [('The design, which must hold', [(name, None, name, {}) for name in SCENARIOS
                                               if name not in at_a_limit]),
              ('Mutants, which must break', MUTANTS),
              ('Limits, which must be found', LIMITS)]
    all_right = True
    for title, cases in groups:
        cases = [c for c in cases if not wanted or any(w in c[0] for w in wanted)]
        if cases:
            print(f'== {title}')
        for case in cases:
            all_right &= report(*case, is_verbose)
    print('as expected' if all_right else 'NOT as expected')
    return 0 if all_right else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
