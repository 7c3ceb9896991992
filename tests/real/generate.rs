//! Programs from seeds.

use std::sync::Arc;
use std::time::Duration;

use super::handover::{How, Moment, WHATS};
use super::program::{CHANNELS, Kind, LOCKS, Op, Ops, Place, Program, SLOTS};

/// Random numbers that are the same everywhere: splitmix64 (Steele, Lea and Flood, 2014).
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Up to a limit, small ones more often.
    fn time(&mut self, limit: u64) -> u32 {
        let scale = [limit / 10, limit / 3, limit][self.below(3) as usize];
        self.below(scale + 1) as u32
    }
}

/// Makes the program of a seed.
pub(crate) fn generate(seed: u64) -> Program {
    let mut dice = Dice(seed);
    // A third has timers only and ends by itself: nothing but a lost timer makes it late, and no deadline hides that.
    let finite = dice.chance(33);
    let favourite = dice.below(CHANNELS.into()) as u8;
    let mut maker = Maker { dice, left: 0, finite, favourite };
    maker.left = 4 + maker.dice.below(26) as i64;
    let ops = maker.ops(0);
    let deadline = Duration::from_micros(if finite { 30_000_000 } else { 1000 + maker.dice.below(39_000) });
    Program { seed, ops, deadline, finite, waits: false }
}

struct Maker {
    dice: Dice,
    /// How many operations more.
    left: i64,
    finite: bool,
    /// The channel that most operations use, so that they meet.
    favourite: u8,
}

impl Maker {
    fn ops(&mut self, depth: u32) -> Ops {
        let many = 1 + self.dice.below(if depth == 0 { 6 } else { 4 });
        Arc::new((0..many).map(|_| self.op(depth)).collect())
    }

    fn parts(&mut self, many: u64, depth: u32) -> Vec<Ops> {
        (0..many).map(|_| self.ops(depth + 1)).collect()
    }

    fn op(&mut self, depth: u32) -> Op {
        self.left -= 1;
        let flat = self.left <= 0 || depth >= 5;
        if flat || self.dice.chance(35) {
            return Op::leaf(if self.finite { self.timer() } else { self.leaf() });
        }
        if self.dice.chance(12) {
            let handovers = vec![Op::leaf(self.handover())];
            let times = Kind::Repeat(1 + self.dice.below(12) as u8);
            return Op { kind: times, parts: vec![Arc::new(handovers)] };
        }
        match self.finite {
            true => self.limits(depth),
            false if self.dice.chance(10) => self.meeting(),
            false => self.inner(depth),
        }
    }

    fn timer(&mut self) -> Kind {
        match self.dice.below(10) {
            0 => Kind::Yield,
            1 => Kind::Checkpoint,
            2 => Kind::Compute(self.dice.time(3000)),
            3 => Kind::Oneshot(self.dice.time(3000)),
            _ => Kind::Sleep(self.dice.time(3000)),
        }
    }

    fn leaf(&mut self) -> Kind {
        let (channel, lock) = (self.channel(), self.dice.below(LOCKS.into()) as u8);
        let slot = self.dice.below(SLOTS.into()) as u8;
        match self.dice.below(60) {
            0..8 => Kind::Sleep(self.dice.time(3000)),
            8..10 => Kind::Yield,
            10..12 => Kind::Checkpoint,
            12 => Kind::Compute(self.dice.time(500)),
            13 => Kind::Thread(self.dice.time(2000)),
            14..19 => Kind::Send(channel),
            19..24 => Kind::TrySend(channel),
            24..29 => Kind::Recv(channel),
            29..33 => Kind::RecvThrough(channel, self.how()),
            33 => Kind::TryRecv(channel),
            34 => Kind::Close(channel),
            35..37 => Kind::CondWait(lock),
            37..39 => Kind::Notify(lock),
            39 => Kind::EventWait(lock),
            40 => Kind::EventSet(lock),
            41 => Kind::WatchSend,
            42 => Kind::WatchRecv,
            43 => Kind::BroadcastSend,
            44 => Kind::BroadcastRecv,
            45 => Kind::Oneshot(self.dice.time(2000)),
            46..52 => Kind::Cancel(slot),
            52..54 => Kind::CancelFromThread(slot),
            54 => Kind::Fail,
            55 => Kind::Panic,
            _ => self.pipe(),
        }
    }

    fn channel(&mut self) -> u8 {
        if self.dice.chance(75) { self.favourite } else { self.dice.below(CHANNELS.into()) as u8 }
    }

    /// Two tasks wait for something that is enough for one; the first may be cancelled just before it comes, or as it
    /// comes.
    fn meeting(&mut self) -> Op {
        let (channel, lock, slot) =
            (self.channel(), self.dice.below(LOCKS.into()) as u8, self.dice.below(SLOTS.into()) as u8);
        let (waits, gives) = match self.dice.below(4) {
            0 | 1 => {
                (Kind::Recv(channel), if self.dice.chance(60) { Kind::TrySend(channel) } else { Kind::Send(channel) })
            }
            2 => (Kind::Send(channel), Kind::TryRecv(channel)),
            _ => (Kind::CondWait(lock), Kind::Notify(lock)),
        };
        let leaves = |kinds: &[Kind]| Arc::new(kinds.iter().copied().map(Op::leaf).collect::<Vec<_>>());
        let cancelled = Op { kind: Kind::Scope { slot, early: false }, parts: vec![leaves(&[waits])] };
        let cancels = if self.dice.chance(70) { Kind::Cancel(slot) } else { Kind::CancelFromThread(slot) };
        let body = leaves(&[Kind::Sleep(200 + self.dice.time(800)), cancels, gives, gives]);
        let parts = vec![body, Arc::new(vec![cancelled]), leaves(&[waits])];
        Op { kind: Kind::Nursery { collecting: false, daemons: self.dice.below(2) as u8 }, parts }
    }

    /// Something that is waited for and ends by itself, whoever of those who wait is cancelled.
    fn handover(&mut self) -> Kind {
        if self.dice.chance(30) {
            let capacity = [Some(0), Some(1), Some(4), None][self.dice.below(4) as usize];
            let items = 1 + self.dice.below(30) as u8;
            return Kind::Deliver { capacity, how: self.how(), items, limit: 200 + self.dice.time(1500) };
        }
        let what = WHATS[self.dice.below(WHATS.len() as u64) as usize];
        let gap = if self.dice.chance(60) { 0 } else { self.dice.time(500) };
        let (given_first, from_thread) = (self.dice.chance(50), self.dice.chance(50));
        let moment = Moment { after: self.dice.time(1000), gap, given_first, from_thread };
        Kind::Handover { what, how: [self.how(), self.how()], moment }
    }

    fn how(&mut self) -> How {
        let time = 100 + self.dice.time(1500);
        match self.dice.below(14) {
            0 => How::Plain,
            1 | 13 => How::RaceLimited(time),
            2 => How::Race(time),
            3 => How::RaceAll,
            4 => How::FirstOk,
            5 => How::Quorum,
            6 => How::Staggered(self.dice.time(200)),
            7 => How::Select,
            8 => How::Group,
            9 => How::Limit(time),
            10 => How::Nested(time),
            11 => How::Shield,
            _ => How::Local,
        }
    }

    fn pipe(&mut self) -> Kind {
        let capacity = [Some(0), Some(1), Some(4), None][self.dice.below(4) as usize];
        let items = if self.dice.chance(70) { 255 } else { self.dice.below(8) as u8 };
        Kind::Pipe { capacity, items, pace: self.dice.time(500) }
    }

    /// Returns an operation of a program of timers.
    fn limits(&mut self, depth: u32) -> Op {
        let (kind, many) = match self.dice.below(16) {
            0..5 => return self.limit(depth),
            5..8 => (Kind::Nursery { collecting: false, daemons: 0 }, 1 + self.dice.below(4)),
            8 => (Kind::Local { daemons: 0 }, 1 + self.dice.below(3)),
            9..11 => (Kind::Select, 2),
            11..13 => (Kind::Held { finish: self.dice.chance(60) }, 2),
            13 => (Kind::Repeat(1 + self.dice.below(4) as u8), 1),
            14 => (Kind::Group, 1 + self.dice.below(3)),
            _ => (Kind::Join, 2),
        };
        Op { kind, parts: self.parts(many, depth) }
    }

    /// A deadline with an endless child below it, which is what makes timers come and go; or with anything.
    fn limit(&mut self, depth: u32) -> Op {
        let time = self.dice.time(4000);
        let endless = self.dice.chance(60);
        let inside = if endless {
            let body = Op { kind: Kind::Loop, parts: vec![Arc::new(vec![Op::leaf(Kind::Sleep(self.dice.time(900)))])] };
            let children = (0..=self.dice.below(2)).map(|_| Arc::new(vec![body.clone()]));
            let parts = std::iter::once(Arc::new(Vec::new())).chain(children).collect();
            Arc::new(vec![Op { kind: Kind::Nursery { collecting: false, daemons: 0 }, parts }])
        } else {
            self.ops(depth + 1)
        };
        let limit = Op { kind: Kind::MoveOnAfter(time), parts: vec![inside] };
        let times = if endless { 1 + self.dice.below(40) as u8 } else { 1 };
        Op { kind: Kind::Repeat(times), parts: vec![Arc::new(vec![limit])] }
    }

    fn inner(&mut self, depth: u32) -> Op {
        let (lock, slot) = (self.dice.below(LOCKS.into()) as u8, self.dice.below(SLOTS.into()) as u8);
        let few = 1 + self.dice.below(3);
        let daemons = self.dice.below(2) as u8;
        let (kind, many) = match self.dice.below(50) {
            0..9 => (Kind::Nursery { collecting: self.dice.chance(20), daemons }, 1 + few),
            9..12 => (Kind::Local { daemons }, 1 + few),
            12..15 => (Kind::MoveOnAfter(self.dice.time(4000)), 1),
            15 => (Kind::FailAfter(self.dice.time(4000)), 1),
            16..22 => (Kind::Scope { slot, early: self.dice.chance(15) }, 1),
            22..24 => (Kind::Shield(self.dice.time(3000)), 1),
            24..26 => (Kind::Graceful { deadline: self.dice.time(4000), grace: self.dice.time(2000) }, 1),
            26..28 => (Kind::Bracket(self.dice.time(3000)), 3),
            28..30 => (Kind::Defer(self.dice.time(3000)), 1),
            30..32 => (Kind::Acquire(lock), 1),
            32 => (Kind::Lock(lock), 1),
            33 => (Kind::Read(lock), 1),
            34 => (Kind::Write(lock), 1),
            35 => (Kind::Repeat(1 + self.dice.below(3) as u8), 1),
            36..38 => (Kind::Loop, 1),
            38..40 => (Kind::Select, 2),
            40..42 => (Kind::Group, few),
            42 => (Kind::Held { finish: self.dice.chance(50) }, 2),
            43..46 => {
                let place = [Place::RunHere, Place::AsCompleted, Place::Produce][self.dice.below(3) as usize];
                (Kind::Unpolled { place, finish: self.dice.chance(50) }, 2)
            }
            46 => (Kind::Join, 2),
            47 => (Kind::Race, 2),
            48 => (Kind::Gather, few),
            _ => (Kind::AsCompleted, few),
        };
        let mut parts = self.parts(many, depth);
        if matches!(kind, Kind::Scope { .. }) && self.dice.chance(30) {
            // It is cancelled from inside, and runs on to its next checkpoint.
            let mut ops = (*parts[0]).clone();
            let at = self.dice.below(ops.len() as u64 + 1) as usize;
            ops.insert(at, Op::leaf(Kind::Cancel(slot)));
            parts[0] = Arc::new(ops);
        }
        Op { kind, parts }
    }
}
