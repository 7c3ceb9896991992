//! The attributes of the `foster` crate: `#[foster::main]` and `#[foster::test]`.
//!
//! Depend on `foster`, which re-exports both. They are written on `proc_macro` alone, so that a clean build pays for
//! nothing that it does not use.
#![forbid(unsafe_code)]

mod adapter;
mod arguments;
mod duration;
mod error;
mod function;
mod main_attribute;
mod template;
mod test_attribute;

use proc_macro::TokenStream;

/// Makes an `async fn main` the root of a tree, on the adapter that it names.
///
/// The application picks its executor, and this is where:
///
/// | attribute | `main` is run by | dependency |
/// |---|---|---|
/// | `#[foster::main(smol)]` | `foster_smol::run` | `foster-smol` |
/// | `#[foster::main(tokio)]` | `foster_tokio::run`: the multi-thread runtime | `foster-tokio` |
/// | `#[foster::main(smol, threads = 4)]` | the same on four threads, the main one included, through `foster_smol::Builder` | `foster-smol` |
/// | `#[foster::main(tokio, worker_threads = 4)]` | the multi-thread runtime with four workers, through `foster_tokio::Builder` | `foster-tokio` |
/// | `#[foster::main(tokio, flavor = "current_thread")]` | the current-thread runtime, in the same way | `foster-tokio` |
///
/// `main` takes no arguments and is not generic; what it returns is handed on to the process, so a `Result` makes the
/// exit code as usual. The attribute works on other functions as well, and makes them synchronous. For any other
/// set-up, write the `fn main` yourself and call the adapter's `Builder`.
///
/// # Errors
///
/// Misuse is a compile error that names the fix. A name that is no adapter is refused by the attribute, which lists
/// those that it knows. A known adapter that the application does not depend on is refused by the compiler, which does
/// not find the crate of the third column; the error points at the adapter's name in the attribute.
///
/// # Examples
///
/// ```
/// #[foster::main(smol)]
/// async fn main() -> Result<(), std::num::ParseIntError> {
///     let number: u32 = "17".parse()?;
///     assert_eq!(number, 17);
///     Ok(())
/// }
/// ```
///
/// There is no default:
///
/// ```compile_fail
/// #[foster::main]
/// async fn main() {}
/// ```
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    main_attribute::expand(arguments, item)
}

/// Makes one `#[test]` of an `async fn` for each adapter that it lists.
///
/// The tests stand in a module with the name of the function and have the names of the adapters: of the example below,
/// `cargo test` reports `join_of_two::smol` and `join_of_two::tokio`. The adapters are `smol`, `tokio` (multi-thread),
/// `tokio_current_thread` and `sim`; each needs its crate, `foster-smol`, `foster-tokio` or `foster-sim`, among the
/// dev-dependencies.
///
/// The function takes no arguments and is not generic; it stands in a module, not inside another function. It returns
/// what a `#[test]` may return; on the simulator, `()` or a `Result<(), E>`. `#[ignore]` and `#[should_panic]` go to
/// each of the tests, all other attributes to the function.
///
/// # Options
///
/// * `timeout = "5s"` fails a test that is not done by then, with a panic that names the test, the adapter and the
///   limit, and has a dump of the tree at that moment; also one that passes in the end. The unit is one of `ns`, `us`,
///   `ms`, `s`, `m`, `h`. It is time of the runtime's own clock, which is virtual on the simulator. The body is cancelled
///   then, and waited for: on a real adapter a test in a shield without an end, or behind a thread, does not end. A second
///   later its name, and a dump of what is left of it, are printed to standard error.
/// * `seeds = 100` runs the test on the simulator with that many seeds; by default with 16. A failure names the seed.
///
/// # Errors
///
/// As of [`main`](macro@main).
///
/// # Examples
///
/// ```
/// #[foster::test(smol, tokio, timeout = "5s")]
/// async fn join_of_two() {
///     let sum = foster::nursery(async |n| {
///         let a = n.spawn(async { Ok(1) });
///         let b = n.spawn(async { Ok(2) });
///         Ok::<_, foster::error::JoinError>(a.await? + b.await?)
///     });
///     assert_eq!(sum.await.unwrap(), 3);
/// }
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    test_attribute::expand(arguments, item)
}
