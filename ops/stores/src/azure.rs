use std::io;

use object_store::{
    azure::{AzureAccessKey, AzureAuthorizer, AzureCredential},
    client::{HttpRequest, HttpRequestBody},
};

use crate::server::{Server, free_port};

/// A server of Azure Blob Storage: Azurite, the emulator of its vendor.
#[derive(Debug)]
pub struct Azure {
    server: Server,
}

impl Azure {
    /// The only account.
    pub const ACCOUNT: &str = "ffapitests";
    /// The account's key.
    pub const KEY: &str = "YS1zZWNyZXQtb2YtdGhlLXRlc3RzLW9ubHktMDEyMzQ1Njc4OQ==";
    /// The container that exists at the start.
    pub const CONTAINER: &str = "media";

    /// Starts a server with an empty container.
    ///
    /// # Errors
    /// When Azurite is not installed or does not start.
    pub async fn start() -> io::Result<Self> {
        let port = free_port()?;
        let main = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../.tools/azurite/node_modules/azurite/dist/src/blob/main.js"
        );
        let port_text = port.to_string();
        let accounts = format!("AZURITE_ACCOUNTS={}:{}", Self::ACCOUNT, Self::KEY);
        let arguments = [
            accounts.as_str(),
            "node",
            main,
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            &port_text,
            "--location",
            ".",
            "--skipApiVersionCheck",
            "--disableTelemetry",
            "--silent",
        ];
        let arguments = arguments.map(str::to_owned);
        let azure = Self { server: Server::start("env", &arguments, port).await? };
        azure.create_container(Self::CONTAINER).await?;
        Ok(azure)
    }

    /// The account's URL.
    pub fn endpoint(&self) -> String {
        format!("{}/{}", self.server.url(), Self::ACCOUNT)
    }

    async fn create_container(&self, name: &str) -> io::Result<()> {
        let key = AzureAccessKey::try_new(Self::KEY).map_err(io::Error::other)?;
        let url = format!("{}/{name}?restype=container", self.endpoint());
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = reqwest::Method::PUT;
        *request.uri_mut() = url.parse().map_err(io::Error::other)?;
        request.headers_mut().insert("content-length", 0.into());
        let credential = AzureCredential::AccessKey(key);
        let authorizer = AzureAuthorizer::new(&credential, Self::ACCOUNT);
        authorizer.try_authorize(&mut request).map_err(io::Error::other)?;
        let client = reqwest::Client::new();
        let request = client.put(url).headers(request.headers().clone());
        let created = request.send().await.map_err(io::Error::other)?;
        created.error_for_status().map(drop).map_err(io::Error::other)
    }
}
