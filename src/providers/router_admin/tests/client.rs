//! The client against a real router on loopback.

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::support::{Bench, Client, read_head, upstream};
use crate::base::clock::Entropy;
use crate::base::redact::Secret;
use crate::base::units::{Micros, Weight};
use crate::providers::http::HttpError;
use crate::providers::router_admin::client::RouterAdminError;
use crate::providers::router_admin::{RouterAdmin, RouterPlatform};
use crate::rollout::ports::Platform as _;
use crate::router::api::{StageRequest, StateAnswer};
use crate::router::lowered::Lowering;
use crate::router::state::{Audience, Expected};

const MINUTE: Micros = Micros::from_secs(60);

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
    let raised = admin.raise(Weight::FULL, MINUTE, seen(&staged)).await.unwrap();
    assert_eq!((raised.state.weight, raised.persisted), (Weight::FULL, true));
    let renewed = admin.renew(5, Micros::from_secs(90)).await.unwrap();
    assert_eq!(renewed.state.generation, raised.state.generation);
    admin.revert(Lowering::RolledBack).await.unwrap();
    let stale = admin.raise(Weight::FULL, MINUTE, seen(&raised)).await.unwrap_err();
    let RouterAdminError::Refused(refused) = stale else { panic!("{stale}") };
    assert_eq!(refused.code, "stale_epoch");
    let again = StageRequest {
        expect_generation: refused.state.as_ref().unwrap().generation,
        epoch: refused.state.as_ref().unwrap().epoch,
        ..request.clone()
    };
    let lowered = admin.stage(&again).await.unwrap();
    let full = admin.raise(Weight::FULL, MINUTE, seen(&lowered)).await.unwrap();
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

/// Neither judges by what the other does not do: nothing is raised, and going back works.
#[tokio::test(flavor = "multi_thread")]
async fn an_orca_and_a_router_of_different_age_raise_nothing() {
    let bench = Bench::start().await;
    let staged = bench.stage(bench.two).await.state;
    let mut admin = Client(TcpStream::connect(bench.router.admin).await.unwrap());
    let (generation, epoch) = (staged.generation, staged.epoch);
    let until = i64::MAX;
    for (path, body) in [
        (
            "raise",
            format!(
                r#"{{"weight":100,"grant_until":{until},"expect_generation":{generation},"epoch":{epoch}}}"#
            ),
        ),
        ("renew", format!(r#"{{"epoch":{epoch},"grant_until":{until}}}"#)),
    ] {
        let length = body.len();
        let head = "host: a\r\nauthorization: Bearer t";
        let raw =
            format!("POST /{path} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        let seen = admin.send(&raw).await;
        assert_eq!(seen.status, 400, "{}", seen.body);
        assert!(seen.body.contains("older_orca") && seen.body.contains("update orca where"));
    }
    assert_eq!(bench.router.control.state(), staged);
    bench.stop().await;

    // What a router from before says to this orca.
    let old = "{\"schema\":\"orca.router-admin-error/v1\",\"code\":\"bad_request\",\"message\":\"unreadable \
               body: unknown field `grant_us`, expected one of `weight`, `grant_until`\",\"state\":null}";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        let length = old.len();
        let answer = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {length}\r\n\r\n{old}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let entropy = Entropy::seeded(1);
    let admin = RouterAdmin::new(&url, Secret::new("t"), entropy.clone()).unwrap();
    let platform = RouterPlatform::new(&url, &url, admin, entropy).unwrap();
    let refused = platform.renew(MINUTE, 1).await.unwrap_err().to_string();
    assert!(refused.contains("the router is older than this orca"), "{refused}");
}
