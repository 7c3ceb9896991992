//! The spans and events that a subscriber sees.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use foster::observer::{ObservedScope, ObservedTask, Observer, ScopeEvent, TaskEvent};
use foster::runtime::root;
use foster::{CancelScope, Nursery, defer, nursery, shield, sleep, sleep_forever, to_thread, yield_now};
use foster_smol::Smol;
use foster_tracing::Tracing;
use smol::Executor;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A subscriber that writes down what it is told.
#[derive(Clone, Default)]
struct Notes {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<AtomicU64>,
    names: Arc<Mutex<Vec<String>>>,
    /// The spans that are entered, on this one thread.
    entered: Arc<Mutex<Vec<u64>>>,
}

impl Notes {
    fn add(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn name(&self, id: u64) -> String {
        self.names.lock().unwrap()[id as usize - 1].clone()
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

#[derive(Default)]
struct Fields(String, String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.0 = format!("{value:?}"),
            name => write!(self.1, "{name}={value:?} ").unwrap(),
        }
    }
}

impl Subscriber for Notes {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        assert_eq!(span.metadata().target(), "foster");
        let kind = span.metadata().name();
        let place = format!("{kind}.file=\"adapters/");
        assert!(fields.1.contains(&place) && fields.1.contains(&format!("{kind}.line=")), "{}", fields.1);
        let name = fields.1.split('"').nth(if kind == "task" { 1 } else { 3 }).unwrap().to_owned();
        let above = span.parent().map_or("nobody".to_owned(), |parent| self.name(parent.into_u64()));
        self.add(format!("{name} begins below {above}"));
        self.names.lock().unwrap().push(name);
        Id::from_u64(self.spans.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let inside = self.entered.lock().unwrap().last().map_or("nobody".to_owned(), |id| self.name(*id));
        self.add(format!("{} in {inside}: {}", event.metadata().level(), fields.0));
    }

    fn enter(&self, span: &Id) {
        self.entered.lock().unwrap().push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.entered.lock().unwrap().pop(), Some(span.into_u64()), "spans are left as they were entered");
    }

    fn try_close(&self, span: Id) -> bool {
        self.add(format!("{} is closed", self.name(span.into_u64())));
        true
    }
}

/// Opens a scope, and loses it with an error that nobody gets.
async fn lose_an_error() {
    let mut lost = Box::pin(nursery(async |n: Nursery<&str>| {
        n.spawn(async { Err::<(), _>("lost") });
        sleep_forever().await;
        Ok(())
    }));
    let once = std::future::poll_fn(|cx| Poll::Ready(lost.as_mut().poll(cx).is_pending()));
    assert!(once.await);
    yield_now().await;
    drop(lost);
}

/// The messages to an observer, of errors that have no caller.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn orphan(&self, orphan: &foster::observer::Orphan<'_>) {
        self.0.lock().unwrap().push(orphan.to_string());
    }
}

#[test]
#[ignore = "it prints an error: see `an_error_that_no_subscriber_wants_is_printed`"]
fn loses_an_error() {
    foster_sim::Builder::new(1).observer(Arc::new(Tracing::new())).run(lose_an_error());
}

#[test]
fn an_error_that_no_subscriber_wants_is_printed() {
    let mut tests = std::process::Command::new(std::env::current_exe().unwrap());
    let output = tests.args(["--exact", "loses_an_error", "--ignored", "--nocapture"]).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.contains("\"lost\""), "{err}");
}

#[test]
fn another_observer_is_told_although_the_subscriber_panics() {
    struct Panics;

    impl Subscriber for Panics {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            panic!("a subscriber that panics");
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    let told = Arc::<Told>::default();
    let observer = Tracing::new().before(told.clone());
    tracing::subscriber::with_default(Panics, || {
        foster_sim::Builder::new(1).observer(Arc::new(observer)).run(lose_an_error());
    });
    let told = told.0.lock().unwrap();
    assert!(told.len() == 1 && told[0].contains("lost"), "{told:?}");
}

#[test]
fn tasks_are_spans_that_are_entered_while_they_are_polled() {
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        foster_sim::Builder::new(1).observer(Arc::new(Tracing::new())).run(async {
            let Ok(()) = nursery(async |n: Nursery| {
                n.child().named("outer").spawn(async {
                    tracing::info!("before");
                    yield_now().await;
                    let Ok(()) = nursery(async |n: Nursery| {
                        n.child().named("inner").spawn(async { tracing::info!("deep inside") });
                    })
                    .await;
                    tracing::info!("after");
                });
            })
            .await;
            tracing::info!("at the end");
        });
    });
    assert!(notes.entered.lock().unwrap().is_empty());
    let lines = once(notes.lines());
    let lines: Vec<_> = lines.iter().filter(|line| !line.ends_with("is closed")).collect();
    assert_eq!(
        lines,
        [
            "outer begins below nobody",
            "INFO in outer: before",
            "inner begins below outer",
            "INFO in inner: deep inside",
            "INFO in outer: after",
            "INFO in nobody: at the end",
        ]
    );
}

/// The first of each line: a span is closed once for each of its handles.
fn once(lines: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    for line in lines {
        if !seen.contains(&line) {
            seen.push(line);
        }
    }
    seen
}

#[test]
fn scopes_are_spans_that_are_entered_while_code_runs_in_them() {
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        foster_sim::Builder::new(1).observer(Arc::new(Tracing::new().scopes())).run(async {
            tracing::info!("at the root");
            let all = CancelScope::new().named("import").run(nursery(async |n: Nursery| {
                n.child().named("worker").spawn(async {
                    defer(async { tracing::info!("cleaning") });
                    yield_now().await;
                    // Ready at once: it has a span all the same.
                    shield(async { tracing::info!("shielded") }).await;
                    to_thread(|| ()).named("job").await;
                });
            }));
            let Ok(Ok(())) = all.await else { panic!("it was not cancelled") };
            tracing::info!("at the end");
        });
    });
    assert!(notes.entered.lock().unwrap().is_empty());
    let (closed, lines): (Vec<_>, Vec<_>) =
        once(notes.lines()).into_iter().partition(|line| line.ends_with("is closed"));
    assert_eq!(
        lines,
        [
            "root begins below nobody",
            "INFO in root: at the root",
            "import begins below root",
            "nursery begins below import",
            "worker begins below nursery",
            "shield begins below worker",
            "INFO in shield: shielded",
            "job begins below worker",
            "finalizer begins below worker",
            "INFO in finalizer: cleaning",
            "INFO in root: at the end",
        ]
    );
    assert_eq!(closed.len(), 7, "all of them: {closed:?}");
}

/// A subscriber that wants no more than a level.
struct Only(Level, Notes);

impl Subscriber for Only {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.1.new_span(span)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.1.event(event);
    }

    fn enter(&self, span: &Id) {
        self.1.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.1.exit(span);
    }
}

#[test]
fn scopes_that_the_subscriber_does_not_want_are_passed_over() {
    let notes = Notes::default();
    tracing::subscriber::with_default(Only(Level::INFO, notes.clone()), || {
        foster_sim::Builder::new(1).observer(Arc::new(Tracing::new().scopes())).run(async {
            let Ok(()) = nursery(async |n: Nursery| {
                n.child().named("outer").spawn(nursery(async |n: Nursery| {
                    n.child().named("inner").spawn(async { tracing::info!("deep inside") });
                }));
            })
            .await;
        });
    });
    assert!(notes.entered.lock().unwrap().is_empty());
    assert_eq!(notes.lines(), ["outer begins below nobody", "inner begins below outer", "INFO in inner: deep inside"]);
}

#[test]
fn errors_without_a_caller_are_events() {
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        foster_sim::Builder::new(1).observer(Arc::new(Tracing::new())).run(async {
            let failed: Result<(), &str> = nursery(async |n: Nursery<&'static str>| {
                for name in ["first", "second"] {
                    n.child().named(name).spawn(async move {
                        CancelScope::new().shielded().run(sleep(Duration::from_secs(1))).await.unwrap();
                        Err::<(), _>("failed")
                    });
                }
                sleep_forever().await;
                Ok(())
            })
            .await;
            assert_eq!(failed, Err("failed"));
        });
    });
    let errors: Vec<_> = notes.lines().into_iter().filter(|line| line.starts_with("ERROR in ")).collect();
    assert_eq!(errors.len(), 1, "{:#?}", notes.lines());
    assert!(errors[0].contains("a further error in"), "{errors:#?}");
}

/// Notes in which order a child is polled and ends.
struct Order {
    scopes: bool,
    events: Mutex<Vec<&'static str>>,
}

impl Observer for Order {
    fn follows_tasks(&self) -> bool {
        !self.scopes
    }

    fn task(&self, _: &ObservedTask<'_>, event: TaskEvent) {
        match event {
            TaskEvent::PollBegins => self.events.lock().unwrap().push("enter"),
            TaskEvent::PollEnds { .. } => self.events.lock().unwrap().push("leave"),
            TaskEvent::Ended { .. } => self.events.lock().unwrap().push("end"),
            _ => {}
        }
    }

    fn follows_scopes(&self) -> bool {
        self.scopes
    }

    fn scope(&self, scope: &ObservedScope<'_>, event: ScopeEvent) {
        if scope.kind != "task" {
            return;
        }
        match event {
            ScopeEvent::Entered => self.events.lock().unwrap().push("enter"),
            ScopeEvent::Left => self.events.lock().unwrap().push("leave"),
            ScopeEvent::Closed => self.events.lock().unwrap().push("end"),
            _ => {}
        }
    }
}

/// Drops a root on another thread, in the middle of a poll of a child of it.
fn drop_the_root_during_a_poll(scopes: bool) {
    let order = Arc::new(Order { scopes, events: Mutex::default() });
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        let observer = Tracing::new().before(order.clone());
        let observer = Arc::new(if scopes { observer.scopes() } else { observer });
        let executor = Arc::new(Executor::new());
        let (give, take) = mpsc::channel::<Pin<Box<dyn Future<Output = ()> + Send>>>();
        let body = async move {
            let Ok(_) = nursery(async |n: Nursery| {
                n.child().named("child").spawn(async move {
                    let root = take.recv().unwrap();
                    thread::spawn(move || drop(root)).join().unwrap();
                    tracing::info!("still polled");
                });
                sleep_forever().await
            })
            .await;
        };
        let mut root = Box::pin(root(Arc::new(Smol::on(&executor)), body).observe(observer.clone()));
        assert!(root.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        give.send(root).unwrap();
        while executor.try_tick() {}
        tracing::info!("afterwards");
        assert_eq!(format!("{observer:?}"), "Tracing { open: 0, .. }");
    });
    let events = order.events.lock().unwrap();
    let ended = events.iter().position(|event| *event == "end").unwrap();
    assert!(events[..ended].contains(&"enter") && events[ended..].contains(&"leave"), "{events:?}");
    assert!(notes.entered.lock().unwrap().is_empty(), "each span was left");
    let lines = notes.lines();
    let events: Vec<_> = lines.iter().filter(|line| line.starts_with("INFO")).collect();
    assert_eq!(events, ["INFO in child: still polled", "INFO in nobody: afterwards"]);
}

/// Fails if `test` takes longer than any machine does.
fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let test = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    if wait.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("it hangs");
    }
    test.join().unwrap();
}

#[test]
fn a_task_that_ends_during_its_poll_leaves_its_span() {
    watched(|| drop_the_root_during_a_poll(false));
}

#[test]
fn a_scope_that_ends_during_its_poll_leaves_its_span() {
    watched(|| drop_the_root_during_a_poll(true));
}

/// A subscriber that prints the observer each time it is called for a span.
#[derive(Clone, Default)]
struct Prints(Arc<OnceLock<Arc<Tracing>>>);

impl Prints {
    fn print(&self) {
        let printed = self.0.get().map(|observer| format!("{observer:?}"));
        assert!(printed.is_some_and(|printed| printed.starts_with("Tracing { open: ")));
    }
}

impl Subscriber for Prints {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.print();
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        self.print();
    }

    fn exit(&self, _: &Id) {
        self.print();
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.print();
        id.clone()
    }

    fn try_close(&self, _: Id) -> bool {
        self.print();
        true
    }
}

#[test]
fn no_lock_is_held_while_the_subscriber_runs() {
    watched(|| {
        let prints = Prints::default();
        tracing::subscriber::with_default(prints.clone(), || {
            let observer = Arc::new(Tracing::new());
            prints.0.set(observer.clone()).unwrap();
            foster_sim::Builder::new(1).observer(observer).run(async {
                let Ok(()) = nursery(async |n: Nursery| {
                    n.spawn(nursery(async |n: Nursery| {
                        n.spawn(yield_now());
                    }));
                })
                .await;
            });
        });
    });
}
