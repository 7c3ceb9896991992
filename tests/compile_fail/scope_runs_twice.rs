//! B023: a scope runs once; `run` takes it.

use foster::CancelScope;

pub async fn run() {
    let scope = CancelScope::new();
    let _ = scope.run(async {}).await;
    #[cfg(misuse)]
    let _ = scope.run(async {}).await; //~ E0382
}
