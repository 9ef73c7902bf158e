use serde::{Deserialize, Serialize};

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// See jobs and uploads.
    #[serde(rename = "jobs:read")]
    JobsRead,
    /// Make and change them.
    #[serde(rename = "jobs:write")]
    JobsWrite,
    /// Make, change and revoke keys of its own tenant that may no more than itself.
    #[serde(rename = "keys:manage")]
    KeysManage,
    /// Read the audit trail of its own tenant.
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

    /// As written in JSON.
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
