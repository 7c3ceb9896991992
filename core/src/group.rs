//! Several errors as one.

use std::error::Error;
use std::fmt;

use crate::nursery::errors::Recorded;
use crate::reason::Origin;

/// All errors of a [`NurseryOptions::collect_errors`](crate::NurseryOptions::collect_errors), in the order in which
/// they were recorded, each with the child it comes from.
///
/// `Display` prints it as a tree, over several lines; building and printing it is linear in the number of errors.
///
/// # Examples
///
/// ```
/// use foster::{Nursery, NurseryOptions};
///
/// # foster_sim::run(1, async {
/// let group = NurseryOptions::new().collect_errors().run(async |n: Nursery<String>| {
///     n.child().named("a").spawn(async { Err::<(), _>("timeout".to_owned()) });
///     n.child().named("b").spawn(async { Err::<(), _>("not found".to_owned()) });
///     Ok(())
/// })
/// .await
/// .unwrap_err();
/// let (timeouts, others) = group.split(|error| error == "timeout");
/// assert_eq!(timeouts.unwrap().len(), 1);
/// assert_eq!(others.unwrap().into_errors(), ["not found"]);
/// # });
/// ```
pub struct ErrorGroup<E> {
    nursery: Origin,
    members: Vec<Member<E>>,
}

/// One error of an [`ErrorGroup`].
#[derive(Clone)]
#[non_exhaustive]
pub struct Member<E> {
    /// The error.
    pub error: E,
    /// The child it comes from; `None` for the body of the nursery.
    pub child: Option<Origin>,
}

impl<E> ErrorGroup<E> {
    pub(crate) fn new(nursery: Origin, errors: Vec<Recorded<E>>) -> Self {
        let members = errors.into_iter().map(|Recorded { error, child }| Member { error, child }).collect();
        ErrorGroup { nursery, members }
    }

    /// How many errors there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a group is never empty")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The nursery that they were collected in.
    #[must_use]
    pub fn nursery(&self) -> &Origin {
        &self.nursery
    }

    /// The errors with where they come from.
    #[must_use]
    pub fn members(&self) -> &[Member<E>] {
        &self.members
    }

    /// The errors.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.members.iter().map(|member| &member.error)
    }

    /// The errors, without where they come from.
    #[must_use]
    pub fn into_errors(self) -> Vec<E> {
        self.members.into_iter().map(|member| member.error).collect()
    }

    /// Two groups: the errors for which `pick` says yes, and the others; `None` where there are none.
    pub fn split(self, mut pick: impl FnMut(&E) -> bool) -> (Option<Self>, Option<Self>) {
        let (yes, no): (Vec<_>, Vec<_>) = self.members.into_iter().partition(|member| pick(&member.error));
        let group =
            |members: Vec<Member<E>>, nursery: Origin| (!members.is_empty()).then_some(ErrorGroup { nursery, members });
        (group(yes, self.nursery.clone()), group(no, self.nursery))
    }

    /// Only the errors for which `keep` says yes; `None` if there are none.
    #[must_use]
    pub fn filter(self, keep: impl FnMut(&E) -> bool) -> Option<Self> {
        self.split(keep).0
    }

    /// Changes the type of the errors, for a nursery further out.
    pub fn map<U>(self, mut change: impl FnMut(E) -> U) -> ErrorGroup<U> {
        let members = self.members.into_iter();
        ErrorGroup {
            nursery: self.nursery,
            members: members.map(|Member { error, child }| Member { error: change(error), child }).collect(),
        }
    }
}

impl ErrorGroup<Box<dyn Error + Send + Sync>> {
    /// Two groups: the errors that are a `T`, or have one among their sources, and the others.
    #[must_use]
    pub fn split_type<T: Error + 'static>(self) -> (Option<Self>, Option<Self>) {
        self.split(|error| {
            let mut next: Option<&(dyn Error + 'static)> = Some(&**error);
            while let Some(error) = next {
                if error.is::<T>() {
                    return true;
                }
                next = error.source();
            }
            false
        })
    }
}

impl<E> IntoIterator for ErrorGroup<E> {
    type Item = Member<E>;
    type IntoIter = std::vec::IntoIter<Member<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<E: fmt::Display> fmt::Display for ErrorGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.members.len();
        let errors = if count == 1 { "error" } else { "errors" };
        write!(f, "{count} {errors} in {}", self.nursery)?;
        for (index, member) in self.members.iter().enumerate() {
            let (branch, indent) = if index + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let from = match &member.child {
                Some(child) => child.name(),
                None => "body",
            };
            let text = format!("{from}: {}", member.error);
            for (index, line) in text.lines().enumerate() {
                write!(f, "\n{}{line}", if index == 0 { branch } else { indent })?;
            }
        }
        Ok(())
    }
}

impl<E: fmt::Debug> fmt::Debug for ErrorGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorGroup").field("nursery", &self.nursery).field("members", &self.members).finish()
    }
}

impl<E: fmt::Debug> fmt::Debug for Member<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("error", &self.error).field("child", &self.child).finish()
    }
}

impl<E: fmt::Debug + fmt::Display> Error for ErrorGroup<E> {}
