//! From an open wire to a board that may be driven, and whether it still is that board.

use super::BoardBackend;
use crate::{
    BackendErrorKind,
    board::{link::Link, session::Board},
    link::LinkError,
};

/// What a board is armed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// A frame: not on a board that was reset or has stopped itself since.
    Frame,
    /// Everything to zero, whatever was before.
    Parking,
}

impl BoardBackend {
    /// The link, opened again when it was lost.
    pub(super) async fn link(&mut self) -> Result<&mut Link, BackendErrorKind> {
        if self.link.as_ref().is_some_and(|link| link.news(|news| news.lost)) {
            (self.link, self.armed, self.outputs_known) = (None, None, false);
        }
        let link = match self.link.take() {
            Some(link) => link,
            None => Link::open(&self.connector, self.options.link).await?,
        };
        Ok(self.link.insert(link))
    }

    /// The link as it is: what is under way on a lost one does not go on with whatever board is there next.
    pub(super) fn same_link(&mut self) -> Result<&mut Link, BackendErrorKind> {
        let lost = || LinkError::Lost { place: self.connector.place() };
        self.link.as_mut().ok_or_else(|| lost().into())
    }

    /// Identify, limits, read back, zero, watchdog. What is armed already stays.
    pub(super) async fn arm(&mut self, purpose: For) -> Result<&mut Board, BackendErrorKind> {
        self.link().await?;
        let board = match self.armed.take() {
            Some(board) => board,
            None => self.arm_anew(purpose).await?,
        };
        Ok(self.armed.insert(board))
    }

    async fn arm_anew(&mut self, purpose: For) -> Result<Board, BackendErrorKind> {
        let descriptor = self.descriptor.clone();
        let link = self.same_link()?;
        if purpose == For::Parking {
            link.news(|news| (news.rebooted, news.tripped) = (false, None));
        }
        let mut board = link.hello(&descriptor).await?;
        if purpose == For::Frame {
            self.goes_on(self.boot_id, &board)?;
        }
        let watchdog_ms = self.options.watchdog_ms;
        let link = self.same_link()?;
        link.write_limits(&descriptor.limits).await?;
        let zero = link.read(descriptor.limits.len()).await?.iter().all(|&code| code == 0);
        if !zero || board.flags.tripped() || board.flags.outputs_enabled() {
            board.commit_epoch = link.park().await?;
            reads_zero(&link.read(descriptor.limits.len()).await?)?;
        }
        link.arm_watchdog(watchdog_ms).await?;
        Ok(board)
    }

    /// Neither reset nor stopped.
    fn goes_on(&self, boot_id: Option<u32>, now: &Board) -> Result<(), BackendErrorKind> {
        if boot_id.is_some_and(|boot_id| boot_id != now.boot_id) {
            return Err(BackendErrorKind::Rebooted { evidence: "its boot id is another".to_owned() });
        }
        if now.flags.tripped() {
            return Err(BackendErrorKind::Tripped { reason: "its flag says so".to_owned() });
        }
        Ok(())
    }

    /// What the board has said meanwhile ends what is going on.
    pub(super) fn listen(&mut self) -> Result<(), BackendErrorKind> {
        let Some(link) = &self.link else { return Ok(()) };
        let (lost, rebooted, tripped) =
            link.news(|news| (news.lost, std::mem::take(&mut news.rebooted), news.tripped.take()));
        if lost {
            return Err(LinkError::Lost { place: self.connector.place() }.into());
        }
        if rebooted {
            return Err(BackendErrorKind::Rebooted { evidence: "it says so".to_owned() });
        }
        match tripped {
            Some(reason) => Err(BackendErrorKind::Tripped { reason }),
            None => Ok(()),
        }
    }

    /// The board is still the one that was armed, holds what was last committed, and has not stopped itself.
    pub(super) async fn confirm(&mut self) -> Result<(), BackendErrorKind> {
        let descriptor = self.descriptor.clone();
        let now = self.same_link()?.hello(&descriptor).await?;
        self.listen()?;
        let armed = self.armed.as_ref().ok_or(BackendErrorKind::OutputsUnknown)?;
        self.goes_on(Some(armed.boot_id), &now)?;
        if armed.commit_epoch == now.commit_epoch {
            return Ok(());
        }
        let (last, now) = (armed.commit_epoch, now.commit_epoch);
        let evidence = format!("commit {now} where {last} was the last; or another program has the port");
        Err(BackendErrorKind::Rebooted { evidence })
    }

    pub(super) fn next_epoch(&mut self, epoch: u32) -> Result<(), BackendErrorKind> {
        let board = self.armed.as_mut().ok_or(BackendErrorKind::OutputsUnknown)?;
        if epoch != board.commit_epoch.wrapping_add(1) {
            let evidence = format!("commit {epoch} follows commit {}", board.commit_epoch);
            return Err(BackendErrorKind::Rebooted { evidence });
        }
        board.commit_epoch = epoch;
        Ok(())
    }
}

pub(super) fn reads_zero(codes: &[u16]) -> Result<(), BackendErrorKind> {
    match codes.iter().position(|&code| code != 0) {
        None => Ok(()),
        Some(actuator) => Err(BackendErrorKind::NotHeld { actuator, sent: 0, held: codes[actuator] }),
    }
}
