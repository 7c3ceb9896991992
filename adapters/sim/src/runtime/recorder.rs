//! The record of a run: always a running hash, on request every event.

use foster::Instant;

use super::choices::mix;
use crate::trace::{Event, Trace};

/// Hashes the events of a run, and keeps them if asked to.
pub(crate) struct Recorder {
    hash: u64,
    #[cfg(feature = "net")]
    packets: u64,
    trace: Option<Trace>,
}

impl Recorder {
    pub(crate) fn new(keep: bool) -> Self {
        Recorder {
            hash: 0,
            #[cfg(feature = "net")]
            packets: 0,
            trace: keep.then(Trace::default),
        }
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
            Event::Send(packet) => (8, packet),
            Event::Arrive(packet) => (9, packet),
            Event::Lose(packet, why) => (10 + why as u64, packet),
            Event::Hold(packet) => (31, packet),
        };
        self.hash = mix(self.hash ^ number.wrapping_mul(32).wrapping_add(kind));
        if let Some(trace) = &mut self.trace {
            trace.events.push((at, event));
        }
    }

    /// Notes a packet that is sent; `text`, and a hash of its bytes, are asked for only if the recorder keeps the events.
    #[cfg(feature = "net")]
    pub(crate) fn send(&mut self, at: Instant, digest: u64, text: impl FnOnce() -> (String, u64)) -> u64 {
        let packet = self.packets;
        self.packets += 1;
        self.hash = mix(self.hash ^ digest);
        if let Some(trace) = &mut self.trace {
            trace.packets.push(text());
        }
        self.add(at, Event::Send(packet));
        packet
    }

    pub(crate) fn note(&mut self, at: Instant, text: String) {
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
