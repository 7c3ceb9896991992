//! The door: who comes to a [`Mutex`](super::Mutex), an [`RwLock`](super::RwLock) or a [`Semaphore`](super::Semaphore), stands in
//! line, and is let in.
//!
//! ```text
//!   Start ──1──▶ Line ──3──▶ Over
//!     └─────2──▶ In ────4─────▲
//! ```
//!
//! 1. no room, or somebody stands in line
//! 2. had at once: it belongs to a task that still has to give way
//! 3. `Door::serve` let it in, in its turn: it belongs to the task in that instant
//! 4. the task has given way
//!
//! What a future has that is let in (2, 3) and dropped, it has to give back.
//!
//! Invariant 1: the room is marked whenever somebody stands in the line, and it is marked and unmarked under the line's lock. So who
//! comes then joins the line, and who goes out then serves it: nobody comes between.
//! Invariant 2: somebody waits only while he has to: the first in line does not fit in, the others stand behind him.
//! Invariant 3: of a release and of one who joins at the same time one finds the other, for both change the one word of the room:
//! who goes out finds the mark, or who has set it finds the room that there is.

use std::fmt;
use std::mem;
use std::task::{Context, Poll};

use super::line::{Left, Ticket};
use super::wait_queue::{Line, WaitQueue};
use crate::checkpoint::Gate;
use crate::raw::lock::{Mode, Word};

/// What there is behind the door: a word that says how much more fits in, and whether somebody stands in line.
pub(super) trait Room {
    /// Lets in somebody who wants so much, if that fits in and there is no mark.
    fn enter(&self, need: usize) -> bool;

    /// Lets in the first in line, if that fits in.
    fn admit(&self, need: usize) -> bool;

    /// Sets the mark: from now on nobody enters, and who goes out serves the line.
    fn mark(&self);

    /// Takes it away.
    fn unmark(&self);
}

/// A room and the line before it. In the line, one's tag is what one needs.
pub(super) struct Door<'a, R> {
    /// What one waits for here, for dumps.
    pub(super) what: &'static str,
    pub(super) room: &'a R,
    pub(super) queue: &'a WaitQueue,
}

impl<R: Room> Door<'_, R> {
    /// Lets in whoever fits now, in order.
    pub(super) fn serve(self) {
        let line = self.queue.lock();
        self.serve_line(line);
    }

    pub(super) fn serve_line(self, mut line: Line<'_>) {
        loop {
            let Some(need) = line.first() else {
                self.room.unmark();
                break;
            };
            if !self.room.admit(need) {
                break;
            }
            line.serve();
        }
        line.finish().finish();
    }

    /// Moves the `n` longest of those whose tag is `only` from another queue to the end of this line, where they need `need`.
    pub(super) fn adopt(self, from: &WaitQueue, n: usize, only: usize, need: usize) -> usize {
        // Invariant 1.
        let count = from.repark_as(n, self.queue, Some((only, need)), || self.room.mark());
        // Also if nobody has moved: the mark has to go.
        self.serve();
        count
    }
}

/// What a reader needs.
pub(super) const READ: usize = 2;
/// What a writer needs, or who comes for a mutex. So does everybody else who is no reader: a [`Condition`](super::Condition) tells its
/// own apart.
pub(super) const WRITE: usize = 0;

const fn mode(need: usize) -> Mode {
    if need == READ { Mode::Read } else { Mode::Write }
}

/// Of a lock. Who is in takes a `Hold`.
impl Room for Word {
    fn enter(&self, need: usize) -> bool {
        self.reserve(mode(need))
    }

    fn admit(&self, need: usize) -> bool {
        self.admit(mode(need))
    }

    fn mark(&self) {
        self.mark();
    }

    fn unmark(&self) {
        self.unmark();
    }
}

/// What the acquiring futures have in common.
pub(super) struct Claim {
    need: usize,
    fast: bool,
    step: Step,
}

/// See the picture at the head of this module.
enum Step {
    Start,
    Begun(Gate, At),
    Over,
}

/// How far one that was polled has come.
enum At {
    Gate,
    Line(Ticket),
    In,
}

impl Claim {
    #[inline]
    pub(super) const fn new(need: usize, fast: bool) -> Self {
        Claim { need, fast, step: Step::Start }
    }

    #[inline]
    pub(super) fn need(&self) -> usize {
        self.need
    }

    /// Whether it may be had without giving way, and without a look around. Then it is tried, and if that fails, polled: `open`.
    #[inline]
    pub(super) fn is_fast(&self) -> bool {
        self.fast && matches!(self.step, Step::Start) && Gate::would_open()
    }

    /// It was had without giving way.
    #[inline]
    pub(super) fn is_over(&mut self) {
        // It was at the start: nothing is there to be dropped, and no code for that where this is inlined.
        mem::forget(mem::replace(&mut self.step, Step::Over));
    }

    /// Ready once it is in: then that has to be taken. `open`: [`is_fast`](Claim::is_fast) was asked in this poll, and said yes.
    pub(super) fn poll<R: Room>(&mut self, open: bool, door: Door<'_, R>, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.step, Step::Start) {
            let gate = if open { Gate::opened(door.what) } else { Gate::to(door.what) };
            self.step = Step::Begun(gate, At::Gate);
        }
        let Step::Begun(gate, at) = &mut self.step else {
            panic!("the wait for a {} was polled after it was ready", door.what)
        };
        if !open && gate.poll_start().is_pending() {
            return Poll::Pending;
        }
        match at {
            At::Gate => {
                // `open`: it was tried just now.
                if open || !door.room.enter(self.need) {
                    // L36: cloned before the lock is taken.
                    let waker = cx.waker().clone();
                    let mut list = door.queue.shared().lock();
                    door.room.mark();
                    if list.waiting() > 0 || !door.room.admit(self.need) {
                        *at = At::Line(Ticket::new(list.join(self.need, Some(waker))));
                        return Poll::Pending;
                    }
                    door.room.unmark();
                }
                if !self.fast {
                    *at = At::In;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            At::Line(ticket) => {
                if ticket.poll(door.queue.shared(), true, cx).is_pending() {
                    return Poll::Pending;
                }
            }
            At::In => {}
        }
        self.step = Step::Over;
        Poll::Ready(())
    }

    /// The future is dropped: leaves the line. `true` if it is in: then that has to be given back.
    #[inline]
    pub(super) fn gives_up<R: Room>(&mut self, door: Door<'_, R>) -> bool {
        matches!(self.step, Step::Begun(..)) && self.leaves(door)
    }

    #[inline(never)]
    fn leaves<R: Room>(&mut self, door: Door<'_, R>) -> bool {
        match mem::replace(&mut self.step, Step::Over) {
            Step::Start | Step::Over | Step::Begun(_, At::Gate) => false,
            Step::Begun(_, At::In) => true,
            Step::Begun(_, At::Line(ticket)) => {
                let mut line = door.queue.lock();
                let (left, waker) = line.remove(&ticket);
                if left != Left::Waiting {
                    return true;
                }
                // Invariant 2: others may have stood behind this one only for its sake.
                door.serve_line(line);
                drop(waker);
                false
            }
        }
    }

    pub(super) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{name}::{}", self.step())
    }

    /// For `Debug`.
    pub(super) fn step(&self) -> &'static str {
        match &self.step {
            Step::Start | Step::Begun(_, At::Gate) => "Start",
            Step::Begun(_, At::Line(_)) => "Waiting",
            Step::Begun(_, At::In) => "Held",
            Step::Over => "Over",
        }
    }
}
