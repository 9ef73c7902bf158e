use crate::{Log, LogError, Message, PageLimits};

/// Reads the messages of a subject filter page by page, in the order of the log.
#[derive(Debug)]
pub struct Pages<'a> {
    log: &'a Log,
    filter: String,
    /// Stream sequence of the next page's start; none after the last page.
    from: Option<u64>,
    up_to: u64,
}

/// What is read at once.
const PAGE: PageLimits = PageLimits { messages: 1_000, bytes: 1024 * 1024 };

impl Log {
    /// The messages on the subjects that match `filter`, up to and including a sequence.
    pub fn pages(&self, filter: impl Into<String>, up_to: u64) -> Pages<'_> {
        Pages { log: self, filter: filter.into(), from: Some(1), up_to }
    }
}

impl Pages<'_> {
    /// The next page; none after the last one.
    ///
    /// # Errors
    /// When the server does not respond; calling it again repeats the page.
    pub async fn next(&mut self) -> Result<Option<Vec<Message>>, LogError> {
        let Some(from) = self.from.filter(|from| *from <= self.up_to) else { return Ok(None) };
        let mut page = self.log.page_within(&self.filter, from, PAGE).await?;
        let last = page.messages.last().filter(|_| page.has_more);
        self.from = last.map(|last| last.sequence.saturating_add(1));
        page.messages.retain(|message| message.sequence <= self.up_to);
        Ok(Some(page.messages))
    }
}
