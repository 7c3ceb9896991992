//! R1: only foster makes jobs, and a runtime polls them: it cannot make or copy one.

use foster::runtime::Job;

pub fn spawn(job: Job) -> Job {
    #[cfg(misuse)]
    drop(job.clone()); //~ E0599
    job
}
