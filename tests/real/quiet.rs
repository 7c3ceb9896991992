//! Programs in which everything comes to wait for something that comes much later, and the processor that they use then.

use std::sync::Arc;
use std::time::Duration;

use super::generate::Dice;
use super::hosts::Host;
use super::program::{Kind, Op, Ops, Program};
use super::watch::now;

/// An hour, in microseconds: what is due then comes in no run.
pub(crate) const FAR: u32 = 3_600_000_000;
/// How long the processor is looked at, again and again until the programs wait.
const LOOK: Duration = Duration::from_millis(200);
/// How long programs may take until they wait, beside what they compute.
const SETTLING: Duration = Duration::from_secs(3);
/// The part of the time that a process whose programs all wait may use the processor. One thread that goes round uses all
/// of it, unless the machine has other things to do.
const PART: u32 = 8;

/// The time of the processor that this process has used; none if this system does not say so.
pub(crate) fn processor_time() -> Option<Duration> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    // The name of the program comes before, and may have anything in it.
    let fields = stat.rsplit(')').next().expect("there is a rest").split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Some(Duration::from_millis(ticks * 10))
}

/// Waits until the process hardly uses the processor, and returns whether that could be measured. Polled in the root,
/// on a timer of the host alone.
///
/// # Errors
///
/// How much it used in the quietest of the looks, and how long that look was.
pub(crate) async fn settles(host: Host, programs: &[Arc<Program>]) -> Result<bool, (Duration, Duration)> {
    let computing: Duration = programs.iter().map(|program| program.computing()).sum();
    let end = now() + SETTLING + 4 * computing;
    let mut least: Option<(Duration, Duration)> = None;
    loop {
        let Some(before) = processor_time() else { return Ok(false) };
        let begun = now();
        host.plain_sleep(LOOK).await;
        let used = processor_time().unwrap_or_default().saturating_sub(before);
        let look = now() - begun;
        if PART * used <= look {
            return Ok(true);
        }
        if least.is_none_or(|(less, _)| used < less) {
            least = Some((used, look));
        }
        if let Some(least) = least.filter(|_| now() > end) {
            return Err(least);
        }
    }
}

/// The same program, but most of what it waits for is an hour away, and it neither fails nor goes on for ever. The rest
/// happens before, and leaves its traces: limits that have passed, scopes that were cancelled, finalizers that have run.
pub(crate) fn waiting(program: &Program) -> Program {
    let mut dice = Dice(program.seed ^ 0x9e37_79b9);
    let mut ops = (*far(&program.ops, &mut dice, false)).clone();
    ops.push(Op::leaf(Kind::Sleep(FAR)));
    let deadline = Duration::from_micros(FAR.into());
    Program { ops: Arc::new(ops), deadline, finite: false, waits: true, ..program.clone() }
}

/// `held` says whether the operations are in code that may be left unpolled.
fn far(ops: &Ops, dice: &mut Dice, held: bool) -> Ops {
    Arc::new(ops.iter().map(|op| far_op(op, dice, held)).collect())
}

fn far_op(op: &Op, dice: &mut Dice, held: bool) -> Op {
    let mut put_off = |us: u32, percent| if dice.chance(percent) { FAR } else { us };
    let kind = match op.kind {
        Kind::Sleep(us) => Kind::Sleep(put_off(us, 60)),
        Kind::Oneshot(us) => Kind::Oneshot(put_off(us, 60)),
        Kind::MoveOnAfter(us) => Kind::MoveOnAfter(put_off(us, 50)),
        Kind::FailAfter(us) => Kind::FailAfter(put_off(us, 50)),
        Kind::Shield(us) => Kind::Shield(put_off(us, 50)),
        Kind::Graceful { deadline, grace } => Kind::Graceful { deadline: put_off(deadline, 50), grace },
        Kind::Pipe { capacity, items, .. } => Kind::Pipe { capacity, items, pace: FAR },
        Kind::Fail | Kind::Panic => Kind::Sleep(FAR),
        Kind::Loop => Kind::Repeat(3),
        // Children of it have short limits, one after the other, until its body is polled.
        Kind::Deliver { .. } | Kind::Handover { .. } if held => Kind::Sleep(FAR),
        kind => kind,
    };
    let holds = matches!(op.kind, Kind::Held { .. } | Kind::Unpolled { .. });
    let parts = op.parts.iter().enumerate();
    Op { kind, parts: parts.map(|(at, part)| far(part, dice, held || holds && at == 0)).collect() }
}
