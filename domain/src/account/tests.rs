use super::{
    Account, AccountCommand, AccountEvent, AccountRejection, AccountTerms, LimitsPatch, Tier, Tiers,
};
use crate::spec::given;

fn change(tier: Option<Tier>, limits: LimitsPatch) -> AccountCommand {
    AccountCommand::Change { tier, limits: Box::new(limits), allowed_ips: None }
}

fn keys(keys: u32) -> LimitsPatch {
    LimitsPatch { keys: Some(keys), ..LimitsPatch::default() }
}

fn changed(tier: Option<Tier>, limits: LimitsPatch) -> AccountEvent {
    let terms = AccountTerms { tier, limits, ..AccountTerms::default() };
    AccountEvent::Changed { terms }
}

#[test]
fn a_change_keeps_values_that_are_not_given() {
    let basic = || changed(Some(Tier::Basic), LimitsPatch::default());
    given::<Account>([]).when(change(Some(Tier::Basic), LimitsPatch::default())).then([basic()]);
    given::<Account>([basic()])
        .when(change(None, keys(3)))
        .then([changed(Some(Tier::Basic), keys(3))]);
    given::<Account>([basic()])
        .when(change(Some(Tier::Basic), LimitsPatch::default()))
        .then_nothing();
}

#[test]
fn a_tenants_own_limits_override_its_tiers() {
    let tiers = Tiers::default();
    let terms =
        AccountTerms { tier: Some(Tier::Premium), limits: keys(3), ..AccountTerms::default() };
    let limits = terms.limits(&tiers);
    assert_eq!((limits.keys, limits.requests_per_hour, limits.concurrent_jobs), (3, 2_000, 10));
    assert_eq!(AccountTerms::default().limits(&tiers), tiers.free);
}

#[test]
fn an_erased_account_rejects_changes_until_it_is_reopened() {
    let premium = || changed(Some(Tier::Premium), LimitsPatch::default());
    let change = || change(Some(Tier::Basic), LimitsPatch::default());
    given::<Account>([premium()]).when(AccountCommand::Close).then([AccountEvent::Closing {}]);
    let closing = || [premium(), AccountEvent::Closing {}];
    given::<Account>(closing()).when(change()).then_rejected(&AccountRejection::Closing);
    given::<Account>(closing()).when(AccountCommand::Close).then_nothing();
    given::<Account>(closing())
        .when(AccountCommand::Reopen)
        .then_rejected(&AccountRejection::Closing);
    given::<Account>(closing()).when(AccountCommand::Erase).then([AccountEvent::Erased {}]);
    let erased = || [premium(), AccountEvent::Closing {}, AccountEvent::Erased {}];
    given::<Account>(erased()).when(change()).then_rejected(&AccountRejection::Erased);
    given::<Account>(erased()).when(AccountCommand::Reopen).then([AccountEvent::Reopened {}]);
}

#[test]
fn a_reopened_account_has_the_default_terms() {
    let reopened = || {
        let premium = changed(Some(Tier::Premium), keys(3));
        [premium, AccountEvent::Erased {}, AccountEvent::Reopened {}]
    };
    given::<Account>(reopened()).when(AccountCommand::Reopen).then_nothing();
    given::<Account>(reopened())
        .when(change(Some(Tier::Basic), LimitsPatch::default()))
        .then([changed(Some(Tier::Basic), LimitsPatch::default())]);
}
