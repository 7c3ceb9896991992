//! The part of a scope's future that lives without a node: its polls, and its end.

use std::future::Future;
use std::panic;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use super::{Ending, Policy, Scoped, Stage, after};
use crate::tree::ambient;
use crate::tree::drive::{Body, Driver, conclude};
use crate::tree::light::Light;
use crate::tree::node::{Life, NodeRef};
use crate::tree::quiet::drop_payload;
use crate::tree::resting::RestKey;

/// What a poll of a scope without a node came to.
pub(super) enum First<V> {
    Ready(Ending<V>),
    Pending,
    Over,
}

impl<F, R, V, P> Scoped<F, R, V, P>
where
    F: Future<Output = R>,
    P: Policy<R, Value = V>,
{
    /// A poll of a scope without a node; none if it cannot do without one.
    pub(super) fn poll_light(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<thread::Result<Poll<()>>> {
        let this = self.project();
        let (node, result) = match this.light.rest() {
            Some(_) => ambient::reenter_light(this.light, || this.body.poll(cx)),
            None => ambient::enter_light(this.light, || this.body.poll(cx))?,
        };
        if node.is_some() {
            *this.seat = node;
            this.light.rests_at(None);
        }
        Some(result)
    }

    pub(super) fn make_node(self: Pin<&mut Self>) {
        let this = self.project();
        *this.seat = ambient::make_node(this.light);
        if this.seat.is_none() {
            this.light.no_context();
        }
    }

    pub(super) fn after_light(mut self: Pin<&mut Self>, result: thread::Result<Poll<()>>, waker: &Waker) -> First<V> {
        let this = self.as_mut().project();
        let lives_light = this.seat.is_none() || this.light.rest().is_some();
        if lives_light {
            match result {
                Ok(Poll::Pending) if self.as_mut().rest(waker) => return First::Pending,
                Ok(Poll::Pending) => self.as_mut().make_node(),
                Ok(Poll::Ready(())) => {
                    self.as_mut().end_light();
                    let this = self.project();
                    let output = this.body.take();
                    return First::Ready(match output.and_then(|output| this.policy.settle(None, output)) {
                        Some(value) => Ending::Value(value),
                        None => Ending::Failed,
                    });
                }
                Err(payload) => {
                    self.as_mut().end_light();
                    let this = self.project();
                    let (_, dropped) = ambient::reenter_light(this.light, || this.body.clear());
                    drop_payload(dropped.err());
                    panic::resume_unwind(payload);
                }
            }
        }
        let mut this = self.project();
        let Some(node) = this.seat.as_ref() else { this.light.no_context() };
        let step = conclude(Driver::Own, node, this.body.as_mut(), result, false, waker);
        if !after(step, this.body.as_mut(), this.policy, node) {
            return First::Pending;
        }
        *this.stage = Stage::Winding;
        First::Over
    }

    /// A scope without a node is not ready. Says whether it rests; it does not if it has to have a node now.
    fn rest(self: Pin<&mut Self>, waker: &Waker) -> bool {
        let this = self.project();
        let by_driver = ambient::is_driver(waker);
        if let Some(node) = &*this.seat {
            if this.light.is_running() && node.rests_on(this.light, waker, by_driver) {
                return true;
            }
        }
        // No lock is held while a waker is cloned or dropped (L36).
        let mut other = if by_driver { None } else { Some(waker.clone()) };
        let rest = match &*this.seat {
            Some(node) if this.light.is_running() => node.rest(this.light, &mut other, |_| None),
            // Known to be over.
            Some(_) => None,
            None => ambient::rest(this.light, this.seat, waker, &mut other),
        };
        match rest {
            Some(key) => {
                this.light.rests_at(Some(key));
                this.light.set_wakes_driver(by_driver);
            }
            None => *this.seat = None,
        }
        rest.is_some()
    }

    /// A scope ends without ever having had a node.
    #[inline]
    fn end_light(self: Pin<&mut Self>) {
        let this = self.project();
        *this.stage = Stage::Done;
        if let Some(key) = this.light.take_rest() {
            let node = this.seat.take().or_else(ambient::innermost);
            drop(node.and_then(|node| node.end_rest(key)));
        }
    }
}

/// The future of a light scope that rests in `node` is dropped, and with it the body. Gives the node that it has become: by
/// then, or in the drop.
#[cold]
pub(super) fn lose_resting(node: &NodeRef, key: RestKey, light: &Light, drop_body: impl FnOnce()) -> Option<NodeRef> {
    let (made, result) = drop_resting(node, key, light, drop_body);
    if let Err(payload) = result {
        match made.clone().or_else(ambient::try_current) {
            Some(node) if node.life() != Life::Closed => node.panicked(payload),
            _ => drop_payload(Some(payload)),
        }
    }
    made
}

/// Drops the body of a light scope that rests in `node`, unless this is not where it stands: then it becomes a node.
pub(super) fn drop_resting(
    node: &NodeRef,
    key: RestKey,
    light: &Light,
    drop_body: impl FnOnce(),
) -> (Option<NodeRef>, thread::Result<()>) {
    if !ambient::stands_in(node, light.outer()) {
        return (node.rest_becomes(key), Ok(()));
    }
    // With its place, so that those that rest inside it find themselves where they stand.
    let mut lost = light.lost();
    lost.rests_at(Some(key));
    let (made, result) = ambient::reenter_light(&mut lost, drop_body);
    node.end_rest(key);
    (made, result)
}
