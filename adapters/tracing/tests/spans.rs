//! The spans and events that a subscriber sees.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::{CancelScope, Nursery, nursery, sleep, sleep_forever, yield_now};
use foster_tracing::Tracing;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

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
        assert!(fields.1.contains("task.file=\"adapters/tracing/tests/spans.rs\" task.line="), "{}", fields.1);
        let name = fields.1.split('"').nth(1).unwrap().to_owned();
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
    // A span is closed once for each of its handles; only the first matters here.
    let mut lines = notes.lines();
    let mut seen = Vec::new();
    lines.retain(|line| {
        let first = !seen.contains(line);
        seen.push(line.clone());
        first
    });
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
