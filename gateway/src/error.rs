use ffapi_nats::LogError;

/// Why the gateway cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on; is something else running there?")]
    Listen {
        /// The configured address.
        address: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("{file} cannot be used for TLS")]
    Tls {
        /// The path of the file.
        file: String,
        /// The error of reading it, or what is missing in it.
        source: std::io::Error,
    },
    /// The HTTP client for the issuer's keys cannot be created.
    #[error("the HTTP client for the issuer's keys cannot be created")]
    Issuer(#[from] reqwest::Error),
    /// The event log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The server failed.
    #[error("the server failed")]
    Serve(#[source] std::io::Error),
}
