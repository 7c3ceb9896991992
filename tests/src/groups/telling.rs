//! Behaviours: nurseries that hand over the errors of their children, and go on.

use std::sync::{Arc, Mutex, PoisonError};

use foster::nursery::HandleErrors;
use foster::nursery::TaskStatus;
use foster::{CancelScope, Instant, LocalNursery, Nursery, NurseryOptions, checkpoint, shield, sleep, sleep_forever};

use super::probe::{Count, caught, crash, lingering, observed, text, until};
use crate::harness::ms;

/// The calls of a handler, in order: the child's name and its error.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn options(&self) -> NurseryOptions<HandleErrors<&'static str>> {
        let told = self.clone();
        NurseryOptions::new().named("service").on_error(move |error: &'static str, child| {
            let mut list = told.0.lock().unwrap_or_else(PoisonError::into_inner);
            list.push(format!("{}: {error}", child.name()));
        })
    }
}

/// L31: an error is handed over at once, with the child it comes from; siblings and the body go on, and nothing is
/// kept.
pub async fn an_error_that_is_handed_over_stops_nobody() {
    let (told, ended) = (Told::default(), Count::new());
    let (out, observer) = observed(told.options().run(async |n: Nursery<&'static str>| {
        let end = ended.clone();
        let sibling = n.child().named("sibling").spawn(async move {
            sleep(ms(2)).await;
            end.up();
            Ok(7)
        });
        for name in ["first", "second"] {
            let mut task = n.child().named(name).spawn(async { Err::<(), _>("the disk is full") });
            assert_eq!(task.wait().await, TaskStatus::Failed);
            assert!(told.list().last().is_some_and(|last| last.starts_with(name)), "before the handle says so");
        }
        checkpoint().await;
        sibling.await.map_err(|_| "lost")
    }))
    .await;
    assert_eq!((out, ended.value()), (Ok(7), 1));
    assert_eq!(told.list(), ["first: the disk is full", "second: the disk is full"]);
    assert_eq!(observer.orphans(), []);
}

/// L31, L41: in a local nursery, too, with errors and children that borrow nothing.
pub async fn an_error_that_is_handed_over_stops_no_local_child() {
    let (told, ended) = (Told::default(), Count::new());
    let (out, observer) = observed(told.options().run_local(async |n: LocalNursery<'_, &'static str>| {
        let sibling = n.child().named("sibling").spawn(async {
            sleep(ms(2)).await;
            ended.up();
            Ok(7)
        });
        let mut task = n.child().named("first").spawn(async { Err::<(), _>("the disk is full") });
        assert_eq!(task.wait().await, TaskStatus::Failed);
        assert_eq!(told.list().len(), 1);
        sibling.await.map_err(|_| "lost")
    }))
    .await;
    assert_eq!((out, ended.value()), (Ok(7), 1));
    assert_eq!(told.list(), ["first: the disk is full"]);
    assert_eq!(observer.orphans(), []);
    let unsend = told.options().run_local_unsend(async |n| {
        n.child().named("unsend").spawn(async { Err::<(), _>("again") });
        Ok(())
    });
    assert_eq!(unsend.await, Ok(()));
    assert_eq!(told.list().last().map(String::as_str), Some("unsend: again"));
}

/// L7: an error of the body is another matter: it cancels the children, and comes back. Their errors then are handed
/// over.
pub async fn an_error_of_the_body_still_stops_the_children() {
    let (told, started) = (Told::default(), Count::new());
    let out: Result<(), _> = told
        .options()
        .run(async |n: Nursery<&'static str>| {
            let start = started.clone();
            n.child().named("late").spawn(async move {
                shield(async {
                    start.up();
                    sleep(ms(1)).await;
                })
                .await;
                Err::<(), _>("in spite of the cancel")
            });
            n.spawn(sleep_forever());
            started.reaches(1).await;
            Err("no such port")
        })
        .await;
    assert_eq!(out, Err("no such port"));
    assert_eq!(told.list(), ["late: in spite of the cancel"]);
}

/// L32: a handler that panics counts as a panic of that child: it cancels the others, and resumes when all have ended.
pub async fn a_panic_of_the_handler_counts_as_one_of_the_child() {
    let (started, cleaned) = (Count::new(), Count::new());
    let options = || NurseryOptions::new().on_error(|_: &'static str, _| crash("in the handler"));
    let out = caught(options().run(async |n: Nursery<&'static str>| -> Result<(), &'static str> {
        n.spawn(lingering(&started, &cleaned));
        started.reaches(1).await;
        let mut task = n.spawn(async {
            checkpoint().await;
            Err::<(), _>("an error")
        });
        match shield(task.wait()).await {
            TaskStatus::Panicked => match sleep_forever().await {},
            other => panic!("{other:?}"),
        }
    }));
    assert_eq!(text(&*out.await.unwrap_err()), "in the handler");
    assert_eq!(cleaned.value(), 1);
    let local = caught(options().run_local(async |n| {
        n.spawn(async { Err::<(), _>("an error") });
        Ok(())
    }));
    assert_eq!(text(&*local.await.unwrap_err()), "in the handler");
}

/// L4, L36: the handler runs in the nursery, without any lock: it reads the clock, looks at the nursery, and spawns
/// into it.
pub async fn the_handler_may_use_the_nursery() {
    let (home, again) = (Arc::new(Mutex::new(None::<Nursery<&'static str>>)), Count::new());
    let (inside, up) = (home.clone(), again.clone());
    let start = Instant::now();
    let options = NurseryOptions::new().on_error(move |error: &'static str, child| {
        assert!(start <= Instant::now());
        // Taken out, for the handler belongs to the nursery: kept in it, each would keep the other.
        let nursery = inside.lock().unwrap_or_else(PoisonError::into_inner).take().expect("put there by the body");
        assert!(!nursery.is_closed() && !nursery.is_empty(), "{error} of {}", child.name());
        let up = up.clone();
        // The last child has failed and the body is over, but it has not left yet.
        nursery.spawn(async move { up.up() });
    });
    let out = options.run(async |n: Nursery<&'static str>| {
        *home.lock().unwrap_or_else(PoisonError::into_inner) = Some(n.clone());
        n.spawn(async {
            sleep(ms(1)).await;
            Err::<(), _>("try again")
        });
        Ok(())
    });
    assert_eq!((out.await, again.value()), (Ok(()), 1));
}

/// L27, L35: a nursery whose future was dropped is finished by the scope around; its children's errors are handed over
/// as before.
pub async fn a_dropped_nursery_hands_over_what_its_children_fail_with() {
    let (told, started) = (Told::default(), Count::new());
    let ((), observer) = observed(async {
        CancelScope::new()
            .run(async {
                let start = started.clone();
                let mut service = Box::pin(told.options().run(async |n: Nursery<&'static str>| -> Result<(), _> {
                    n.child().named("late").spawn(shield(async move {
                        start.up();
                        sleep(ms(2)).await;
                        Err::<(), _>("too late")
                    }));
                    match sleep_forever().await {}
                }));
                until(service.as_mut(), started.reaches(1)).await;
            })
            .await
            .unwrap();
    })
    .await;
    assert_eq!(told.list(), ["late: too late"]);
    assert_eq!(observer.orphans(), []);
}
