//! Attributes of the `foster` crate.
