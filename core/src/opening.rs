//! A closure and the future it returns, as one future: the closure is called in the first poll.
//!
//! So whatever the closure does before its first await happens inside the scope, too.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pin_project! {
    /// The body of a scope that is given something: the closure until the first poll, then its future.
    #[project = OpeningProj]
    pub(crate) enum Opening<F, A, Fut> {
        Closure { call: Option<(F, A)> },
        Future { #[pin] future: Fut },
    }
}

impl<F, A, Fut> Opening<F, A, Fut> {
    pub(crate) fn new(closure: F, argument: A) -> Self {
        Opening::Closure { call: Some((closure, argument)) }
    }
}

impl<F, A, Fut> Future for Opening<F, A, Fut>
where
    F: FnOnce(A) -> Fut,
    Fut: Future,
{
    type Output = Fut::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
        loop {
            let future = match self.as_mut().project() {
                OpeningProj::Future { future } => return future.poll(cx),
                OpeningProj::Closure { call } => match call.take() {
                    Some((closure, argument)) => closure(argument),
                    None => unreachable!("the closure is called once"),
                },
            };
            self.set(Opening::Future { future });
        }
    }
}
