//! Processes: one is started that does nothing, and waited for, again and again.
//!
//! The work of the program itself, and of the host to start it, is in nobody's instructions; in the times, the host's
//! part in this process is.

use foster_process::Command;

use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

const PROGRAM: &str = "true";

macro_rules! process {
    ($name:ident, $command:path) => {
        pub(super) async fn $name(n: u64) -> u64 {
            let mut sum = 0;
            for i in 0..n {
                assert!(<$command>::new(PROGRAM).status().await.unwrap().success());
                sum += i;
            }
            sum
        }
    };
}

process!(on_foster, Command);

pub(super) fn rows(rows: &mut Rows) {
    for host in [Host::Smol1, Host::TokioCt] {
        let what = "a process that does nothing is started and waited for";
        let row = rows.on(host, "process", what, 500).bars(&[Bar::Ratio(1.1)]);
        row.foster(move |n| host.foster(measure(n, on_foster)));
        #[cfg(feature = "peers")]
        match host {
            Host::Smol1 => row.peer("smol", move |n| host.smol(|_| measure(n, peers::on_smol))),
            _ => row.peer("tokio", move |n| host.tokio(measure(n, peers::on_tokio))),
        };
    }
}

#[cfg(feature = "peers")]
mod peers {
    use super::PROGRAM;

    process!(on_smol, smol::process::Command);
    process!(on_tokio, tokio::process::Command);
}
