//! Scopes five thousand deep.
//!
//! The stack: each level is a future that polls the next, so the stack grows with the depth, as with any futures.
//! Foster has a say in how much a level takes. The threads here have [`STACK`], and 5,000 levels may use three quarters
//! of it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::{
    CancelScope, LocalNursery, Nursery, bracket, graceful, local_nursery, move_on_after, nursery, shield, sleep,
    sleep_forever, yield_now,
};
use foster_conformance::check;

use crate::made;

/// How deep.
const DEPTH: usize = 5_000;

/// Eight times what the main thread has on most systems, and what a server may well give to its workers: 13 KiB for
/// each of the levels. Without optimization, which is when frames are biggest, they take 2 to 6 KiB.
const STACK: usize = 64 << 20;

const LONG: Duration = Duration::from_secs(3600);

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The kind of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Timeout,
    Shield,
    Graceful,
    Bracket,
    Nursery,
    LocalNursery,
    /// A child of a nursery, which has a nursery with a child, and so on: no stack for the polls, but a deep tree.
    Task,
    /// A child of a local nursery.
    LocalTask,
    /// All of them in turn, but tasks.
    Mix,
}

const KINDS: [Kind; 9] = [
    Kind::Timeout,
    Kind::Shield,
    Kind::Graceful,
    Kind::Bracket,
    Kind::Nursery,
    Kind::LocalNursery,
    Kind::Task,
    Kind::LocalTask,
    Kind::Mix,
];

/// The work on all levels together.
#[derive(Default)]
struct Work {
    polls: AtomicUsize,
    wakes: AtomicUsize,
    /// The deepest address of the stack at which a poll, a drop or a waker has been, and where the run began.
    deepest: AtomicUsize,
    top: AtomicUsize,
}

impl Work {
    fn here(&self) {
        self.deepest.fetch_min(address(), Relaxed);
    }
}

/// Where the stack is.
#[inline(never)]
fn address() -> usize {
    let local = 0u8;
    std::ptr::from_ref(std::hint::black_box(&local)).addr()
}

/// Counts the polls of a level.
struct Counted {
    work: Arc<Work>,
    inner: Boxed,
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.work.polls.fetch_add(1, Relaxed);
        self.inner.as_mut().poll(cx)
    }
}

/// Looks at the stack when it is dropped.
struct Bottom(Arc<Work>);

impl Drop for Bottom {
    fn drop(&mut self) {
        self.0.here();
    }
}

fn nest(kind: Kind, depth: usize, work: &Arc<Work>, leaf: Boxed) -> Boxed {
    const MIX: [Kind; 6] =
        [Kind::Timeout, Kind::Graceful, Kind::Bracket, Kind::Nursery, Kind::LocalNursery, Kind::Shield];
    (0..depth).fold(leaf, |inner, level| {
        let inner = Counted { work: work.clone(), inner };
        level_of(if kind == Kind::Mix { MIX[level % MIX.len()] } else { kind }, inner)
    })
}

fn level_of(kind: Kind, inner: Counted) -> Boxed {
    match kind {
        Kind::Timeout => Box::pin(async move {
            move_on_after(LONG, inner).await;
        }),
        Kind::Shield => Box::pin(shield(inner)),
        Kind::Graceful => Box::pin(graceful(inner)),
        Kind::Bracket => Box::pin(bracket(async {}, |_| inner, |(), _| async {})),
        Kind::Nursery => Box::pin(async move {
            let Ok(()) = nursery(|_: Nursery| inner).await;
        }),
        Kind::LocalNursery => Box::pin(async move {
            let Ok(()) = local_nursery(|_: LocalNursery<'_>| inner).await;
        }),
        Kind::Task => Box::pin(async move {
            let Ok(()) = nursery(async move |n: Nursery| drop(n.spawn(inner))).await;
        }),
        Kind::LocalTask => Box::pin(async move {
            let Ok(()) = local_nursery(async move |n: LocalNursery<'_>| drop(n.spawn(inner))).await;
        }),
        Kind::Mix => unreachable!("a level is of one kind"),
    }
}

/// The counts of one run.
#[derive(Clone, Copy)]
struct Counts {
    polls: usize,
    wakes: usize,
    allocations: usize,
    /// On the stack, for each level.
    bytes: usize,
    steps: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { polls, wakes, allocations, bytes, steps } = self;
        write!(
            f,
            "{polls:>7} polls {wakes:>6} wakes {allocations:>8} allocations {steps:>7} steps {bytes:>6} bytes a level"
        )
    }
}

/// A waker that looks at the stack, and counts.
struct Looking(Arc<Work>, Waker);

impl Wake for Looking {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.here();
        self.0.wakes.fetch_add(1, Relaxed);
        self.1.wake_by_ref();
    }
}

/// Runs what `scenario` makes of the leaf and the nest around it, on a thread with [`STACK`].
fn run(kind: Kind, depth: usize, scenario: fn(Kind, usize, Arc<Work>) -> Boxed) -> Counts {
    let thread = std::thread::Builder::new().stack_size(STACK);
    let thread = thread.spawn(move || {
        let work = Arc::new(Work::default());
        work.deepest.store(usize::MAX, Relaxed);
        work.top.store(address(), Relaxed);
        let mut program = scenario(kind, depth, work.clone());
        let (before, looked) = (made(), work.clone());
        let observed = foster_sim::Builder::new(1).observe(poll_fn(move |cx| {
            let waker = Waker::from(Arc::new(Looking(looked.clone(), cx.waker().clone())));
            program.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        let allocations = made() - before;
        if let Err(payload) = observed.outcome {
            std::panic::resume_unwind(payload);
        }
        Counts {
            polls: work.polls.load(Relaxed),
            wakes: work.wakes.load(Relaxed),
            allocations,
            bytes: work.top.load(Relaxed).saturating_sub(work.deepest.load(Relaxed)) / depth,
            steps: observed.steps,
        }
    });
    thread.expect("a thread").join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

/// Twice the depth is twice the work, and the stack does for [`DEPTH`] levels.
fn is_linear(name: &str, kinds: &[Kind], scenario: fn(Kind, usize, Arc<Work>) -> Boxed) {
    check(name, || {
        let mut wrong = Vec::new();
        for kind in kinds {
            let (half, full) = (run(*kind, DEPTH / 2, scenario), run(*kind, DEPTH, scenario));
            println!("{name:<40} {:<12} {full}", format!("{kind:?}"));
            assert!(full.polls >= DEPTH, "{kind:?}: the levels were not polled");
            // Work that does not depend on the depth, such as the growth of the runtime's tables, is in both.
            let linear = |half: usize, full: usize| full <= 2 * half + half / 10 + 100;
            if !linear(half.polls, full.polls)
                || !linear(half.wakes, full.wakes)
                || !linear(half.allocations, full.allocations)
            {
                wrong.push(format!("{kind:?}, half as deep: {half}"));
            }
            if full.bytes > STACK / DEPTH * 3 / 4 {
                wrong.push(format!("{kind:?}: {full}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

/// The leaf: looks at the stack when it is polled and when it is dropped.
fn leaf(work: Arc<Work>, then: impl Future<Output = ()> + Send + 'static) -> Boxed {
    let mut then = Box::pin(then);
    let bottom = Bottom(work);
    Box::pin(poll_fn(move |cx| {
        bottom.0.here();
        then.as_mut().poll(cx)
    }))
}

async fn forever() {
    sleep_forever().await;
}

/// Ten turns from the bottom to the top: each is a poll of each level, and no more.
#[test]
fn turns_of_nested_scopes_cost_one_poll_a_level() {
    is_linear("turns_of_nested_scopes_cost_one_poll_a_level", &KINDS, |kind, depth, work| {
        let turns = async {
            for _ in 0..10 {
                yield_now().await;
            }
        };
        nest(kind, depth, &work, leaf(work.clone(), turns))
    });
}

/// L11, L15: a request reaches the bottom, and the bodies go inside-out, each level once.
#[test]
fn cancel_of_nested_scopes_is_linear() {
    let open: Vec<_> = KINDS.into_iter().filter(|kind| !matches!(kind, Kind::Shield | Kind::Mix)).collect();
    is_linear("cancel_of_nested_scopes_is_linear", &open, |kind, depth, work| {
        let body = nest(kind, depth, &work, leaf(work.clone(), forever()));
        Box::pin(async move {
            assert!(move_on_after(Duration::from_secs(1), body).await.is_none());
        })
    });
}

/// L8: all limits pass at one instant. The outermost one cancels all levels; those of the others find them cancelled, and
/// look no further.
#[test]
fn limits_that_pass_together_are_linear() {
    is_linear("limits_that_pass_together_are_linear", &[Kind::Timeout], |kind, depth, work| {
        nest(kind, depth, &work, leaf(work.clone(), forever()))
    });
}

/// L20: shields, and a mix that has shields in it, hold a request off for as long as they are polled; when they end,
/// the scopes around end inside-out.
#[test]
fn cancel_around_nested_shields_is_linear() {
    is_linear("cancel_around_nested_shields_is_linear", &[Kind::Shield, Kind::Mix], |kind, depth, work| {
        let body = nest(kind, depth, &work, leaf(work.clone(), sleep(Duration::from_secs(2))));
        Box::pin(async move {
            assert!(move_on_after(Duration::from_secs(1), body).await.is_some());
        })
    });
}

/// L16.1: in scopes that are cancelled, and held up by a shield at the bottom, a wake-up travels all the way up, past
/// the drivers: once for each level, however often.
#[test]
fn wakes_through_cancelled_scopes_are_linear() {
    let open: Vec<_> = KINDS.into_iter().filter(|kind| !matches!(kind, Kind::Shield | Kind::Mix)).collect();
    is_linear("wakes_through_cancelled_scopes_are_linear", &open, |kind, depth, work| {
        let shielded = shield(async {
            for _ in 0..10 {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let body = nest(kind, depth, &work, leaf(work.clone(), shielded));
        Box::pin(async move {
            // The leaf completes, and so does everything around it: completion wins (L17).
            assert!(move_on_after(Duration::from_millis(1500), body).await.is_some());
        })
    });
}

/// L26: foreign code drops the whole; nothing but the drop is done, and no level is polled again.
#[test]
fn drop_of_nested_scopes_is_linear() {
    is_linear("drop_of_nested_scopes_is_linear", &KINDS, |kind, depth, work| {
        Box::pin(async move {
            let mut body = nest(kind, depth, &work, leaf(work.clone(), forever()));
            let Ok(()) = nursery(async move |_: Nursery| {
                let mut enough = pin!(sleep(Duration::from_secs(1)));
                poll_fn(|cx| {
                    assert!(body.as_mut().poll(cx).is_pending());
                    enough.as_mut().poll(cx)
                })
                .await;
                drop(body);
            })
            .await;
        })
    });
}

/// L29, L32: a panic at the bottom unwinds through each level, or is recorded and resumed there, once.
#[test]
fn panic_below_nested_scopes_is_linear() {
    is_linear(
        "panic_below_nested_scopes_is_linear",
        &[Kind::Timeout, Kind::Nursery, Kind::Task],
        |kind, depth, work| {
            let panics = async {
                yield_now().await;
                std::panic::resume_unwind(Box::new("at the bottom"));
            };
            let body = nest(kind, depth, &work, leaf(work.clone(), panics));
            Box::pin(async move {
                let mut body = body;
                let caught = poll_fn(move |cx| {
                    let poll = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body.as_mut().poll(cx)));
                    match poll {
                        Ok(poll) => poll.map(|()| false),
                        Err(payload) => Poll::Ready(payload.is::<&str>()),
                    }
                });
                assert!(caught.await, "the panic came up");
            })
        },
    );
}

/// L6, L9, L10: what is asked for at the bottom is known there; no walk to the top for each of the levels.
#[test]
fn a_deadline_at_the_top_is_known_at_the_bottom() {
    check("a_deadline_at_the_top_is_known_at_the_bottom", || {
        let counts = run(Kind::Timeout, DEPTH, |kind, depth, work| {
            let asks = async {
                assert_eq!(foster::remaining(), Some(Duration::from_secs(60)));
                sleep(Duration::from_secs(9)).await;
                assert_eq!(foster::remaining(), Some(Duration::from_secs(51)));
            };
            let body = nest(kind, depth, &work, leaf(work.clone(), asks));
            Box::pin(async move {
                let scope = CancelScope::new().deadline_after(Duration::from_secs(60));
                scope.run(body).await.expect("in time");
            })
        });
        println!("a deadline over {DEPTH} levels: {counts}");
        assert_eq!(counts.polls, 2 * DEPTH);
    });
}
