//! Views of a live tree: dumps as text and as JSON, the events of its tasks, reports of slow polls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foster::nursery::TaskStatus;
use foster::observer::{ObservedTask, Observer, PollWatch, ScopeState, TaskEvent};
use foster::runtime::{current, root};
use foster::{
    CancelScope, Nursery, checkpoint, defer, dump, nursery, shield, sleep, sleep_forever, to_thread, yield_now,
};
use serde_json::Value;

#[path = "seeing/builders.rs"]
mod builders;
#[path = "seeing/scopes.rs"]
mod scopes;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// B279, B281, B283: a dump has the scopes with their parents, their state, their deadline, the age and cause of a
/// request, and what the leaves wait for.
#[test]
fn a_dump_tells_who_is_where_since_when_and_why() {
    foster_sim::run(1, async {
        let mut scope = CancelScope::new().named("import").grace(secs(30));
        let handle = scope.handle();
        assert!(handle.dump().is_empty(), "not entered yet");
        let begin = foster::Instant::now();
        let inner = handle.clone();
        let out = scope.run(nursery(async move |n: Nursery| {
            n.child().named("reader").spawn(shield(sleep(secs(10))));
            n.child().named("ticker").daemon().spawn(sleep_forever());
            let limited = CancelScope::new().named("limited").deadline_after(secs(60));
            n.child().named("writer").spawn(async move { drop(limited.run(foster::graceful(sleep(secs(9)))).await) });
            sleep(secs(1)).await;
            let calm = dump();
            assert_eq!(calm.scopes()[0].kind, "root");
            assert!(calm.scopes().iter().all(|scope| scope.request.is_none() && scope.state == ScopeState::Open));
            inner.cancel("enough");
            shield(async {
                sleep(secs(2)).await;
                let seen = inner.dump();
                let named = |name: &str| seen.scopes().iter().find(|scope| scope.origin.name() == name).unwrap();
                let request = named("import").request.as_ref().unwrap();
                assert_eq!((request.age, request.grace_left), (secs(2), secs(28)));
                assert_eq!(request.reason.text(), Some("enough"));
                assert_eq!(named("import").state, ScopeState::Cancelled);
                assert_eq!(named("limited").deadline, Some(begin + secs(60)));
                assert!(named("import").origin.location().file().ends_with("seeing.rs"));
                assert!(seen.scopes().iter().all(|scope| scope.origin.name() != "ticker"), "it has stopped");
                let leaf = seen.leaves().find(|leaf| leaf.kind == "shield" && leaf.depth == 3).unwrap();
                assert_eq!(leaf.waits_for, ["sleep"]);
                assert_eq!(seen.task_of(leaf).unwrap().origin.name(), "reader");
                for scope in &seen.scopes()[1..] {
                    let parent = &seen.scopes()[scope.parent.unwrap()];
                    assert_eq!(parent.depth + 1, scope.depth);
                }
                let text = seen.to_string();
                assert!(text.contains("asked to stop 2s ago: cancelled"), "{text}");
                assert!(text.contains("grace left 28s") && text.contains("waits for sleep"), "{text}");
            })
            .await;
            sleep_forever().await;
        }));
        assert!(out.await.is_err());
        assert!(handle.dump().is_empty(), "it has ended");
    });
}

/// B283: the JSON of a dump is the same tree, whatever the names are.
#[test]
fn a_dump_is_json() {
    foster_sim::run(1, async {
        let scope = CancelScope::new().named("with \"quotes\", a \\ and a\nline\u{1}");
        let seen = scope.run(nursery(async |n: Nursery| {
            for name in ["a", "b"] {
                n.child().named(name).spawn(async {
                    defer(async {});
                    drop(CancelScope::new().named("inner").deadline_after(secs(5)).run(sleep_forever()).await);
                });
            }
            n.child().named("d").daemon().spawn(sleep_forever());
            sleep(secs(1)).await;
            let seen = dump();
            n.cancel_children("enough");
            Ok(seen)
        }));
        let Ok(Ok(seen)) = seen.await else { panic!("it has a value") };
        let json: Value = serde_json::from_str(&seen.to_json()).unwrap_or_else(|e| panic!("{e}: {}", seen.to_json()));
        fn count(value: &Value) -> usize {
            1 + value["inside"].as_array().into_iter().flatten().map(count).sum::<usize>()
        }
        assert_eq!(count(&json), seen.scopes().len());
        assert_eq!(json["kind"], "root");
        let scope = &json["inside"][0];
        assert_eq!(scope["name"], "with \"quotes\", a \\ and a\nline\u{1}");
        assert!(scope["file"].as_str().unwrap().ends_with("seeing.rs") && scope["line"].is_u64());
        let tasks = scope["inside"][0]["inside"].as_array().unwrap();
        let names: Vec<_> = tasks.iter().map(|task| task["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "d"]);
        assert_eq!((&tasks[2]["daemon"], &tasks[0]["finalizers"]), (&Value::Bool(true), &Value::from(1)));
        assert!(tasks[0].get("daemon").is_none());
        assert!(tasks[0]["inside"][0]["deadline_ms"].is_u64());
        assert_eq!(tasks[0]["inside"][0]["waits_for"], serde_json::json!(["sleep_forever"]));
    });
    assert!(dump().is_empty(), "outside of any tree");
    assert_eq!(dump().to_json(), "null");
}

/// An observer that writes down what happens to tasks.
#[derive(Default)]
struct Follower {
    events: Mutex<Vec<(u64, String, TaskEvent)>>,
}

impl Follower {
    fn events(&self) -> Vec<(u64, String, TaskEvent)> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The events of the task with this name, in short.
    fn of(&self, name: &str) -> String {
        let short = |event: &TaskEvent| match event {
            TaskEvent::Spawned { .. } => 's',
            TaskEvent::PollBegins => '(',
            TaskEvent::PollEnds { .. } => ')',
            TaskEvent::Ended { .. } => 'e',
            _ => '?',
        };
        self.events().iter().filter(|(_, of, _)| of == name).map(|(_, _, event)| short(event)).collect()
    }
}

impl Observer for Follower {
    fn follows_tasks(&self) -> bool {
        true
    }

    fn task(&self, task: &ObservedTask<'_>, event: TaskEvent) {
        let entry = (task.id, task.origin.name().to_owned(), event);
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}

async fn followed(follower: Arc<Follower>) {
    let tree = async {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope.run(nursery(async move |n: Nursery| {
            n.child().named("quick").spawn(async {});
            let parent = n.child().named("parent").spawn(async {
                yield_now().await;
                let Ok(()) = nursery(async |n: Nursery| {
                    n.child().named("grandchild").spawn(async {});
                })
                .await;
            });
            assert!(parent.await.is_ok());
            n.child().named("cancelled").spawn(sleep_forever());
            let thread = n.child().named("thread").spawn(to_thread(|| ()));
            assert!(thread.await.is_ok());
            handle.cancel("enough");
            checkpoint().await;
        }));
        assert!(out.await.is_err());
    };
    root(current().unwrap(), tree).observe(follower).await;
}

/// B282: the hooks come in a fixed order for each task: spawned, polls in pairs, ended; on any adapter.
#[test]
fn the_events_of_a_task_come_in_order() {
    let runs: [(&str, fn(Arc<Follower>)); 3] = [
        ("sim", |follower| foster_sim::run(1, followed(follower))),
        ("smol", |follower| foster_smol::run(followed(follower))),
        ("tokio", |follower| foster_tokio::run(followed(follower))),
    ];
    for (name, run) in runs {
        let follower = Arc::new(Follower::default());
        run(follower.clone());
        assert_eq!(follower.of("quick"), "s()e", "on {name}");
        for task in ["parent", "grandchild", "cancelled", "thread"] {
            let events = follower.of(task);
            let polls = events.strip_prefix('s').and_then(|rest| rest.strip_suffix('e')).unwrap_or("none");
            assert_eq!(polls.replace("()", ""), "", "{task} on {name}: {events}");
        }
        let events = follower.events();
        let id = events.iter().find(|(_, name, _)| name == "parent").unwrap().0;
        let spawned = |(_, name, event): &&(u64, String, TaskEvent)| {
            name == "grandchild" && matches!(event, TaskEvent::Spawned { .. })
        };
        assert_eq!(events.iter().find(spawned).unwrap().2, TaskEvent::Spawned { parent: Some(id) });
    }
}

/// B282: a task that is cut off with its host has ended, too, once.
#[test]
fn a_task_that_is_dropped_ends_once() {
    foster_sim::run(1, async {
        let follower = Arc::new(Follower::default());
        let tree = root(current().unwrap(), async {
            let Ok(()) = nursery(async |n: Nursery| {
                n.child().named("left").spawn(sleep_forever());
                sleep_forever().await;
            })
            .await;
        });
        let mut tree = Box::pin(tree.observe(follower.clone()));
        let driven = std::future::poll_fn(|cx| tree.as_mut().poll(cx));
        assert!(foster::move_on_after(secs(1), driven).await.is_none());
        drop(tree);
        assert_eq!(follower.of("left"), "s()e");
    });
}

/// Polls that take long, and tasks that go on after a cancel, are reported with name and place, each of these once.
#[test]
fn slow_polls_and_ignored_cancels_are_reported() {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let told = reports.clone();
    foster_sim::run(1, async move {
        let watch = PollWatch::new(secs(2)).patience(secs(3)).on_report(move |report| {
            told.lock().unwrap().push(report.to_string());
        });
        let tree = async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let out = scope.run(nursery(async move |n: Nursery| {
                n.child().named("hashing").spawn(async {
                    foster_sim::clock().jump(secs(1));
                    yield_now().await;
                    foster_sim::clock().jump(secs(5));
                });
                sleep(secs(10)).await;
                n.child().named("stubborn").spawn(shield(async {
                    for _ in 0..10 {
                        sleep(secs(1)).await;
                    }
                }));
                n.child().named("polite").spawn(sleep_forever());
                sleep(secs(1)).await;
                handle.cancel("enough");
            }));
            drop(out.await);
        };
        root(current().unwrap(), tree).observe(Arc::new(watch)).await;
    });
    let reports = reports.lock().unwrap().clone();
    assert_eq!(reports.len(), 2, "{reports:#?}");
    assert!(reports[0].starts_with("a poll of task `hashing` (tests/tests/seeing.rs:"), "{reports:#?}");
    assert!(reports[0].ends_with("took 5s"), "{reports:#?}");
    assert!(reports[1].starts_with("task `stubborn` (tests/tests/seeing.rs:"), "{reports:#?}");
    assert!(reports[1].ends_with("was cancelled 4s ago, and goes on"), "{reports:#?}");
}

/// S34: the end of a task says how it was, as its handle does; also of a task that was dropped before it began.
#[test]
fn the_end_of_a_task_says_how_it_was() {
    let follower = Arc::new(Follower::default());
    let seen = follower.clone();
    let tree = async move {
        let service = foster::NurseryOptions::new().on_error(|_: &str, _| ());
        let out = std::panic::AssertUnwindSafe(service.run(async |n: Nursery<&str>| {
            n.child().named("well").spawn(async { Ok(1) });
            n.child().named("badly").spawn(async { Err::<(), _>("no") });
            let begun = n.child().named("stopped").spawn(sleep_forever());
            sleep(secs(1)).await;
            let fresh = n.child().named("unpolled").spawn(async { Ok(()) });
            begun.cancel("enough");
            fresh.cancel("enough");
            sleep(secs(1)).await;
            n.child().named("crashed").spawn(async { if secs(0).is_zero() { panic!("on purpose") } else { Ok(()) } });
            Ok(())
        }));
        let mut out = std::pin::pin!(out.0);
        let crashed = std::future::poll_fn(|cx| {
            let poll = std::panic::AssertUnwindSafe(|| std::future::Future::poll(out.as_mut(), cx));
            match std::panic::catch_unwind(poll) {
                Ok(poll) => poll.map(|_| false),
                Err(_) => std::task::Poll::Ready(true),
            }
        });
        assert!(crashed.await);
    };
    foster_sim::run(1, async move { root(current().unwrap(), tree).observe(follower).await });
    let ends: std::collections::BTreeMap<_, _> = seen
        .events()
        .into_iter()
        .filter_map(|(_, name, event)| match event {
            TaskEvent::Ended { status } => Some((name, status)),
            _ => None,
        })
        .collect();
    let expected = [
        ("badly", TaskStatus::Failed),
        ("crashed", TaskStatus::Panicked),
        ("stopped", TaskStatus::Cancelled),
        ("unpolled", TaskStatus::Cancelled),
        ("well", TaskStatus::Finished),
    ];
    assert_eq!(ends, expected.map(|(name, status)| (name.to_owned(), status)).into());
}
