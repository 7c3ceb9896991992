//! B023: nobody else can enter a scope: there is one of it, and the handles to it only cancel.

use foster::CancelScope;

pub async fn run() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    drop(handle.clone());
    #[cfg(misuse)]
    drop(scope.clone()); //~ E0599
    let _ = scope.run(async {}).await;
}
