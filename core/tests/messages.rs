//! Messages and dumps, for people: the operation, the task and the place; times from now.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use foster::{
    CancelScope, Instant, Nursery, defer, dump, interval, nursery, sleep, sleep_until, thread, to_thread, yield_now,
};

fn text_of_panic(code: impl FnOnce()) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(code)) else { panic!("it did not panic") };
    payload.downcast_ref::<String>().cloned().expect("a text")
}

fn poll_once(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "an instant of other code is one of the host's")]
fn what_is_called_outside_of_a_tree_is_named() {
    let second = Duration::from_secs(1);
    let calls: Vec<(&str, Box<dyn FnOnce()>)> = vec![
        ("`sleep`", Box::new(move || poll_once(sleep(second)))),
        ("`sleep_until`", Box::new(|| poll_once(sleep_until(Instant::from_nanos(1))))),
        ("`interval`", Box::new(move || poll_once(interval(second).tick()))),
        ("`Instant::now`", Box::new(|| _ = Instant::now())),
        ("`Instant::now`", Box::new(|| _ = Instant::from_nanos(1).elapsed())),
        ("`Instant::to_std`", Box::new(|| _ = Instant::from_nanos(1).to_std())),
        ("`Instant::from_std`", Box::new(|| _ = Instant::from_std(std::time::Instant::now()))),
        ("`defer`", Box::new(|| defer(async {}))),
        ("`thread::limiter`", Box::new(|| drop(thread::limiter()))),
        ("a blocking job", Box::new(|| poll_once(to_thread(|| ())))),
        ("a blocking job", Box::new(|| poll_once(thread::to_thread_abandon(|| ())))),
    ];
    for (name, call) in calls {
        let text = text_of_panic(call);
        assert!(text.contains(&format!("{name} was called outside")), "{name}: {text}");
    }
}

#[test]
fn a_task_that_is_awaited_twice_is_named() {
    foster_sim::run(1, async {
        let Ok(()) = nursery(async |n: Nursery| {
            let mut task = n.child().named("twice").spawn(async { Ok(1) });
            assert_eq!((&mut task).await, Ok(1));
            let text = text_of_panic(|| drop(task.try_join()));
            assert!(text.starts_with("the value of task `twice` (core/tests/messages.rs:"), "{text}");
            assert!(text.ends_with("was taken before"), "{text}");
        })
        .await;
    });
}

#[test]
fn deadlines_in_dumps_are_counted_from_now() {
    foster_sim::run(1, async {
        let scope = CancelScope::new().named("limited").deadline_after(Duration::from_millis(10_250));

        let seen = scope.run(async {
            yield_now().await;
            sleep(Duration::from_secs(2)).await;
            dump()
        });
        let seen = seen.await.unwrap();
        let text = seen.to_string();
        assert!(text.contains(", deadline in 8.2s") || text.contains(", deadline in 8.3s"), "{text}");
        let json = seen.to_json();
        assert!(json.contains(r#""now_ms":20"#), "{json}");
        assert_eq!(json.matches("now_ms").count(), 1, "{json}");

        let mut late = seen.scopes().iter().find(|scope| scope.deadline.is_some()).unwrap().clone();
        late.seen_at = late.deadline.unwrap() + Duration::from_millis(100);
        assert!(late.to_string().contains(", deadline passed 100.0ms ago"), "{late}");
    });
}
