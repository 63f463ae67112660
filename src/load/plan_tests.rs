//! What may run and what may not, at each bound.

use super::*;

pub(crate) fn draft(port: u16) -> Draft {
    Draft {
        target: Target { host: "127.0.0.1".into(), port, is_tls: false },
        endpoints: vec![Endpoint::get("/")],
        shape: Shape::constant(Rate::per_second(100), Micros::from_millis(200)),
        connections: 4,
        timeout: Micros::from_secs(10),
        keep_alive: true,
        insecure: false,
        http2: false,
        phases: false,
        detailed: false,
        shard: Shard::default(),
        start_at: None,
    }
}

fn refused(change: impl FnOnce(&mut Draft)) -> PlanError {
    let mut draft = draft(1);
    change(&mut draft);
    let production = [("shop.example".to_owned(), "production".to_owned())];
    let bounds =
        Bounds { production: &production, allow_production: false, file_limit: Some(1_024) };
    let error = LoadPlan::new(draft, &bounds).unwrap_err();
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn what_cannot_run_is_refused_with_its_value() {
    let rate = |n| Shape::constant(Rate::per_second(n), Micros::from_secs(1));
    assert!(matches!(refused(|d| d.shape = rate(0)), PlanError::RateZero(_)));
    assert!(matches!(refused(|d| d.shape = rate(200_001)), PlanError::RateTooHigh(_)));
    let shared = |d: &mut Draft| (d.shape, d.shard) = (rate(400_000), "1/2".parse().unwrap());
    let mut two = draft(80);
    shared(&mut two);
    assert!(LoadPlan::new(two, &Bounds::default()).is_ok(), "200,000/s on each of two");
    assert!(matches!(refused(|d| d.shape = Shape::Open(vec![])), PlanError::Duration(_)));
    assert!(matches!(refused(|d| d.timeout = Micros(0)), PlanError::Timeout(_)));
    assert_eq!(refused(|d| d.endpoints.clear()), PlanError::NoEndpoints);
    assert_eq!(refused(|d| d.connections = 0), PlanError::NoConnections);
    let many = refused(|d| d.connections = 100_000);
    assert_eq!(many, PlanError::Connections { asked: 100_000, limit: 1_024 });
    assert!(many.hint().contains("--connections 960"));
    assert_eq!(
        refused(|d| d.connections = 961),
        PlanError::Connections { asked: 961, limit: 1_024 }
    );
    assert!(matches!(refused(|d| d.endpoints[0].path = "/a b".into()), PlanError::Endpoint { .. }));
    assert!(matches!(
        refused(|d| d.endpoints[0].headers = vec![("x".into(), "a\r\nb: c".into())]),
        PlanError::Endpoint { .. }
    ));
    assert!(matches!(
        refused(|d| d.endpoints[0].path = "/{{data.id}}".into()),
        PlanError::Endpoint { what, .. } if what.contains("needs a data file")
    ));
    assert!(matches!(
        refused(|d| d.target = Target { host: "a_b..c".into(), port: 443, is_tls: true }),
        PlanError::Target(_)
    ));
    assert!(matches!(
        refused(|d| {
            d.endpoints.push(Endpoint { weight: 10_000, ..Endpoint::get("/b") });
        }),
        PlanError::Endpoint { .. }
    ));
    let production = refused(|d| d.target.host = "Shop.Example".into());
    assert!(matches!(production, PlanError::Production { .. }));
}

#[test]
fn bounds_are_inclusive_and_production_can_be_allowed() {
    let production = [("127.0.0.1".to_owned(), "production".to_owned())];
    let bounds =
        Bounds { production: &production, allow_production: true, file_limit: Some(1_024) };
    let edge = Draft {
        connections: 960,
        shape: Shape::constant(RATE_MAX, Micros::from_secs(1)),
        ..draft(1)
    };
    assert!(LoadPlan::new(edge, &bounds).is_ok());
}

#[test]
fn targets() {
    let (target, path) = Target::parse("http://localhost:8080/a?b=1").unwrap();
    assert_eq!((target.host_header().as_str(), path.as_str()), ("localhost:8080", "/a?b=1"));
    assert_eq!(Target::parse("http://[::1]:90").unwrap().0.host, "[::1]");
    assert_eq!(Target::parse("http://h").unwrap().1, "/");
    let (secure, _) = Target::parse("https://h").unwrap();
    assert_eq!((secure.port, secure.is_tls, secure.host_header().as_str()), (443, true, "h"));
    assert_eq!(Target::parse("https://h:80").unwrap().0.host_header(), "h:80");
    for bad in ["h", "ftp://h", "http://", "http://u:p@h", "http://h:0", "http://h:99999", ""] {
        assert!(matches!(Target::parse(bad), Err(PlanError::Target(_))), "{bad}");
    }
}
