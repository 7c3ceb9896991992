//! Programs of the model as futures of foster.

use std::cell::RefCell;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use foster::error::ErrorGroup;
use foster::{CancelScope, Instant, Nursery, NurseryOptions, ScopeHandle};

use super::awaits::await_task;
use super::finalizer;
use super::foreign::{Hold, Join, Plan, Select};
use super::host::{self, plain_sleep};
use super::links::{self, Commit, Opened, Own};
use super::local::Local;
use super::program::{Body, Finalizer, Id, Op};
use super::start::{Child, start};
use super::turns;
use super::watch::{BodyWatch, End, Watched, first_of};
use super::world::{Errs, Out, Target, Thrown, lock, now, thrown, with};

/// The result of an operation.
pub(crate) type Res = Result<(), Errs>;

/// An operation as a future.
pub(crate) type Fut = Pin<Box<dyn Future<Output = Res> + Send>>;

/// The future of an operation; `owner` is the innermost scope around it.
pub(crate) fn build(op: &Body, owner: Id) -> Fut {
    let op = op.clone();
    Box::pin(async move {
        match &*op {
            Op::Sleep(None) => match foster::sleep_forever().await {},
            Op::Sleep(Some(duration)) => foster::sleep(*duration).await,
            Op::Io(duration) => plain_sleep(*duration).await,
            Op::Compute(duration) => compute(*duration),
            Op::Seq(steps) => {
                for step in steps {
                    build(step, owner).await?;
                }
            }
            Op::Scope { id, after, grace, fail, body } => {
                let scope = CancelScope::new().grace(*grace);
                match run_scope(*id, scope, *after, grace.is_zero(), body).await {
                    End::Returned(result) => return result,
                    End::Cancelled => fail.map_or(Ok(()), raise)?,
                }
            }
            Op::Shield { id, after, graceful, body } => {
                let scope = CancelScope::new();
                let scope = if *graceful { scope.graceful() } else { scope.shielded() };
                match run_scope(*id, scope, *after, true, body).await {
                    End::Returned(result) => return result,
                    End::Cancelled => {}
                }
            }
            Op::Nursery { id, collect, local, body } => match open_nursery(*id, *collect, *local, body.clone()).await {
                End::Returned(result) => return result,
                End::Cancelled => unreachable!("a nursery has no cancelled form"),
            },
            Op::Thread { id, takes } => run_thread(*id, *takes).await,
            Op::Bracket { id, release, body } => return run_bracket(*id, release, body).await,
            Op::Spawn { task, nursery, daemon, body } => spawn(*task, *nursery, *daemon, body),
            Op::Start { task, nursery, ready, before, silent, body } => {
                let child =
                    Child { task: *task, ready: *ready, before: before.clone(), silent: *silent, body: body.clone() };
                return start(*nursery, child).await;
            }
            Op::Await { id, task } => await_task(*id, *task).await,
            Op::Cancel { target, grace } => cancel(*target, *grace),
            Op::Move { target, after } => move_deadline(*target, *after),
            Op::Defer(finalizer) => {
                foster::cleanup::defer_within(finalizer.budget, finalizer::register(finalizer, owner))
            }
            Op::Local { id, body } => {
                let _local = Local::new(*id);
                return build(body, owner).await;
            }
            Op::Err(id) => raise(*id)?,
            Op::Panic(id) => {
                with(|world| world.made_panics.push(*id));
                // Not `panic!`: the hook of the process has nothing to say about it.
                resume_unwind(Box::new(Thrown(*id)))
            }
            Op::Join { lazy, members: [a, b] } => {
                return Join::new([build(a, owner), build(b, owner)], *lazy).await;
            }
            Op::Select([a, b]) => return Select::new([build(a, owner), build(b, owner)]).await,
            Op::DropAfter { after, body } => {
                let timer = build(&Arc::new(Op::Io(*after)), owner);
                return Select::new([build(body, owner), timer]).await;
            }
            Op::Hold { hold, after, mute, body, then } => {
                let plan = Plan::Then(Some(build(then, owner)));
                return Hold::new(*hold, *after, *mute, build(body, owner), plan).await;
            }
            Op::Blink { hold, after, length, mute, body } => {
                return Hold::new(*hold, *after, *mute, build(body, owner), Plan::Resume(*length)).await;
            }
            Op::Leak { hold, after, body } => {
                return Hold::new(*hold, *after, false, build(body, owner), Plan::Leak).await;
            }
            Op::Channel { id, capacity, foreign, body } => {
                let opened = Opened::new(*id, *capacity, *foreign);
                let result = build(body, owner).await;
                drop(opened);
                return result;
            }
            Op::Own { channel, ends, body } => {
                let own = Own::new(*channel, ends);
                let result = build(body, owner).await;
                drop(own);
                return result;
            }
            Op::Send { id, channel, fail } => {
                let sent = links::send(*channel, *id).await;
                commit(*id, sent);
                if sent == Commit::Closed {
                    fail.map_or(Ok(()), raise)?;
                }
            }
            Op::Recv { id, channel, fail, drain } => loop {
                let received = links::recv(*channel).await;
                commit(*id, received);
                if received == Commit::Closed {
                    fail.map_or(Ok(()), raise)?;
                    break;
                }
                if !drain {
                    break;
                }
            },
            Op::Set(event) => links::set(*event),
            Op::Wait { event, foreign } => links::wait(*event, *foreign).await,
            Op::Commit(id) => commit(*id, Commit::Ran),
            Op::Semaphore { id, permits, body } => {
                turns::open_semaphore(*id, *permits);
                return build(body, owner).await;
            }
            Op::Permit { id, semaphore, need, body } => {
                let acquired = || commit(*id, Commit::Ran);
                return turns::permit(*semaphore, *need, acquired, build(body, owner)).await;
            }
            Op::Condition { id, body } => {
                turns::open_condition(*id);
                return build(body, owner).await;
            }
            Op::Lock { id, condition, body } => {
                return turns::lock(*condition, || commit(*id, Commit::Ran), build(body, owner)).await;
            }
            Op::WaitNotified { id, condition } => turns::wait(*condition, || commit(*id, Commit::Ran)).await,
            Op::Notify { condition, count } => turns::notify(*condition, *count).await,
            Op::Here { id, hold, after, body, then, enter } => {
                let run = place_here(*id, *hold, *after, body);
                build(then, owner).await?;
                if *enter {
                    with(|world| world.stopped[*hold] = false);
                    match run.await {
                        End::Returned(result) => return result,
                        End::Cancelled => {}
                    }
                }
            }
        }
        Ok(())
    })
}

/// Code that does not give way. What has ended until now, without anybody to tell, is noted before the clock moves.
fn compute(duration: Duration) {
    with(|world| {
        world.scan(now());
        world.count("computes");
    });
    host::compute(duration);
}

fn commit(id: Id, what: Commit) {
    with(|world| {
        world.commits.push((id, what, now()));
        world.count(match what {
            Commit::Ran => "commits",
            Commit::Sent => "sent",
            Commit::Closed => "closed",
            Commit::Item(_) => "received",
        });
    });
}

/// Gives a scope its place. It is held until it is polled.
fn place_here(id: Id, hold: usize, after: Option<Duration>, body: &Body) -> Watched<impl Future<Output = End> + use<>> {
    let scope = CancelScope::new().named(name_of(id));
    let mut scope = match after {
        Some(after) => scope.deadline_after(after),
        None => scope,
    };
    let target = Target::Scope(scope.handle());
    with(|world| {
        world.stopped[hold] = true;
        world.enter(id, target);
        world.count("run here");
    });
    let run = scope.run_here(BodyWatch::new(id, build(body, id)));
    Watched::placed(id, async { run.await.map_or(End::Cancelled, End::Returned) })
}

fn raise(id: Id) -> Res {
    with(|world| world.made_errors.push(id));
    Err(Errs::new(vec![id]))
}

fn name_of(id: Id) -> String {
    with(|world| world.program.name(id).to_owned())
}

/// A cancel scope or shield. One that nobody has to reach, and that has no grace, may do without a handle.
async fn run_scope(id: Id, scope: CancelScope, after: Option<Duration>, may_be_light: bool, body: &Body) -> End {
    let light = with(|world| {
        let light = may_be_light && world.light && !world.program.info(id).targeted;
        world.count(if light { "scopes: light" } else { "scopes: with a handle" });
        light
    });
    let mut scope = match after {
        Some(after) => scope.deadline_after(after),
        None => scope,
    };
    let target = if light {
        Target::Blind
    } else {
        scope = scope.named(name_of(id));
        Target::Scope(scope.handle())
    };
    with(|world| world.enter(id, target));
    let run = scope.run(BodyWatch::new(id, build(body, id)));
    let end = async { run.await.map_or(End::Cancelled, End::Returned) };
    Watched::new(id, end).await
}

async fn open_nursery(id: Id, collecting: bool, local: bool, body: Body) -> End {
    let options = NurseryOptions::new().named(name_of(id));
    let enter = move |target| {
        with(|world| {
            world.enter(id, target);
            world.count(if local { "nurseries: local" } else { "nurseries" });
        });
        BodyWatch::new(id, build(&body, id))
    };
    let end = async move {
        let all = |group: ErrorGroup<Errs>| Errs::new(group.into_errors().into_iter().flat_map(Errs::take).collect());
        End::Returned(match (local, collecting) {
            (false, false) => options.run(|n| enter(Target::Nursery(n))).await.map_err(first_of),
            (false, true) => options.collect_errors().run(|n| enter(Target::Nursery(n))).await.map_err(all),
            (true, false) => options.run_local(|n| enter(Target::Local(n))).await.map_err(first_of),
            (true, true) => options.collect_errors().run_local(|n| enter(Target::Local(n))).await.map_err(all),
        })
    };
    Watched::new(id, end).await
}

async fn run_thread(id: Id, takes: Duration) {
    // In the model a thread starts in cancelled code, too, as any shield does; `to_thread` by itself would not.
    let mut scope = CancelScope::new().shielded().named(name_of(id));
    let target = Target::Scope(scope.handle());
    with(|world| world.enter(id, target));
    let run = scope.run(host::block(takes));
    let end = async { run.await.map_or(End::Cancelled, |()| End::Returned(Ok(()))) };
    match Watched::new(id, end).await {
        End::Returned(_) => {}
        End::Cancelled => unreachable!("nobody cancels a thread"),
    }
}

async fn run_bracket(id: Id, release: &Finalizer, body: &Body) -> Res {
    let leaked = with(|world| {
        world.enter(id, Target::Blind);
        !world.program.info(id).leaks.is_empty()
    });
    let release_later = finalizer::register(release, id);
    let body = BodyWatch::new(id, build(body, id));
    let bracket = foster::bracket(
        std::future::ready(()),
        |lent| async move {
            // A guard that is leaked keeps the resource, and there would be no release.
            let _lent = (!leaked).then_some(lent);
            body.await
        },
        move |(), _exit| release_later,
    );
    let bracket = bracket.budget(release.budget);
    match Watched::new(id, async { End::Returned(bracket.await) }).await {
        End::Returned(result) => result,
        End::Cancelled => unreachable!("a bracket has no cancelled form"),
    }
}

fn spawn(task: Id, nursery: Id, daemon: bool, body: &Body) {
    let (owned, body) = Own::moved_into(body);
    let body = build(body, task);
    // The ends of channels are closed after what the body does, also if it is never polled.
    let body: Fut = Box::pin(async move {
        let owned = owned;
        let result = body.await;
        drop(owned);
        result
    });
    macro_rules! spawn_into {
        ($nursery:ident) => {{
            let child = $nursery.child().named(name_of(task));
            let child = if daemon { child.daemon() } else { child };
            child.try_spawn(BodyWatch::new(task, body)).ok()
        }};
    }
    let (handle, local) = match with(|world| world.seen(nursery).target.clone()) {
        Target::Nursery(nursery) => (spawn_into!(nursery), false),
        Target::Local(nursery) => (spawn_into!(nursery), true),
        _ => return,
    };
    if let Some(handle) = handle {
        with(|world| {
            world.enter(task, Target::Task(Arc::new(Mutex::new(handle))));
            world.count(match (local, daemon) {
                (false, false) => "tasks",
                (false, true) => "daemons",
                (true, false) => "tasks: local",
                (true, true) => "daemons: local",
            });
        });
    }
}

fn cancel(target: Id, grace: Duration) {
    let target = match target {
        Id::ROOT => ROOT.with_borrow(Clone::clone).map_or(Target::None, Target::Scope),
        target => with(|world| world.seen(target).target.clone()),
    };
    match target {
        Target::Scope(scope) => {
            let again = scope.reason().is_some();
            if scope.cancel_within(grace, "told to") && again {
                with(|world| world.count("escalated"));
            }
        }
        Target::Nursery(nursery) => drop(nursery.cancel_children_within(grace, "told to")),
        Target::Local(nursery) => drop(nursery.cancel_children_within(grace, "told to")),
        Target::Task(task) => {
            let task = lock(&task);
            let again = task.reason().is_some();
            if task.cancel_within(grace, "told to") && again {
                with(|world| world.count("escalated"));
            }
        }
        Target::None | Target::Blind => {}
    }
}

fn move_deadline(target: Id, after: Option<Duration>) {
    let Target::Scope(scope) = with(|world| world.seen(target).target.clone()) else { return };
    // In the model only an open scope's deadline is moved, and whether it is open no handle tells.
    if format!("{scope:?}").contains("life: Open") {
        let at = after.map_or(Instant::NEVER, |after| Instant::now() + after);
        if scope.set_deadline(at) {
            with(|world| world.count("moved"));
        }
    }
}

thread_local! {
    /// The scope around the root nursery.
    static ROOT: RefCell<Option<ScopeHandle>> = const { RefCell::new(None) };
}

/// Forgets the root of a run whose host was dropped.
pub(crate) fn forget() {
    let old = ROOT.take();
    drop(old);
}

/// The whole run: the program, and who looks on. `stop` cancels the root at some time, with some grace.
pub(crate) fn run(program: Body, stop: Option<(Duration, Duration)>) -> impl Future<Output = ()> {
    let ended = foster::nursery(async move |outer: Nursery<Infallible>| {
        outer.spawn_daemon(look_on());
        if let Some((at, grace)) = stop {
            outer.spawn_daemon(async move {
                plain_sleep(at).await;
                cancel(Id::ROOT, grace);
            });
        }
        root(program).await;
    });
    let mut run = Hosted { _host: Host, ended: Box::pin(ended) };
    std::future::poll_fn(move |cx| {
        let run = &mut run;
        run.ended.as_mut().poll(cx).map(|Ok(())| ())
    })
}

/// The fields are dropped in this order.
struct Hosted<F> {
    _host: Host,
    ended: Pin<Box<F>>,
}

async fn look_on() -> Infallible {
    loop {
        // Between two full milliseconds.
        let elapsed = host::all_has_happened().await;
        with(|world| world.scan(elapsed.as_millis() as u64));
    }
}

/// Dropped with the host of the run, before anything else of it.
struct Host;

impl Drop for Host {
    fn drop(&mut self) {
        with(|world| {
            if world.root.is_none() {
                world.host_drops();
            }
        });
    }
}

/// The root of the model: a fail-fast nursery that can be cancelled.
async fn root(program: Body) {
    let mut scope = CancelScope::new().named("root");
    let handle = scope.handle();
    let open = move |nursery| {
        with(|world| world.enter(Id::ROOT, Target::Nursery(nursery)));
        drop(ROOT.replace(Some(handle)));
        BodyWatch::new(Id::ROOT, build(&program, Id::ROOT))
    };
    let run = scope.run(async move { NurseryOptions::new().named("root").run(open).await.map_err(first_of) });
    let result = Caught(Box::pin(run)).await;
    drop(ROOT.take());
    let out = match result {
        Ok(Ok(Ok(()))) => Out::Value,
        Ok(Ok(Err(errors))) => Out::Err(errors.take()),
        Ok(Err(_)) => Out::Cancelled,
        Err(payload) => Out::Panic(thrown(&*payload)),
    };
    with(|world| world.root = Some((out, now())));
}

/// Catches a panic instead of passing it on.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = thread::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}
