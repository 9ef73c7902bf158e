//! Jobs as a principal sees them: with the newest progress, their expiry, and URLs that browsers and
//! players can open.

use std::time::Duration;

use super::{
    show::{JobBody, SummaryBody, show, summary},
    urls::JobUrls,
    usage::UsageBody,
};
use crate::{
    auth::{CredentialKind, Principal, Token, TokenScope},
    clock,
    output_expiry::expiry,
    playback,
    state::Gateway,
};
use ffapi_domain::{
    JobId, Personal, Timestamp,
    job::{JobStatus, JobSummary, JobView, PlaybackOutputs, output_path, output_url_name},
    key::Scope,
    location::Location,
};

/// Presents jobs to a principal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presenter<'a> {
    gateway: &'a Gateway,
    principal: &'a Principal,
}

/// Minimum lifetime of the tokens in URLs.
const LIFETIME: Duration = Duration::from_hours(24);
/// Their expiry is a multiple of this, in milliseconds: until then a URL stays the same, and so does
/// what caches hold under it.
const ROUNDED_TO: u64 = 3_600_000;
/// How many tokens of later hours are tried if those of earlier ones were revoked.
const LATER_TOKENS: u64 = 24;

impl Gateway {
    pub(crate) const fn present<'a>(&'a self, principal: &'a Principal) -> Presenter<'a> {
        Presenter { gateway: self, principal }
    }
}

impl Presenter<'_> {
    pub(crate) fn job(self, job: &JobView) -> JobBody {
        let JobSummary { id, attempt, .. } = job.summary;
        let progress = self.gateway.progress.of(id, attempt);
        self.with_urls(job, show(job, progress.as_ref()))
    }

    /// A job as it was at an earlier time.
    pub(crate) fn past(self, job: &JobView) -> JobBody {
        self.with_urls(job, show(job, None))
    }

    fn with_urls(self, job: &JobView, mut body: JobBody) -> JobBody {
        if job.outputs.iter().any(|output| !output.is_put()) {
            body.summary.expires_at = self.expires_at(&job.summary);
        }
        let prices = self.gateway.prices.as_ref();
        let is_completed = job.summary.status == JobStatus::Completed;
        let usage = job.usage.as_ref().filter(|_| is_completed);
        body.usage = usage.map(|usage| UsageBody::of(&job.summary.kind, usage, prices));
        if is_completed {
            body.summary.urls = self.urls(job.summary.id, job.playback());
        }
        body
    }

    pub(crate) fn summary(self, job: &JobSummary) -> SummaryBody {
        let progress = self.gateway.progress.of(job.id, job.attempt);
        let mut body = summary(job, progress.as_ref());
        let output = job.output.as_ref();
        let is_put = output.and_then(Personal::as_ref).is_some_and(Location::is_put);
        body.expires_at = self.expires_at(job).filter(|_| output.is_some() && !is_put);
        if job.status == JobStatus::Completed
            && let Some(playback) = &job.playback
        {
            body.urls = self.urls(job.id, playback.outputs());
        }
        body
    }

    /// When the outputs of a completed job will be deleted.
    fn expires_at(self, job: &JobSummary) -> Option<String> {
        expiry(job, self.gateway.retention).map(|at| at.to_string())
    }

    fn urls(self, id: JobId, outputs: PlaybackOutputs<'_>) -> JobUrls {
        if outputs == PlaybackOutputs::default() {
            return JobUrls::default();
        }
        let base = self.token(id).map(|token| playback::url(&token));
        let url = |name: &str| match &base {
            Some(base) => format!("{base}{}", output_url_name(name)),
            None => output_path(id, name),
        };
        JobUrls {
            playback_url: outputs.playback.map(url),
            dash_url: outputs.dash.map(url),
            poster_url: outputs.poster.map(url),
            sprite_url: outputs.sprite.map(url),
            download_url: outputs.download.map(|name| format!("{}?download=", url(name))),
        }
    }

    /// A token for a job's outputs, if the principal may create one: the first that was not revoked.
    fn token(self, id: JobId) -> Option<String> {
        let Principal { key, credential, until, .. } = self.principal;
        let may_create = *credential == CredentialKind::Key
            && until.is_none()
            && self.principal.require(Scope::JobsRead).is_ok();
        let scope = TokenScope::Outputs(id);
        let first = may_create.then(|| token_expiry(clock::now()))?;
        let credentials = &self.gateway.credentials;
        let mut tokens = (0..LATER_TOKENS).filter_map(|n: u64| {
            let expires_at = first.saturating_add(n.saturating_mul(ROUNDED_TO));
            let token = Token { key: *key, scope, expires_at, upload: None, nonce: None };
            token.sign(credentials.pepper())
        });
        tokens.find(|token| !credentials.is_token_revoked(*key, &Token::id(token)))
    }
}

/// The expiry of a token that is made now, in milliseconds since 1970.
fn token_expiry(now: Timestamp) -> u64 {
    let earliest = now.plus(LIFETIME).as_millis();
    earliest.div_ceil(ROUNDED_TO).saturating_mul(ROUNDED_TO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_for_a_day_at_least_and_stays_the_same_for_an_hour() {
        let day = LIFETIME.as_secs() * 1_000;
        for (now, expected) in [(0, day), (1, day + ROUNDED_TO), (ROUNDED_TO, day + ROUNDED_TO)] {
            assert_eq!(token_expiry(Timestamp::from_millis(now)), expected, "{now}");
        }
    }
}
