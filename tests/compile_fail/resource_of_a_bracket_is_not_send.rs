//! The release may run on any thread.

use foster::bracket;

pub async fn run() {
    #[cfg(misuse)]
    let resource = std::rc::Rc::new(1);
    #[cfg(not(misuse))]
    let resource = std::sync::Arc::new(1);
    bracket(async { resource }, async |_| (), |_, _| async {}).await; //~ E0277
}
