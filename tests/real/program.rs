//! Programs as data: a tree of operations that can be generated, run, made smaller and printed.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::handover::{How, Moment, What};

/// Operations that run one after the other.
pub(crate) type Ops = Arc<Vec<Op>>;

/// How many there are of each resource that all tasks of a program share.
pub(crate) const CHANNELS: u8 = 4;
pub(crate) const LOCKS: u8 = 2;
pub(crate) const SLOTS: u8 = 4;

/// One operation, with the sequences of operations inside it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Op {
    pub(crate) kind: Kind,
    pub(crate) parts: Vec<Ops>,
}

/// A stream or scope that has its place in the tree before anybody polls it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    RunHere,
    AsCompleted,
    Produce,
}

/// The kind of an operation. Times are in microseconds; the first number of others says which of the shared resources.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Sleep(u32),
    Yield,
    Checkpoint,
    Compute(u32),
    Thread(u32),
    Send(u8),
    TrySend(u8),
    Recv(u8),
    /// The item comes through a combinator, which may not lose it.
    RecvThrough(u8, How),
    TryRecv(u8),
    Close(u8),
    CondWait(u8),
    Notify(u8),
    EventWait(u8),
    EventSet(u8),
    WatchSend,
    WatchRecv,
    BroadcastSend,
    BroadcastRecv,
    Oneshot(u32),
    Cancel(u8),
    CancelFromThread(u8),
    Fail,
    Panic,
    /// A producer and a consumer over a channel of their own. 255 items are endless.
    Pipe {
        capacity: Option<u8>,
        items: u8,
        pace: u32,
    },
    /// Two wait for one thing, of which the first is cancelled.
    Handover {
        what: What,
        how: [How; 2],
        moment: Moment,
    },
    /// Items for consumers whose waits are cut.
    Deliver {
        capacity: Option<u8>,
        how: How,
        items: u8,
        limit: u32,
    },
    Acquire(u8),
    Lock(u8),
    Read(u8),
    Write(u8),
    Repeat(u8),
    /// For ever, with a checkpoint in each round.
    Loop,
    /// The first part is the body, the others are children, of which the last are daemons.
    Nursery {
        collecting: bool,
        daemons: u8,
    },
    Local {
        daemons: u8,
    },
    MoveOnAfter(u32),
    FailAfter(u32),
    /// With a handle in a slot; cancelled before it is entered, if `early`.
    Scope {
        slot: u8,
        early: bool,
    },
    /// A full shield with a deadline of its own, as nothing else would end it.
    Shield(u32),
    Graceful {
        deadline: u32,
        grace: u32,
    },
    /// The parts are acquisition, use and release.
    Bracket(u32),
    Defer(u32),
    /// Foreign: the branch that ends first drops the other.
    Select,
    /// Foreign: each member has a waker of its own, and only those that were woken are polled.
    Group,
    /// The first part is polled once and held while the second runs; then it is finished or dropped.
    Held {
        finish: bool,
    },
    /// As `Held`, but never polled before.
    Unpolled {
        place: Place,
        finish: bool,
    },
    Join,
    Race,
    Gather,
    AsCompleted,
}

/// A whole program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Program {
    /// The seed that it was generated from.
    pub(crate) seed: u64,
    pub(crate) ops: Ops,
    /// Of the scope around it all.
    pub(crate) deadline: Duration,
    /// Whether it ends by itself within [`Program::bound`], long before the deadline.
    pub(crate) finite: bool,
    /// Whether it comes to wait, for what is an hour away: the deadline, too. It ends when it is told to.
    pub(crate) waits: bool,
}

impl Program {
    /// When it has to have ended, apart from what the host is late.
    pub(crate) fn bound(&self) -> Duration {
        if self.waits {
            return WAITING + 4 * self.computing();
        }
        let all = Duration::from_micros(time(&self.ops));
        if self.finite { all } else { self.deadline + all.min(Duration::from_secs(1)) }
    }

    /// No less than it computes without waiting, a loop without end counted once.
    pub(crate) fn computing(&self) -> Duration {
        Duration::from_micros(computing(&self.ops))
    }
}

/// No less than a program waits until it is told to end.
const WAITING: Duration = Duration::from_secs(15);

/// Whether code of these operations ends as soon as it is cancelled, apart from what it computes: it shields nothing,
/// cleans nothing up, waits for no thread and holds nothing that is not polled.
pub(crate) fn are_interruptible(parts: &[Ops]) -> bool {
    parts.iter().flat_map(|ops| ops.iter()).all(|op| {
        let has_shield = |how: &[How]| how.contains(&How::Shield);
        let is_not = match op.kind {
            Kind::Thread(_) | Kind::Shield(_) | Kind::Graceful { .. } | Kind::Bracket(_) | Kind::Defer(_) => true,
            Kind::Held { .. } | Kind::Unpolled { .. } => true,
            Kind::RecvThrough(_, how) | Kind::Deliver { how, .. } => has_shield(&[how]),
            Kind::Handover { how, .. } => has_shield(&how),
            _ => false,
        };
        !is_not && are_interruptible(&op.parts)
    })
}

/// No less than the operations take, if all timers fire on time.
fn time(ops: &Ops) -> u64 {
    ops.iter().map(|op| op.time()).sum()
}

fn computing(ops: &Ops) -> u64 {
    let of = |op: &Op| {
        let inside: u64 = op.parts.iter().map(computing).sum();
        match op.kind {
            Kind::Compute(us) => us.into(),
            Kind::Repeat(times) => inside * u64::from(times),
            _ => inside,
        }
    };
    ops.iter().map(of).sum()
}

impl Op {
    pub(crate) fn leaf(kind: Kind) -> Self {
        Op { kind, parts: Vec::new() }
    }

    fn time(&self) -> u64 {
        let inside: u64 = self.parts.iter().map(time).sum();
        match self.kind {
            Kind::Sleep(us) | Kind::Compute(us) | Kind::Thread(us) | Kind::Oneshot(us) => u64::from(us) + 1000,
            // They cut what is inside; its finalizers are counted inside.
            Kind::MoveOnAfter(us) | Kind::FailAfter(us) | Kind::Shield(us) => u64::from(us) + 1000 + inside,
            Kind::Graceful { deadline, grace } => u64::from(deadline) + u64::from(grace) + 1000 + inside,
            Kind::Bracket(budget) | Kind::Defer(budget) => u64::from(budget) + 1000 + inside,
            Kind::Pipe { items, pace, .. } => (u64::from(pace) + 1000) * u64::from(items),
            Kind::Handover { moment, .. } => u64::from(moment.after + moment.gap) + 5000,
            Kind::Deliver { items, limit, .. } => (u64::from(limit) + 1000) * u64::from(items),
            Kind::Repeat(times) => inside * u64::from(times) + 1000,
            _ => inside + 100,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        print(&mut text, &self.ops, 1)?;
        writeln!(
            f,
            "// seed {}{}",
            self.seed,
            match self {
                Program { finite: true, .. } => "; ends by itself",
                Program { waits: true, .. } => "; waits until it is cancelled",
                _ => "",
            }
        )?;
        write!(f, "move_on_after({}, async {{\n{text}}})", us(self.deadline.as_micros() as u32))
    }
}

fn us(us: u32) -> String {
    format!("us({us})")
}

fn print(text: &mut String, ops: &Ops, depth: usize) -> fmt::Result {
    let pad = "    ".repeat(depth);
    for op in ops.iter() {
        match op.kind {
            Kind::Nursery { daemons, .. } | Kind::Local { daemons } => {
                let what = match op.kind {
                    Kind::Local { .. } => "local_nursery",
                    Kind::Nursery { collecting: true, .. } => "collecting_nursery",
                    _ => "nursery",
                };
                writeln!(text, "{pad}{what}(async |n| {{")?;
                let first_daemon = op.parts.len().saturating_sub(daemons as usize).max(1);
                for (at, child) in op.parts.iter().enumerate().skip(1) {
                    let spawn = if at >= first_daemon { "spawn_daemon" } else { "spawn" };
                    writeln!(text, "{pad}    n.{spawn}(async {{")?;
                    print(text, child, depth + 2)?;
                    writeln!(text, "{pad}    }});")?;
                }
                if let Some(body) = op.parts.first() {
                    print(text, body, depth + 1)?;
                }
                writeln!(text, "{pad}}}).await?;")?;
            }
            kind if op.parts.is_empty() => writeln!(text, "{pad}{};", head(kind))?,
            kind => {
                writeln!(text, "{pad}{} {{", head(kind))?;
                for (at, part) in op.parts.iter().enumerate() {
                    if at > 0 {
                        writeln!(text, "{pad}}}, {{")?;
                    }
                    print(text, part, depth + 1)?;
                }
                writeln!(text, "{pad}}}")?;
            }
        }
    }
    Ok(())
}

fn head(kind: Kind) -> String {
    match kind {
        Kind::Sleep(time) => format!("sleep({}).await", us(time)),
        Kind::Yield => "yield_now().await".to_owned(),
        Kind::Checkpoint => "checkpoint().await".to_owned(),
        Kind::Compute(time) => format!("compute({})", us(time)),
        Kind::Thread(time) => format!("to_thread(|| thread::sleep({})).await", us(time)),
        Kind::Send(of) => format!("channel{of}.send(item()).await"),
        Kind::TrySend(of) => format!("channel{of}.try_send(item())"),
        Kind::Recv(of) => format!("channel{of}.recv().await"),
        Kind::RecvThrough(of, how) => format!("{how:?}(channel{of}.recv()).await").to_lowercase(),
        Kind::TryRecv(of) => format!("channel{of}.try_recv()"),
        Kind::Close(of) => format!("channel{of}.close()"),
        Kind::CondWait(of) => format!("condition{of}.wait(mutex{of}.lock().await).await"),
        Kind::Notify(of) => format!("condition{of}.notify(&mutex{of}.lock().await, 1)"),
        Kind::EventWait(of) => format!("event{of}.wait().await"),
        Kind::EventSet(of) => format!("event{of}.set()"),
        Kind::Cancel(slot) => format!("scope{slot}.cancel(\"by a task\")"),
        Kind::CancelFromThread(slot) => format!("in_a_thread(|| scope{slot}.cancel(\"by a thread\"))"),
        Kind::Fail => "return Err(Oops)".to_owned(),
        Kind::Panic => "panic!()".to_owned(),
        Kind::Acquire(of) => format!("let _permit = semaphore{of}.acquire().await;"),
        Kind::Lock(of) => format!("let _guard = mutex{of}.lock().await;"),
        Kind::Read(of) => format!("let _guard = rwlock{of}.read().await;"),
        Kind::Write(of) => format!("let _guard = rwlock{of}.write().await;"),
        Kind::Repeat(times) => format!("for _ in 0..{times}"),
        Kind::Loop => "loop // checkpoint().await, and".to_owned(),
        Kind::MoveOnAfter(time) => format!("move_on_after({}, async", us(time)),
        Kind::FailAfter(time) => format!("fail_after({}, async", us(time)),
        Kind::Scope { slot, early: false } => format!("scope{slot}.run(async"),
        Kind::Scope { slot, early: true } => {
            format!("scope{slot}.cancel(\"before it is entered\"); scope{slot}.run(async")
        }
        kind => format!("{kind:?}").to_lowercase(),
    }
}
