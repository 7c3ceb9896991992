//! Polls a future k times, for each k until it is ready, ends it in one of several ways, and looks at what is left.

use std::fmt::Debug;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use foster::runtime::{current, root};
use foster::{CancelScope, LocalNursery, Nursery, checkpoint, defer, local_nursery, move_on_after, nursery, shield};
use foster_conformance::harness::ms;

use crate::probe::{Expect, Oops, Probe};

/// The arguments of the code that makes a future under test.
#[derive(Clone)]
pub(crate) struct Scene {
    /// Keeps the books.
    pub probe: Probe,
    /// A nursery around the place in which the future is dropped.
    pub nursery: Nursery<Oops>,
    /// A local nursery around it.
    pub local: LocalNursery<'static, Oops>,
}

/// How the future ends after its k-th poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Dropped right after that poll.
    Drop,
    /// Dropped when it has been woken for the next one.
    DropWoken,
    /// Dropped by a panic that unwinds.
    Unwind,
    /// Dropped on another thread.
    Thread,
    /// Forgotten (L28). It is found again, and dropped, when all is over: so the suite can still count.
    Forget,
    /// Held and not polled any more, in a scope that is cancelled (L16).
    Hold,
    /// Polled on, in a scope that is cancelled (L15): delivered.
    Cancel,
    /// The root that it stands in is dropped (L30).
    Host,
}

const ENDINGS: [Ending; 8] = [
    Ending::Drop,
    Ending::DropWoken,
    Ending::Unwind,
    Ending::Thread,
    Ending::Forget,
    Ending::Hold,
    Ending::Cancel,
    Ending::Host,
];

/// The place of the future when it is lost: the adopter of what it leaves (L25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The body of a nursery.
    Body,
    /// A task on the executor.
    Task,
    /// A task of a local nursery.
    LocalTask,
    /// A cancel scope.
    Scope,
    /// A shield.
    Shield,
    /// A finalizer.
    Finalizer,
    /// A tree of its own.
    Root,
}

const PLACES: [Place; 7] =
    [Place::Body, Place::Task, Place::LocalTask, Place::Scope, Place::Shield, Place::Finalizer, Place::Root];

/// Seeds for each combination.
const SEEDS: u64 = 2;

/// No future under test is polled more often.
const MOST_POLLS: usize = 200;

const LONG: Duration = Duration::from_secs(3600);

/// A future of the public API, and what is special about it.
pub(crate) struct Case {
    name: &'static str,
    /// It is never ready.
    never: bool,
    /// It is the host of a tree: its drop cuts finalizers off.
    host: bool,
    /// It belongs to the nurseries of the scene, so it cannot stand in another tree.
    beside: bool,
    /// Others wait for what it holds: forgotten, it keeps that for ever, as documented.
    holds: bool,
    counts: Counts,
}

/// The counts of what has been done, so that no green run is empty.
#[derive(Default)]
struct Counts {
    runs: usize,
    drops: usize,
    ready: usize,
    finalizers: usize,
    polls: usize,
}

/// One way to end the future, in one place, after so many polls.
#[derive(Clone, Copy, Debug)]
struct Plan {
    place: Place,
    ending: Ending,
    polls: usize,
    seed: u64,
}

impl Case {
    /// A case without peculiarities.
    pub(crate) fn new(name: &'static str) -> Self {
        Case { name, never: false, host: false, beside: false, holds: false, counts: Counts::default() }
    }

    /// The future is never ready, nor woken.
    pub(crate) fn never(self) -> Self {
        Case { never: true, ..self }
    }

    /// Dropping the future is dropping a host.
    pub(crate) fn host(self) -> Self {
        Case { host: true, ..self }
    }

    /// The future belongs to the nurseries of the scene.
    pub(crate) fn beside(self) -> Self {
        Case { beside: true, ..self }
    }

    /// Others wait for what the future holds.
    pub(crate) fn holds(self) -> Self {
        Case { holds: true, ..self }
    }

    /// Does everything to the futures that `make` makes.
    pub(crate) fn run<M, F>(mut self, make: M, told: fn(F::Output) -> Vec<Oops>)
    where
        M: Fn(Scene) -> F + Copy + Send + Sync + 'static,
        F: Future<Output: Send> + Send + 'static,
    {
        for place in PLACES {
            for ending in ENDINGS {
                if !self.applies(place, ending) {
                    continue;
                }
                let every = move |plan, around: Around<F>| {
                    in_place(place, around.probe(), Box::pin(act(plan, around, make, told, drop_there)))
                };
                self.at_each_poll(place, ending, every);
            }
        }
        self.judge_outcome();
    }

    /// As `run`, for futures that are not `Send`: they stand in the body of the nursery, and stay on their thread.
    pub(crate) fn run_unsend<M, F>(mut self, make: M, told: fn(F::Output) -> Vec<Oops>)
    where
        M: Fn(Scene) -> F + Copy + 'static,
        F: Future + 'static,
    {
        for ending in ENDINGS {
            if ending != Ending::Thread && self.applies(Place::Body, ending) {
                let every = move |plan, around: Around<F>| act(plan, around, make, told, drop);
                self.at_each_poll(Place::Body, ending, every);
            }
        }
        self.judge_outcome();
    }

    fn applies(&self, place: Place, ending: Ending) -> bool {
        let woken = ending != Ending::DropWoken || !self.never;
        // Moves to a nursery of another tree are not part of this test.
        let tree = !self.beside || place != Place::Root && ending != Ending::Host;
        // A host in a host: once is enough. A host that is forgotten is out of reach for good.
        let host = !self.host || !matches!(ending, Ending::Host | Ending::Forget);
        let held = !self.holds || ending != Ending::Forget;
        woken && tree && host && held
    }

    /// `every` ends the future after so many polls; it is called with more and more of them, until the future is ready
    /// earlier on each seed.
    fn at_each_poll<F, R>(&mut self, place: Place, ending: Ending, every: impl Fn(Plan, Around<F>) -> R)
    where
        F: Future,
        R: Future<Output = ()>,
    {
        for polls in 0.. {
            assert!(polls < MOST_POLLS, "{}: polled {polls} times and not ready", self.name);
            let mut ready = 0;
            for seed in 0..SEEDS {
                let plan = Plan { place, ending, polls, seed };
                ready += u64::from(self.once(plan, &every));
            }
            self.counts.polls = self.counts.polls.max(polls);
            if ready == SEEDS || self.never && polls == 1 {
                break;
            }
        }
    }

    /// Makes one run. Returns whether the future was ready before it came to its end.
    fn once<F, R>(&mut self, plan: Plan, every: &impl Fn(Plan, Around<F>) -> R) -> bool
    where
        F: Future,
        R: Future<Output = ()>,
    {
        let told = Told(self.name, plan);
        let probe = Probe::default();
        let around = Around::<F>::default();
        let builder = foster_sim::Builder::new(plan.seed)
            .blocking_time(Duration::ZERO, ms(3))
            .time_limit(ms(60_000))
            // Executors may poll for nothing: these are more polls at which to drop.
            .spurious_polls(if plan.seed == 0 { 0.0 } else { 0.2 })
            .observer(Arc::new(probe.clone()));
        // Half of them with the short cuts that a tree takes where nobody watches.
        let builder = if plan.seed % 2 == 0 { builder } else { builder.unwatched() };
        let outcome = builder.run(nursery(async |n: Nursery<Oops>| {
            let around = around.clone();
            let (probe, kept) = (probe.clone(), probe.clone());
            local_nursery(async move |l: LocalNursery<'static, Oops>| {
                around.set_scene(Scene { probe: probe.clone(), nursery: n, local: l });
                every(plan, around.clone()).await;
                if plan.place != Place::Body {
                    probe.assert_quiet();
                }
                // The code after goes on as if nothing had been.
                checkpoint().await;
                Ok(())
            })
            .await?;
            kept.assert_quiet();
            Ok(())
        }));
        probe.told(outcome.err().into_iter().collect());
        let lost = around.was_lost();
        around.find_again();
        let forgotten = lost && plan.ending == Ending::Forget;
        probe.assert_settled(match plan.ending {
            _ if lost && (self.host || plan.ending == Ending::Host) => Expect::CutOff,
            _ if forgotten => Expect::Forgotten,
            _ => Expect::All,
        });
        around.assert_no_waker_left();
        drop(told);
        self.counts.runs += 1;
        self.counts.drops += usize::from(lost);
        self.counts.ready += usize::from(!lost);
        self.counts.finalizers += probe.finalizers();
        !lost
    }

    fn judge_outcome(self) {
        let Counts { runs, drops, ready, finalizers, polls } = self.counts;
        println!(
            "{:<32} {drops:>6} dropped, {ready:>5} ready, in {runs:>6} runs; up to {polls:>3} polls; {finalizers:>7} finalizers",
            self.name
        );
        assert!(drops > 0, "{}: nothing was dropped", self.name);
        assert!(self.never || ready > 0, "{}: never ready", self.name);
        assert!(self.never || drops > runs / 8, "{}: most futures were ready at once", self.name);
    }
}

/// The state of one run outside of the tree, with the future.
pub(crate) struct Around<F>(Arc<Inside<F>>);

struct Inside<F> {
    scene: Mutex<Option<Scene>>,
    forgotten: Mutex<Vec<Pin<Box<F>>>>,
    lost: AtomicBool,
    waker: Arc<Counted>,
}

impl<F> Clone for Around<F> {
    fn clone(&self) -> Self {
        Around(self.0.clone())
    }
}

impl<F> Default for Around<F> {
    fn default() -> Self {
        Around(Arc::new(Inside {
            scene: Mutex::default(),
            forgotten: Mutex::default(),
            lost: AtomicBool::new(false),
            waker: Arc::default(),
        }))
    }
}

impl<F> Around<F> {
    fn set_scene(&self, scene: Scene) {
        *lock(&self.0.scene) = Some(scene);
    }

    fn probe(&self) -> Probe {
        lock(&self.0.scene).as_ref().map(|scene| scene.probe.clone()).expect("the scene is set")
    }

    fn scene(&self) -> Scene {
        lock(&self.0.scene).take().expect("there is one scene in a run")
    }

    fn lose(&self) {
        self.0.lost.store(true, SeqCst);
    }

    fn was_lost(&self) -> bool {
        self.0.lost.load(SeqCst)
    }

    fn forget(&self, future: Pin<Box<F>>) {
        lock(&self.0.forgotten).push(future);
    }

    /// Drops the forgotten futures: nothing comes of them.
    fn find_again(&self) {
        let forgotten = std::mem::take(&mut *lock(&self.0.forgotten));
        drop(forgotten);
    }

    #[track_caller]
    fn assert_no_waker_left(&self) {
        let old = lock(&self.0.waker.to).take();
        drop(old);
        assert_eq!(Arc::strong_count(&self.0.waker), 1, "somebody keeps the waker of a future that is gone");
        assert!(self.0.waker.made.load(SeqCst) <= MOST_POLLS);
    }
}

/// A waker that hands on, and whose clones are counted.
#[derive(Default)]
struct Counted {
    to: Mutex<Option<Waker>>,
    made: AtomicUsize,
}

impl Counted {
    fn forward(self: &Arc<Self>, to: &Waker) -> Waker {
        let old = lock(&self.to).replace(to.clone());
        drop(old);
        self.made.fetch_add(1, SeqCst);
        Waker::from(self.clone())
    }
}

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        let to = lock(&self.to).clone();
        if let Some(to) = to {
            to.wake();
        }
    }
}

/// Prints which run it was if one panics.
struct Told(&'static str, Plan);

impl Drop for Told {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}: {:?}", self.0, self.1);
        }
    }
}

async fn in_place(place: Place, probe: Probe, body: Pin<Box<dyn Future<Output = ()> + Send>>) {
    match place {
        Place::Body => body.await,
        Place::Task => {
            let Ok(()) = nursery(async move |n: Nursery| {
                n.spawn(body);
            })
            .await;
        }
        Place::LocalTask => {
            let Ok(()) = local_nursery(async move |n: LocalNursery<'_>| {
                n.spawn(body);
            })
            .await;
        }
        Place::Scope => move_on_after(LONG, body).await.expect("an hour is enough"),
        Place::Shield => shield(body).await,
        Place::Finalizer => {
            let deferred = move_on_after(LONG, async move { defer(body) }).await;
            deferred.expect("an hour is enough");
        }
        Place::Root => root(current().expect("the simulator"), body).observe(Arc::new(probe)).await,
    }
}

/// Makes the future, polls it, ends it.
async fn act<M, F>(plan: Plan, around: Around<F>, make: M, told: fn(F::Output) -> Vec<Oops>, drop_it: fn(Pin<Box<F>>))
where
    M: Fn(Scene) -> F,
    F: Future,
{
    let scene = around.scene();
    let probe = scene.probe.clone();
    match plan.ending {
        Ending::Host => {
            let mut tree =
                Box::pin(root(current().expect("the simulator"), make(scene)).observe(Arc::new(probe.clone())));
            let output = poll_times(plan, &around, tree.as_mut()).await;
            drop(tree);
            match output {
                Some(output) => probe.told(told(output)),
                None => around.lose(),
            }
            // L30: nothing is left that could be waited for.
            probe.assert_quiet();
        }
        Ending::Hold | Ending::Cancel => {
            let mut scope = CancelScope::new().grace(ms(plan.seed));
            let handle = scope.handle();
            let held = around.clone();
            let ended = scope.run(async move {
                let mut future = Box::pin(make(scene));
                if let Some(output) = poll_times(plan, &held, future.as_mut()).await {
                    return Some(output);
                }
                held.lose();
                assert!(handle.cancel("on purpose"));
                if plan.ending == Ending::Cancel {
                    return Some(poll_fn(|cx| held.poll(future.as_mut(), cx.waker())).await);
                }
                pending::<()>().await;
                None
            });
            if let Ok(Some(output)) = ended.await {
                probe.told(told(output));
            }
        }
        _ => {
            let mut future = Box::pin(make(scene));
            if let Some(output) = poll_times(plan, &around, future.as_mut()).await {
                return probe.told(told(output));
            }
            around.lose();
            match plan.ending {
                Ending::Unwind => {
                    let unwound = catch_unwind(AssertUnwindSafe(|| {
                        let _future = future;
                        // Not `panic!`: the panic hook has nothing to report.
                        resume_unwind(Box::new("on purpose"));
                    }));
                    assert!(unwound.is_err());
                }
                Ending::Thread => drop_it(future),
                Ending::Forget => around.forget(future),
                _ => drop(future),
            }
        }
    }
}

/// Polls until the future is ready, or has been polled so many times.
async fn poll_times<F, G>(plan: Plan, around: &Around<F>, mut future: Pin<&mut G>) -> Option<G::Output>
where
    G: Future,
{
    let mut polls = 0;
    poll_fn(|cx| {
        if polls == plan.polls {
            return Poll::Ready(None);
        }
        polls += 1;
        match around.poll(future.as_mut(), cx.waker()) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == plan.polls && plan.ending != Ending::DropWoken => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl<F> Around<F> {
    fn poll<G: Future>(&self, future: Pin<&mut G>, waker: &Waker) -> Poll<G::Output> {
        let waker = self.0.waker.forward(waker);
        future.poll(&mut std::task::Context::from_waker(&waker))
    }
}

fn drop_there<F: Send>(future: F) {
    thread::scope(|scope| {
        let dropped = scope.spawn(|| drop(future)).join();
        assert!(dropped.is_ok(), "the drop does not panic");
    });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For futures whose output is not an error.
pub(crate) fn nothing<T>(_: T) -> Vec<Oops> {
    Vec::new()
}

/// For nurseries.
pub(crate) fn error<T: Debug>(output: Result<T, Oops>) -> Vec<Oops> {
    output.err().into_iter().collect()
}
