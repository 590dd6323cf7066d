#!/usr/bin/env python3
"""A bounded, exhaustive model of rows in SQLite that several processes of one machine share.

There is one writer's lock. A commit is seen at once by all (synchronous=NORMAL), and is flushed
afterwards, in the order of the WAL: it stands, then it is flushed, then the caller gets Ok. A power
loss cuts off what is not flushed, from the end, and ends every process. With `two_files` the fences
are in a file of their own, and each file has its own order.

Every reachable history is checked for linearizability: a sign-out ends what is in its scope, and a
sign-in that was acknowledged behind it lives.

    python3 tests/models/sqlite_model.py        exits with 1 if anything is unexpected
    python3 tests/models/sqlite_model.py -v     with the shortest trace of each mutant

Operations: ('in', account, session, tenant, id), ('inm', the same, moment), ('put', id, value),
('get', id), ('out', scope), ('take', account), ('moment', name).
Scopes: ('A', account), ('S', session), ('T', tenant), ('E',).
"""
import sys
import time
from functools import lru_cache

DESIGN = dict(
    restart=0,            # how often the power fails
    jump=True,            # the first opener behind a power loss adds 100 to the positions
    flush=True,           # before Ok
    look='behind',        # the fences are looked at behind the lock, or 'before' it
    two_files=False,
    both=True,            # with two files: a put or sign-in flushes both
    moments_live=True,    # a moment may outlive the machine, as a sealed cookie does
    take='lock',          # taking reads behind the lock; or 'stand_first', and then the lock
    session='lock',       # a session is resolved under the lock, or 'free'
    get='once',           # in one snapshot; or 'fences_first', 'row_first': two snapshots
)
FIRST = {('end',): 0, ('h', 'a'): (1, frozenset(['S0']), 0), ('s', 'S0'): ('a', 's0', 't', 0),
         ('k', 'S0'): 'v0', ('i', 's0'): frozenset(['a'])}


def view(commits):
    """What is seen. Keys: end, f (fence), h (header), s (sign-in), k (token), i (session)."""
    seen = dict(FIRST)
    for commit in commits:
        for key, value in commit:
            if key[0] == 'i':
                seen[key] = seen.get(key, frozenset()) | value
            elif key[0] in ('end', 'f'):
                seen[key] = max(seen.get(key, 0), value)
            else:
                seen[key] = value
    return seen


def scopes(row):
    return ('E',), ('A', row[0]), ('S', row[1]), ('T', row[2])


def is_fenced(seen, row, as_of):
    return any(seen.get(('f', scope), 0) > as_of for scope in scopes(row))


def is_dead(seen, sid):
    row = seen.get(('s', sid))
    header = row and seen.get(('h', row[0]))
    return not header or sid not in header[1] or is_fenced(seen, row, row[3])


def put(values, at, value):
    return values[:at] + (value,) + values[at + 1:]


class Model:
    def __init__(self, threads, **changed):
        self.threads = threads
        self.c = {**DESIGN, **changed}
        self.ops = [op for thread in threads for op in thread]
        self.first = [sum(len(t) for t in threads[:n]) for n in range(len(threads))]

    def start(self):
        # The power losses so far; the WALs of fences and of rows, and how much of each is flushed;
        # who has the lock; for each operation its step, which ones were over when it began, and
        # its result; how many power losses are left.
        n = len(self.ops)
        return (0, (), (), 0, 0, None, (('-',),) * n, (None,) * n, (None,) * n, self.c['restart'])

    def steps(self, state):
        losses, fences, rows, flushed_f, flushed_r, lock, pcs, pred, res, left = state
        out = []
        if flushed_f < len(fences):
            out.append(('flush of the fences', put(state, 3, len(fences))))
        if flushed_r < len(rows):
            out.append(('flush', put(state, 4, len(rows))))
        if left:
            out.extend(self.power_loss(state))
        for t, ops in enumerate(self.threads):
            for j, op in enumerate(ops):
                i = self.first[t] + j
                if j and res[i - 1] is None and pcs[i - 1] != ('dead',):
                    break
                if res[i] is None and pcs[i] != ('dead',):
                    Step(self, state, t, i, op, out).take()
                    break
        return out

    def power_loss(self, state):
        """Any prefix of each WAL stays that is at least what was flushed."""
        losses, fences, rows, flushed_f, flushed_r, lock, pcs, pred, res, left = state
        moments_live = self.c['moments_live']
        gone = set()
        if not moments_live:
            gone = {op[1] for i, op in enumerate(self.ops)
                    if op[0] == 'moment' and pcs[i][0] == 'done'}

        def after(i, pc):
            op = self.ops[i]
            if op[0] == 'inm' and op[5] in gone and res[i] is None:
                return ('dead',)
            return pc if pc[0] in ('-', 'done') else ('dead',)

        dead = tuple(after(i, pc) for i, pc in enumerate(pcs))
        for keep_f in range(flushed_f, len(fences) + 1):
            for keep_r in range(flushed_r, len(rows) + 1):
                f, r = fences[:keep_f], rows[:keep_r]
                if self.c['jump']:
                    jump = ((('end',), view(f + r)[('end',)] + 100),)
                    f, r = (f + (jump,), r) if self.c['two_files'] else (f, r + (jump,))
                yield (f'POWER LOSS, {keep_f}+{keep_r} commits are left',
                       (losses + 1, f, r, len(f), len(r), None, dead, pred, res, left - 1))

    # --- the sequential rule

    def is_linear(self, pred, res):
        ops = self.ops
        begun = [i for i in range(len(ops)) if pred[i] is not None and res[i] != 'skip']
        must = [i for i in begun if res[i] is not None]
        # What is seen before it is durable may be undone by a power loss. So what a sign-out ended
        # that nobody acknowledged may be seen dead, and alive again.
        pending = [ops[i][1] if ops[i][0] == 'out' else ('A', ops[i][1])
                   for i in begun if res[i] is None and ops[i][0] in ('out', 'take')]
        known = {'S0': ('a', 's0', 't')}
        known.update({op[4]: op[1:4] for op in ops if op[0] in ('in', 'inm')})
        stored = {}
        for i in begun:
            if ops[i][0] == 'put' and res[i] is None:
                stored.setdefault(ops[i][1], set()).add(ops[i][2])

        def doubt(row):
            accounts = {r[0] for r in known.values() if ('S', r[1]) in pending}
            return any(scope in pending for scope in scopes(row)) or row[0] in accounts

        def after(i, live, past):
            """The states behind the operation, as the rule has it."""
            op, r = ops[i], res[i]
            kind = op[0]
            if kind == 'get':
                now = next((x[4] for x in live if x[0] == op[1]), None)
                if (r in (None, ('v', now)) or (r == ('v', None) and doubt(known[op[1]]))
                        or (now and r[1] in stored.get(op[1], ()))):
                    yield live, past
            elif kind == 'put':
                now = next((x for x in live if x[0] == op[1]), None)
                if now and r in ('ok', None):
                    yield (live - {now}) | {now[:4] + (op[2],)}, past
                if r is None or (r == 'signedout' and (not now or doubt(known[op[1]]))):
                    yield live, past
            elif kind == 'moment':
                yield live, past + (('m', op[1]),)
            elif kind in ('in', 'inm'):
                may = True
                if kind == 'inm':
                    if ('m', op[5]) not in past:
                        return
                    since = past[past.index(('m', op[5])):]
                    may = not any(scope in since for scope in scopes(op[1:4]))
                if r in ('ok', None) and may:
                    yield live | {(op[4], op[1], op[2], op[3], 'v' + op[4])}, past
                if r in ('refused', None):
                    yield live, past
            else:
                scope = op[1] if kind == 'out' else ('A', op[1])
                accounts = {x[1] for x in live if scope == ('S', x[2])}
                hit = frozenset(x for x in live if scope in scopes(x[1:4]) or x[1] in accounts)
                if kind == 'out' or r is None or self.fits(r[1], hit, stored):
                    yield live - hit, past + (scope,) + tuple(('A', a) for a in sorted(accounts))
                if r is None:
                    yield live, past

        @lru_cache(None)
        def explains(rest, live, past):
            if not any(i in rest for i in must):
                return True
            return any(explains(rest - {i}, *state) for i in rest
                       if not any(p in rest and res[p] is not None for p in pred[i])
                       for state in after(i, live, past))

        return explains(frozenset(begun), frozenset([('S0', 'a', 's0', 't', 'v0')]), ())

    def fits(self, taken, hit, stored):
        may = lambda token, x: token == x[4] or token in stored.get(x[0], ())
        return (len(taken) <= len(hit) and all(any(may(g, x) for x in hit) for g in taken)
                and all(x[4] in taken or stored.get(x[0], set()) & taken for x in hit))

    def search(self):
        """Breadth first. Gives the number of states, and the shortest trace of what breaks."""
        first = self.start()
        came, frontier, checked = {first: None}, [first], set()
        while frontier:
            following = []
            for state in frontier:
                for what, new in self.steps(state):
                    if new in came:
                        continue
                    came[new] = (state, what)
                    following.append(new)
                    history = new[7:9]
                    if history not in checked:
                        checked.add(history)
                        if not self.is_linear(*history):
                            trace = []
                            while came[new]:
                                new, what = came[new]
                                trace.append(what)
                            return len(came), trace[::-1]
            frontier = following
        return len(came), None


class Step:
    """The next step of one operation."""

    def __init__(self, model, state, thread, i, op, out):
        self.model, self.state, self.i, self.op, self.out = model, state, i, op, out
        self.c, self.pc = model.c, state[6][i]
        self.name = f'p{thread}: {" ".join(map(str, op))}'
        self.fences, self.rows, self.lock = state[1], state[2], state[5]
        self.seen = view(self.fences + self.rows)

    def go(self, pc, what, result=None, **changed):
        losses, fences, rows, flushed_f, flushed_r, lock, pcs, pred, res, left = self.state
        if pred[self.i] is None:
            over = frozenset(n for n, r in enumerate(res) if r is not None)
            pred = put(pred, self.i, over)
        if result is not None:
            res = put(res, self.i, result)
        self.out.append((f'{self.name}: {what}', (
            losses, changed.get('fences', fences), changed.get('rows', rows), flushed_f,
            flushed_r, changed.get('lock', lock), put(pcs, self.i, pc), pred, res, left)))

    def done(self, what, result, **changed):
        self.go(('done',), what, result, **changed)

    def begin(self, pc):
        if self.lock is None:
            self.go(pc, 'BEGIN IMMEDIATE', lock=self.i)

    def take(self):
        op, pc, kind = self.op, self.pc, self.op[0]
        if kind in ('get', 'put') and op[1] != 'S0':
            ops = self.model.ops
            maker = next(k for k, o in enumerate(ops) if o[0] in ('in', 'inm') and o[4] == op[1])
            made = self.state[8][maker]
            if made is None:
                return
            if made != 'ok':
                self.done('there is no handle', 'skip')
                return
        if pc[0] == 'wait':
            is_flushed = self.state[3] >= pc[1] and self.state[4] >= pc[2]
            if is_flushed or not self.c['flush']:
                self.done('Ok', pc[3])
            return
        if kind == 'moment':
            end = self.seen[('end',)]
            self.go(('done', end), f'is {end}', 'ok')
        else:
            getattr(self, {'in': 'sign_in', 'inm': 'sign_in', 'put': 'put', 'get': 'get',
                           'out': 'sign_out', 'take': 'sign_out'}[kind])()

    def get(self):
        seen, sid, pc = self.seen, self.op[1], self.pc
        if pc[0] == '-' and self.c['get'] == 'fences_first':
            self.go(('fences', is_dead(seen, sid)), 'the fences')
        elif pc[0] == '-' and self.c['get'] == 'row_first':
            self.go(('row', seen.get(('k', sid))), 'the row')
        else:
            dead = pc[1] if pc[0] == 'fences' else is_dead(seen, sid)
            value = pc[1] if pc[0] == 'row' else seen.get(('k', sid))
            value = None if dead else value
            self.done(f'gives {value}', ('v', value))

    def sign_in(self):
        seen, pc, op = self.seen, self.pc, self.op
        account, session, tenant, sid = op[1:5]
        row = op[1:4]
        if pc[0] == '-':
            as_of = seen[('end',)]
            if op[0] == 'inm':
                moment = self.model.ops.index(('moment', op[5]))
                if self.state[8][moment] is None:
                    return
                as_of = self.state[6][moment][1]
                if is_fenced(seen, row, as_of):
                    self.done('refused', 'refused')
                    return
            self.go(('look', as_of, seen.get(('h', account)), is_fenced(seen, row, as_of)),
                    f'looks, as-of {as_of}')
        elif pc[0] == 'look':
            self.begin(('locked',) + pc[1:])
        else:
            as_of, header = pc[1], pc[2]
            fenced = is_fenced(seen, row, as_of) if self.c['look'] == 'behind' else pc[3]
            if seen.get(('h', account)) != header:
                self.go(('-',), 'the header changed: again', lock=None)
            elif fenced and op[0] == 'inm':
                self.done('refused', 'refused', lock=None)
            elif fenced:
                self.go(('-',), 'fenced meanwhile: again', lock=None)
            else:
                ids = frozenset(x for x in (header[1] if header else ()) if not is_dead(seen, x))
                generation = (header[0] if header else 0) + (not ids)
                changes = (header[2] if header else 0) + 1
                commit = ((('h', account), (generation, ids | {sid}, changes)),
                          (('s', sid), (account, session, tenant, as_of)),
                          (('k', sid), 'v' + sid), (('i', session), frozenset([account])))
                self.commit_rows(commit)

    def put(self):
        seen, pc, sid = self.seen, self.pc, self.op[1]
        row = seen.get(('s', sid))
        if row is None:
            self.done('there is no row', 'signedout')
            return
        header = seen[('h', row[0])]
        if pc[0] == '-':
            self.go(('look', header[0], is_dead(seen, sid)), 'looks')
        elif pc[0] == 'look':
            self.begin(('locked',) + pc[1:])
        else:
            dead = is_dead(seen, sid)
            if self.c['look'] == 'before':
                dead = pc[2] or sid not in header[1]
            if dead or header[0] != pc[1]:
                self.done('signed out', 'signedout', lock=None)
            else:
                self.commit_rows(((('k', sid), self.op[2]),))

    def commit_rows(self, commit):
        waits_f = len(self.fences) if self.c['two_files'] and self.c['both'] else 0
        self.go(('wait', waits_f, len(self.rows) + 1, 'ok'), 'commits',
                rows=self.rows + (commit,), lock=None)

    def sign_out(self):
        seen, pc, op, c = self.seen, self.pc, self.op, self.c
        two, kind = c['two_files'], op[0]
        scope = op[1] if kind == 'out' else ('A', op[1])
        stands_first = two and kind == 'take' and c['take'] == 'stand_first'
        if pc[0] == '-':
            if not two:
                self.begin(('in',))
            elif scope[0] == 'S' and c['session'] != 'lock':
                self.go(('found', seen.get(('i', scope[1]), frozenset())), 'resolves, unlocked')
            elif (scope[0] == 'S' or kind == 'take') and not stands_first:
                self.begin(('in',))
            else:
                self.go(('in',), 'begins')
        elif pc[0] == 'stood':
            if self.lock is None:
                position, stood = pc[1], dict(pc[3])
                taken = self.tokens(lambda row: row[3] < position and not any(
                    stood.get(x, 0) > row[3] for x in scopes(row)))
                self.go(('wait', pc[2], len(self.rows), ('ok', taken)),
                        f'takes {sorted(taken)} behind the lock')
        else:
            accounts = frozenset()
            if scope[0] == 'S':
                accounts = pc[1] if pc[0] == 'found' else seen.get(('i', scope[1]), frozenset())
            position = seen[('end',)] + 1
            commit = ((('end',), position),) + tuple(
                (('f', x), position) for x in [scope] + [('A', a) for a in sorted(accounts)])
            f, r = self.fences, self.rows
            f, r = (f + (commit,), r) if two else (f, r + (commit,))
            what = f'stands at {position}'
            if stands_first:
                stood = tuple(sorted((k[1], v) for k, v in seen.items() if k[0] == 'f'))
                self.go(('stood', position, len(f), stood), what, fences=f)
                return
            taken = frozenset()
            if kind == 'take':
                taken = self.tokens(lambda row: not self.fenced_now(row) and row[3] < position)
            unlocked = None if self.lock == self.i else self.lock
            self.go(('wait', len(f) if two else 0, 0 if two else len(r), ('ok', taken)), what,
                    fences=f, rows=r, lock=unlocked)

    def fenced_now(self, row):
        return is_fenced(self.seen, row, row[3])

    def tokens(self, is_taken):
        """The tokens of the account's sign-ins that this taking ends."""
        header = self.seen.get(('h', self.op[1]))
        ids = header[1] if header else ()
        return frozenset(self.seen[('k', x)] for x in ids
                         if ('s', x) in self.seen and is_taken(self.seen[('s', x)]))


IN1 = ('in', 'a', 's1', 't', 'S1')
INM = ('inm', 'a', 's1', 't', 'S1', 'm')
OUT_A, OUT_T, OUT_E = ('out', ('A', 'a')), ('out', ('T', 't')), ('out', ('E',))
G0, G1, G2 = ('get', 'S0'), ('get', 'S1'), ('get', 'S2')
PUT = ('put', 'S0', 'w')
SCENARIOS = [
    ('late put, sign-out of the account', [[PUT, G0], [OUT_A, G0]]),
    ('late put, sign-out of the tenant', [[PUT, G0], [OUT_T, G0]]),
    ('sign-in, fence of the tenant', [[IN1, G1], [OUT_T, G0, G1]]),
    ('fences of two scopes, sign-in', [[IN1, G0], [OUT_T], [OUT_A, G1]]),
    ('fence in flight, sign-in, get of an old one', [[IN1, G0, G1], [OUT_A, G1]]),
    ('a session ends, its sign-in joins', [[IN1, G1], [('out', ('S', 's1')), G0, G1]]),
    ('everybody, sign-in and put', [[IN1, ('put', 'S1', 'w')], [OUT_E, G1], [G0]]),
    ('taking, late put', [[PUT], [('take', 'a'), G0]]),
    ('two sign-ins of a dead account',
     [[IN1, G2], [('in', 'a', 's2', 't', 'S2'), G1], [OUT_A]]),
    ('two accounts of a tenant', [[('in', 'b', 's1', 't', 'S1'), G1, G0], [OUT_T, G1], [G0]]),
    ('two accounts of a session',
     [[('in', 'b', 's0', 't', 'S1'), G1], [('out', ('S', 's0')), G1], [G0]]),
    ('two accounts of a session, read while it ends',
     [[('in', 'b', 's0', 't', 'S1'), ('out', ('S', 's0'))], [G0, G1], [G1, G0]]),
    ('moment, sign-out, sign-in as of it', [[('moment', 'm'), INM, G1], [OUT_A, G1]]),
]
POWER = [
    ('power: sign-in between look and commit', [[IN1, G1], [OUT_T, OUT_A, G1]]),
    ('power: fence not flushed, sign-in behind it', [[OUT_T, G1], [IN1, G1], [OUT_A, G1]]),
    ('power: a moment that outlives it',
     [[('moment', 'm'), INM, G1], [('out', ('T', 'y')), OUT_A, G1]]),
    ('power: late put, taking', [[PUT, G0], [('take', 'a'), G0]]),
    ('power: session', [[IN1, G1], [('out', ('S', 's1')), G0, G1]]),
]
ALL = [(name, threads, 0) for name, threads in SCENARIOS] + [
    (name, threads, 1) for name, threads in POWER]

ALONE = dict(two_files=True, both=False)      # rows are flushed by themselves
CASES = [     # what is changed, and whether it must break
    ('one file, stand then flush, jump at boot', {}, False),
    ('one file, no jump, moments die with the machine',
     dict(jump=False, moments_live=False), False),
    ('one file, no jump, a moment outlives the machine', dict(jump=False), True),
    ('one file, Ok before the flush', dict(flush=False), True),
    ('one file, fences looked at before the lock', dict(look='before'), True),
    ('one file, get: fences first, the row in a later snapshot', dict(get='fences_first'), False),
    ('one file, get: row first, the fences in a later snapshot', dict(get='row_first'), False),
    ('two files, jump, both are flushed', dict(two_files=True), False),
    ('two files, rows flushed alone', ALONE, False),
    ('two files, taking stands first, then reads behind the lock',
     dict(ALONE, take='stand_first'), False),
    ('two files, fences looked at before the lock',
     dict(ALONE, take='stand_first', look='before'), True),
    ('two files, no jump, moments die, rows flushed alone',
     dict(ALONE, jump=False, moments_live=False), True),
    ('two files, no jump, moments die, both are flushed',
     dict(two_files=True, jump=False, moments_live=False), False),
    ('two files, session resolved without the lock', dict(two_files=True, session='free'), True),
]


def report(label, changed, must_break, is_verbose):
    """All scenarios of one case; a mutant up to the first that breaks. True if as expected."""
    began, states, broken = time.time(), 0, None
    for name, threads, restart in ALL:
        n, trace = Model(threads, restart=restart, **changed).search()
        states += n
        if trace is not None:
            broken = (name, trace)
            break
    is_right = (broken is not None) == must_break
    verdict = f'breaks in "{broken[0]}"' if broken else f'holds in {len(ALL)} scenarios'
    mark = '' if is_right else 'UNEXPECTED '
    print(f'{states:8} states {time.time() - began:5.1f} s  {mark}{label}: {verdict}', flush=True)
    if broken and (is_verbose or not is_right):
        for number, step in enumerate(broken[1], 1):
            print(f'           {number:3}. {step}')
    return is_right


def main(args):
    results = [report(*case, '-v' in args) for case in CASES]
    print('as expected' if all(results) else 'NOT as expected')
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
