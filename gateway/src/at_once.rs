use futures::future::{BoxFuture, join_all};

/// Commands given at once: the log takes so many together.
const AT_ONCE: usize = 256;

/// Does many things, some at a time; answers in their order.
pub(crate) async fn at_once<T>(things: impl Iterator<Item = BoxFuture<'_, T>>) -> Vec<T> {
    let mut things: Vec<_> = things.collect();
    let mut answers = Vec::with_capacity(things.len());
    while !things.is_empty() {
        let rest = things.split_off(things.len().min(AT_ONCE));
        answers.extend(join_all(things).await);
        things = rest;
    }
    answers
}
