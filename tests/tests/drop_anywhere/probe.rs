//! The contents of a future under test, and the books that are kept of them.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foster::cleanup::FinalizerOutput;
use foster::error::JoinError;
use foster::observer::{HostDropped, Observer, Orphan};
use foster::{checkpoint, defer, sleep, sleep_forever};
use foster_conformance::harness::ms;

/// Hands out what has to end, and counts how it does.
#[derive(Clone, Default)]
pub(crate) struct Probe(Arc<Books>);

#[derive(Default)]
struct Books {
    /// Locals of the future under test: dropped once each, late if it was forgotten.
    locals: Gauge,
    /// Children, daemons and the like: over when their adopter is.
    inside: Gauge,
    /// Children of a nursery that the future under test was not opened by.
    beside: Gauge,
    /// Blocking jobs.
    jobs: Gauge,
    finalizers: Mutex<Vec<Finalizer>>,
    lent: Gauge,
    errors: AtomicUsize,
    orphans: Mutex<Vec<String>>,
    cut_off: Mutex<Vec<HostDropped>>,
}

#[derive(Default)]
struct Gauge {
    made: AtomicUsize,
    gone: AtomicUsize,
}

impl Gauge {
    fn live(&self) -> usize {
        self.made.load(SeqCst) - self.gone.load(SeqCst)
    }
}

/// How often a finalizer did what it may do once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Finalizer {
    started: usize,
    finished: usize,
    dropped: usize,
    /// It is a bracket's release: without the resource there is nothing to run.
    release: bool,
    /// It takes longer than its budget, so it is cut.
    long: bool,
}

/// Alive for as long as what holds it.
pub(crate) struct Alive(Probe, fn(&Books) -> &Gauge);

impl Drop for Alive {
    fn drop(&mut self) {
        (self.1)(&self.0.0).gone.fetch_add(1, SeqCst);
    }
}

/// The resource of a bracket.
pub(crate) struct Resource {
    probe: Probe,
    release: Option<usize>,
    _alive: Alive,
}

/// An error that must not be lost, nor be told twice.
pub(crate) struct Oops(usize);

impl fmt::Debug for Oops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oops {}", self.0)
    }
}

impl Oops {
    /// An error that is a value like any other: who drops the value drops it.
    pub(crate) fn plain() -> Self {
        Oops(usize::MAX)
    }
}

impl From<JoinError> for Oops {
    fn from(_: JoinError) -> Self {
        Oops::plain()
    }
}

impl Probe {
    fn alive(&self, gauge: fn(&Books) -> &Gauge) -> Alive {
        gauge(&self.0).made.fetch_add(1, SeqCst);
        Alive(self.clone(), gauge)
    }

    /// For a local of the future under test.
    pub(crate) fn local(&self) -> Alive {
        self.alive(|books| &books.locals)
    }

    /// For a child.
    pub(crate) fn inside(&self) -> Alive {
        self.alive(|books| &books.inside)
    }

    /// For a child of a nursery around.
    pub(crate) fn beside(&self) -> Alive {
        self.alive(|books| &books.beside)
    }

    /// For a blocking job.
    pub(crate) fn job(&self) -> Alive {
        self.alive(|books| &books.jobs)
    }

    /// A finalizer that takes two milliseconds; to be registered at once.
    pub(crate) fn finalizer(&self) -> impl Future<Output = ()> + Send + 'static {
        self.run_finalizer(self.register(false), ())
    }

    /// A finalizer that fails.
    pub(crate) fn bad_finalizer(&self) -> impl Future<Output = Result<(), Oops>> + Send + 'static {
        let error = self.raise();
        self.run_finalizer(self.register(false), Err(error))
    }

    fn register(&self, release: bool) -> usize {
        let mut finalizers = lock(&self.0.finalizers);
        finalizers.push(Finalizer { release, ..Finalizer::default() });
        finalizers.len() - 1
    }

    fn run_finalizer<R: FinalizerOutput>(&self, id: usize, output: R) -> impl Future<Output = R> + Send + use<R> {
        let record = Record(self.clone(), id);
        async move {
            record.note(|finalizer| finalizer.started += 1);
            sleep(ms(1)).await;
            checkpoint().await;
            sleep(ms(1)).await;
            record.note(|finalizer| finalizer.finished += 1);
            output
        }
    }

    /// The resource of a bracket, as far as it has come.
    pub(crate) fn acquire(&self) -> Resource {
        Resource { probe: self.clone(), release: None, _alive: self.alive(|books| &books.lent) }
    }

    /// An error that has to come out somewhere.
    pub(crate) fn raise(&self) -> Oops {
        Oops(self.0.errors.fetch_add(1, SeqCst))
    }

    /// The errors came out.
    pub(crate) fn told(&self, errors: Vec<Oops>) {
        let mut orphans = lock(&self.0.orphans);
        orphans.extend(errors.iter().filter(|error| error.0 != usize::MAX).map(|error| format!("{error:?}")));
    }

    /// Nothing that was started inside is alive.
    #[track_caller]
    pub(crate) fn assert_quiet(&self) {
        assert_eq!(self.0.inside.live(), 0, "children are alive after the scope that has to wait for them");
        let running = lock(&self.0.finalizers).iter().filter(|finalizer| finalizer.started > finalizer.dropped).count();
        assert_eq!(running, 0, "finalizers are running after the scope that has to wait for them");
    }

    /// The run is over.
    #[track_caller]
    pub(crate) fn assert_settled(&self, expect: Expect) {
        let books = &self.0;
        for (what, gauge) in [
            ("locals", &books.locals),
            ("children", &books.inside),
            ("children beside", &books.beside),
            ("jobs", &books.jobs),
            ("resources", &books.lent),
        ] {
            assert_eq!(gauge.live(), 0, "{what} were leaked");
        }
        let (mut left, mut long) = (0, 0);
        for finalizer in lock(&books.finalizers).iter() {
            let ran = finalizer.started == 1 && finalizer.finished == usize::from(!finalizer.long);
            let never_began = finalizer.started == 0 && finalizer.finished == 0;
            let fine = match expect {
                Expect::All => ran,
                Expect::Forgotten => ran || finalizer.release && never_began,
                Expect::CutOff => finalizer.started <= 1,
            };
            assert!(fine, "a finalizer did not run exactly once: {finalizer:?}");
            left += usize::from(finalizer.finished == 0);
            long += usize::from(finalizer.long);
        }
        let cut_off: usize = lock(&books.cut_off).iter().map(|report| report.finalizers).sum();
        if expect != Expect::Forgotten {
            // Those that were cut by their own budget are not in the report.
            let right = left - long <= cut_off && cut_off <= left;
            assert!(right, "the host reports {cut_off} finalizers cut off, and {left} have not finished");
        }
        let raised = books.errors.load(SeqCst);
        let mut orphans = lock(&books.orphans).clone();
        // The error of an attempt is its combinator's, which returns the first and reports those that come later.
        orphans.retain(|error| error != "Failed");
        orphans.sort();
        let mut expected: Vec<_> = (0..raised).map(|id| format!("{:?}", Oops(id))).collect();
        expected.sort();
        if expect == Expect::CutOff {
            // An error that was not raised when the host went away never will be.
            expected.retain(|error| orphans.contains(error));
        }
        assert_eq!(orphans, expected, "an error was lost, or told twice (L35)");
    }

    /// How many finalizers have been registered.
    pub(crate) fn finalizers(&self) -> usize {
        lock(&self.0.finalizers).len()
    }
}

/// The expected end of the finalizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Each has run, once.
    All,
    /// As before, but a resource that was forgotten while it was lent cannot be released.
    Forgotten,
    /// The host is gone: none has run twice, and what has not run was reported.
    CutOff,
}

impl Resource {
    /// It is acquired: from here on it has to be released.
    pub(crate) fn keep(mut self) -> Self {
        self.release = Some(self.probe.register(true));
        self
    }

    /// It is lent again: it has to be given back again.
    pub(crate) fn keep_again(&mut self) {
        self.release = Some(self.probe.register(true));
    }

    /// As `release`, for what is kept.
    pub(crate) fn give_back(&mut self) -> impl Future<Output = ()> + Send + 'static {
        self.probe.run_finalizer(self.release.take().expect("only what was lent is given back"), ())
    }

    /// Whether it has not been given back.
    pub(crate) fn is_lent(&self) -> bool {
        self.release.is_some()
    }

    /// A release that goes on until its budget is used up.
    pub(crate) fn release_slowly(self) -> impl Future<Output = ()> + Send + 'static {
        let id = self.release.expect("only what was acquired is released");
        let record = Record(self.probe.clone(), id);
        record.note(|finalizer| finalizer.long = true);
        async move {
            record.note(|finalizer| finalizer.started += 1);
            let _inside = self.probe.inside();
            defer(self.probe.finalizer());
            sleep_forever().await;
        }
    }

    /// The release.
    pub(crate) fn release(self) -> impl Future<Output = ()> + Send + 'static {
        let id = self.release.expect("only what was acquired is released");
        let run = self.probe.run_finalizer(id, ());
        async move {
            run.await;
            drop(self);
        }
    }
}

/// A running finalizer.
struct Record(Probe, usize);

impl Record {
    fn note(&self, note: impl FnOnce(&mut Finalizer)) {
        note(&mut lock(&self.0.0.finalizers)[self.1]);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.note(|finalizer| finalizer.dropped += 1);
    }
}

impl Observer for Probe {
    fn orphan(&self, orphan: &Orphan<'_>) {
        lock(&self.0.orphans).push(format!("{:?}", orphan.error));
    }

    fn host_dropped(&self, report: &HostDropped) {
        lock(&self.0.cut_off).push(*report);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
