use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use tokio::runtime::Handle;

use super::{Signal, Variables};

/// Sends requests on the runtime of this process: exporters have threads of their own, which are none
/// of it.
#[derive(Debug)]
pub(crate) struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

impl Client {
    /// # Errors
    /// When the client cannot be created, or the certificate cannot be read.
    pub(crate) fn new(variables: &Variables, signal: Signal) -> anyhow::Result<Self> {
        let mut client = reqwest::Client::builder().timeout(variables.timeout(signal));
        if let Some(pem) = variables.certificate(signal)? {
            client = client.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?);
        }
        Ok(Self { client: client.build()?, runtime: Handle::current() })
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let response = client.execute(request.try_into()?).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut answer = Response::new(response.bytes().await?);
            *answer.status_mut() = status;
            *answer.headers_mut() = headers;
            Ok::<_, reqwest::Error>(answer)
        });
        Box::pin(async move { Ok(sending.await??) })
    }
}

/// How a collector at an `https` endpoint is verified over gRPC; none for another endpoint.
///
/// # Errors
/// When the certificate cannot be read.
pub(crate) fn tls(
    variables: &Variables,
    signal: Signal,
) -> anyhow::Result<Option<ClientTlsConfig>> {
    let certificate = variables.certificate(signal)?;
    if !variables.endpoint(signal).is_some_and(|endpoint| endpoint.starts_with("https:")) {
        return Ok(None);
    }
    let tls = ClientTlsConfig::new().with_native_roots();
    Ok(Some(match certificate {
        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        None => tls,
    }))
}
