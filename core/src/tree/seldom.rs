//! A place for what most scopes never have.

use std::ops::{Deref, DerefMut};

/// A box that is seldom there. Unlike an `Option` alone it is dropped by a look, and a call only if there is something: millions
/// of nodes have some of these each.
pub(crate) struct Seldom<T>(Option<Box<T>>);

impl<T> Default for Seldom<T> {
    fn default() -> Self {
        Seldom(None)
    }
}

impl<T> Deref for Seldom<T> {
    type Target = Option<Box<T>>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> DerefMut for Seldom<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T> Drop for Seldom<T> {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        #[inline(never)]
        fn out_of_line<T>(there: Box<T>) {
            drop(there);
        }
        if let Some(there) = self.0.take() {
            out_of_line(there);
        }
    }
}
