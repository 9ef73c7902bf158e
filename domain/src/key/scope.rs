use serde::{Deserialize, Serialize};

/// A permission of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Read jobs and uploads.
    #[serde(rename = "jobs:read")]
    JobsRead,
    /// Create and change jobs and uploads.
    #[serde(rename = "jobs:write")]
    JobsWrite,
    /// Create, change and revoke keys of the same tenant that have no more permissions than this
    /// one.
    #[serde(rename = "keys:manage")]
    KeysManage,
    /// Read the audit trail of the same tenant.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Everything an operator may see and do, for every tenant.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] =
        [Self::JobsRead, Self::JobsWrite, Self::KeysManage, Self::AuditRead, Self::Admin];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::KeysManage => "keys:manage",
            Self::AuditRead => "audit:read",
            Self::Admin => "admin",
        }
    }
}
