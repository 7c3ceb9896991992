//! The panic of code that is part of no tree.

/// Panics: the code that has called this operation is part of no tree. The message names the usual causes and the fix.
#[track_caller]
#[cold]
pub(crate) fn no_context_for(operation: impl std::fmt::Display) -> ! {
    panic!(
        "there is no foster runtime here: {operation} was called outside of `foster_smol::run`, `foster_tokio::run`, \
         `attach` or `#[foster::main]`. Usual causes: the future was given to `tokio::spawn`, `smol::spawn` or a plain \
         `block_on` (spawn it into a nursery instead), or the call comes from a thread that foster did not start. \
         To use foster below a runtime that you do not control, await `foster_tokio::attach(..)` / \
         `foster_smol::attach(..)`, or call `install()` of the adapter once at start-up"
    )
}
