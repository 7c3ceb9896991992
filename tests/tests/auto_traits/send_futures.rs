//! Futures that have to be `Send`, in the shapes in which compilers have denied it; and run, so that they also work.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use foster::error::ErrorGroup;
use foster::future::NurseryFuture;
use foster::nursery::UnsendNursery;
use foster::{
    CancelScope, LocalNursery, Nursery, NurseryOptions, bracket, checkpoint, defer, fail_after, local_nursery,
    move_on_after, nursery, shield, sleep, to_thread,
};
use foster_conformance::check;

type BoxError = Box<dyn Error + Send + Sync>;

const LONG: Duration = Duration::from_secs(60);

/// Runs it where only a `Send` future may run: in a task of tokio, and as a child on a foreign thread of smol.
#[expect(clippy::disallowed_methods, reason = "a tree in a program that tokio runs")]
fn everywhere<T, F>(name: &str, make: fn() -> F)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    check(name, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
        let runtime = runtime.expect("a runtime");
        let joined = runtime.block_on(async { tokio::spawn(foster_tokio::attach(make())).await });
        assert!(joined.is_ok(), "{name}: on tokio");
        drop(runtime);
        let joined = foster_smol::Builder::new().threads(2).run(async {
            let Ok(joined) = nursery(async |n: Nursery| Ok(n.spawn(async move { Ok(make().await) }).await)).await;
            joined
        });
        assert!(joined.is_ok(), "{name}: on smol");
    });
}

#[test]
fn nursery_of_children_with_boxed_errors() {
    async fn fetch(text: String) -> Result<usize, BoxError> {
        checkpoint().await;
        let number: usize = text.parse()?;
        Ok(number)
    }

    async fn sum() {
        let sum: Result<usize, BoxError> = nursery(async |n: Nursery<BoxError>| {
            let tasks: Vec<_> = ["1", "2", "3"].into_iter().map(|text| n.spawn(fetch(text.to_owned()))).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await?;
            }
            Ok(sum)
        })
        .await;
        assert_eq!(sum.expect("all are numbers"), 6);
        let failed: Result<(), BoxError> = nursery(async |n: Nursery<BoxError>| {
            n.spawn(fetch("no number".to_owned()));
            Ok(())
        })
        .await;
        assert!(failed.expect_err("it is no number").is::<std::num::ParseIntError>());
    }

    everywhere("nursery_of_children_with_boxed_errors", sum);
}

#[test]
fn nursery_below_everything_that_wraps_a_body() {
    async fn wrapped() {
        let text = String::from("borrowed by the bodies, not by the children");
        let done = fail_after(
            LONG,
            CancelScope::new().run(shield(bracket(
                async { 7 },
                async |mut lent| {
                    *lent += text.len();
                    nursery(async |n: Nursery<BoxError>| {
                        let length = text.len();
                        n.spawn(async move { assert_eq!(to_thread(move || length).await, length) });
                        n.start_task(async move |status| {
                            status.started(length);
                            Ok(1)
                        })
                        .await
                        .map(|(length, _)| length)
                    })
                    .await
                },
                |_, _| async {},
            ))),
        );
        assert_eq!(done.await.expect("in time").expect("not cancelled").expect("ready"), text.len());
    }

    everywhere("nursery_below_everything_that_wraps_a_body", wrapped);
}

#[test]
fn local_nursery_whose_children_borrow_locals() {
    async fn count() {
        let words = ["a", "bb", "ccc"].map(str::to_owned);
        let total = AtomicUsize::new(0);
        let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
            for word in &words {
                n.spawn(async {
                    sleep(Duration::from_millis(1)).await;
                    total.fetch_add(word.len(), SeqCst);
                });
            }
        })
        .await;
        assert_eq!(total.load(SeqCst), 6);
    }

    everywhere("local_nursery_whose_children_borrow_locals", count);
}

#[test]
fn local_nurseries_nested_with_borrows_at_each_level() {
    async fn nested() {
        let outer = String::from("outer");
        let total = AtomicUsize::new(0);
        let done: Result<(), BoxError> = local_nursery(async |n: LocalNursery<'_, BoxError>| {
            for times in 1..=2 {
                let (outer, total) = (&outer, &total);
                n.spawn(async move {
                    let middle = outer.repeat(times);
                    let inner = local_nursery(async |n: LocalNursery<'_, BoxError>| {
                        for part in middle.split('t') {
                            n.spawn(async { move_on_after(LONG, add(part, total)).await.ok_or_else(|| "late".into()) });
                        }
                        Ok(())
                    });
                    fail_after(LONG, inner).await?
                });
            }
            checkpoint().await;
            Ok(())
        })
        .await;
        done.expect("nothing fails");
        assert_eq!(total.load(SeqCst), 4 + 8);
    }

    async fn add(part: &str, total: &AtomicUsize) {
        checkpoint().await;
        total.fetch_add(part.len(), SeqCst);
    }

    everywhere("local_nurseries_nested_with_borrows_at_each_level", nested);
}

#[test]
fn local_nursery_with_closures_that_take_lifetimes() {
    async fn each<F>(items: &[String], f: F) -> usize
    where
        F: for<'a> Fn(&'a str) -> &'a str + Sync,
    {
        let f = &f;
        let Ok(total) = local_nursery(async |n: LocalNursery<'_>| {
            let tasks: Vec<_> = items.iter().map(|item| n.spawn(async move { Ok(f(item).len()) })).collect();
            let mut total = 0;
            for task in tasks {
                total += task.await.expect("nothing fails");
            }
            Ok(total)
        })
        .await;
        total
    }

    async fn trimmed() {
        let items = vec![" a ".to_owned(), "b".to_owned()];
        assert_eq!(each(&items, |item| item.trim()).await, 2);
        assert_eq!(each(&items, str::trim_start).await, 3);
    }

    everywhere("local_nursery_with_closures_that_take_lifetimes", trimmed);
}

#[test]
fn local_nursery_behind_a_trait_object() {
    trait Service: Sync {
        fn call<'a>(&'a self, input: &'a str) -> Pin<Box<dyn Future<Output = Result<usize, BoxError>> + Send + 'a>>;
    }

    struct Words(AtomicUsize);

    impl Service for Words {
        fn call<'a>(&'a self, input: &'a str) -> Pin<Box<dyn Future<Output = Result<usize, BoxError>> + Send + 'a>> {
            Box::pin(async move {
                let group: Result<(), ErrorGroup<BoxError>> = NurseryOptions::new()
                    .collect_errors()
                    .run_local(async |n: LocalNursery<'_, BoxError>| {
                        for word in input.split(' ') {
                            n.spawn(async move {
                                checkpoint().await;
                                self.0.fetch_add(word.parse::<usize>()?, SeqCst);
                                Ok(())
                            });
                        }
                        Ok(())
                    })
                    .await;
                match group {
                    Ok(()) => Ok(self.0.load(SeqCst)),
                    Err(group) => Err(group.to_string().into()),
                }
            })
        }
    }

    async fn called() {
        let words = Words(AtomicUsize::new(0));
        let service: &dyn Service = &words;
        assert_eq!(service.call("1 2 3").await.expect("numbers"), 6);
        let error = service.call("1 x y").await.expect_err("two are no numbers");
        assert!(error.to_string().starts_with("2 errors"), "{error}");
    }

    everywhere("local_nursery_behind_a_trait_object", called);
}

#[test]
fn local_nursery_and_nursery_in_one_another() {
    async fn mixed() {
        let base = String::from("base");
        let done: Result<usize, BoxError> = local_nursery(async |local: LocalNursery<'_, BoxError>| {
            let task = local.spawn(async {
                let length = base.len();
                nursery(async move |n: Nursery<BoxError>| {
                    let task = n.spawn(async move {
                        defer(async {});
                        let own = [length; 3];
                        local_nursery(async |n: LocalNursery<'_, BoxError>| {
                            let tasks = own.iter().map(|one| n.spawn(async move { Ok(*one) })).collect::<Vec<_>>();
                            let mut sum = 0;
                            for task in tasks {
                                sum += task.await?;
                            }
                            Ok(sum)
                        })
                        .await
                    });
                    Ok(task.await?)
                })
                .await
            });
            Ok(task.await?)
        })
        .await;
        assert_eq!(done.expect("nothing fails"), 12);
    }

    everywhere("local_nursery_and_nursery_in_one_another", mixed);
}

#[test]
fn local_nursery_handle_cloned_into_children() {
    fn add_one(seen: &AtomicUsize) {
        seen.fetch_add(1, SeqCst);
    }

    async fn grows() {
        let seen = AtomicUsize::new(0);
        let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
            let (m, seen) = (n.clone(), &seen);
            n.spawn(async move {
                for _ in 0..3 {
                    m.spawn(async move { add_one(seen) });
                    m.spawn_limited(async move { add_one(seen) }).await;
                }
            });
        })
        .await;
        assert_eq!(seen.load(SeqCst), 6);
    }

    everywhere("local_nursery_handle_cloned_into_children", grows);
}

#[test]
fn start_of_children_that_borrow() {
    async fn started() {
        let text = String::from("borrowed");
        let done: Result<usize, BoxError> = local_nursery(async |n: LocalNursery<'_, BoxError>| {
            let length = n
                .start(async |status| {
                    checkpoint().await;
                    status.started(text.len());
                    Ok(())
                })
                .await?;
            let (same, task) = n
                .start_task(|status| async {
                    status.started(text.len());
                    Ok(text.as_str())
                })
                .await?;
            assert_eq!((same, task.await?), (length, "borrowed"));
            Ok(length)
        })
        .await;
        assert_eq!(done.expect("ready"), 8);
    }

    everywhere("start_of_children_that_borrow", started);
}

/// The future of a nursery given to somebody else's generic function: in an `async` block, or boxed. Given as it is,
/// the compiler asks that the body's closure works for every lifetime, and denies `Send`.
#[test]
fn local_nursery_in_a_generic_function() {
    async fn with<F: Future>(future: F) -> F::Output {
        checkpoint().await;
        future.await
    }

    async fn given() {
        let text = String::from("borrowed");
        let Ok(()) = with(async {
            local_nursery(async |n: LocalNursery<'_>| {
                n.spawn(async { assert_eq!(text.len(), 8) });
            })
            .await
        })
        .await;
        let boxed: Pin<Box<dyn Future<Output = _> + Send + '_>> =
            Box::pin(local_nursery(async |n: LocalNursery<'_>| {
                n.spawn(async { assert_eq!(text.len(), 8) });
            }));
        let Ok(()) = with(boxed).await;
    }

    everywhere("local_nursery_in_a_generic_function", given);
}

/// Whether the future of an expression is `Send`: a method that takes `self` hides one that takes a reference to it,
/// where its bound holds.
macro_rules! is_send {
    ($value:expr) => {{
        #[allow(unused_imports, reason = "one of the two is used")]
        use asks::{No, Yes};
        let value = $value;
        (&asks::Ask::of(&value)).is_send()
    }};
}

mod asks {
    use std::marker::PhantomData;

    pub(crate) struct Ask<'a, T>(PhantomData<&'a T>);

    impl<'a, T> Ask<'a, T> {
        pub(crate) fn of(_: &'a T) -> Self {
            Ask(PhantomData)
        }
    }

    pub(crate) trait Yes {
        fn is_send(&self) -> bool {
            true
        }
    }

    impl<T: Send> Yes for Ask<'_, T> {}

    pub(crate) trait No {
        fn is_send(&self) -> bool {
            false
        }
    }

    impl<T> No for &Ask<'_, T> {}
}

/// A nursery is `Send` when its body is; the unsend one never is.
#[test]
fn nurseries_are_send_when_what_is_in_them_is() {
    fn plain() -> impl Future<Output: Send> {
        nursery(async |n: Nursery| drop(n.spawn(async {})))
    }
    fn body_with_rc() -> impl Future<Output: Send> {
        nursery(async |n: Nursery| {
            let rc = Rc::new(1);
            n.spawn(async {});
            checkpoint().await;
            drop(rc);
        })
    }
    fn local(text: &str) -> impl Future<Output: Send> {
        local_nursery(async move |n: LocalNursery<'_>| drop(n.spawn(async move { assert!(!text.is_empty()) })))
    }
    fn local_body_with_rc() -> impl Future<Output: Send> {
        local_nursery(async |n: LocalNursery<'_>| {
            let rc = Rc::new(1);
            n.spawn(async {});
            checkpoint().await;
            drop(rc);
        })
    }
    fn unsend() -> impl Future<Output: Send> {
        NurseryOptions::new().run_local_unsend(async |n: UnsendNursery<'_>| drop(n.spawn(async {})))
    }

    // It makes scopes, which others would count.
    check("nurseries_are_send_when_what_is_in_them_is", || {
        assert!(is_send!(plain()));
        assert!(!is_send!(body_with_rc()));
        assert!(is_send!(local("borrowed")));
        assert!(!is_send!(local_body_with_rc()));
        assert!(!is_send!(unsend()));
        assert!(is_send!(move_on_after(LONG, plain())));
        assert!(!is_send!(move_on_after(LONG, unsend())));
    });
}

/// The types can be written down: the future of a nursery has a name.
#[test]
fn nursery_futures_can_be_named() {
    type Named<F, Fut> = NurseryFuture<(), u8, u8, F, Fut, ()>;

    fn named() -> Named<fn(Nursery<u8>) -> std::future::Ready<()>, std::future::Ready<()>> {
        nursery(|_| std::future::ready(()))
    }

    check("nursery_futures_can_be_named", || assert_eq!(foster_sim::run(1, named()), Ok(())));
}
