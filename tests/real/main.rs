//! Random programs on real runtimes, with real clocks and real contention.
//!
//! Each run has a fresh seed, which it prints; `FOSTER_SEED` repeats one, `FOSTER_SECONDS` says how long programs are
//! made and run. A program that fails is made smaller and printed as code. As threads and clocks have their part in it,
//! a seed makes the same programs again, but not always the same failure.
//!
//! In some rounds all that the programs wait for is far away, and the process has to be idle.

mod foreign;
mod generate;
mod handover;
mod held;
mod hosts;
mod interpret;
mod late;
mod program;
mod quiet;
mod seen;
mod shrink;
mod watch;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use generate::{Dice, generate};
use hosts::{HOSTS, Host};
use watch::{Seen, Sort, run_confirmed};

/// How long to run, in seconds.
const SECONDS: u64 = 20;
/// How many programs run at once in one tree, by turns. Alone, no other program's timers make up for one that is lost.
const AT_ONCE: [usize; 4] = [16, 1, 4, 1];
/// In one of so many rounds on each host, programs come to wait, and so many of them at once: one that uses the processor
/// is found all the same.
const QUIET: (usize, usize) = (7, 16);
/// How long a program that failed is made smaller.
const SHRINKING: Duration = Duration::from_secs(60);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn fresh_seed() -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Dice(time.as_nanos() as u64).next() % 1_000_000_000
}

#[test]
#[expect(clippy::disallowed_methods, reason = "foster's clock is part of what is tested")]
fn random_programs_break_no_law() {
    foster_conformance::check("random_programs_break_no_law", || {
        let seed = number("FOSTER_SEED").unwrap_or_else(fresh_seed);
        let limit = Duration::from_secs(number("FOSTER_SECONDS").unwrap_or(SECONDS));
        // Goes on after a fault, and prints each sort once for each host.
        let survey = number("FOSTER_SURVEY").is_some();
        println!("seed {seed}: repeat with FOSTER_SEED={seed}");
        let (begin, mut dice, mut found) = (Instant::now(), Dice(seed), Vec::<(Sort, Host, usize)>::new());
        let mut round = 0;
        while begin.elapsed() < limit {
            let host = HOSTS[round % HOSTS.len()];
            let turn = round / HOSTS.len();
            let is_quiet = turn % QUIET.0 == 0;
            let at_once = if is_quiet { QUIET.1 } else { AT_ONCE[turn % AT_ONCE.len()] };
            round += 1;
            let make = |seed| if is_quiet { quiet::waiting(&generate(seed)) } else { generate(seed) };
            let programs: Vec<_> = (0..at_once).map(|_| Arc::new(make(dice.next()))).collect();
            for fault in run_confirmed(host, &programs) {
                let known = found.iter_mut().find(|(sort, on, _)| (*sort, *on) == (fault.sort, host));
                if let Some((.., times)) = known {
                    *times += 1;
                    continue;
                }
                found.push((fault.sort, host, 1));
                println!("{:?} after {:?}, in round {round}, on {host:?}: {}", fault.sort, begin.elapsed(), fault.text);
                if let Some(program) = fault.program {
                    let program = &programs[program];
                    println!("{program}");
                    if !survey {
                        let smaller = shrink::shrink(host, program, fault.sort, SHRINKING);
                        println!(
                            "made smaller, from {} operations to {}:",
                            shrink::count(&program.ops),
                            shrink::count(&smaller.ops)
                        );
                        println!("{smaller}");
                    }
                }
            }
            if !survey && !found.is_empty() {
                break;
            }
        }
        let seen: Vec<_> = watch::all_seen().collect();
        println!(
            "{round} rounds on {} hosts; the worst timer of a host was late by {:?}; {seen:?}",
            HOSTS.len(),
            watch::latest()
        );
        println!("of what was timed, {}", late::summary());
        assert!(found.is_empty(), "seed {seed}: {found:?}");
        if limit >= Duration::from_secs(SECONDS) {
            // Only where it can be measured.
            let is_asked = |what| !matches!(what, Seen::Quiet) || quiet::processor_time().is_some();
            let never: Vec<_> = seen.iter().filter(|(what, times)| *times == 0 && is_asked(*what)).collect();
            assert!(never.is_empty(), "no program has ever done these: {never:?}");
        }
    });
}
