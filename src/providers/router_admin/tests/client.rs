//! The client against a real router on loopback.

use std::time::Duration;

use super::support::{Bench, upstream};
use crate::base::clock::{Entropy, Timestamp};
use crate::base::redact::Secret;
use crate::base::units::Weight;
use crate::providers::http::HttpError;
use crate::providers::router_admin::RouterAdmin;
use crate::providers::router_admin::client::RouterAdminError;
use crate::router::api::{StageRequest, StateAnswer};
use crate::router::lowered::Lowering;
use crate::router::state::{Audience, Expected};

fn later(secs: u64) -> Timestamp {
    crate::base::clock::Clock::System.now().plus(Duration::from_secs(secs))
}

fn seen(answer: &StateAnswer) -> Expected {
    Expected { generation: answer.state.generation, epoch: answer.state.epoch }
}

#[tokio::test]
async fn a_whole_release_and_back_in_one_call() {
    let bench = Bench::start().await;
    let admin = bench.admin();
    let start = admin.state().await.unwrap();
    let request = StageRequest {
        canary: upstream("two", bench.two),
        release: "v2".into(),
        audience: Audience::default(),
        expect_generation: start.state.generation,
        epoch: 5,
    };
    let staged = admin.stage(&request).await.unwrap();
    let raised = admin.raise(Weight::FULL, later(60), seen(&staged)).await.unwrap();
    assert_eq!((raised.state.weight, raised.persisted), (Weight::FULL, true));
    let renewed = admin.renew(5, later(90)).await.unwrap();
    assert_eq!(renewed.state.generation, raised.state.generation);
    admin.revert(Lowering::RolledBack).await.unwrap();
    let stale = admin.raise(Weight::FULL, later(60), seen(&raised)).await.unwrap_err();
    let RouterAdminError::Refused(refused) = stale else { panic!("{stale}") };
    assert_eq!(refused.code, "stale_epoch");
    let again = StageRequest {
        expect_generation: refused.state.as_ref().unwrap().generation,
        epoch: refused.state.as_ref().unwrap().epoch,
        ..request.clone()
    };
    let lowered = admin.stage(&again).await.unwrap();
    let full = admin.raise(Weight::FULL, later(60), seen(&lowered)).await.unwrap();
    let promoted = admin.promote(seen(&full)).await.unwrap();
    assert_eq!(promoted.state.base.deployment, "two");
    assert_eq!(promoted.state.previous, Some(upstream("one", bench.one)));
    let back = admin.previous(None).await.unwrap();
    assert_eq!(back.state.base.deployment, "one");
    let reverted = admin.revert(Lowering::RolledBack).await.unwrap();
    assert!(reverted.state.suspended);
    let told = reverted.state.lowered.map(|lowered| lowered.how);
    assert_eq!((told, reverted.lowered_us_ago.is_some()), (Some(Lowering::RolledBack), true));
    assert_eq!(admin.state().await.unwrap().state.lowered, reverted.state.lowered);
    let metrics = admin.metrics().await.unwrap();
    assert_eq!(metrics.generation, reverted.state.generation);
    bench.stop().await;
}

#[tokio::test]
async fn what_is_not_a_router_or_not_allowed_is_told_apart() {
    let bench = Bench::start().await;
    let admin_url = format!("http://{}", bench.router.admin);
    let client = |url: &str, token: &str| {
        RouterAdmin::new(url, Secret::new(token), Entropy::seeded(1)).unwrap()
    };
    let wrong = client(&admin_url, "wrong").revert(Lowering::RolledBack).await.unwrap_err();
    assert!(matches!(wrong, RouterAdminError::Unauthorized), "{wrong}");
    let app = client(&format!("http://{}", bench.one), "t").state().await.unwrap_err();
    assert!(matches!(app, RouterAdminError::NotARouter { .. }), "{app}");
    let nobody = client("http://127.0.0.1:1", "t").state().await.unwrap_err();
    assert!(matches!(nobody, RouterAdminError::Http(HttpError::Connect { .. })), "{nobody}");
    bench.stop().await;
}
