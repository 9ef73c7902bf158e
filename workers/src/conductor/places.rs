use ffapi_domain::dispatch::{Place, PlacesQuestion};
use ffapi_nats::LiveMessage;

use super::Conductor;

impl Conductor {
    /// Tells where a tenant's waiting jobs stand, and what keeps them.
    pub(super) async fn tell_places(&self, question: &LiveMessage) {
        let asked: Result<PlacesQuestion, _> = serde_json::from_slice(&question.payload);
        let Ok(PlacesQuestion { tenant, job, limit }) = asked else { return };
        let present = self.roster().pools().into_keys().collect();
        let places: Vec<Place> = match job {
            Some(job) => self.state.place(job, &tenant, &present).into_iter().collect(),
            None => self.state.places(&tenant, &present, limit),
        };
        if let Ok(answer) = serde_json::to_vec(&places) {
            self.live.answer(question, answer).await;
        }
    }
}
