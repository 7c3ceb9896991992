//! The events of a run, for people to read.

use std::fmt::{self, Write};

use foster::Instant;

use crate::runtime::Sim;

/// The recorded events of a run, in order; `Display` prints one line each.
///
/// Recorded if [`Builder::record_trace`](crate::Builder::record_trace) asked for it, else empty.
///
/// # Examples
///
/// ```
/// use foster_sim::Builder;
/// use std::time::Duration;
///
/// let run = Builder::new(0).record_trace().observe(async {
///     foster_sim::note("going to sleep");
///     foster::sleep(Duration::from_secs(60)).await;
/// });
/// let text = run.trace.to_string();
/// let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
/// assert_eq!(lines, [
///     "0ns  spawn  the main future",
///     "0ns  poll   the main future",
///     "0ns  note   going to sleep",
///     "60s  jump",
///     "60s  fire   timer 0",
///     "60s  poll   the main future",
///     "60s  end    the main future",
/// ]);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trace {
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) labels: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// The packets, and a hash of the bytes of each.
    pub(crate) packets: Vec<(String, u64)>,
}

/// One event of a [`Trace`]. Tasks, armed timers and notes are numbered as they appear; task 0 is the main
/// future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A task, or a blocking job, was handed to the simulator.
    Spawn(u64),
    /// A task was polled, or a blocking job run.
    Poll(u64),
    /// A task that nobody had woken was polled.
    Spurious(u64),
    /// A task, or a blocking job, ended.
    End(u64),
    /// The clock moved, to the time of this event.
    Jump,
    /// The time of a timer had come.
    Fire(u64),
    /// The program left a [`note`](note()).
    Note(u64),
    /// A packet was sent. Packets are numbered as they are sent.
    Send(u64),
    /// A packet has arrived.
    Arrive(u64),
    /// A packet was lost, and why.
    Lose(u64, Loss),
    /// A packet waits on a link that is held, or for a host that is paused.
    Hold(u64),
}

/// Why a packet of the simulated network did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The link loses packets, and the seed says that it lost this one.
    Link,
    /// The link was cut, when it was sent or later.
    Partition,
    /// The host that it was sent to is down.
    HostIsDown,
    /// No host has the address.
    NoSuchHost,
    /// The queue of the receiver was full.
    QueueIsFull,
    /// Nobody listens at the port.
    NobodyListens,
    /// A rule of the program has dropped it, see `net::rule`.
    Rule,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::Link => "lost on the link",
            Loss::Partition => "the link is cut",
            Loss::HostIsDown => "the host is down",
            Loss::NoSuchHost => "no host has the address",
            Loss::QueueIsFull => "the queue is full",
            Loss::NobodyListens => "nobody listens at the port",
            Loss::Rule => "dropped by a rule",
        })
    }
}

impl Trace {
    /// The events, each with its virtual time.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (Instant, Event)> {
        self.events.iter().copied()
    }

    /// The name and spawn site of a task.
    #[must_use]
    pub fn label(&self, task: u64) -> Option<&str> {
        self.labels.get(usize::try_from(task).ok()?).map(String::as_str)
    }

    /// The text of a note.
    #[must_use]
    pub fn note(&self, index: u64) -> Option<&str> {
        self.notes.get(usize::try_from(index).ok()?).map(String::as_str)
    }
}

impl Trace {
    /// The hosts, addresses and contents of a packet.
    #[must_use]
    pub fn packet(&self, number: u64) -> Option<&str> {
        self.packets.get(usize::try_from(number).ok()?).map(|(text, _)| text.as_str())
    }
}

impl Trace {
    fn write_line(&self, line: &mut impl Write, at: Instant, event: Event) -> fmt::Result {
        write!(line, "{:>13?}  ", at - Instant::from_nanos(0))?;
        // A spawn shows where; afterwards the name is enough.
        let full = |task| self.label(task).unwrap_or("?");
        let name = |task| full(task).rfind('`').map_or(full(task), |end| &full(task)[..=end]);
        match event {
            Event::Spawn(task) => write!(line, "spawn  {}", full(task)),
            Event::Poll(task) => write!(line, "poll   {}", name(task)),
            Event::Spurious(task) => write!(line, "spur   {}", name(task)),
            Event::End(task) => write!(line, "end    {}", name(task)),
            Event::Jump => write!(line, "jump"),
            Event::Fire(timer) => write!(line, "fire   timer {timer}"),
            Event::Note(index) => write!(line, "note   {}", self.note(index).unwrap_or("?")),
            Event::Send(packet) => write!(line, "send   {}", self.packet(packet).unwrap_or("?")),
            Event::Arrive(packet) => write!(line, "arrive {}", self.packet(packet).unwrap_or("?")),
            Event::Lose(packet, why) => write!(line, "lose   {} ({why})", self.packet(packet).unwrap_or("?")),
            Event::Hold(packet) => write!(line, "hold   {}", self.packet(packet).unwrap_or("?")),
        }
    }

    /// An event as `Display` prints it, with a hash of the bytes of a packet that is sent.
    pub(crate) fn line(&self, index: usize) -> Option<(String, u64)> {
        let (at, event) = *self.events.get(index)?;
        let mut line = String::new();
        // A string takes all that is written into it.
        let _written = self.write_line(&mut line, at, event);
        let packet = |number: u64| self.packets.get(usize::try_from(number).ok()?);
        let contents = if let Event::Send(number) = event { packet(number).map(|(_, hash)| *hash) } else { None };
        Some((line, contents.unwrap_or(0)))
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, event) in self.events() {
            self.write_line(f, at, event)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Leaves a line in the trace of the simulation that runs on this thread. Does nothing where none runs, or none
/// records.
///
/// Notes are no part of the trace hash.
pub fn note(text: impl fmt::Display) {
    let Some(sim) = Sim::try_current().filter(|sim| sim.config().record) else { return };
    let text = text.to_string();
    let mut state = sim.lock();
    let at = state.now;
    state.recorder.note(at, text);
}
