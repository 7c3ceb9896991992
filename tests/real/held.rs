//! Code that is not polled while other operations run.

use super::foreign;
use super::interpret::{At, End, cut, run};
use super::program::{Op, Ops, Place};
use foster::{CancelScope, combine};

impl At {
    fn parts_of_held(&self, op: &Op) -> [foreign::Boxed<End>; 2] {
        let inside = At { held: true, ..self.clone() };
        let part = |at: &At, n: usize| run(at, op.parts.get(n).unwrap_or(&Ops::default()));
        [part(&inside, 0), part(self, 1)]
    }

    /// Polls the first part once, and holds it while the second runs.
    pub(crate) async fn held(&self, op: &Op, finish: bool) -> End {
        let [mut held, other] = self.parts_of_held(op);
        if let Some(end) = foreign::poll_once(&mut held).await {
            return end;
        }
        other.await?;
        if finish { held.await } else { Ok(()) }
    }

    /// Holds something that has its place in the tree and was never polled, while other operations run.
    pub(crate) async fn unpolled(&self, op: &Op, place: Place, finish: bool) -> End {
        let [inside, other] = self.parts_of_held(op);
        match place {
            Place::RunHere => {
                let held = Box::pin(CancelScope::new().run_here(inside));
                other.await?;
                if finish { cut(held.await.ok()) } else { Ok(()) }
            }
            Place::AsCompleted => {
                let mut held = foster::combine::as_completed([inside]);
                other.await?;
                if finish { held.next().await.unwrap_or(Ok(())) } else { Ok(()) }
            }
            Place::Produce => {
                let mut held = Box::pin(foster::combine::produce(|mut out: combine::Emitter<End>| async move {
                    let end = inside.await;
                    out.emit(end).await;
                }));
                other.await?;
                if finish { held.next().await.unwrap_or(Ok(())) } else { Ok(()) }
            }
        }
    }
}
