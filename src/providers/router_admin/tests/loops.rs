//! An upstream that is the router itself, at once or by a detour.

use tokio::net::TcpStream;

use super::support::{Bench, config, scripted, upstream};
use crate::router::api::StageRequest;
use crate::router::pool::AddressError;
use crate::router::server::{self, RouterError};
use crate::router::split::Arm;
use crate::router::state::Audience;

#[tokio::test(flavor = "multi_thread")]
async fn a_router_is_not_its_own_upstream() {
    let bench = Bench::start().await;
    let state = bench.router.control.state();
    for own in [bench.router.public, bench.router.admin] {
        let request = StageRequest {
            canary: upstream("itself", own),
            release: "v2".into(),
            audience: Audience::default(),
            expect_generation: state.generation,
            epoch: state.epoch,
        };
        let refused = bench.admin().stage(&request).await.unwrap_err();
        assert!(refused.to_string().contains("is this router itself"), "{refused}");
        let back = bench.admin().previous(Some(upstream("itself", own))).await.unwrap_err();
        assert!(back.to_string().contains("is this router itself"), "{back}");
    }
    assert_eq!(bench.router.control.state(), state);
    // A free port that the router is then given.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut looping = config(free, bench.folder.path().join("other.json"));
    looping.listen = free;
    let refused = server::start(looping);
    assert!(matches!(refused, Err(RouterError::Address(AddressError::Itself(_)))), "{refused:?}");
    bench.stop().await;
}

/// What stands between hides who it is. The request ends when it comes back marked, and the version
/// that led it back has failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_ends_and_is_the_versions_failure() {
    for (headers, passes) in [("", 9), ("x-forwarded-for: 10.0.0.1\r\n", 8)] {
        let bench = Bench::start().await;
        let public = bench.router.public;
        let detour = scripted(move |mut stream, _| async move {
            let mut back = TcpStream::connect(public).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut back).await;
        });
        let bench = bench.all_on(detour.await).await;
        let seen = bench.client().await.get("/", headers).await;
        assert_eq!(
            (seen.status, &*seen.body),
            (508, "the upstream of this router leads back to it")
        );
        let canary = bench.users_of(Arm::Canary, |row| row.requests == passes).await;
        assert_eq!((canary.failed, canary.status["5xx"]), (passes, passes));
        bench.stop().await;
    }
}
