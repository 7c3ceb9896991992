//! Measurements between two marks: instructions by callgrind, time by the clock, allocations by the allocator.
//!
//! A case runs its work twice, once to warm up and once measured. The marks are functions of their own, so that
//! callgrind can be told to start from nothing at the one and to write down its counts at the other: it counts all
//! threads of the process between them, and nothing of the start and the end of the runtime.

use cpu_time::ProcessTime;
use std::fmt;
use std::hint::black_box;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The work of the allocator so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap {
    pub allocations: u64,
    pub bytes: u64,
    pub live: u64,
}

/// The measurements between the marks, in all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    pub time: Duration,
    /// Of all threads.
    pub cpu: Duration,
    pub allocations: u64,
    pub bytes: u64,
    /// Bytes in use at the point that the work has chosen, above what was in use at the first mark.
    pub live: u64,
    /// The size of a future, where that is what the case is about.
    pub size: u64,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading { time, cpu, allocations, bytes, live, size } = self;
        write!(f, "reading {} {} {allocations} {bytes} {live} {size}", time.as_nanos(), cpu.as_nanos())
    }
}

impl FromStr for Reading {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let &[time, cpu, allocations, bytes, live, size] = &numbers[..] else {
            return Err(format!("no reading: {line}"));
        };
        let (time, cpu) = (Duration::from_nanos(time), Duration::from_nanos(cpu));
        Ok(Reading { time, cpu, allocations, bytes, live, size })
    }
}

struct Meter {
    heap: fn() -> Heap,
    /// The warming up is over.
    is_on: bool,
    start: Option<(Heap, ProcessTime, Instant)>,
    reading: Reading,
}

static METER: Mutex<Meter> =
    Mutex::new(Meter { heap: Heap::default, is_on: false, start: None, reading: Reading::ZERO });

impl Reading {
    const ZERO: Reading =
        Reading { time: Duration::ZERO, cpu: Duration::ZERO, allocations: 0, bytes: 0, live: 0, size: 0 };
}

fn meter<T>(use_it: impl FnOnce(&mut Meter) -> T) -> T {
    use_it(&mut METER.lock().unwrap())
}

/// callgrind starts from nothing here.
#[inline(never)]
pub fn first_mark() {
    black_box(1);
}

/// callgrind writes down here what it has counted.
#[inline(never)]
pub fn last_mark() {
    // Another number than in the other mark: equal functions become one.
    black_box(2);
}

/// The measured part starts; again, if it had started already: what came before is set-up.
pub fn begin() {
    meter(|meter| {
        if meter.is_on {
            meter.start = Some(((meter.heap)(), ProcessTime::now(), Instant::now()));
            first_mark();
        }
    });
}

/// The measured part is over; what comes after is clearing up.
pub fn end() {
    meter(|meter| {
        if let Some((heap, cpu, start)) = meter.start.take() {
            last_mark();
            meter.reading.time = start.elapsed();
            meter.reading.cpu = cpu.elapsed();
            let now = (meter.heap)();
            meter.reading.allocations = now.allocations - heap.allocations;
            meter.reading.bytes = now.bytes - heap.bytes;
        }
    });
}

/// Everything that the work needs is in use now.
pub fn all_is_live() {
    meter(|meter| {
        if let Some((heap, ..)) = meter.start {
            meter.reading.live = (meter.heap)().live.saturating_sub(heap.live);
        }
    });
}

/// The case is about the size of this.
pub fn size_of<T>(value: &T) {
    meter(|meter| meter.reading.size = size_of_val(value) as u64);
}

/// Runs `work` for `n` children, calls, messages, numbered from 0; it returns the sum of their numbers.
pub async fn measure(n: u64, work: impl AsyncFn(u64) -> u64) {
    let few = n.min(64);
    check(few, work(few).await);
    meter(|meter| meter.is_on = true);
    begin();
    let sum = work(n).await;
    end();
    check(n, sum);
}

/// As [`measure`], for work that starts its own runtime.
pub fn measure_blocking(n: u64, work: impl Fn(u64) -> u64) {
    let few = n.min(4);
    check(few, work(few));
    meter(|meter| meter.is_on = true);
    begin();
    let sum = work(n);
    end();
    check(n, sum);
}

#[track_caller]
fn check(n: u64, sum: u64) {
    assert_eq!(sum, n * n.saturating_sub(1) / 2, "the children's results are not all there");
}

/// Runs a case, and says what was read.
pub(crate) fn read(heap: fn() -> Heap, case: impl FnOnce()) -> Reading {
    meter(|meter| meter.heap = heap);
    case();
    meter(|meter| meter.reading)
}
