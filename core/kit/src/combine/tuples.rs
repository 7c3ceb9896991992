//! A few futures of different types, in place: `join`, `try_join` and `race` on tuples.
//!
//! No boxes here: the futures lie in the combinator's own future, and all that have not ended are polled in every turn.
//! A future that uses up the task's budget leaves nothing of it to those that are polled after it, so each turn begins
//! with another one: see [`Order`].

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::branch::Branch;
use super::kept_outcome::{Keeping, KeptOutcome};
use super::quorum::{RaceAll, race_all};
use super::settlement::{Order, Settlement};
use super::{error_later, later};
use foster_core::future::give_up_together;

/// Waits for all futures of a tuple (two to eight), and returns a tuple of what they return.
///
/// They have no scopes of their own: it is as if the code around did several things at once. All that have not returned
/// are polled whenever the whole is, at first in the order of the tuple, and each time another one comes first. For a
/// list see [`gather_results`](crate::combine::gather_results).
///
/// # Cancellation
///
/// *Partial effect*: what the futures did is done. A drop drops them.
///
/// # Panics
///
/// If a future does: then the others are dropped at once, and the scope around waits for what they leave.
///
/// # Examples
///
/// ```
/// use foster::combine::join;
/// use foster::sleep;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let ms = Duration::from_millis;
/// let start = foster::Instant::now();
/// let (page, ()) = join((async { "page" }, sleep(ms(10)))).await;
/// assert_eq!((page, start.elapsed()), ("page", ms(10)));
/// # });
/// ```
pub fn join<B: Joined>(branches: B) -> B::Future {
    branches.join()
}

/// Waits for all futures of a tuple (two to eight), each with a `Result`; the first error cancels the others.
///
/// It returns when all have ended, cleanup included. For a list see [`gather`](crate::combine::gather).
///
/// # Errors
///
/// The first error. Errors of others, while they are being cancelled, go to the tree's
/// [`Observer`](foster_core::observer::Observer).
///
/// # Cancellation
///
/// *Partial effect*, as [`gather`](crate::combine::gather).
///
/// # Panics
///
/// Resumes the first panic of a future, when the others were cancelled and have ended. When polled outside of any tree,
/// if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::combine::try_join;
/// use foster::sleep_forever;
///
/// # foster_sim::run(1, async {
/// let user = async { Ok::<_, String>("ann") };
/// let posts = async { Ok(vec!["hello"]) };
/// assert_eq!(try_join((user, posts)).await, Ok(("ann", vec!["hello"])));
///
/// let never = async { Ok(sleep_forever().await) };
/// let refused = async { Err::<(), _>("refused") };
/// assert_eq!(try_join((never, refused)).await, Err("refused"));
/// # });
/// ```
#[track_caller]
pub fn try_join<B: TryJoined>(branches: B) -> B::Future {
    branches.try_join()
}

/// Runs the futures of a tuple (two to eight) or of an array, returns what the first to complete returns, and cancels
/// the others.
///
/// It returns when the losers have ended, cleanup included. All return the same type. If two could complete in one turn,
/// the one that is polled first wins, at first in the order of the tuple; each turn begins with another one. An empty
/// race does not compile; for a list see [`race_all`](crate::combine::race_all).
///
/// A `Result` is a value like any other here: an error wins, too, and what a loser returns even so is dropped, also
/// if it is an error; no observer is told. For the first success see [`first_ok`](crate::combine::first_ok).
///
/// # Cancellation
///
/// *Partial effect*: what the futures did is done. A loser is dropped where it waits, as a branch of `select!`: a `recv`,
/// say, that was about to return has taken nothing. Cancelled from further out, each stops at its next checkpoint and
/// cleans up; the value of one that completes even so is returned when the others have.
///
/// # Panics
///
/// Resumes the first panic of a future, when the others were cancelled and have ended. When polled outside of any tree,
/// if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::combine::race;
/// use foster::{defer, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let ms = Duration::from_millis;
/// let start = foster::Instant::now();
/// let cached = async {
///     sleep(ms(10)).await;
///     "from the cache"
/// };
/// let fetched = async {
///     defer(async move { sleep(ms(5)).await }); // closes the connection
///     sleep(ms(90)).await;
///     "from the network"
/// };
/// assert_eq!(race((cached, fetched)).await, "from the cache");
/// assert_eq!(start.elapsed(), ms(15)); // the loser has cleaned up
/// # });
/// ```
#[track_caller]
pub fn race<B: Raced>(branches: B) -> B::Future {
    branches.race()
}

/// The arguments of [`join`]: tuples of two to eight futures. The trait is sealed.
pub trait Joined: sealed::Sealed {
    /// Future of [`join`].
    type Future: Future;

    #[doc(hidden)]
    fn join(self) -> Self::Future;
}

/// The arguments of [`try_join`]: tuples of two to eight futures whose `Result`s have the same error type. The trait is
/// sealed.
pub trait TryJoined: sealed::Sealed {
    /// Future of [`try_join`].
    type Future: Future;

    #[doc(hidden)]
    #[track_caller]
    fn try_join(self) -> Self::Future;
}

/// The arguments of [`race`]: tuples of two to eight futures, and arrays of futures, that all return the same type. The
/// trait is sealed.
pub trait Raced: sealed::Sealed {
    /// Future of [`race`].
    type Future: Future;

    #[doc(hidden)]
    #[track_caller]
    fn race(self) -> Self::Future;
}

mod sealed {
    #[expect(unnameable_types, reason = "seals the traits")]
    pub trait Sealed {}
    impl<F, const N: usize> Sealed for [F; N] {}
}

impl<F: Future<Output = T>, T, const N: usize> Raced for [F; N] {
    type Future = RaceArray<F, T>;

    #[track_caller]
    fn race(self) -> RaceArray<F, T> {
        const { assert!(N > 0, "a race needs somebody to win it") };
        RaceArray { race: race_all(self) }
    }
}

/// Future of [`race`] on an array.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct RaceArray<F, T> {
    race: RaceAll<F, T>,
}

impl<F: Future<Output = T>, T> Future for RaceArray<F, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.race).poll(cx)) {
            Some(value) => Poll::Ready(value),
            None => panic!("`race` was polled after it had returned"),
        }
    }
}

pin_project! {
    #[project = PartProj]
    enum Part<F, T> {
        Running { #[pin] future: F },
        Done { value: Option<T> },
    }
}

impl<F: Future<Output = T>, T> Part<F, T> {
    /// Returns whether it is done.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let PartProj::Running { future } = self.as_mut().project() else { return true };
        let Poll::Ready(value) = future.poll(cx) else { return false };
        self.set(Part::Done { value: Some(value) });
        true
    }

    fn take(self: Pin<&mut Self>) -> T {
        match self.project() {
            PartProj::Done { value } => value.take().unwrap_or_else(|| polled_again("join")),
            PartProj::Running { .. } => unreachable!("taken when all are done"),
        }
    }
}

#[cold]
fn polled_again(what: &str) -> ! {
    panic!("`{what}` was polled after it had returned")
}

macro_rules! tuples {
    ($($join:ident $try_join:ident $race:ident $len:literal: $($at:literal $branch:ident $F:ident $T:ident $value:ident),+;)+) => {$(
        impl<$($F),+> sealed::Sealed for ($($F,)+) {}

        impl<$($F: Future),+> Joined for ($($F,)+) {
            type Future = $join<$($F, $F::Output),+>;

            fn join(self) -> Self::Future {
                let ($($branch,)+) = self;
                $join { $($branch: Part::Running { future: $branch },)+ order: Order::new() }
            }
        }

        impl<X, $($F, $T),+> TryJoined for ($($F,)+)
        where
            $($F: Future<Output = Result<$T, X>>,)+
            X: Debug,
        {
            type Future = $try_join<X, $($F, $T),+>;

            #[track_caller]
            fn try_join(self) -> Self::Future {
                let ($($branch,)+) = self;
                $try_join {
                    $($branch: Branch::new(false, Keeping::new($branch, error_later as fn(_))), $value: None,)+
                    settlement: Settlement::new($len, later),
                }
            }
        }

        impl<X, $($F: Future<Output = X>),+> Raced for ($($F,)+) {
            type Future = $race<X, $($F),+>;

            #[track_caller]
            fn race(self) -> Self::Future {
                let ($($branch,)+) = self;
                $race { $($branch: Branch::new(false, $branch),)+ settlement: Settlement::new($len, drop) }
            }
        }

        pin_project! {
            /// Future of [`join`].
            #[must_use = "futures do nothing unless polled"]
            pub struct $join<$($F, $T),+> {
                $(#[pin] $branch: Part<$F, $T>,)+
                order: Order,
            }
        }

        impl<$($F: Future<Output = $T>, $T),+> Future for $join<$($F, $T),+> {
            type Output = ($($T,)+);

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let mut this = self.project();
                let mut done = true;
                for at in this.order.turn($len) {
                    match at {
                        $($at => done &= this.$branch.as_mut().poll(cx),)+
                        _ => unreachable!("{at} of {}", $len),
                    }
                }
                if !done {
                    return Poll::Pending;
                }
                Poll::Ready(($(this.$branch.take(),)+))
            }
        }

        impl<$($F, $T),+> Debug for $join<$($F, $T),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($join)).finish_non_exhaustive()
            }
        }

        pin_project! {
            /// Future of [`try_join`].
            #[must_use = "futures do nothing unless polled"]
            pub struct $try_join<X, $($F, $T),+> {
                $(#[pin] $branch: Branch<Keeping<$F, Result<$T, X>>, KeptOutcome<Result<$T, X>>>, $value: Option<$T>,)+
                settlement: Settlement<X>,
            }
        }

        impl<X: Debug, $($F: Future<Output = Result<$T, X>>, $T),+> Future for $try_join<X, $($F, $T),+> {
            type Output = Result<($($T,)+), X>;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let mut this = self.project();
                let settlement = this.settlement;
                let order = settlement.begin_poll($len);
                loop {
                    for at in order.clone() {
                        let failed = match at {
                            $($at => match settlement.poll(this.$branch.as_mut(), cx).map(KeptOutcome::into_outcome) {
                                Some(Ok(value)) => {
                                    *this.$value = Some(value);
                                    None
                                }
                                Some(Err(error)) => Some(error),
                                None => None,
                            },)+
                            _ => unreachable!("{at} of {}", $len),
                        };
                        if let Some(error) = failed {
                            if let Some(error) = settlement.settle(error, "another future has failed") {
                                settlement.fate.guard(|| later(error));
                            }
                        }
                        if settlement.is_newly_settled() {
                            break;
                        }
                    }
                    let Some(reason) = settlement.newly_settled() else { break };
                    // One alone has no others to see.
                    if settlement.left > 1 {
                        give_up_together(|losers| { $(this.$branch.as_mut().lose(reason, losers);)+ });
                    }
                    $(settlement.close(this.$branch.as_mut(), reason);)+
                }
                if settlement.left > 0 {
                    return Poll::Pending;
                }
                settlement.fate.resume_panic();
                if let Some(error) = settlement.outcome.take() {
                    return Poll::Ready(Err(error));
                }
                if settlement.fate.is_cut() {
                    return Poll::Pending;
                }
                match ($(this.$value.take(),)+) {
                    ($(Some($value),)+) => Poll::Ready(Ok(($($value,)+))),
                    _ => polled_again("try_join"),
                }
            }
        }

        impl<X, $($F, $T),+> Debug for $try_join<X, $($F, $T),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($try_join)).field("running", &self.settlement.left).finish_non_exhaustive()
            }
        }

        pin_project! {
            /// Future of [`race`].
            #[must_use = "futures do nothing unless polled"]
            pub struct $race<X, $($F),+> {
                $(#[pin] $branch: Branch<$F, X>,)+
                settlement: Settlement<X>,
            }
        }

        impl<X, $($F: Future<Output = X>),+> Future for $race<X, $($F),+> {
            type Output = X;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<X> {
                let mut this = self.project();
                let settlement = this.settlement;
                let order = settlement.begin_poll($len);
                loop {
                    for at in order.clone() {
                        let value = match at {
                            $($at => settlement.poll(this.$branch.as_mut(), cx),)+
                            _ => unreachable!("{at} of {}", $len),
                        };
                        if let Some(value) = value {
                            // A loser that completes even so has lost all the same.
                            let lost = settlement.settle(value, "lost the race");
                            settlement.fate.guard(|| drop(lost));
                        }
                        if settlement.is_newly_settled() {
                            break;
                        }
                    }
                    let Some(reason) = settlement.newly_settled() else { break };
                    // One alone has no others to see.
                    if settlement.left > 1 {
                        give_up_together(|losers| { $(this.$branch.as_mut().lose(reason, losers);)+ });
                    }
                    $(settlement.close(this.$branch.as_mut(), reason);)+
                }
                if settlement.left > 0 {
                    return Poll::Pending;
                }
                settlement.fate.resume_panic();
                match settlement.outcome.take() {
                    // L12: it has completed, whatever has become of the losers.
                    Some(value) => Poll::Ready(value),
                    None if settlement.fate.is_cut() => Poll::Pending,
                    None => polled_again("race"),
                }
            }
        }

        impl<X, $($F),+> Debug for $race<X, $($F),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($race)).field("running", &self.settlement.left).finish_non_exhaustive()
            }
        }
    )+};
}

tuples! {
    Join2 TryJoin2 Race2 2: 0 a A TA va, 1 b B TB vb;
    Join3 TryJoin3 Race3 3: 0 a A TA va, 1 b B TB vb, 2 c C TC vc;
    Join4 TryJoin4 Race4 4: 0 a A TA va, 1 b B TB vb, 2 c C TC vc, 3 d D TD vd;
    Join5 TryJoin5 Race5 5: 0 a A TA va, 1 b B TB vb, 2 c C TC vc, 3 d D TD vd, 4 e E TE ve;
    Join6 TryJoin6 Race6 6: 0 a A TA va, 1 b B TB vb, 2 c C TC vc, 3 d D TD vd, 4 e E TE ve, 5 f F TF vf;
    Join7 TryJoin7 Race7 7: 0 a A TA va, 1 b B TB vb, 2 c C TC vc, 3 d D TD vd, 4 e E TE ve, 5 f F TF vf, 6 g G TG vg;
    Join8 TryJoin8 Race8 8:
        0 a A TA va, 1 b B TB vb, 2 c C TC vc, 3 d D TD vd, 4 e E TE ve, 5 f F TF vf, 6 g G TG vg, 7 h H TH vh;
}
