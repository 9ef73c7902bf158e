//! Object storage servers for tests. Each is a real server of another project, on loopback, private
//! to the test that starts it, and ends with it. `ops/setup` installs them.

mod azure;
mod fault_proxy;
mod s3;
mod server;

pub use azure::Azure;
pub use fault_proxy::{Fault, FaultProxy};
pub use s3::S3;
