//! A build tool: commands in parallel, two at a time, that are gone when it is done with them, however that comes about.
//!
//! ```text
//!   build ──┬─ cc a.c ──▶ a.o ───────────────────────────────────▶ in the order of the files
//!           ├─ cc b.c ──▶ b.o
//!           └─ cc c.c ─────▶ c.o
//!   build ──┬─ cc a.c ──────────────╳ SIGTERM, reaped
//!           └─ cc bad.c ──▶ fails ──┴────────────────────────────▶ the error, when all have ended
//!   build ──── cc endless.c ────────╳ the time is up: SIGTERM ───▶ the same
//! ```
//!
//! The compiler is a shell script here. In the simulator it is a scripted program, and the builds take no time.
//!
//! Run it with `cargo run -p foster-examples --bin 15_a_build_tool -- --runtime smol` (or `tokio`, `sim`).

use std::time::Duration;

use foster::combine::map_concurrent;
use foster::{fail_after, sleep, sleep_forever};
use foster_examples::Adapter;
use foster_process::{Command, RunError};
use foster_sim::process::{Programs, Running};

/// How long a build may take.
const LIMIT: Duration = Duration::from_secs(2);

fn main() {
    foster_examples::run_with(|adapter| async move {
        if adapter == Adapter::Sim {
            Programs::new().program("sh", scripted).run(builds()).await
        } else {
            builds().await
        }
    });
}

async fn builds() {
    for files in [&["a.c", "b.c", "c.c"][..], &["a.c", "bad.c", "b.c"], &["endless.c", "a.c"]] {
        match fail_after(LIMIT, build(files)).await {
            Ok(Ok(objects)) => println!("built {}", objects.join(" ")),
            Ok(Err(error)) => println!("not built: {error}"),
            Err(_) => println!("not built in time, and no compiler is left"),
        }
    }
}

/// Compiles the files, two at a time. The first that fails stops the others, which have ended when this returns.
async fn build(files: &[&'static str]) -> Result<Vec<String>, RunError> {
    map_concurrent(2, files.iter().copied(), compile).await
}

async fn compile(file: &'static str) -> Result<String, RunError> {
    let mut compiler = Command::new("sh");
    compiler.args(["-c", COMPILER, "cc", file]);
    // The processes that it starts itself end with it.
    #[cfg(unix)]
    compiler.process_group();
    let output = compiler.run().await?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

const COMPILER: &str = r#"
case $1 in
    bad.c) sleep 0.1; echo "bad.c:7: this is no type" >&2; exit 1 ;;
    endless.c) sleep 300 ;;
    *) sleep 0.2; echo "${1%.c}.o" ;;
esac"#;

/// The same compiler, in virtual time.
async fn scripted(mut compiler: Running) -> i32 {
    let file = compiler.args().last().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
    let printed = match &*file {
        "bad.c" => {
            sleep(Duration::from_millis(100)).await;
            compiler.eprint("bad.c:7: this is no type\n").await
        }
        "endless.c" => match sleep_forever().await {},
        _ => {
            sleep(Duration::from_millis(200)).await;
            compiler.print(file.replace(".c", ".o")).await
        }
    };
    i32::from(file == "bad.c" || printed.is_err())
}
