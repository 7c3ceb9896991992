//! What happened in a run: always a running hash, on request every event.

use std::fmt::{self, Write};

use foster::Instant;

use crate::executor::Sim;
use crate::policy::mix;

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
    events: Vec<(Instant, Event)>,
    labels: Vec<String>,
    notes: Vec<String>,
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
    /// The program left a [`note`].
    Note(u64),
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

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        for (at, event) in self.events() {
            line.clear();
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
            }?;
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Leaves a line in the trace of the simulation that runs on this thread. Does nothing where none runs, or none records.
///
/// Notes are no part of the trace hash.
pub fn note(text: impl fmt::Display) {
    let Some(sim) = Sim::try_current().filter(Sim::is_recording) else { return };
    let text = text.to_string();
    let mut state = sim.lock();
    let at = state.now;
    state.recorder.note(at, text);
}

/// Hashes the events of a run, and keeps them if asked to.
pub(crate) struct Recorder {
    hash: u64,
    trace: Option<Trace>,
}

impl Recorder {
    pub(crate) fn new(keep: bool) -> Self {
        Recorder { hash: 0, trace: keep.then(Trace::default) }
    }

    /// `label` is the name and spawn site, given only if the recorder keeps the events.
    pub(crate) fn spawn(&mut self, at: Instant, task: u64, label: Option<String>) {
        if let Some(trace) = &mut self.trace {
            trace.labels.push(label.unwrap_or_default());
        }
        self.add(at, Event::Spawn(task));
    }

    pub(crate) fn add(&mut self, at: Instant, event: Event) {
        let (kind, number) = match event {
            Event::Spawn(task) => (1, task),
            Event::Poll(task) => (2, task),
            Event::Spurious(task) => (3, task),
            Event::End(task) => (4, task),
            Event::Jump => (5, at.as_nanos()),
            Event::Fire(timer) => (6, timer),
            Event::Note(index) => (7, index),
        };
        self.hash = mix(self.hash ^ number.wrapping_mul(8).wrapping_add(kind));
        if let Some(trace) = &mut self.trace {
            trace.events.push((at, event));
        }
    }

    fn note(&mut self, at: Instant, text: String) {
        // Not through `add`: whether a run is recorded must not change its hash.
        let Some(trace) = &mut self.trace else { return };
        trace.events.push((at, Event::Note(trace.notes.len() as u64)));
        trace.notes.push(text);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn take_trace(&mut self) -> Trace {
        self.trace.take().unwrap_or_default()
    }
}
