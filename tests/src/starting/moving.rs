//! How a started child moves from its caller to the nursery, with all that hangs below it.

use std::sync::{Arc, Mutex, OnceLock};

use foster::error::JoinError;
use foster::nursery::Started;
use foster::runtime::{TreeHandle, root};
use foster::{
    CancelScope, Instant, checkpoint, deadline, graceful, is_cancelled, move_on_after, shield, sleep, sleep_forever,
};

use super::Oops;
use crate::groups::both::both;
use crate::groups::probe::{Count, runtime, until};
use crate::harness::ms;

both! {
    /// B130: also if the token lives on elsewhere. It is worth nothing then.
    a_token_does_not_outlive_its_child, a_local_token_does_not_outlive_its_child: {
        let kept: Arc<Mutex<Option<Started<i32>>>> = Arc::default();
        let out: Result<(), Oops> = open(async |n: Handle<Oops>| {
            let keep = kept.clone();
            let child = n.start(async move |status| {
                *keep.lock().unwrap() = Some(status);
                checkpoint().await;
            });
            assert_eq!(move_on_after(ms(50), child).await, Some(Err(Oops::Start(JoinError::NotStarted))));
            let token = kept.lock().unwrap().take().expect("kept");
            assert!(!token.started(1));
            assert!(n.is_empty());
            Ok(())
        })
        .await;
        assert_eq!(out, Ok(()));
    }

    /// B141, L1: until it is ready a child stands below the caller, with the caller's deadline; after that below the
    /// nursery, where that deadline means nothing.
    a_child_moves_from_the_caller_to_the_nursery, a_local_child_moves_from_the_caller_to_the_nursery: {
        let seen: Arc<OnceLock<TreeHandle>> = Arc::default();
        let (look, ended) = (seen.clone(), Count::new());
        let up = ended.clone();
        let tree = root(
            runtime(),
            open(async |n: Handle<Oops>| {
                let inside = n.clone();
                let scope = CancelScope::new().named("the caller's scope").deadline_after(ms(60_000));
                let limit = Instant::now() + ms(60_000);
                let child = n.start(async move |status| {
                    let tree = look.get().expect("set before");
                    assert!(deadline().is_some_and(|at| at >= limit));
                    assert_eq!(inside.len(), 0);
                    assert!(parents(&tree.dump().to_string()).contains(&"the caller's scope".to_owned()));
                    assert!(status.started(()));
                    assert_eq!((deadline(), inside.len()), (None, 1));
                    assert_eq!(parents(&tree.dump().to_string()), ["nursery", "root"]);
                    checkpoint().await;
                    up.up();
                });
                scope.run(child).await.expect("in time")?;
                // The end of the caller's scope is not the child's.
                Ok::<(), Oops>(())
            }),
        );
        assert!(seen.set(tree.tree()).is_ok());
        assert_eq!(tree.await, Ok(()));
        assert_eq!(ended.value(), 1);
    }

    /// B141, L1, L9: nor does a request to the caller that a graceful shield holds off: its hard time reaches neither
    /// the child nor the scopes inside it that had heard of it.
    the_callers_hard_time_does_not_reach_the_child, the_callers_hard_time_does_not_reach_the_local_child: {
        let ended = Count::new();
        let up = ended.clone();
        let out: Result<(), Oops> = open(async |n: Handle<Oops>| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let child = n.start(async move |status| {
                let inside = async {
                    // The mark comes down to this scope.
                    assert!(handle.cancel_within(ms(400), "soon"));
                    assert!(status.started(()));
                    sleep(ms(500)).await;
                    // A scope that is opened here asks the scope around it.
                    let mut innermost = CancelScope::new();
                    let _handle = innermost.handle();
                    innermost.run(checkpoint()).await.expect("nobody cancels it");
                    up.up();
                };
                let mut around = CancelScope::new();
                let _handle = around.handle();
                around.run(inside).await.expect("nobody cancels it");
            });
            scope.run(graceful(child)).await.expect("ready before the hard time")
        })
        .await;
        assert_eq!(out, Ok(()));
        assert_eq!(ended.value(), 1);
    }

    /// B141, L8: a child that was ready in time is not touched by the caller's deadline, when that passes later.
    the_callers_deadline_does_not_reach_the_child_any_more, the_callers_deadline_does_not_reach_the_local_child_any_more: {
        let (passed, ended) = (Count::new(), Count::new());
        let out: Result<i32, Oops> = open(async |n: Handle<Oops>| {
            let (looked, up) = (passed.reaches(1), ended.clone());
            let mut scope = CancelScope::new().deadline_after(ms(60_000));
            let caller = scope.handle();
            let cut = scope
                .run(async {
                    let said = n
                        .start(async move |status| {
                            // A scope further in moves along.
                            CancelScope::new()
                                .run(async {
                                    status.started(2);
                                    looked.await;
                                    checkpoint().await;
                                    up.up();
                                })
                                .await
                                .expect("nobody has a handle");
                        })
                        .await;
                    assert_eq!(said, Ok(2));
                    assert!(caller.set_deadline(Instant::now() + ms(1)));
                    sleep_forever().await
                })
                .await;
            assert!(cut.is_err());
            assert_eq!((n.len(), ended.value()), (1, 0));
            passed.up();
            Ok(9)
        })
        .await;
        assert_eq!(out, Ok(9));
        assert_eq!(ended.value(), 1);
    }

    /// B141, L9: a child that moves into a nursery that is cancelled is cancelled there, though its caller, in a
    /// shield, is not.
    a_child_that_moves_into_a_cancelled_nursery_is_cancelled, a_child_that_moves_into_a_cancelled_local_nursery_is_cancelled: {
        let (said, passed, dropped) = (Count::new(), Count::new(), Count::new());
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(open(async |n: Handle<Oops>| {
                shield(async {
                    let (beyond, gone) = (passed.clone(), dropped.on_drop());
                    let value = n
                        .start(async move |status| {
                            let _gone = gone;
                            handle.cancel("the nursery, not the caller");
                            checkpoint().await;
                            assert!(status.started(3));
                            assert!(is_cancelled());
                            checkpoint().await;
                            beyond.up();
                        })
                        .await?;
                    assert_eq!(value, 3);
                    said.up();
                    Ok::<(), Oops>(())
                })
                .await
            }))
            .await;
        // The body has completed; the child was cut, which voids that (L33).
        assert!(out.is_err());
        assert_eq!((said.value(), passed.value(), dropped.value()), (1, 0, 1));
    }

    /// B128: the token may be handed on: a child of the child may say that all is ready.
    a_token_may_be_handed_to_a_child_of_the_child, a_local_token_may_be_handed_to_a_child_of_the_child: {
        let ended = Count::new();
        let out: Result<i32, Oops> = open(async |n: Handle<Oops>| {
            let up = ended.clone();
            n.start(async move |status| {
                open(async |inner: Handle<Oops>| {
                    inner.spawn(async move {
                        checkpoint().await;
                        status.started(13);
                        sleep(ms(1)).await;
                        up.up();
                    });
                    Ok(())
                })
                .await
            })
            .await
        })
        .await;
        assert_eq!(out, Ok(13));
        assert_eq!(ended.value(), 1);
    }

    /// B128: or to any other task: the child moves also while nobody is polling it.
    a_token_may_be_used_by_a_sibling, a_token_may_be_used_by_a_local_sibling: {
        let ended = Count::new();
        let out: Result<i32, Oops> = open(async |n: Handle<Oops>| {
            let (kept, there): (Arc<Mutex<Option<Started<i32>>>>, _) = (Arc::default(), Count::new());
            let (keep, come, told) = (kept.clone(), there.reaches(1), Count::new());
            let heard = told.reaches(1);
            n.spawn(async move {
                come.await;
                sleep(ms(1)).await;
                let token = keep.lock().unwrap().take().expect("kept");
                assert!(token.started(14));
                told.up();
            });
            let up = ended.clone();
            n.start(async move |status| {
                *kept.lock().unwrap() = Some(status);
                there.up();
                heard.await;
                up.up();
            })
            .await
        })
        .await;
        assert_eq!(out, Ok(14));
        assert_eq!(ended.value(), 1);
    }

    /// B128, L26: a call of `start` that is dropped when the child has moved, and before the caller has heard of it,
    /// takes nothing along: the child is the nursery's.
    a_child_that_has_moved_survives_its_caller, a_local_child_that_has_moved_survives_its_caller: {
        let ended = Count::new();
        let out: Result<i32, Oops> = open(async |n: Handle<Oops>| {
            let (kept, there): (Arc<Mutex<Option<Started<i32>>>>, _) = (Arc::default(), Count::new());
            let (keep, come) = (kept.clone(), there.clone());
            let (up, go) = (ended.clone(), Count::new());
            let gone = go.reaches(1);
            let mut call = Box::pin(n.start(async move |status| {
                *keep.lock().unwrap() = Some(status);
                come.up();
                gone.await;
                up.up();
            }));
            until(call.as_mut(), there.reaches(1)).await;
            let token = kept.lock().unwrap().take().expect("kept");
            assert!(token.started(15));
            assert_eq!(n.len(), 1);
            drop(call);
            assert_eq!((n.len(), ended.value()), (1, 0));
            go.up();
            Ok(16)
        })
        .await;
        assert_eq!(out, Ok(16));
        assert_eq!(ended.value(), 1);
    }
}

/// The names of what stands above the task of a test in a dump, from the inside out.
fn parents(dump: &str) -> Vec<String> {
    let lines: Vec<_> = dump.lines().map(|line| (line.len() - line.trim_start().len(), line.trim_start())).collect();
    let task = lines.iter().position(|(_, line)| line.starts_with("task") && line.contains("::starting::"));
    let task = task.unwrap_or_else(|| panic!("no task in\n{dump}"));
    let mut depth = lines[task].0;
    let mut names = Vec::new();
    for (indent, line) in lines[..task].iter().rev() {
        if *indent < depth {
            depth = *indent;
            names.push(line.split('`').nth(1).unwrap_or_default().to_owned());
        }
    }
    names
}
