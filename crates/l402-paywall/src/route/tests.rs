use super::*;
use crate::spec::{HostPattern, PathPattern, ProblemKind, RouteSpec, SpecProblem};
use http::Method;
use l402::UnknownCaveats;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).expect("a pattern")
}

fn sats(sats: u64) -> Option<MilliSat> {
    MilliSat::from_sat(sats)
}

fn service(service: &str, hosts: &[&str], path: &str) -> ServiceSpec {
    ServiceSpec {
        name: name(service),
        hosts: hosts.iter().map(|host| HostPattern::parse(host).expect("a host")).collect(),
        path: pattern(path),
        access: AccessMode::Paid,
        price: sats(10),
        valid_for_secs: Some(3600),
        tier: 0,
        capabilities: Vec::new(),
        constraints: Vec::new(),
        legacy_lsat: true,
        unknown_caveats: UnknownCaveats::Skip,
        cors: None,
        allow_in_path: PathOddities::NONE,
        skip_invoice: false,
        meter: None,
        free_requests: None,
        routes: Vec::new(),
    }
}

fn route(path: &str, methods: &[Method]) -> RouteSpec {
    let methods = methods.to_vec();
    RouteSpec {
        path: pattern(path),
        methods,
        access: None,
        price: None,
        capability: None,
        skip_invoice: None,
        cost: None,
        packs: Vec::new(),
    }
}

fn table(services: Vec<ServiceSpec>) -> RouteTable {
    RouteTable::build(services, "lsat").expect("no problems")
}

fn problems(services: Vec<ServiceSpec>) -> Vec<SpecProblem> {
    RouteTable::build(services, "lsat").expect_err("problems")
}

fn find(table: &RouteTable, host: &str, method: &Method, path: &str) -> Option<(String, usize)> {
    let path = CanonicalPath::parse(path).expect("a path");
    let found = table.find(host, method, &path).expect("not ambiguous")?;
    Some((found.service().name().to_string(), found.rule_id()))
}

#[test]
fn the_most_specific_service_wins() {
    let table = table(vec![
        service("any", &[], "/"),
        service("wide", &["*.example.com"], "/"),
        service("deep", &["*.api.example.com"], "/"),
        service("host", &["api.example.com"], "/v1/"),
        service("long", &["api.example.com"], "/v1/users/"),
        service("one", &["api.example.com"], "/v1/users/me"),
        service("odd", &["api.example.com"], "~^/odd/[0-9]+$"),
        service("late", &["api.example.com"], "~^/odd/"),
    ]);
    let cases = [
        ("api.example.com", "/v1/users/me", "one"),
        ("api.example.com", "/v1/users/you", "long"),
        ("api.example.com", "/v1/other", "host"),
        ("api.example.com", "/odd/7", "odd"),
        ("api.example.com", "/odd/x", "late"),
        ("api.example.com", "/else", "wide"),
        ("x.example.com", "/v1/users/me", "wide"),
        ("a.b.api.example.com", "/", "deep"),
        ("example.com", "/", "any"),
        ("example.org", "/v1/users/me", "any"),
    ];
    for (host, path, expected) in cases {
        let found = find(&table, host, &Method::GET, path).map(|(service, _)| service);
        assert_eq!(found.as_deref(), Some(expected), "{host}{path}");
    }
}

#[test]
fn unmatched_is_no_route_and_prefixes_end_at_their_slash() {
    let table = table(vec![service("weather", &["api.example.com"], "/weather/")]);
    for (host, path) in [
        ("api.example.com", "/weather"),
        ("api.example.com", "/Weather/x"),
        ("api.example.com", "/weatherx/"),
        ("api.example.com", "/"),
        ("other.example.com", "/weather/x"),
    ] {
        assert_eq!(find(&table, host, &Method::GET, path), None, "{host}{path}");
    }
}

#[test]
fn routes_refine_by_path_and_method_and_get_covers_head() {
    let mut weather = service("weather", &[], "/weather/");
    weather.routes = vec![
        route("/weather/health", &[]),
        route("/weather/export", &[Method::POST]),
        route("/weather/archive/", &[Method::GET]),
        route("~^/weather/[0-9]{4}$", &[]),
    ];
    let table = table(vec![weather]);
    for (method, path, rule) in [
        (Method::GET, "/weather/health", 1),
        (Method::POST, "/weather/export", 2),
        (Method::GET, "/weather/export", 0),
        (Method::GET, "/weather/archive/2024", 3),
        (Method::HEAD, "/weather/archive/2024", 3),
        (Method::DELETE, "/weather/archive/2024", 0),
        (Method::GET, "/weather/2024", 4),
        (Method::GET, "/weather/20245", 0),
        (Method::GET, "/%77eather/health", 1),
    ] {
        assert_eq!(find(&table, "h", &method, path), Some(("weather".into(), rule)), "{method} {path}");
    }
}

#[test]
fn ambiguous_paths_need_the_service_to_allow_them_and_one_rule_in_every_reading() {
    let mut weather = service("weather", &[], "/weather/");
    weather.routes = vec![RouteSpec {
        price: sats(500),
        capability: Some(name("export")),
        ..route("/weather/export", &[])
    }];
    let strict = table(vec![weather.clone()]);
    weather.allow_in_path = PathOddities::DOUBLE_SLASH.union(PathOddities::ENCODED_SLASH);
    let lax = table(vec![weather]);
    let verdict = |table: &RouteTable, path: &str| {
        let path = CanonicalPath::parse(path).expect("a path");
        table.find("h", &Method::GET, &path).map(|found| found.map(|found| found.rule_id()))
    };
    assert!(verdict(&strict, "/weather//x").is_err());
    assert_eq!(verdict(&lax, "/weather//x"), Ok(Some(0)));
    assert_eq!(verdict(&lax, "/weather/a%2Fb"), Ok(Some(0)));
    // Upstreams that merge slashes or decode %2F would serve the dear route for the cheap price.
    assert!(verdict(&lax, "/weather//export").is_err());
    assert!(verdict(&lax, "//weather/export").is_err());
    assert!(verdict(&lax, "/weather%2Fexport").is_err());
    assert!(verdict(&lax, "/weather/x;y").is_err());
    assert!(verdict(&lax, "/nowhere//x").is_err());
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let twice = service("weather", &["a.example"], "/x/");
    let mut unpaid = service("weather_map", &["b.example"], "/");
    unpaid.price = None;
    unpaid.valid_for_secs = Some(0);
    unpaid.constraints = vec![(name("valid_until"), "1".into()), (name("note"), "a\nb".into())];
    let mut routed = service("maps", &["a.example"], "/maps/");
    routed.routes = vec![
        RouteSpec { price: sats(5), ..route("/maps/dear", &[]) },
        route("/elsewhere/", &[]),
        RouteSpec { capability: Some(name("export")), ..route("/maps/export", &[]) },
        route("/maps/twin", &[Method::GET, Method::POST]),
        route("/maps/twin", &[Method::POST]),
        RouteSpec { price: sats(0), capability: Some(name("zero")), ..route("/maps/zero", &[]) },
    ];
    let found = problems(vec![twice.clone(), twice, unpaid, routed]);
    let places: Vec<(usize, Option<usize>, &str)> =
        found.iter().map(|p| (p.service, p.route, p.field)).collect();
    let kinds: Vec<&ProblemKind> = found.iter().map(|problem| &problem.kind).collect();
    assert_eq!(
        places,
        [
            (1, None, "name"),
            (1, None, "path"),
            (2, None, "name"),
            (2, None, "name"),
            (2, None, "price"),
            (2, None, "valid_for"),
            (2, None, "constraints"),
            (2, None, "constraints"),
            (3, Some(0), "price"),
            (3, Some(1), "path"),
            (3, Some(2), "capability"),
            (3, Some(4), "path"),
            (3, Some(5), "price"),
        ],
        "{kinds:#?}"
    );
}

#[test]
fn tokens_that_would_not_fit_are_refused_when_the_table_is_built() {
    let mut large = service("large", &[], "/");
    large.constraints = (0..4).map(|i| (name(&format!("c{i}")), "x".repeat(100))).collect();
    let found = problems(vec![large]);
    assert!(matches!(found[..], [SpecProblem { kind: ProblemKind::TokenTooLarge { .. }, .. }]), "{found:?}");
}

#[test]
fn a_route_with_its_own_price_sells_what_it_asks_for() {
    let mut weather = service("weather", &[], "/weather/");
    weather.capabilities = vec![name("read")];
    weather.routes = vec![RouteSpec {
        price: sats(500),
        capability: Some(name("export")),
        ..route("/weather/export", &[])
    }];
    let table = table(vec![weather]);
    let rules = table.services()[0].rules();
    assert_eq!(rules[0].sells.capabilities, [name("read")]);
    assert_eq!(rules[1].sells.capabilities, [name("read"), name("export")]);
    assert_eq!(rules[1].price(), sats(500));
}

proptest! {
    /// However the path of a dear route is written, it leads to that route, is refused, or is another resource for
    /// every server: one that decodes, cuts parameters, merges slashes and reads backslashes sees no other spelling.
    #[test]
    fn no_spelling_of_a_dear_path_is_cheap(
        spelling in "/(weather|%77eather|weathe%72|Weather)(/|//|%2f|%2F|/\\./|/x/\\.\\./|\\\\|/%2e/|%5c|/;a/|;a/|%252f)(export|expor%74|%65xport|export%00|export;x|export/|EXPORT|export%2e|export%20)",
    ) {
        let mut weather = service("weather", &[], "/weather/");
        weather.routes = vec![RouteSpec {
            price: sats(500),
            capability: Some(name("export")),
            ..route("/weather/export", &[])
        }];
        weather.allow_in_path = PathOddities::names().filter_map(PathOddities::from_name).fold(PathOddities::NONE, PathOddities::union);
        let table = table(vec![weather]);
        let Ok(path) = CanonicalPath::parse(&spelling) else { return Ok(()) };
        let Ok(Some(found)) = table.find("h", &Method::GET, &path) else { return Ok(()) };
        prop_assert_eq!(found.rule_id() == 1, laxest_server(path.forward()) == "/weather/export", "{}", spelling);
    }
}

/// What the laxest upstream makes of the forwarded path, written without our own canonicaliser.
fn laxest_server(path: &str) -> String {
    let mut decoded = Vec::new();
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let escape =
            (bytes[at] == b'%').then(|| std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()).flatten();
        let byte = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    let decoded = String::from_utf8_lossy(&decoded).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let slash = if decoded.ends_with('/') { "/" } else { "" };
    format!("/{}{slash}", segments.join("/"))
}
