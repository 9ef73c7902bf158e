use commands::Caller;
use domain::room::Room;

use super::Conductor;
use crate::clock;

impl Conductor {
    /// Frees the places of jobs that are over, and takes back what dead gateways held. Repeating it is
    /// harmless.
    pub(super) async fn make_room(&mut self) {
        let caps = self.state.caps_mut();
        let due = self.rooms.due(clock::now(), |tenant| caps.limits(tenant).queue_places);
        let caller = Caller::process("queue");
        for (tenant, command) in due {
            let name = tenant.as_str();
            let told = self.commands.handle::<Room>(name, name, &caller, command).await;
            if let Err(error) = told {
                tracing::warn!(%error, %tenant, "places are not freed yet");
            }
        }
    }
}
