//! A line of the table: one piece of work, foster and its peers doing it, and how good foster has to be.

use crate::host::Host;
use crate::meter::{self, Heap};

/// The bar that a row has to reach to count as done.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// At most so many times the cost of the first peer: in time, if that is measured; and [`INSTR_SLACK`] times as many
    /// times in instructions, if those are counted.
    Ratio(f64),
    /// Allocations each.
    Allocs(f64),
    /// Bytes in use, each; or of the future, where the row is about that.
    Bytes(f64),
}

/// By how much the ratio of instructions may be greater than that of the times: an atomic step is one instruction, and
/// costs as much as twenty.
pub const INSTR_SLACK: f64 = 1.25;

/// One who does the work.
pub struct Contender {
    pub name: &'static str,
    pub run: Box<dyn Fn(u64)>,
}

/// A piece of work.
pub struct Row {
    pub key: String,
    pub what: &'static str,
    /// How many children, calls, messages.
    pub n: u64,
    /// How many of them make one operation.
    pub per: u64,
    /// Instructions are counted: not on several threads, where they say little, nor where it would take too long.
    pub counted: bool,
    /// The time is that of the processor, of all threads, not of the clock on the wall: what else the machine does is
    /// not in it.
    pub by_cpu: bool,
    /// Among those whose instructions CI compares.
    pub gated: bool,
    pub bars: Vec<Bar>,
    pub foster: Option<Contender>,
    pub peers: Vec<Contender>,
    /// The same work without the part that is measured; its cost is taken off every figure.
    pub bare: Option<Contender>,
}

/// All pieces of work.
#[derive(Default)]
pub struct Rows(pub Vec<Row>);

impl Rows {
    /// A row on this host.
    pub fn on(&mut self, host: Host, key: &str, what: &'static str, n: u64) -> &mut Row {
        self.0.push(Row {
            key: format!("{key}/{}", host.name()),
            what,
            n,
            per: 1,
            counted: !host.is_parallel(),
            by_cpu: !host.is_parallel(),
            gated: false,
            bars: Vec::new(),
            foster: None,
            peers: Vec::new(),
            bare: None,
        });
        self.0.last_mut().unwrap()
    }
}

impl Row {
    pub fn per(&mut self, per: u64) -> &mut Self {
        self.per = per;
        self
    }

    pub fn uncounted(&mut self) -> &mut Self {
        self.counted = false;
        self
    }

    pub fn by_cpu(&mut self) -> &mut Self {
        self.by_cpu = true;
        self
    }

    pub fn gated(&mut self) -> &mut Self {
        self.gated = true;
        self
    }

    pub fn bars(&mut self, bars: &[Bar]) -> &mut Self {
        self.bars.extend(bars);
        self
    }

    pub fn foster(&mut self, run: impl Fn(u64) + 'static) -> &mut Self {
        self.foster = Some(Contender { name: "foster", run: Box::new(run) });
        self
    }

    /// The first one is what foster is compared with.
    pub fn peer(&mut self, name: &'static str, run: impl Fn(u64) + 'static) -> &mut Self {
        self.peers.push(Contender { name, run: Box::new(run) });
        self
    }

    pub fn bare(&mut self, run: impl Fn(u64) + 'static) -> &mut Self {
        self.bare = Some(Contender { name: "bare", run: Box::new(run) });
        self
    }

    pub fn contenders(&self) -> impl Iterator<Item = &Contender> {
        self.foster.iter().chain(&self.peers).chain(&self.bare)
    }

    /// The full name of what a contender does here.
    pub fn case(&self, contender: &Contender) -> String {
        format!("{}/{}", self.key, contender.name)
    }

    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.contenders().map(|contender| self.case(contender))
    }

    /// How many operations the work has.
    pub fn operations(&self) -> f64 {
        self.n as f64 / self.per as f64
    }
}

/// Runs one case in this process, and prints what was read.
pub(crate) fn run(rows: &[Row], name: &str, heap: fn() -> Heap) -> Result<(), String> {
    for row in rows {
        if let Some(contender) = row.contenders().find(|contender| row.case(contender) == name) {
            println!("{}", meter::read(heap, || (contender.run)(row.n)));
            return Ok(());
        }
    }
    Err(format!("there is no case {name}; `list` has them all"))
}
