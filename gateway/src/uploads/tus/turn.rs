//! The right of a request to write an upload: of several, at any gateways, the newest has it, for as long
//! as the upload is neither complete nor deleted, its account is open, and storage is held for it.

use ffapi_domain::{Timestamp, upload::UploadState};
use ffapi_storage::PartialUpload;
use uuid::Uuid;

use super::{
    continued::{Assumed, Continued, complete},
    description::{Description, RENEWAL},
    remove::remove,
};
use crate::{
    clock,
    problem::{Kind, Problem},
    uploads::stored,
};

/// The turn of a request.
pub(super) struct Turn {
    of: Continued,
    /// As this request wrote it.
    description: Description,
    /// Bytes of storage that are held for the upload.
    held: u64,
}

/// Whether a request may write an upload.
enum Standing {
    Newest,
    Superseded,
    /// The upload is complete, or its account is closed.
    Over(Problem),
    /// It was deleted, or nothing is held for it.
    Gone,
}

impl Turn {
    /// Takes the turn, if the upload is as the request assumes; earlier requests store nothing more.
    /// Returns what is received.
    pub(super) async fn take(
        of: Continued,
        assumed: Assumed,
    ) -> Result<(Self, PartialUpload), Problem> {
        of.gateway.must_still_be_open(&of.tenant).await?;
        let Some(description) = of.description().await? else { return Err(of.missing().await?) };
        let mut turn = Self { of, description, held: 0 };
        turn.hold(assumed).await?;
        // Whatever is deleted from here on is noticed once the description is written.
        let Some(partial) = turn.of.storage().partial(turn.of.id).await? else {
            remove(&turn.of).await?;
            return Err(turn.of.missing().await?);
        };
        let found = Description::decode(&partial.description)?;
        assumed.must_be_true(&found, &partial)?;
        turn.description = Description {
            length: assumed.length,
            writer: Some(Uuid::now_v7()),
            touched: turn.description.touched,
            ..found
        };
        turn.write(partial.size()).await?;
        turn.of.storage().remove_strays(turn.of.id, &partial).await?;
        Ok((turn, partial))
    }

    /// Bytes that the upload may have.
    pub(super) fn end(&self, max_bytes: u64) -> u64 {
        self.description.length.unwrap_or(self.held).min(max_bytes)
    }

    /// Holds storage for as long as the upload may take from now on.
    async fn hold(&mut self, assumed: Assumed) -> Result<(), Problem> {
        self.description.touched = clock::now().as_millis();
        self.held = self.of.hold(assumed, self.description.held_until()).await?;
        Ok(())
    }

    /// Writes the description, which is removed again if the upload has ended.
    async fn write(&self, size: u64) -> Result<(), Problem> {
        let description = self.description.encode()?;
        self.of.storage().begin_partial(self.of.id, description).await?;
        self.check(size).await
    }

    async fn standing(&self, size: u64) -> Result<Standing, Problem> {
        let Continued { gateway, tenant, id, .. } = &self.of;
        if let Some(problem) = gateway.has_closed(tenant).await {
            return Ok(Standing::Over(problem));
        }
        if stored::state(gateway, tenant, *id).await? != UploadState::Unknown {
            return Ok(Standing::Over(complete()));
        }
        let held = self.of.held().await?;
        let description = self.of.description().await?.filter(|_| held > 0);
        let Some(description) = description else { return Ok(Standing::Gone) };
        let is_newest = description.writer == self.description.writer && held >= size;
        Ok(if is_newest { Standing::Newest } else { Standing::Superseded })
    }

    /// Checks that the request may write the upload, of which there are then this many bytes. Nothing is
    /// left of an upload that has ended.
    pub(super) async fn check(&self, size: u64) -> Result<(), Problem> {
        match self.standing(size).await? {
            Standing::Newest => Ok(()),
            Standing::Superseded => {
                let detail = "a later request continues this upload";
                Err(Problem::header(Kind::Conflict, "Upload-Offset", detail))
            }
            Standing::Over(problem) => {
                self.of.storage().drop_partial(self.of.id).await?;
                Err(problem)
            }
            Standing::Gone => {
                remove(&self.of).await?;
                Err(self.of.missing().await?)
            }
        }
    }

    /// The same, and holds the storage for longer if the turn has lasted for long.
    pub(super) async fn check_or_renew(&mut self, size: u64) -> Result<(), Problem> {
        self.check(size).await?;
        let renewed = Timestamp::from_millis(self.description.touched);
        if clock::now() < renewed.plus(RENEWAL) {
            return Ok(());
        }
        let length = self.description.length;
        self.hold(Assumed { offset: size, length, max_bytes: self.held.max(size) }).await?;
        self.check(size).await?;
        self.write(size).await
    }

    /// The upload, and who continues it.
    pub(super) fn of(&self) -> &Continued {
        &self.of
    }
}
