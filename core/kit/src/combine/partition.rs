//! Results, sorted: what went well, and what did not.

/// The values and the errors of some results, each in their order.
///
/// For what [`gather_results`](crate::combine::gather_results) and
/// [`map_concurrent_results`](crate::combine::map_concurrent_results) return, and for any other results.
///
/// # Examples
///
/// ```
/// use foster::combine::{gather_results, partition_results};
///
/// # foster_sim::run(1, async {
/// let settled = gather_results(["1", "x", "3"].map(async |text| text.parse::<u32>())).await;
/// let (numbers, errors) = partition_results(settled);
/// assert_eq!((numbers, errors.len()), (vec![1, 3], 1));
/// # });
/// ```
#[must_use]
pub fn partition_results<T, E>(results: impl IntoIterator<Item = Result<T, E>>) -> (Vec<T>, Vec<E>) {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    (values, errors)
}
