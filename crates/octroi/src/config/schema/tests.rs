use super::*;
use crate::config::{Config, Fault, Problem, Surroundings, reference};
use proptest::prelude::*;
use std::path::Path;

/// The smallest config that is without problems.
const MINIMAL: &str = "lightning: { backend: loopback }\nservices: [{ name: a, path: /, upstream: \"http://a\", price: 1 sat }]\n";

fn problems(text: &str) -> Vec<Problem> {
    let surroundings = Surroundings { folder: Path::new(""), variable: &|_| None, files: false };
    Config::parse(text, &surroundings).err().unwrap_or_default()
}

/// A config in which the section at `path` is the text `{section}`.
fn with_section(path: &str, section: &str) -> String {
    let service = "name: a, path: /, upstream: \"http://a\", price: 1 sat";
    let services = format!("services: [{{ {service} }}]");
    let lightning = "lightning: { backend: loopback }";
    match path {
        "" => section.to_owned(),
        "listen[]" => format!("listen: [{section}]\n{lightning}\n{services}"),
        "listen[].tls" => {
            format!("listen: {{ address: \"127.0.0.1:0\", tls: {section} }}\n{lightning}\n{services}")
        }
        "lightning" => format!("lightning: {section}\n{services}"),
        path if path.starts_with("lightning.") => {
            let backend = &path["lightning.".len()..];
            format!("lightning: {{ backend: {backend}, {backend}: {section} }}\n{services}")
        }
        "limits.mint" => format!("limits: {{ mint: {section} }}\n{lightning}\n{services}"),
        "services[]" => format!("{lightning}\nservices: [{section}]"),
        "services[].cors" => format!("{lightning}\nservices: [{{ {service}, cors: {section} }}]"),
        "services[].routes[]" => format!("{lightning}\nservices: [{{ {service}, routes: [{section}] }}]"),
        "services[].routes[].cost" | "services[].routes[].packs[]" => {
            let key = if path.ends_with("cost") {
                format!("cost: {section}")
            } else {
                format!("packs: [{section}]")
            };
            format!("{lightning}\nservices: [{{ {service}, routes: [{{ path: /x, {key} }}] }}]")
        }
        path if path.starts_with("services[].meter") => {
            let meter = match path.strip_prefix("services[].meter.") {
                None => section.to_owned(),
                Some("cost") => format!("{{ unit: byte, pack: 9, cost: {section} }}"),
                Some("packs[]") => format!("{{ unit: byte, pack: 9, cost: 1, packs: [{section}] }}"),
                Some(key) => format!("{{ unit: byte, pack: 9, cost: 1, {key}: {section} }}"),
            };
            format!("{lightning}\nservices: [{{ {service}, meter: {meter} }}]")
        }
        "ledger.postgres" => format!("ledger: {{ postgres: {section} }}\n{lightning}\n{services}"),
        path => format!("{path}: {section}\n{lightning}\n{services}"),
    }
}

/// Every section of the schema with its path and properties.
fn sections(path: &str, schema: &Value, found: &mut Vec<(String, Vec<String>)>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        assert_eq!(schema["additionalProperties"], false, "{path}");
        found.push((path.to_owned(), properties.keys().cloned().collect()));
        for (key, property) in properties {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            sections(&below, property, found);
        }
    }
    if let Some(items) = schema.get("items") {
        sections(&format!("{path}[]"), items, found);
    }
    for choice in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        sections(path, choice, found);
    }
}

fn schema_sections() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    sections("", &schema(), &mut found);
    // A listener is one section whether it stands alone or in a list.
    found.retain(|(path, _)| path != "listen" && path != "listen.tls");
    found
}

#[test]
fn the_decoder_and_the_schema_know_the_same_keys_in_every_section() {
    let sections = schema_sections();
    let sellers = l402_backends::ALL.iter().filter(|backend| backend.invoicer.is_some());
    assert_eq!(sections.len(), 20 + sellers.count());
    for (path, properties) in sections {
        let found = problems(&with_section(&path, "{ zzzzzzzz: 1 }"));
        let known = found.iter().find_map(|problem| match &problem.fault {
            Fault::UnknownKey { known, .. } => Some(known.clone()),
            _ => None,
        });
        let mut known = known.unwrap_or_else(|| panic!("{path}: {found:?}"));
        known.sort_unstable();
        assert_eq!(known, properties, "{path}");
        for key in properties {
            let text = with_section(&path, &format!("{{ {key}: [[]] }}"));
            let unknown = problems(&text).into_iter().find(|p| matches!(p.fault, Fault::UnknownKey { .. }));
            assert!(unknown.is_none(), "{text}: {unknown:?}");
        }
    }
}

#[test]
fn every_example_is_read_and_every_default_is_valid() {
    assert!(problems(MINIMAL).is_empty(), "{:?}", problems(MINIMAL));
    let mut seen = 0;
    each_key("", ConfigFile::table(), &mut |path, key| {
        seen += 1;
        let text = with_section(path, &format!("{{ {}: {} }}", key.name, key.example));
        for problem in problems(&text) {
            let consequence = matches!(
                problem.fault,
                Fault::MissingKey { .. } | Fault::Service(_) | Fault::Combination(_) | Fault::File(_)
            );
            assert!(consequence, "{text}: {problem}");
        }
    });
    assert!(seen > 50, "{seen}");
}

fn each_key(path: &str, table: &'static Table, visit: &mut dyn FnMut(&str, &'static Key)) {
    for key in table.keys {
        visit(path, key);
        let below = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        each_section(&below, &key.shape(), visit);
    }
}

fn each_section(path: &str, shape: &Shape, visit: &mut dyn FnMut(&str, &'static Key)) {
    match shape {
        Shape::Section(table) if path != "listen" => each_key(path, table, visit),
        Shape::Scalar(_) | Shape::Pairs | Shape::Section(_) => {}
        Shape::List(item) => each_section(&format!("{path}[]"), item, visit),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| each_section(path, shape, visit)),
    }
}

/// The pattern of a text form, and whether a text is read.
type TextForm = (&'static str, fn(&str) -> bool);

fn text_forms() -> Vec<TextForm> {
    use crate::config::value::{
        Address, BodySize, CostHeader, FilePath, HeadSize, Location, Network, Origin, PackPrice,
        PassedHeader, Period, RewritePrefix, SchemaName, Seconds, SecretSource, UnitBytes, UnitWord,
        UpstreamUrl,
    };
    fn form<T: FromScalar>() -> TextForm {
        let Form::Text { pattern, .. } = T::FORM else { panic!("not a text form") };
        (pattern, |text| T::parse(text).is_ok())
    }
    vec![
        form::<Address>(),
        form::<BodySize>(),
        form::<CostHeader>(),
        form::<FilePath>(),
        form::<HeadSize>(),
        form::<Location>(),
        form::<Network>(),
        form::<Origin>(),
        form::<PackPrice>(),
        form::<PassedHeader>(),
        form::<Period>(),
        form::<RewritePrefix>(),
        form::<SchemaName>(),
        form::<Seconds>(),
        form::<SecretSource>(),
        form::<UnitBytes>(),
        form::<UnitWord>(),
        form::<UpstreamUrl>(),
        form::<Name>(),
        form::<l402_lightning::MilliSat>(),
        form::<l402_paywall::HostPattern>(),
        form::<l402_paywall::PathPattern>(),
        form::<l402_paywall::Rate>(),
        form::<l402_paywall::meter::JsonPath>(),
    ]
}

proptest! {
    /// An editor must not mark what the gateway accepts.
    #[test]
    fn the_schema_refuses_no_text_that_is_read(
        text in prop_oneof![
            "[0-9]{1,4} {0,2}(sat|msat|ms|s|m|h|d|B|KiB|MiB|/s|/min|/h|/day)",
            "https?://[a-zA-Z0-9.:\\[\\]/-]{0,16}",
            "[0-9a-f.:/\\[\\]]{1,20}",
            "[/~*.a-z0-9_-]{1,12}",
            "(file:|\\$\\{)[a-zA-Z_/]{0,8}\\}?",
            "[a-zA-Z-]{1,16}",
            "[lL]402-[cC]ost",
            "[a-z_.0-9]{1,12}",
            "[^\\n\\r]{0,12}",
        ]
    ) {
        for (pattern, reads) in text_forms() {
            if reads(&text) {
                let regex = regex::Regex::new(pattern).expect(pattern);
                prop_assert!(regex.is_match(&text), "{pattern} refuses {text:?}");
            }
        }
    }
}

/// Compares a committed file, or writes it anew where `OCTROI_WRITE_DOCS` is set.
fn committed(name: &str, expected: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let expected = expected(&found);
    if std::env::var_os("OCTROI_WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).expect("the file is writable");
    } else {
        assert!(
            found == expected,
            "docs/{name} is stale: run the octroi tests once with OCTROI_WRITE_DOCS=1"
        );
    }
}

#[test]
fn the_committed_schema_is_the_schema() {
    committed("config.schema.json", |_| format!("{:#}\n", schema()));
}

#[test]
fn the_committed_reference_is_the_reference() {
    const BEGIN: &str = "<!-- keys: written from the declarations in crates/octroi/src/config/file.rs -->\n";
    committed("configuration.md", |page| {
        let (before, _) = page.split_once(BEGIN).expect("the page has a place for the reference");
        format!("{before}{BEGIN}\n{}", reference())
    });
}
