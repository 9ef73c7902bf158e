use std::time::SystemTime;

use anyhow::Context;
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::{Provider, client, read, variable};

/// AWS Secrets Manager. Configured by `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
/// and optionally `AWS_SESSION_TOKEN` and `AWS_ENDPOINT_URL`.
pub(super) struct SecretsManager {
    region: String,
    endpoint: String,
    credentials: Credentials,
}

const TARGET: &str = "secretsmanager.GetSecretValue";
const JSON: &str = "application/x-amz-json-1.1";

impl SecretsManager {
    pub(super) fn from_environment() -> anyhow::Result<Self> {
        let region = variable("AWS_REGION")?;
        let endpoint = std::env::var("AWS_ENDPOINT_URL")
            .unwrap_or_else(|_| format!("https://secretsmanager.{region}.amazonaws.com"));
        let credentials = Credentials::new(
            variable("AWS_ACCESS_KEY_ID")?,
            variable("AWS_SECRET_ACCESS_KEY")?,
            std::env::var("AWS_SESSION_TOKEN").ok(),
            None,
            "environment",
        );
        Ok(Self { region, endpoint, credentials })
    }

    /// A request with an AWS Signature Version 4.
    fn signed(&self, body: String) -> anyhow::Result<http::Request<String>> {
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("secretsmanager")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let url = format!("{}/", self.endpoint.trim_end_matches('/'));
        let headers = [("content-type", JSON), ("x-amz-target", TARGET)];
        let bytes = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", &url, headers.into_iter(), bytes)?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = http::Request::post(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(body)?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

impl Provider for SecretsManager {
    /// The name is that of the secret, or its ARN. Its value is parsed as a JSON object if it is
    /// one.
    fn fetch<'a>(&'a self, name: &'a str) -> BoxFuture<'a, anyhow::Result<Value>> {
        async move {
            let request = self.signed(json!({ "SecretId": name }).to_string())?;
            let answer = read(client()?.execute(request.try_into()?).await?).await?;
            let text = answer.get("SecretString").and_then(Value::as_str);
            let text = text.context("the response has no `SecretString`")?;
            let fields = serde_json::from_str(text).ok().filter(Value::is_object);
            Ok(fields.unwrap_or_else(|| text.into()))
        }
        .boxed()
    }
}
