//! An observer that follows the scopes.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use foster::observer::{ObservedScope, Observer, PollWatch, ScopeEvent};
use foster::runtime::{current, root};
use foster::{
    CancelScope, LocalNursery, Nursery, bracket, defer, fail_after, local_nursery, move_on_after, nursery, shield,
    sleep, sleep_forever, to_thread, yield_now,
};

use super::secs;

/// Follows the scopes, and checks that what it is told hangs together.
#[derive(Default)]
struct Scopes(Mutex<State>);

#[derive(Default)]
struct State {
    open: BTreeMap<u64, (String, usize)>,
    /// Name and parent's name, in the order of opening.
    opened: Vec<(String, String)>,
    closed: Vec<String>,
    entered: usize,
}

impl Scopes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn opened(&self) -> Vec<String> {
        self.lock().opened.iter().map(|(name, parent)| format!("{name} < {parent}")).collect()
    }

    /// Everything that was opened is closed.
    fn is_complete(&self) -> bool {
        let state = self.lock();
        let (mut opened, mut closed): (Vec<_>, _) =
            (state.opened.iter().map(|(name, _)| name).collect(), state.closed.iter().collect::<Vec<_>>());
        opened.sort();
        closed.sort();
        state.open.is_empty() && opened == closed && state.entered >= opened.len()
    }
}

impl Observer for Scopes {
    fn follows_scopes(&self) -> bool {
        true
    }

    fn scope(&self, scope: &ObservedScope<'_>, event: ScopeEvent) {
        let name = match scope.origin.name() {
            name if name.contains("::") => scope.kind,
            name => name,
        };
        let mut state = self.lock();
        match event {
            ScopeEvent::Opened { parent } => {
                let parent = parent.map_or("nothing", |id| &state.open[&id].0).to_owned();
                state.opened.push((name.to_owned(), parent));
                assert!(state.open.insert(scope.id, (name.to_owned(), 0)).is_none(), "two live ones have one id");
            }
            ScopeEvent::Entered => {
                state.entered += 1;
                state.open.get_mut(&scope.id).expect("it is open").1 += 1;
            }
            ScopeEvent::Left => {
                // One that is dropped from outside is closed first.
                if let Some(open) = state.open.get_mut(&scope.id) {
                    open.1 = open.1.checked_sub(1).expect("it was entered");
                }
            }
            ScopeEvent::Closed => {
                let (name, _) = state.open.remove(&scope.id).expect("it is open, and closed once");
                state.closed.push(name);
            }
            _ => panic!("an event that this does not know: {event:?}"),
        }
    }
}

async fn program() {
    let all = CancelScope::new().named("all").deadline_after(secs(60)).run(nursery(async |n: Nursery| {
        n.child().named("worker").spawn(async {
            defer(async { sleep(secs(1)).await });
            // Ready at once: without a follower there would be no node for these.
            fail_after(secs(1), shield(async {})).await.unwrap();
            move_on_after(secs(1), sleep_forever()).await;
            to_thread(|| ()).named("job").await;
            let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
                n.child().named("local").spawn(yield_now());
            })
            .await;
            bracket(async {}, async |_| (), |(), _| async {}).await;
        });
        let mut lost = Box::pin(CancelScope::new().named("lost").run(async {
            defer(sleep(secs(1)));
            sleep_forever().await
        }));
        foster::move_on_after(secs(1), lost.as_mut()).await;
        drop(lost);
        n.child().named("cut").daemon().spawn(sleep_forever());
    }));
    let Ok(Ok(())) = all.await else { panic!("it was in time") };
}

/// B282: every scope is opened below the one around it, entered and left in turns, and closed once; tasks, jobs,
/// finalizers, those that are lost, and those that would need no node included.
#[test]
fn the_events_of_scopes_hang_together() {
    let runs: [(&str, fn(Arc<Scopes>)); 3] = [
        ("sim", |scopes| foster_sim::Builder::new(1).observer(scopes).run(program())),
        ("smol", |scopes| foster_smol::Builder::new().threads(2).observer(scopes).run(program_in_short())),
        ("tokio", |scopes| foster_tokio::Builder::new().observer(scopes).run(program_in_short())),
    ];
    for (name, run) in runs {
        let scopes = Arc::new(Scopes::default());
        run(scopes.clone());
        assert!(scopes.is_complete(), "on {name}: {:?} {:?}", scopes.opened(), scopes.lock().closed);
        if name == "sim" {
            let mut opened = scopes.opened();
            assert_eq!(opened[..4], ["root < nothing", "all < root", "nursery < all", "worker < nursery"]);
            opened.drain(..4);
            for expected in [
                "cancel scope < worker",
                "shield < cancel scope",
                "job < worker",
                "nursery < worker",
                "local < nursery",
                "bracket < worker",
                "finalizer < worker",
                "lost < cancel scope",
                "finalizer < lost",
                "cut < nursery",
            ] {
                assert!(opened.iter().any(|opened| opened == expected), "{expected} is not in {opened:#?}");
            }
        }
    }
}

/// The part that needs no patience.
async fn program_in_short() {
    let Ok(()) = nursery(async |n: Nursery| {
        for _ in 0..50 {
            n.spawn(async {
                defer(async {});
                fail_after(secs(60), shield(async {})).await.unwrap();
                let mut lost = Box::pin(shield(sleep_forever()));
                let pending = poll_fn(|cx| Poll::Ready(lost.as_mut().poll(cx).is_pending())).await;
                assert!(pending);
                drop(lost);
                to_thread(|| ()).await;
            });
        }
        n.spawn_daemon(sleep_forever());
    })
    .await;
}

/// B282, L30: scopes that are cut off with their host are closed, too, once; and an observer before it hands all of it
/// on.
#[test]
fn scopes_that_are_dropped_are_closed_once() {
    foster_sim::run(1, async {
        let scopes = Arc::new(Scopes::default());
        let watch = PollWatch::new(secs(1)).before(scopes.clone());
        let mut tree = Box::pin(root(current().unwrap(), program()).observe(Arc::new(watch)));
        assert!(move_on_after(secs(1) / 2, tree.as_mut()).await.is_none());
        drop(tree);
        assert!(scopes.is_complete(), "{:?} {:?}", scopes.opened(), scopes.lock().closed);
        assert!(scopes.lock().closed.iter().any(|name| name == "worker"));
    });
}
