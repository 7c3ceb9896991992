"""Executable reference model of SEMANTICS.md: scopes, nurseries, shields, inside-out delivery, adoption.

    ref_model.py N [SEED] [rule ...]   run N random programs and check the invariants; the named rules are switched off
    ref_model.py mutants [N]           switch every rule off in turn; each must be caught by an invariant
    ref_model.py metamorphic [N]       I17: dropping a subtree from outside = cancelling it
    ref_model.py examples              hand-written programs with asserted outcomes, in the format of `vectors`
    ref_model.py vectors N [SEED]      N random programs with their expected outcome, one JSON object a line
    ref_model.py compact N [SEED]      the same, one short line each, for those who have the generator: see `compact`
    ref_model.py programs N            the number of programs, and a hash of their JSON, for another generator to compare
    ref_model.py show SEED             one program of the checker and what it does

Virtual time in whole milliseconds: it moves only when nothing is runnable.  A seeded scheduler picks the next runnable
task, sometimes polls one that nobody woke, and fires the timers of one instant in any order.  Asserts are the invariants
(I..); `ON('rule')` marks the line that a mutation removes; L.. and I.. refer to SEMANTICS.md.

VECTORS.  {"seed", "program": OP, "expect": EXPECT}.  Only programs whose EXPECT is the same under 48 schedules of
four kinds, with and without spurious polls and with PATIENCE 1, 2 and 3, are printed.  Every future has the type Result<(), [error id]>.
The root body is `program`; the root is also the fail-fast nursery "root".  Each OP runs at most once, so ids are unique.
Ids: s scope, n nursery, h shield / graceful / thread, b bracket, t task, c finalizer, l local, e error or panic, a await.
A `target` that is not open yet, or no longer, is ignored.

  sleep ms            foster sleep: a leaf (L14); 0 = checkpoint, one yield; null = for ever
  io ms               timer of the bare runtime, ignorant of foster
  seq do[]            one after the other; stops at the first error
  scope id after grace fail body    cancel scope with deadline open+after (null: none); its cancelled form is Ok, or
                      Err([fail]) when `fail` is an error id (that is fail_after)
  nursery id collect body    fail-fast, or collecting; Ok only if L33 allows; Err = first error / all errors as recorded
  shield | graceful  id after body    mask 2 | 1, with an own deadline (cancelled form Ok)
  thread id ms        owned full shield around `io ms` (a blocking job)
  bracket id release{id,budget,body} body    acquire is empty; the release is the scope's first finalizer
  spawn task in daemon body    into nursery `in`; refused (L4): nothing happens
  await id task       task handle: a leaf; Ok whatever the task's outcome; at once if there is no such task yet
  cancel target grace request on a scope or task; on a nursery: on each child present
  move target after   deadline = now + after (null: none), if there is no request
  defer id budget body    finalizer of the innermost scope around it.  `need` is for the generator only
  local id body       a value with Drop, alive around `body`
  err id | panic id   at once
  join do[2]          polls all that are not done, in order, on every poll; errors of both, concatenated, at the end
  lazy do[2]          the same, but polls only members whose waker fired (FuturesUnordered)
  select do[2]        foreign: the first that is done wins, the other is dropped
  drop_after ms body  select of body and `io ms`
  hold ms mute body then    polls body until ms have passed, then keeps it unpolled, polls `then`, and drops body when `then` is
                      done; a body that is done earlier gives way to `then` (its error returns at once).  From the instant `ms`
                      on, body is not polled.  mute: while it is held, wakes through the waker it was polled with are swallowed
  blink ms for mute body    polls body, except from ms until ms+for
  leak ms body        polls body until ms have passed, then forgets it (mem::forget) and is done

EXPECT  root: OUT; end: ms; scopes: {id: [OUT, ms when Closed]} (also tasks); handles: {task: value|failed|cancelled|panicked};
awaits: {id: same}; cleanups: {scope or finalizer: [[finalizer, ran|timeout|panicked, start ms, end ms], ...] in the order they ran};
locals: {id: ms when dropped, null if leaked}; hook_errors: sorted ids that went to the orphan hook.
OUT = value | cancelled | parked | abandoned (closed by a reaper) | err:ids | panic:id.  A finalizer's error goes to the hook.

DEPARTURE from L14 ("one that has started may still complete"): the await of a task that failed, panicked or was cancelled
stays pending in cancelled code.  No value is lost by it, and the failure is the nursery's; see the docs of `foster::Task`.
"""
import collections, heapq, itertools, json, random, sys

PENDING, INF, BREAK = object(), float('inf'), set()
PATIENCE = 2                                            # L16: how often a woken scope may be passed over before it counts as undriven
RULES = set()
def ON(rule): RULES.add(rule); return rule not in BREAK

class Panic(Exception):
    def __init__(s, ids): s.ids = list(ids)

class World:
    def __init__(w, seed, abort_p=0.0, spurious=0.0, det=False, order=0):
        w.order, w.prio = order, {}
        w.det, w.rng, w.abort_p, w.spurious = det, random.Random(seed), abort_p, spurious
        w.now, w.timers, w.tasks, w.seq = 0, [], set(), itertools.count(1)
        w.cores, w.cleanups, w.named, w.handles, w.locals = [], [], {}, {}, {}
        w.delivering, w.dead, w.stat = None, False, collections.Counter()
        w.made_err, w.made_panic, w.hook_err, w.foreign_err = [], [], [], []
        w.awaits, w.report, w.joins = {}, collections.Counter(), []
    def at(w, t, fn):
        if t < INF: heapq.heappush(w.timers, (t, next(w.seq), fn))

    def pick(w, ready):                                 # any; the oldest or the newest scope's task; by random priorities that change now and then
        if w.order == 0: return w.rng.choice(ready)
        if w.order < 3: return ready[0 if w.order == 1 else -1]
        if w.rng.random() < .05: w.prio.pop(w.rng.choice(ready), None)
        return max(ready, key=lambda t: w.prio.setdefault(t, w.rng.random()))

class Cx:                                               # what a poll sees
    def __init__(x, task, region, wake, holders=(), leaks=(), locals=frozenset(), brk=frozenset()):
        x.task, x.region, x.wake, x.holders, x.leaks, x.locals, x.brk = task, region, wake, holders, leaks, locals, brk
    def but(x, **kw):
        y = Cx.__new__(Cx); y.__dict__.update(x.__dict__); y.__dict__.update(kw); return y

NURSERY = ('nursery', 'root')
class Core:                                             # heap part of a scope; at any time exactly one driver
    def __init__(c, w, kind, parent, body, id=None, mask=0, deadline=INF, grace=0, owned=False, item=None, cx=None, collect=False):
        c.w, c.n, c.kind, c.parent, c.parent0, c.body, c.id = w, next(w.seq), kind, parent, parent, body, id
        c.mask, c.deadline, c.grace, c.owned, c.item, c.collect = mask, INF, grace, owned, item, collect
        c.req, c.life, c.started, c.dropped, c.lost, c.cut, c.parked = None, 'open', False, False, None, False, False
        c.children, c.adopted, c.sub, c.deferred, c.running, c.items, c.kids = set(), set(), set(), [], None, [], []
        c.errs, c.panics, c.result, c.out, c.waker, c.drivers = [], [], None, None, None, 0
        c.poll_no = c.seen = c.missed = 0; c.woken = c.due = c.reaped = c.stalled = False
        c.holders = cx.holders if cx else ()
        c.locals = cx.locals if cx else parent.locals if parent else frozenset()
        c.brk = c.inner_brk = cx.brk if cx else parent.inner_brk if parent else frozenset()
        c.lex = (parent.lex | {parent.n}) if parent else frozenset()
        c.tc = c.tc_seq = c.hard = c.closed_at = None
        w.cores.append(c)
        if parent and kind != 'cleanup': parent.kids.append(c)
        if id: w.named[id] = c
        c.known = c.reach(); c.set_deadline(deadline)
    # ---- requests and effective cancellation -------------------------------------------------------- L6..L11
    def chain(c):
        while c is not None: yield c; c = c.parent
    def set_deadline(c, t):                             # L8
        if c.req is None and c.life != 'closed': c.deadline = t; c.w.at(t, c.tick); c.tick()
    def tick(c):
        if c.req is None and c.life != 'closed' and c.w.now >= c.deadline and ON('deadline'): c.request('deadline')
    def request(c, cause, grace=None):                  # L6
        if c.req is None and c.life != 'closed':
            g = c.grace if grace is None else grace
            c.req = (cause, c.w.now, c.w.now + g)
            if g and ON('wake-at-hard'): c.w.at(c.w.now + g, c.wake_tree)
            if ON('wake-on-request'): c.wake(); c.wake_tree()     # every flag is visible before anybody is woken (L11)
        elif c.req and c.life != 'closed' and c.w.now + (grace or 0) < c.req[2] and cause == 'explicit':    # a later request may shorten `hard`
            c.req = c.req[:2] + (c.w.now + grace,); c.w.stat['escalated'] += 1; c.w.at(c.req[2], c.wake_tree); c.wake(); c.wake_tree()
    def cancelled(c, inherited_only=False):             # L9
        lvl = 0
        for a in c.chain():
            if a.req and not (inherited_only and a is c) and (lvl == 0 or lvl == 1 and c.w.now >= a.req[2] and ON('hard')): return True
            lvl = max(lvl, a.mask if ON('masks') else 0)
        return False
    def reach(c):                                       # what reaches the scope from above; a request wakes the scopes for which it changes
        lvl, hard = 0, [INF, INF, INF]
        for a in c.chain():
            if a.req: hard[lvl] = min(hard[lvl], a.req[2])
            lvl = max(lvl, a.mask)
        return hard[:2], c.cancelled(), bool(c.parent and c.parent.cancelled())
    def wake(c):
        c.woken = True
        if c.waker: c.waker()
        if c.kind not in ('task', 'root') and not c.lost and c.parent.cancelled() and ON('wake-chain'): c.parent.wake()   # it delays its parent
    def mark(c, cx): return c.wake if c.parent and c.parent.cancelled() else cx.wake    # L16.1
    def wake_tree(c):                                   # up to and including the first full shield on each path
        if c.reach() != c.known: c.known = c.reach(); c.wake()
        for k in list(c.sub) + [t.core for t in c.children] + [t.core for t in c.adopted]:
            if k.mask != 2: k.wake_tree()
            elif k.reach() != k.known: k.known = k.reach(); k.wake()
    # ---- delivery ------------------------------------------------------------------------------------ L12..L19
    def must_wait(c):                                   # L15, L16: is an inner scope still being driven to its end?
        wait = again = False
        for h in c.sub:
            if not ON('inside-out') or h.mask and not ON('shield-blocks'): continue
            if h.seen == c.poll_no: h.missed, wait = 0, True
            elif not ON('undriven') or h.missed < PATIENCE and not h.due: wait = True      # it has nothing to do yet
            elif h.missed < PATIENCE: h.missed += 1; again |= h.missed < PATIENCE          # woken, and passed over
        if again: c.wake()
        return wait or again
    def drop_body(c, why):
        b, c.body, c.dropped = c.body, None, True
        prev, c.w.delivering = c.w.delivering, (c if why == 'deliver' else None)
        b.drop(); c.w.delivering = prev
        c.over()
    def over(c):                                        # the body is gone: what is still in `sub` was leaked (L28)
        c.life = 'draining'
        for h in sorted(c.sub, key=lambda h: h.n):
            if ON('leaked'): h.driver_lost(leaked=True)
    def drive(c, cx):                                   # the life cycle, run by the host future or by a reaper
        w, c.waker = c.w, cx.wake
        while True:
            if c.life == 'open':
                if c.kind == 'task' and not c.started:
                    if c.cancelled() and ON('unpolled'): c.drop_body('deliver'); continue               # L13
                    assert not c.cancelled(), 'I18 cancelled task polled for the first time'
                c.started = True; c.poll_no += 1
                assert all(a.life != 'closed' for a in c.chain()), 'I1 polled under a closed scope'
                for h in c.sub: h.due = (h.woken or not ON('due')) and c.cancelled()
                try: r = c.body.poll(Cx(cx.task, c, c.mark(cx), (), cx.leaks, c.locals, c.inner_brk))
                except Panic as p: c.panics += p.ids; c.request('panic'); c.drop_body('panic'); continue
                if r is PENDING:
                    if not c.cancelled() or c.must_wait(): return PENDING
                    c.drop_body('deliver'); continue
                c.body, c.result = None, r                                                               # L12
                if r[0] == 'err' and c.kind in NURSERY: c.errs += r[1]; c.request('failed')
                c.over()
            elif c.life == 'draining':
                if c.children and not c.adopted and all(t.daemon for t in c.children) and ON('daemons'):  # L24
                    for t in sorted(c.children, key=lambda t: t.core.n): t.core.request('daemons-only')
                if c.children or c.adopted and ON('wait-adopted'): return PENDING
                c.life = 'finalizing'
            else:
                if c.running is None:
                    if not c.deferred: return c.finish()
                    it = c.deferred.pop(-1 if ON('lifo') else 0)
                    assert it.n == max([i.n for i in c.deferred] + [it.n]), 'I13 LIFO'
                    c.running = it.start(c)
                try: r = c.running.poll(Cx(cx.task, c, c.mark(cx), (), (), c.locals, c.running.item.brk))
                except Panic as p: c.panics += p.ids; r = ('ok',)
                if r is PENDING: return PENDING
                if r[0] == 'err': w.hook_err += r[1]
                c.running = None
    def finish(c):                                      # Closed; decide the outcome (L18, L31..L33)
        w = c.w
        assert not (c.children or c.adopted or c.deferred or c.running or c.body or c.sub), 'I2 closed is not empty'
        assert not any(r.life != 'closed' and c.n in r.lex for r in w.cores), 'I2 a lexical descendant is alive'
        errs = c.errs if c.kind in NURSERY else c.result[1] if c.result and c.result[0] == 'err' else []
        inherited = c.cancelled(inherited_only=True)
        assert not (c.owned and c.kind == 'shield') or c.result, 'I6 a thread was not waited for'
        if c.kind in NURSERY and not c.collect and len(errs) > 1 and not c.panics: w.hook_err += errs[1:]; errs = errs[:1]
        if c.panics: w.hook_err += errs; c.out = ('panic', c.panics)
        elif c.lost: c.out = ('abandoned', errs)
        elif errs: c.out = ('err', errs)
        elif c.result and not (c.cut and ON('cut')): c.out = ('ok',)
        elif c.kind in ('task', 'root', 'cleanup') or not (inherited and ON('park')): c.out = ('cancelled',)
        else: c.out, c.parked = ('parked',), True
        c.life, c.closed_at = 'closed', w.now
        if c.item: c.item.status, c.item.end = 'panicked' if c.panics else 'timeout' if c.dropped else 'ran', w.now
        return c.out
    # ---- loss of the driver --------------------------------------------------------------------------- L25..L30
    def adopter(c):
        a = c.parent
        while a.life == 'closed' or not ON('adopt-nearest') and a.kind not in ('nursery', 'task', 'root'): a = a.parent
        return a
    def held(c): return any(h.stopped for h in c.holders)            # ground truth, known to the test only
    def driver_lost(c, leaked=False):
        w = c.w
        if c.life == 'closed': return
        if w.dead: return c.raze(leaked)
        if c.parent: c.parent.sub.discard(c)
        c.lost = 'leaked' if leaked else 'foreign' if not w.delivering else 'undriven' if c.held() else 'driven'
        assert c.lost != 'driven' or not ON('assert-I6'), 'I6 a delivery dropped a driven scope'
        keep = c.owned and c.life == 'open' and ON('owned-shield')
        w.stat.update(undriven_shield=c.lost == 'undriven' and c.kind == 'shield' and not c.owned, undriven_running=c.lost == 'undriven' and bool(c.running))
        if not keep:
            if ON('abandon-cancels'): c.request('abandoned')
            if c.body is not None:
                if leaked: c.body, c.dropped = None, True; c.over()
                else: c.drop_body('lost')
        a = c.adopter()
        if not ON('adopt-running-cleanup') and c.running: c.running = None
        if c.children or c.adopted or c.deferred or c.running or c.body is not None:
            w.stat.update(adopted=1, adopt_kids=bool(c.children), adopt_nested=bool(c.adopted), adopt_running=bool(c.running),
                          adopt_owned=keep, **{'lost_' + c.lost: 1})
            assert keep or all(k.core.cancelled() for k in c.children), 'I16 child of a lost scope is not cancelled'
            c.parent = a; t = Task(w, a, c, reaper=True); a.adopted.add(t)
        else:
            c.life = 'finalizing'; c.finish(); orphan_report(c, a)
    def raze(c, leaked=False):                          # L30: the root's host is gone; nothing can be awaited any more
        if c.life == 'closed': return
        c.request('host-dropped'); b, c.body = c.body, None
        if b is not None and not leaked: prev, c.w.delivering = c.w.delivering, None; b.drop(); c.w.delivering = prev
        if c.running: r, c.running = c.running, None; r.c.raze(); r.over = True
        for h in list(c.sub): h.raze(leaked=True)
        for i in c.deferred: i.status = 'abandoned'; c.w.report['cleanups'] += 1
        c.deferred, c.life, c.closed_at, c.out = [], 'closed', c.w.now, ('razed',)
        if c.item: c.item.status = 'abandoned'; c.w.report['cleanups'] += 1
        if c.kind == 'task': c.w.report['tasks'] += 1

def orphan_report(c, a):                                # L29
    if c.out[0] == 'abandoned': c.w.hook_err += c.out[1]
    if c.panics and ON('adopter-panics'): a.panics += c.panics; a.request('panic')

class Task:                                             # a spawned task, or a reaper that drives a lost scope
    def __init__(t, w, nursery, core, daemon=False, reaper=False):
        t.w, t.nursery, t.core, t.daemon, t.reaper, t.ready, t.outcome, t.waiters = w, nursery, core, daemon, reaper, True, None, []
        core.reaped = reaper; w.tasks.add(t)
    def wake(t): t.ready = True
    def poll(t):
        assert all(a.life != 'closed' for a in t.core.chain()), 'I1 task polled under a closed scope'
        if t.core.drive(Cx(t, None, t.wake)) is not PENDING: t.end()
    def end(t):
        c, n, w = t.core, t.nursery, t.w
        if t.reaper: orphan_report(c, n); n.adopted.discard(t)
        else:                                           # record first, then request: the first failure is the real one
            kind = c.out[0]
            t.outcome = {'ok': 'value', 'err': 'failed', 'panic': 'panicked'}.get(kind, 'cancelled')
            if kind == 'panic': n.panics += c.panics; n.request('child-panicked')
            if kind == 'err':
                n.errs += c.out[1]
                if not n.collect and ON('fail-fast'): n.request('child-failed')
            if kind == 'cancelled' and not t.daemon and c.req is None: n.cut = True; w.stat['cut'] += 1   # L33
            n.children.discard(t)
        w.tasks.discard(t)
        if ON('wake-on-end') and n.life != 'open' and not n.adopted and all(t.daemon for t in n.children): n.wake()    # L11: it has something to do
        for wk in t.waiters: wk()
    def abort(t):                                       # the executor drops the task: adoption first, release after (L26)
        t.core.driver_lost()
        t.outcome = 'cancelled'; t.nursery.children.discard(t); t.w.tasks.discard(t); t.nursery.wake()
        for wk in t.waiters: wk()

class Region:                                           # the future the user awaits
    def __init__(s, kind, body, id=None, mask=0, after=INF, grace=0, owned=False, release=None, item=None, collect=False, fail=None):
        s.kind, s.body, s.id, s.mask, s.after, s.grace, s.owned, s.release, s.item, s.collect, s.fail = kind, body, id, mask, after, grace, owned, release, item, collect, fail
        s.c, s.over = None, False
    def poll(s, cx):
        w, p = cx.region.w, cx.region
        if s.c is None:
            s.c = c = Core(w, s.kind, p, s.body, s.id, s.mask, w.now + s.after, s.grace, s.owned, s.item, cx, s.collect)
            p.sub.add(c)
            if s.item: s.item.core = c
            if s.release:
                it = Cleanup(w, c, *s.release, cx.brk, True); c.deferred.append(it); c.inner_brk = cx.brk | {it.n}
        c = s.c
        if c.parked: return PENDING                                                                       # L18
        c.seen, c.woken = p.poll_no, False; c.drivers += 1; assert c.drivers == 1, 'I3 two drivers'
        r = c.drive(cx); c.drivers -= 1
        if r is PENDING: return PENDING
        p.sub.discard(c)
        if c.parked: w.stat['parked'] += 1; return PENDING
        s.over = True
        if r[0] == 'panic': raise Panic(r[1])
        if r[0] == 'cancelled':
            assert s.item or not c.cancelled(inherited_only=True), 'I18 cancelled form returned into cancelled code'
            w.stat['cancelled_form'] += 1
            if s.fail: w.made_err.append(s.fail); return ('err', [s.fail])
            return ('ok',)
        assert not (c.cut and r[0] == 'ok'), 'I22 value of a nursery whose child was cut'
        return r
    def drop(s):
        if s.over or s.c is None or s.c.parked: s.over = True; return
        s.over = True; s.c.driver_lost()

class Cleanup:
    def __init__(s, w, owner, id, body, budget, need, brk, bracket=False):
        s.w, s.owner, s.id, s.body, s.budget, s.need, s.brk, s.bracket = w, owner, id, body, budget, need, brk, bracket
        s.n, s.status, s.core, s.begin, s.end, s.registered = next(w.seq), 'armed', None, None, None, w.now
        w.cleanups.append(s); owner.items.append(s)
    def start(s, c):
        w = s.w
        assert s.status == 'armed', 'I12 cleanup started twice'; s.status, s.begin = 'running', w.now
        if s.bracket:
            assert not any(r.life != 'closed' and s.n in r.brk for r in w.cores if r is not c), 'I13 scope alive inside bracket'
            assert not any(s.n in i.brk and i.status in ('armed', 'running') for i in w.cleanups), 'I13 inner cleanup pending'
        return Region('cleanup', build(w, s.body), mask=2 if ON('cleanup-shielded') else 0, after=s.budget, owned=True, item=s)

# ---- leaves and foreign combinators ---------------------------------------------------------------------------------
class Leaf:
    def drop(s): pass
class Sleep(Leaf):                                      # foster leaf: parks when it would start cancelled (L14)
    def __init__(s, d, foreign=False): s.d, s.t, s.foreign, s.wake = d, None, foreign, None
    def drop(s): s.wake = lambda: None                  # disarms its timer
    def poll(s, cx):
        w, gone = cx.region.w, not s.foreign and cx.region.cancelled() and ON('leaf-parks')
        s.wake = cx.wake
        if s.t is None:
            if gone: w.stat['leaf_parked'] += 1; return PENDING
            assert s.foreign or not cx.region.cancelled(), 'I18 operation started in a cancelled scope'
            s.t = w.now + s.d; w.at(s.t, lambda: s.wake())
            if s.d == 0 and not s.foreign: cx.wake(); return PENDING
        return ('ok',) if w.now >= s.t and not (gone and s.d == 0) else PENDING
class Job(Leaf):                                        # a blocking job: its end is an event that comes at some point of its instant
    def __init__(s, d): s.d, s.core, s.done, s.wake = d, None, False, None
    def poll(s, cx):
        w, s.wake = cx.region.w, cx.wake
        def end(): s.done = True; s.wake()
        if s.core is None: s.core = cx.region; w.at(w.now + s.d, lambda: w.tasks.add(Step(s.core, end)))
        return ('ok',) if s.done else PENDING
class Step:                                             # something the scheduler runs once
    def __init__(s, core, fn): s.core, s.fn, s.ready, s.reaper = core, fn, True, True
    def poll(s): s.core.w.tasks.discard(s); s.fn()
class Raise(Leaf):
    def __init__(s, id, panic): s.id, s.panic = id, panic
    def poll(s, cx):
        (cx.region.w.made_panic if s.panic else cx.region.w.made_err).append(s.id)
        if s.panic: raise Panic([s.id])
        return ('err', [s.id])
class Call(Leaf):
    def __init__(s, f): s.f = f
    def poll(s, cx): s.f(cx); return ('ok',)
class Await(Leaf):                                      # task handle
    def __init__(s, id, task): s.id, s.task, s.on = id, task, False
    def poll(s, cx):
        w = cx.region.w; t = w.handles.get(s.task)
        if not s.on and cx.region.cancelled(): return PENDING
        s.on = True
        if t is None: return ('ok',)
        if t.outcome:
            if t.outcome != 'value' and cx.region.cancelled(): return PENDING    # no value is lost, and the failure is the nursery's: see DEPARTURE
            assert t not in w.tasks and (t.core.life == 'closed' or t.core.lost), 'I23 handle resolved before the task ended'
            w.awaits[s.id] = t.outcome; w.stat['awaited'] += 1; return ('ok',)
        s.wake = cx.wake; t.waiters.append(lambda: s.wake()); return PENDING
    def drop(s): s.wake = lambda: None
class Seq:
    def __init__(s, xs): s.xs = xs
    def poll(s, cx):
        while s.xs:
            r = s.xs[0].poll(cx)
            if r is PENDING: return r
            s.xs = [] if r[0] == 'err' else s.xs[1:]
            if r[0] == 'err': return r
        return ('ok',)
    def drop(s):
        for x in s.xs[:1]: x.drop()
        s.xs = []
class Local:                                            # a permit, guard or TempDir held around `body`
    def __init__(s, w, id, body): s.w, s.id, s.body, s.leaks = w, id, body, None
    def poll(s, cx):
        if s.leaks is None: s.leaks = cx.leaks; s.w.locals[s.id] = [s, None]
        r = s.body.poll(cx.but(locals=cx.locals | {s.id}))
        if r is not PENDING: s.w.locals[s.id][1] = s.w.now; s.body = None
        return r
    def drop(s):
        if s.body is None or s.leaks is None: return
        b, s.body = s.body, None; b.drop(); w = s.w
        assert w.locals[s.id][1] is None, 'I21 local dropped twice'; w.locals[s.id][1] = w.now
        if w.delivering:                                # I21, RAII order
            def exempt(y):
                while y and s.id in y.locals:
                    if y.held() or y.lost not in (None, 'driven') and s.id not in y.parent.locals: return True
                    y = y.parent0
            alive = [x for x in w.cores if x.life != 'closed' and s.id in x.locals] + [i.owner for i in w.cleanups if i.status in ('armed', 'running') and s.id in i.owner.locals]
            assert all(exempt(x) for x in alive), 'I21 RAII order'
            w.stat.update(raii=1, raii_exempt=bool(alive), raii_waited=any(s.id in x.locals and x.kind == 'task' and x.cancelled() for x in w.cores))
class Join:                                             # foreign; lazy = polls only what was woken (FuturesUnordered)
    def __init__(s, fs, lazy=False): s.f, s.r, s.w, s.lazy, s.flag, s.wake, s.leaks = fs, {}, None, lazy, [True] * len(fs), None, None
    def waker(s, i):
        def wake(): s.flag[i] = True; s.wake()
        return wake
    def poll(s, cx):
        s.w, s.wake = cx.region.w, cx.wake
        if s.leaks is None: s.leaks = cx.leaks; s.w.joins.append(s)
        for i, f in enumerate(s.f):
            if i in s.r or s.lazy and not s.flag[i]: continue
            s.flag[i] = False
            try: r = f.poll(cx.but(wake=s.waker(i)) if s.lazy else cx)
            except Panic: s.r[i] = ('ok',); f.drop(); raise
            if r is not PENDING: s.r[i] = r
        if len(s.r) < len(s.f): return PENDING
        e = [x for r in s.r.values() if r[0] == 'err' for x in r[1]]
        s.r = dict.fromkeys(s.r, ('ok',))
        return ('err', e) if e else ('ok',)
    def drop(s):
        for i, f in enumerate(s.f):
            if i not in s.r: s.r[i] = ('ok',); f.drop()
            elif s.r[i][0] == 'err': s.w.foreign_err += s.r[i][1]; s.r[i] = ('ok',)
class Select:                                           # foreign: drops the loser from outside
    def __init__(s, a, b): s.f, s.done = [a, b], False
    def poll(s, cx):
        for i in [0, 1] if cx.region.w.det else cx.region.w.rng.sample([0, 1], 2):
            r = s.f[i].poll(cx)
            if r is not PENDING: s.done = True; s.f[1 - i].drop(); return r
        return PENDING
    def drop(s):
        if not s.done: s.done = True; [f.drop() for f in s.f]
class Hold:                                             # foreign: stops polling `a` at t1, may resume at t2, may forget it
    def __init__(s, a, t1, then=None, t2=None, leak=False, mute=False): s.mute, s.a, s.d1, s.d2, s.then, s.leak, s.t1, s.stopped, s.leaked, s.off = mute, a, t1, t2, then, leak, None, False, False, False
    def poll(s, cx):
        w = cx.region.w
        if s.t1 is None:
            s.t1, s.t2 = w.now + s.d1, w.now + s.d1 + s.d2 if s.d2 is not None else INF
            w.at(s.t1, lambda: s.off or s.wake()); w.at(s.t2, lambda: s.off or s.wake())
        s.wake = cx.wake
        was, s.stopped = s.stopped, s.a is not None and s.t1 <= w.now < s.t2
        if s.stopped and not was: w.stat['leaks' if s.leak else 'holds'] += 1
        if s.a is not None and not s.stopped:
            r = s.a.poll(cx.but(holders=cx.holders + (s,), leaks=cx.leaks + (s,), wake=lambda: s.mute and s.stopped or s.wake()))
            if r is not PENDING:
                s.a = None
                if s.then is None or r[0] == 'err': s.off = True; return r
        if s.leak and s.stopped: s.a, s.leaked, s.off = None, True, True; return ('ok',)
        if s.then is not None and (s.stopped or s.a is None):
            r = s.then.poll(cx)
            if r is not PENDING: s.then = None; s.drop()
            return r
        return PENDING
    def drop(s):
        b, a, s.then, s.a, s.off = s.then, s.a, None, None, True
        if b: b.drop()
        if a: a.drop()

# ---- programs: JSON -> futures ----------------------------------------------------------------------------------------
inf = lambda x: INF if x is None else x
def build(w, p):
    op, b = p['op'], (lambda k='body': build(w, p[k]))
    if op in ('sleep', 'io'): return Sleep(inf(p['ms']), op == 'io')
    if op == 'seq': return Seq([build(w, x) for x in p['do']])
    if op == 'scope': return Region('scope', b(), p['id'], 0, inf(p['after']), p['grace'], fail=p['fail'])
    if op == 'nursery': return Region('nursery', b(), p['id'], collect=p['collect'])
    if op == 'shield': return Region('shield', b(), p['id'], 2, inf(p['after']))
    if op == 'graceful': return Region('graceful', b(), p['id'], 1, inf(p['after']))
    if op == 'thread': return Region('shield', Job(p['ms']), p['id'], 2, owned=True)
    if op == 'bracket':
        r = p['release']; return Region('bracket', b(), p['id'], release=(r['id'], r['body'], r['budget'], r['need']))
    if op == 'local': return Local(w, p['id'], b())
    if op in ('err', 'panic'): return Raise(p['id'], op == 'panic')
    if op == 'await': return Await(p['id'], p['task'])
    if op in ('join', 'lazy'): return Join([build(w, x) for x in p['do']], op == 'lazy')
    if op == 'select': return Select(build(w, p['do'][0]), build(w, p['do'][1]))
    if op == 'drop_after': return Select(b(), Sleep(p['ms'], True))
    if op == 'hold': return Hold(b(), p['ms'], build(w, p['then']), mute=p['mute'])
    if op == 'blink': return Hold(b(), p['ms'], None, p['for'], mute=p['mute'])
    if op == 'leak': return Hold(b(), p['ms'], leak=True)
    def spawn(cx):
        n = w.named.get(p['in'])
        if n and (n.life == 'open' or n.life == 'draining' and (n.children or n.adopted)):
            t = Task(w, n, Core(w, 'task', n, build(w, p['body']), p['task']), p['daemon']); n.children.add(t); w.handles[p['task']] = t
            w.stat.update(daemons=p['daemon'])
    def cancel(cx):
        c = w.named.get(p['target'])
        if c and c.kind == 'nursery':
            for t in sorted(c.children, key=lambda t: t.core.n): t.core.request('explicit', p['grace'])
        elif c: c.request('explicit', p['grace'])
    def move(cx):
        c = w.named.get(p['target'])
        if c and c.req is None and c.life == 'open': c.set_deadline(w.now + inf(p['after'])); w.stat['moved'] += 1
    def defer(cx):
        if cx.region.life != 'closed': cx.region.deferred.append(Cleanup(w, cx.region, p['id'], p['body'], p['budget'], p['need'], cx.brk))
    return Call(locals()[op])

def driven(c):                                          # ground truth: is there somebody who polls it when it is woken?
    while c.kind not in ('task', 'root') and not c.reaped:
        if c.held(): return False
        c = c.parent
    return True
def settled(w):                                         # nothing is runnable: what must hold between two instants
    for r in w.cores:
        if r.life == 'closed': continue
        assert r.deadline > w.now or r.req, 'I8 deadline passed without a request'
        if not driven(r):                               # a scope that nobody polls makes no progress; its clock starts again later
            r.tc, r.stalled = None, True
            if r.item: r.item.need = None
            continue
        if r.tc is None and r.cancelled():
            r.tc, r.tc_seq, r.hard = w.now, next(w.seq), max([a.req[2] for a in r.chain() if a.req])
        assert not (r.kind in NURSERY and r.errs and not r.collect) or r.req, 'I25 a failure did not cancel its fail-fast nursery'
        if r.life == 'open': assert not (r.started and r.cancelled()) or any(not h.held() or not h.woken for h in r.sub), 'I7 not delivered'
        if r.life == 'draining': assert r.children or r.adopted, 'I7 not closed'
        if r.life == 'finalizing': assert r.running, 'I7 not closed'
def run(w, prog, host_drop=INF):
    root = Core(w, 'root', None, None, 'root'); root.body = build(w, prog)
    rt = Task(w, None, root); steps = 0
    while root.life != 'closed' and w.now < host_drop:
        steps += 1; assert steps < 20000, 'I14 livelock'
        ready = sorted((t for t in w.tasks if t.ready), key=lambda t: t.core.n)
        if not ready:
            settled(w); assert w.timers, 'I14 deadlock'
            w.now = w.timers[0][0]
            due = []
            while w.timers and w.timers[0][0] <= w.now: due.append(heapq.heappop(w.timers)[2])
            if not w.det: w.rng.shuffle(due)                          # timers of one instant fire in any order
            for fn in due: fn()
            continue
        if w.rng.random() < w.spurious: ready = sorted(w.tasks, key=lambda t: t.core.n)
        t = ready[0] if w.det else w.pick(ready); t.ready = False
        if t is rt: root.drive(Cx(rt, None, rt.wake))
        elif not t.reaper and t.core.started and w.rng.random() < w.abort_p: w.stat['aborts'] += 1; t.abort()
        else: t.poll()
    if root.life != 'closed':                           # L30
        live = [t for t in w.tasks if t is not rt and t.core.kind == 'task' and t.core.life != 'closed']
        due = sum(i.status in ('armed', 'running') for i in w.cleanups)
        w.dead = True; root.raze()
        for t in list(w.tasks): t.core.raze()
        w.stat.update(razed=1, razed_tasks=len(live), razed_cleanups=due)
        assert w.report['cleanups'] >= due, 'I24 host drop lost a cleanup'
        assert all(r.life == 'closed' for r in w.cores), 'I24 scope survives the host'
    else:
        assert w.tasks == {rt} and all(r.life == 'closed' for r in w.cores), 'I1 outlived the tree'
        for i in w.cleanups:
            assert i.status in ('ran', 'panicked', 'timeout'), 'I12 cleanup not run'
            assert i.status != 'timeout' or i.need is None or i.need >= i.budget, 'I12 cleanup cut short'
        errs = root.out[1] if root.out[0] == 'err' else []
        w.foreign_err += [e for j in w.joins if any(l.leaked for l in j.leaks) for r in j.r.values() if r[0] == 'err' for e in r[1]]
        assert sorted(errs + w.hook_err + w.foreign_err) == sorted(w.made_err), 'I10 errors'
        assert sorted(root.panics) == sorted(w.made_panic), 'I10 panics'
        bounded_stop(w)
    for s, t in w.locals.values(): assert t is not None or any(l.leaked for l in s.leaks), 'I21 local never dropped'
    return w

def bounded_stop(w):                                    # I14: without full shields below, a cancelled scope closes in time
    memo = {}
    def bound(c):                                       # (ms after the hard time, has a full shield below)
        if c.n not in memo:
            kids = [(k, *bound(k)) for k in c.kids]
            late = [c.tc_seq and k.n > c.tc_seq or k.stalled for k, *_ in kids]
            b = max([0] + [b for (k, b, _), l in zip(kids, late) if not l]) + sum(b for (k, b, _), l in zip(kids, late) if l)
            full = c.kind == 'shield' or any(f for *_, f in kids)
            for i in c.items:
                ib, f = bound(i.core) if i.core else (0, False)
                b += i.budget + ib; full |= f
            memo[c.n] = b, full
        return memo[c.n]
    for c in w.cores:
        if c.tc is not None:
            b, full = bound(c)
            if not full:
                assert c.closed_at <= max(c.tc, c.hard) + b, 'I14 late stop'
                w.stat.update(bounded=1, bound_tight=b > 0 and c.closed_at == max(c.tc, c.hard) + b)

# ---- generator ----------------------------------------------------------------------------------------------------------
WEIGHTS = dict(sleep=4, io=3, seq=8, scope=5, nursery=8, shield=1.5, graceful=1.5, thread=1, spawn=9, cancel=3, move=1.5, defer=3,
               err=.8, panic=.25, join=3, lazy=2, select=2, drop_after=1.5, bracket=3, local=5, hold=2, blink=1, leak=1, crowd=4, pair=.7, **{'await': 2})
def generate(seed, weights=WEIGHTS, depth=7, size=70):
    rng, left, ids, tasks = random.Random(seed), [size], itertools.count(1), []
    kinds, ws = list(weights), list(weights.values())
    new = lambda c: f'{c}{next(ids)}'
    S = lambda ms: dict(op='sleep', ms=ms)
    def fin(depth, encl):
        r = rng.random()
        if r < .12 and depth > 0: body, need = p(min(depth, 2), (), encl), None
        else:
            body, need = rng.choice([(S(1), 1), (S(1), 1), (S(9), 9), (dict(op='seq', do=[S(0), S(1)]), 1), (dict(op='io', ms=1), 1),
                ('err', 1), ('panic' if weights.get('panic') and rng.random() < .5 else 'err', 0)])
            if body == 'err': body = dict(op='seq', do=[S(1), dict(op='err', id=new('e'))])
            if body == 'panic': body = dict(op='panic', id=new('e'))
        return dict(id=new('c'), body=body, budget=rng.choice([2, 2, 5]), need=need)
    def p(d, env, encl):
        left[0] -= 1
        k = rng.choices(kinds, ws)[0] if d > 0 and left[0] > 0 else rng.choice(['sleep', 'io'])
        sub = lambda e=env: p(d - 1, e, encl)
        if k in ('sleep', 'io'): return dict(op=k, ms=rng.randint(0, 5))
        if k == 'seq': return dict(op=k, do=[sub() for _ in range(rng.randint(2, 4))])
        if k == 'scope':
            i = new('s'); return dict(op=k, id=i, after=rng.choice([None, 0, 1, 2, 3, 5]), grace=rng.choice([0, 0, 3]), fail=new('e') if rng.random() < .2 else None, body=sub(env + (i,)))
        if k == 'nursery': i = new('n'); return dict(op=k, id=i, collect=rng.random() < .2, body=sub(env + (i,)))
        if k in ('shield', 'graceful'): i = new('h'); return dict(op=k, id=i, after=rng.choice([None, 4]), body=sub(env + (i,)))
        if k == 'thread': return dict(op=k, id=new('h'), ms=rng.randint(1, 6))
        if k == 'bracket': r = fin(d - 1, encl); return dict(op=k, id=new('b'), release=r, body=sub())
        if k == 'local': return dict(op=k, id=new('l'), body=sub())
        if k == 'spawn':
            t, n, dm = new('t'), rng.choice([e for e in env if e[0] == 'n'][-2:] or ['root']), rng.random() < .15
            body = p(d - 1, env + (t,), encl + (t,))
            if dm: body = dict(op='seq', do=[body, dict(op='sleep', ms=None)])
            tasks.append((t, dm)); return dict(op=k, task=t, **{'in': n}, daemon=dm, body=body)
        if k == 'cancel': return dict(op=k, target=rng.choice((list(env) + [t for t, _ in tasks[-2:]]) + ['root'] * (rng.random() < .15) or ['s0']), grace=rng.choice([0, 0, 3]))
        if k == 'move': return dict(op=k, target=rng.choice([e for e in env if e[0] in 'sh'] or ['s0']), after=rng.choice([None, 0, 1, 2, 4]))
        if k == 'await': return dict(op=k, id=new('a'), task=rng.choice([t for t, dm in tasks if not dm and t not in encl] or ['t0']))
        if k == 'defer': return dict(op=k, **fin(d - 1, encl))
        if k in ('err', 'panic'): return dict(op='seq', do=[S(rng.randint(0, 2)), dict(op=k, id=new('e'))])
        if k == 'drop_after': return dict(op=k, ms=rng.randint(0, 5), body=sub())
        if k == 'hold': return dict(op=k, ms=rng.randint(0, 3), mute=rng.random() < .5, body=sub(), then=sub())
        if k == 'blink': return dict(op=k, ms=rng.randint(0, 3), mute=rng.random() < .5, **{'for': rng.randint(1, 4)}, body=sub())
        if k == 'leak': return dict(op=k, ms=rng.randint(0, 3), body=sub())
        if k == 'pair':                                 # two shielded branches under a lazy driver, progressing in turn
            io = lambda: dict(op='shield', id=new('h'), after=None, body=dict(op='seq', do=[dict(op='io', ms=rng.randint(1, 3)) for _ in range(3)]))
            return dict(op='scope', id=new('s'), after=rng.randint(1, 3), grace=0, fail=None, body=dict(op='lazy', do=[io(), rng.choice([io, sub])()]))
        if k == 'crowd':                                # a deadline over a permit over a nursery with a busy child
            s, n, t, l, l2 = new('s'), new('n'), new('t'), new('l'), new('l'); e2 = env + (s, n)
            tasks.append((t, False)); inner = p(d - 1, e2 + (t,), encl + (t,))
            child = dict(op='spawn', task=t, daemon=False, body=dict(op='local', id=l2, body=dict(op='seq', do=[dict(op='defer', **fin(d - 1, encl + (t,))), inner, S(15)])), **{'in': n})
            body = dict(op='seq', do=[child, p(d - 1, e2, encl), S(15)])
            wrap = rng.choice([None, None, 'hold', 'blink', 'drop_after', 'leak'])
            body = dict(op='nursery', id=n, collect=rng.random() < .1, body=body)
            if wrap == 'hold' and rng.random() < .3: body = dict(op='shield', id=new('h'), after=None, body=body)
            if wrap: body = dict(op=wrap, ms=rng.randint(0, 5), mute=rng.random() < .5, body=body)
            if wrap == 'hold': body['then'] = S(rng.choice([2, 15]))
            if wrap == 'blink': body['for'] = rng.randint(1, 9)
            return dict(op='scope', id=s, after=rng.randint(1, 7), grace=rng.choice([0, 0, 4]), fail=None, body=dict(op='local', id=l, body=body))
        return dict(op=k, do=[sub(), sub()])
    return dict(op='seq', do=[p(depth, (), ()) for _ in range(3)])

COVER = 'adopt_kids adopt_nested adopt_running adopt_owned lost_foreign lost_undriven lost_leaked undriven_shield undriven_running escalated holds leaks cut parked cancelled_form leaf_parked awaited moved daemons raii raii_exempt raii_waited bounded bound_tight aborts razed razed_tasks razed_cleanups'.split()
def check(n, seed0=0, cover=True):
    global PATIENCE
    fails, st, first = collections.Counter(), collections.Counter(), {}
    for seed in range(seed0, seed0 + n):
        prog, rng = generate(seed), random.Random(seed ^ 0x5eed)
        w = World(seed, abort_p=rng.choice([0, 0, 0, .04]), spurious=rng.choice([0, .1]))
        PATIENCE = 1 + seed % 3
        try: run(w, prog, rng.choice([INF] * 15 + [rng.randint(1, 12)]))
        except Exception as e:
            if not isinstance(e, AssertionError) and not BREAK: raise
            m = str(e) if isinstance(e, AssertionError) else f'crash {type(e).__name__}'
            fails[m] += 1; first.setdefault(m, seed)
        st.update(w.stat)
        st.update(programs=1, scopes=len(w.cores), tasks=len(w.handles), cleanups=len(w.cleanups), timeouts=sum(i.status == 'timeout' for i in w.cleanups),
                  errs=len(w.made_err), panics=len(w.made_panic), locals=len(w.locals))
    if cover: assert all(st[k] for k in COVER), ('coverage hole', [k for k in COVER if not st[k]])
    return fails, st, first

# ---- conformance vectors ---------------------------------------------------------------------------------------------------
def observe(w):
    out = lambda c: dict(ok='value').get(c.out[0], c.out[0]) + (':' + ','.join(c.out[1][:1] if c.out[0] == 'panic' else c.out[1]) if c.out[0] in ('err', 'panic') else '')
    cl = {}
    for i in sorted((i for i in w.cleanups if i.begin is not None), key=lambda i: (i.core.n if i.core else 0)):
        cl.setdefault(i.owner.id or i.owner.item.id, []).append([i.id, i.status, i.begin, i.end])
    named = [c for c in w.cores if c.id]
    return dict(root=out(w.cores[0]), end=w.cores[0].closed_at, scopes={c.id: [out(c), c.closed_at] for c in named[1:]},
                handles={k: t.outcome for k, t in w.handles.items()}, awaits=w.awaits, cleanups=cl,
                locals={k: t for k, (_, t) in w.locals.items()}, hook_errors=sorted(w.hook_err))
def vectors(n, seed):
    global PATIENCE
    while n:
        prog, runs, st = generate(seed, depth=6, size=random.Random(seed).choice([12, 25, 40])), [], collections.Counter()
        for k in range(SEEDS):
            PATIENCE = 1 + k % 3
            w = run(World(seed * 1000 + k, spurious=.15 * (k % 2), order=k // 2 % 4), prog); st.update(w.stat); runs.append(json.dumps(observe(w), sort_keys=True))
            if runs[-1] != runs[0]: break
        PATIENCE = 2
        if len(set(runs)) == 1 and st['cancelled_form'] + st['parked'] + st['adopted'] + st['cut'] + len(w.made_err) + len(w.made_panic):
            yield dict(seed=seed, program=prog, expect=json.loads(runs[0])); n -= 1
        seed += 1
SEEDS = 48
def compact(v):                                         # seed root|scopes|awaits|finalizers by owner|locals|errors of the hook
    e = v['expect']
    def out(o):
        k, _, ids = o.partition(':')
        return ids and '!x'[k == 'err'] + '+'.join(i[1:] for i in ids.split(',')) + '@' or k[0]
    return '|'.join([f"{v['seed']} {out(e['root'])}{e['end']}", ' '.join(f'{k}{out(o)}{t}' for k, (o, t) in e['scopes'].items()),
        ' '.join(f'{k}{o[0]}' for k, o in e['awaits'].items()), ' '.join(f'{k}:' + ','.join(f'{i}{s[0]}{b}-{t}' for i, s, b, t in x) for k, x in e['cleanups'].items()),
        ' '.join(f"{k}:{'' if t is None else t}" for k, t in e['locals'].items()), ' '.join(e['hook_errors'])])

# ---- hand-written programs: what the laws mean -------------------------------------------------------------------------------
def examples():
    seq = lambda *x: dict(op='seq', do=list(x)); sleep = lambda ms=100: dict(op='sleep', ms=ms)
    scope = lambda id, after, body, grace=0, fail=None: dict(op='scope', id=id, after=after, grace=grace, fail=fail, body=body)
    nursery = lambda id, *x: dict(op='nursery', id=id, collect=False, body=seq(*x))
    spawn = lambda t, n, *x: dict(op='spawn', task=t, daemon=False, body=seq(*x), **{'in': n})
    shield = lambda id, *x: dict(op='shield', id=id, after=None, body=seq(*x)); local = lambda id, *x: dict(op='local', id=id, body=seq(*x))
    fin = lambda id, ms, budget=9: dict(id=id, body=sleep(ms), budget=budget, need=ms); defer = lambda *a: dict(op='defer', **fin(*a))
    hold = lambda ms, body, then=sleep(): dict(op='hold', ms=ms, mute=False, body=body, then=then)
    err = dict(op='err', id='e')
    yield 'permit_outlives_the_children', scope('s', 3, local('permit', nursery('n', spawn('t', 'n', defer('c', 4), sleep()), local('inner', sleep())))), dict(
        scopes=dict(s=['cancelled', 7], n=['parked', 7], t=['cancelled', 7]), locals=dict(inner=3, permit=7), root='value')
    yield 'deadline_that_cut_a_child_voids_the_value', scope('s', 3, nursery('n', spawn('t', 'n', sleep())), fail='e'), dict(root='err:e', scopes=dict(s=['cancelled', 3], n=['parked', 3], t=['cancelled', 3]))
    yield 'child_cancelled_on_its_own_voids_nothing', nursery('n', spawn('t', 'n', sleep()), sleep(1), dict(op='cancel', target='t', grace=0)), dict(scopes=dict(n=['value', 1], t=['cancelled', 1]))
    yield 'completion_beats_deadline', scope('s', 3, sleep(3)), dict(scopes=dict(s=['value', 3]))
    yield 'outer_deadline_beats_inner_in_one_instant', scope('s', 3, scope('i', 3, sleep())), dict(scopes=dict(s=['cancelled', 3], i=['parked', 3]))
    yield 'full_shield_delays', scope('s', 2, seq(shield('h', sleep(5)), sleep(1))), dict(scopes=dict(s=['cancelled', 5], h=['value', 5]))
    yield 'graceful_shield_until_hard', scope('s', 2, dict(op='graceful', id='g', after=None, body=sleep()), grace=2), dict(scopes=dict(s=['cancelled', 4], g=['parked', 4]))
    yield 'thread_is_waited_for', scope('s', 1, seq(dict(op='thread', id='h', ms=4), sleep(1))), dict(scopes=dict(s=['cancelled', 4], h=['value', 4]))
    yield 'undriven_nursery_does_not_delay', scope('s', 5, local('l', hold(2, nursery('n', spawn('t', 'n', defer('c', 3), sleep()), sleep())))), dict(
        scopes=dict(s=['cancelled', 8], n=['abandoned', 8], t=['cancelled', 8]), locals=dict(l=5))
    yield 'undriven_shield_is_dropped', scope('s', 5, hold(2, shield('h', local('l', sleep())))), dict(scopes=dict(s=['cancelled', 5], h=['abandoned', 5]), locals=dict(l=5))
    yield 'leaked_nursery_is_found', scope('s', None, dict(op='leak', ms=2, body=local('body', nursery('n', spawn('t', 'n', local('child', sleep())), sleep())))), dict(
        scopes=dict(s=['value', 2], n=['abandoned', 2], t=['cancelled', 2]), locals=dict(body=None, child=2))
    yield 'half_run_release_is_adopted', dict(op='drop_after', ms=2, body=dict(op='bracket', id='b', release=fin('c', 4), body=sleep(1))), dict(
        scopes=dict(b=['abandoned', 5]), cleanups=dict(b=[['c', 'ran', 1, 5]]), end=5)
    yield 'error_during_cancellation_is_returned', scope('s', 3, nursery('n', spawn('t', 'n', shield('h', sleep(5)), err))), dict(root='err:e', scopes=dict(h=['value', 5], t=['err:e', 5], n=['err:e', 5], s=['err:e', 5]))
    yield 'cancelled_before_first_poll_is_dropped_unpolled', nursery('n', spawn('t', 'n', defer('c', 1)), dict(op='cancel', target='t', grace=0)), dict(cleanups={}, handles=dict(t='cancelled'))
    yield 'panic_of_adopted_work_fails_the_adopter', scope('s', None, seq(dict(op='drop_after', ms=1, body=dict(op='bracket', id='b', release=dict(id='c', body=seq(sleep(1), dict(op='panic', id='p')), budget=5, need=1), body=sleep())), sleep())), dict(
        root='panic:p', scopes=dict(b=['panic:p', 2], s=['panic:p', 2]))

def drop_equals_cancel(seed):                           # I17: cut between two instants, by cancelling or by foreign drop
    out, d = [], random.Random(seed).randint(0, 6) + .5
    wts = {**WEIGHTS, **dict.fromkeys('shield graceful thread select join lazy hold blink leak panic crowd pair await drop_after'.split(), 0)}
    prog = generate(seed, wts, 6, 50)
    for mode in ('cancel', 'drop'):
        n = dict(op='nursery', id='n0', collect=False, body=json.loads(json.dumps(prog).replace('"in": "root"', '"in": "n0"')))
        p = dict(op='scope', id='s00', after=d, grace=0, fail=None, body=n) if mode == 'cancel' else dict(op='scope', id='s00', after=None, grace=0, fail=None, body=dict(op='drop_after', ms=d, body=n))
        w = run(World(7, det=True), p)
        early = {i.id: i.status for i in w.cleanups if i.registered < d}
        out.append((early, sorted(r.id for r in w.cores if r.kind == 'task' and r.started)))
    return out[0] == out[1], bool(out[0][0])

if __name__ == '__main__':
    a = sys.argv[1:]
    if a[0] in ('vectors', 'compact'):
        for v in vectors(int(a[1]), int(a[2]) if len(a) > 2 else 0): print(json.dumps(v) if a[0] == 'vectors' else compact(v), flush=True)
    elif a[0] == 'programs':
        h = 0xcbf29ce484222325                          # FNV-1a
        for k in range(int(a[1])):
            prog = generate(k, depth=6, size=random.Random(k).choice([12, 25, 40]))
            for b in json.dumps(prog, sort_keys=True, separators=(',', ':')).encode(): h = (h ^ b) * 0x100000001b3 % 2 ** 64
        print(a[1], f'{h:#x}')
    elif a[0] == 'examples':
        for name, prog, want in examples():
            got = observe(run(World(0), prog)); print(json.dumps(dict(name=name, program=prog, expect=got)))
            for k, v in want.items(): assert got[k] == v, (name, k, v, got[k])
    elif a[0] == 'metamorphic':
        eq = [drop_equals_cancel(k) for k in range(int(a[1]) if len(a) > 1 else 3000)]
        print('I17 equal', sum(e for e, _ in eq), 'of', len(eq), 'with finalizers', sum(c for _, c in eq)); assert all(e for e, _ in eq)
    elif a[0] == 'show':
        prog = generate(int(a[1])); print(json.dumps(prog))
        w = run(World(int(a[1])), prog); print([(c.id or c.kind, c.out, c.closed_at) for c in w.cores])
    elif a[0] == 'mutants':
        n = int(a[1]) if len(a) > 1 else 3000; check(200, cover=False); missed = []
        for rule in sorted(RULES - {'assert-I6'}) + ['inside-out assert-I6', 'shield-blocks assert-I6']:
            BREAK.clear(); BREAK.update(rule.split()); fails, *_ = check(n, cover=False)
            print(f'{rule:22}', dict(fails.most_common(3)) or 'NOT CAUGHT'); missed += [rule] if not fails else []
        assert not missed, missed
    else:
        BREAK.update(a[2:]); fails, st, first = check(int(a[0]), int(a[1]) if len(a) > 1 else 0, not BREAK and int(a[0]) >= 1000)
        print(json.dumps(dict(sorted(st.items())))); print('violations:', dict(fails), first)
