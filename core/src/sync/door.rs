//! The door: who comes to a [`Mutex`](super::Mutex), an [`RwLock`](super::RwLock) or a [`Semaphore`](super::Semaphore), stands in
//! line, and is let in.
//!
//! ```text
//!   Start ──1──▶ Line ──2──▶ Over
//!     └──────────3────────────▲
//! ```
//!
//! 1. no room, or somebody stands in line
//! 2. `Door::serve` let it in, in its turn: it belongs to the task in that instant
//! 3. had at once
//!
//! What a future has that was let in (2) and is dropped, it has to give back.
//!
//! Invariant 1: the room is marked whenever somebody stands in the line, and it is marked and unmarked under the line's lock. So who
//! comes then joins the line, and who goes out then serves it: nobody comes between.
//! Invariant 2: somebody waits only while he has to: the first in line does not fit in, the others stand behind him. One whose code is
//! cancelled stands in nobody's way once anybody looks: who goes out, comes or gives up.
//! Invariant 3: of a release and of one who joins at the same time one finds the other, for both change the one word of the room:
//! who goes out finds the mark, or who has set it finds the room that there is.

use std::fmt;
use std::mem;
use std::task::{Context, Poll, ready};

use super::line::{Called, Left, Ticket};
use super::wait_queue::{Line, WaitQueue};
use crate::leaf::{Gate, Waiter};
use crate::raw::lock::{Mode, Word};

/// What there is behind the door: a word that says how much more fits in, and whether somebody stands in line.
pub(super) trait Room {
    /// Lets in somebody who wants so much, if that fits in and there is no mark.
    fn enter(&self, need: usize) -> bool;

    /// Lets in the first in line, if that fits in.
    fn admit(&self, need: usize) -> bool;

    /// Whether somebody who wants so much fits in, if nobody stands in line.
    fn fits(&self, need: usize) -> bool;

    /// Sets the mark: from now on nobody enters, and who goes out serves the line.
    fn mark(&self);

    /// Takes it away.
    fn unmark(&self);
}

/// A room and the line before it. In the line, one's tag is what one needs.
pub(super) struct Door<'a, R> {
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
        if self.serve_those_who_fit(&mut line) {
            self.room.unmark();
        }
        line.finish().finish();
    }

    /// Says whether nobody is left.
    fn serve_those_who_fit(&self, line: &mut Line<'_>) -> bool {
        while let Some(need) = line.first() {
            if !self.room.admit(need) {
                return false;
            }
            line.serve();
        }
        true
    }

    /// For one who was not let in, and does not wait: whether it should try again, because those in line were in its way only
    /// until somebody saw that their code is cancelled.
    pub(super) fn clears(self, need: usize) -> bool {
        if !self.room.fits(need) || self.queue.is_empty() {
            return false;
        }
        let mut line = self.queue.lock();
        let clear = self.serve_those_who_fit(&mut line);
        if clear {
            self.room.unmark();
        }
        line.finish().finish();
        clear
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

    fn fits(&self, need: usize) -> bool {
        let (readers, writer) = self.readers_and_writer();
        !writer && (need == READ || readers == 0)
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
    gate: Gate,
    step: Step,
}

/// See the picture at the head of this module.
enum Step {
    Start,
    Line(Ticket),
    Over,
}

impl Claim {
    #[inline]
    pub(super) const fn new(what: &'static str, need: usize) -> Self {
        Claim { need, gate: Gate::new(what), step: Step::Start }
    }

    #[inline]
    pub(super) fn need(&self) -> usize {
        self.need
    }

    /// The first half of a poll. Ready with whether it may be had at once: then that is tried, and if it fails, the second half follows.
    #[inline]
    pub(super) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.gate.poll_start(cx).map(|()| matches!(self.step, Step::Start))
    }

    /// It was had at once.
    #[inline]
    pub(super) fn is_over(&mut self) {
        // It was at the start: nothing is there to be dropped, and no code for that where this is inlined.
        mem::forget(mem::replace(&mut self.step, Step::Over));
    }

    /// The second half. Ready once it is in: then that has to be taken.
    #[inline(never)]
    pub(super) fn poll_wait<R: Room>(&mut self, door: Door<'_, R>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.step {
            Step::Start => {}
            Step::Line(ticket) => {
                if let Called::Served = ready!(ticket.poll(door.queue.shared(), cx)) {
                    self.step = Step::Over;
                    return Poll::Ready(());
                }
                // It was passed over: the ticket is used up.
                self.step = Step::Start;
            }
            Step::Over => panic!("the wait for a {} was polled after it was ready", self.gate.what()),
        }
        // L36: made before the lock is taken, and dropped after it is released.
        let waiter = Waiter::new(cx);
        let mut line = door.queue.lock();
        door.room.mark();
        let nobody = door.serve_those_who_fit(&mut line);
        if nobody && door.room.admit(self.need) {
            door.room.unmark();
            line.finish().finish();
            self.step = Step::Over;
            return Poll::Ready(());
        }
        self.step = Step::Line(line.join(self.need, waiter));
        line.finish().finish();
        Poll::Pending
    }

    /// The future is dropped: leaves the line. `true` if it is in: then that has to be given back.
    #[inline]
    pub(super) fn gives_up<R: Room>(&mut self, door: Door<'_, R>) -> bool {
        matches!(self.step, Step::Line(_)) && self.leaves(door)
    }

    #[inline(never)]
    fn leaves<R: Room>(&mut self, door: Door<'_, R>) -> bool {
        let Step::Line(ticket) = mem::replace(&mut self.step, Step::Over) else { return false };
        let mut line = door.queue.lock();
        let (left, waiter) = line.remove(&ticket);
        if left != Left::Waiting {
            return true;
        }
        // Invariant 2: others may have stood behind this one only for its sake.
        door.serve_line(line);
        drop(waiter);
        false
    }

    pub(super) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{name}::{}", self.step())
    }

    /// For `Debug`.
    pub(super) fn step(&self) -> &'static str {
        match &self.step {
            Step::Start => "Start",
            Step::Line(_) => "Waiting",
            Step::Over => "Over",
        }
    }
}
