//! What jobs cost, by the operator's price table.

use std::collections::BTreeMap;

use ffapi_domain::{job::JobUsage, media::MediaRequest, quota::minutes};
use poem_openapi::Object;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// The prices of what jobs use, in one currency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    /// The currency, like `EUR`.
    pub currency: String,
    /// Of each job that completes.
    #[serde(default)]
    pub job: Price,
    /// Of each media minute that is charged.
    #[serde(default)]
    pub media_minute: Price,
    /// The same by kind of job, like `analyze`, instead of `media_minute`.
    #[serde(default, deserialize_with = "by_kind")]
    pub media_minute_by_kind: BTreeMap<String, Price>,
    /// Of each hour of CPU time.
    #[serde(default)]
    pub cpu_hour: Price,
    /// Of each gigabyte (10^9 bytes) of outputs.
    #[serde(default)]
    pub output_gigabyte: Price,
}

/// Rejects kinds of which there are no jobs.
fn by_kind<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Price>, D::Error> {
    let prices: BTreeMap<String, Price> = BTreeMap::deserialize(from)?;
    match prices.keys().find(|kind| !MediaRequest::KINDS.contains(&kind.as_str())) {
        Some(kind) => Err(D::Error::custom(format!(
            "there are no jobs of the kind `{kind}`; there are {}",
            MediaRequest::KINDS.join(", ")
        ))),
        None => Ok(prices),
    }
}

/// An amount of money, 0 or more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Price(f64);

impl TryFrom<f64> for Price {
    type Error = String;

    fn try_from(amount: f64) -> Result<Self, String> {
        if amount.is_finite() && amount >= 0.0 {
            Ok(Self(amount))
        } else {
            Err(format!("a price is 0 or more, not {amount}"))
        }
    }
}

impl From<Price> for f64 {
    fn from(price: Price) -> Self {
        price.0
    }
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Object)]
pub(crate) struct Cost {
    /// Rounded to a millionth.
    pub(crate) amount: f64,
    /// The currency, like `EUR`.
    pub(crate) currency: String,
}

/// What is priced: of one job, or the sum of several of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Priced<'a> {
    pub(crate) kind: &'a str,
    pub(crate) jobs: f64,
    pub(crate) media_minutes: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) output_bytes: f64,
}

impl PriceTable {
    /// The amount, not rounded.
    pub(crate) fn amount(&self, priced: Priced<'_>) -> f64 {
        let Priced { kind, jobs, media_minutes, cpu_seconds, output_bytes } = priced;
        let minute = self.media_minute_by_kind.get(kind).unwrap_or(&self.media_minute);
        jobs * self.job.0
            + media_minutes * minute.0
            + cpu_seconds / 3_600.0 * self.cpu_hour.0
            + output_bytes / 1e9 * self.output_gigabyte.0
    }

    /// The cost of one job.
    pub(crate) fn of_job(&self, kind: &str, usage: &JobUsage) -> Cost {
        #[expect(clippy::cast_precision_loss, reason = "far from what a float cannot count")]
        let output_bytes = usage.bytes as f64;
        self.cost(self.amount(Priced {
            kind,
            jobs: 1.0,
            media_minutes: minutes(usage.media),
            cpu_seconds: usage.cpu_seconds.unwrap_or(0.0),
            output_bytes,
        }))
    }

    /// An amount in the currency of the table.
    pub(crate) fn cost(&self, amount: f64) -> Cost {
        Cost { amount: rounded(amount), currency: self.currency.clone() }
    }
}

/// To a millionth.
fn rounded(amount: f64) -> f64 {
    (amount * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_job_uses_has_its_price() {
        let table: PriceTable = serde_json::from_value(serde_json::json!({
            "currency": "EUR", "job": 0.001, "media_minute": 0.02, "cpu_hour": 0.36,
            "output_gigabyte": 0.1, "media_minute_by_kind": { "analyze": 0.01 },
        }))
        .unwrap();
        let usage = JobUsage {
            media: 90_000_000,
            seconds: 9.0,
            cpu_seconds: Some(10.0),
            bytes: 20_000_000,
        };
        // 0.001 + 1.5 * 0.02 + 10 / 3600 * 0.36 + 0.02 * 0.1
        assert_eq!(table.of_job("convert", &usage), Cost { amount: 0.034, currency: "EUR".into() });
        assert!((table.of_job("analyze", &usage).amount - 0.019).abs() < 1e-9);
    }

    #[test]
    fn a_price_is_no_negative_or_endless_number() {
        let unknown = serde_json::json!({ "media_minute_by_kind": { "encode": 1.0 } });
        let refused = serde_json::from_value::<PriceTable>(unknown).unwrap_err();
        assert!(refused.to_string().contains("`encode`"), "{refused}");
        for bad in [-0.01, f64::NAN, f64::INFINITY] {
            assert!(Price::try_from(bad).is_err(), "{bad}");
        }
    }
}
