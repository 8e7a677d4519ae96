//! How the program starts, refuses to start, and tells why.

use crate::{
    caller::{ask_once, get_once, paid},
    process::{Program, fails_to_start},
    stage::{config, everything, everything_free, offers, pay},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use testkit::{Reply as Script, Upstream};

/// Something is wrong with the machine around it.
const FAILED: i32 = 1;
/// Something is wrong with what it was given.
const MISCONFIGURED: i32 = 2;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn sound() -> Value {
    config(json!([everything("http://127.0.0.1:1")]))
}

/// It says what happened and what to do, and does not start.
fn refuses(folder: &TempDir, config: &Value, code: i32, words: &[&str]) {
    let (status, said) = fails_to_start(folder, config);
    assert_eq!(status, code, "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in\n{said}");
    }
    assert!(said.contains("error: ") && said.contains("hint: "), "{said}");
    assert!(!said.contains("octroi ready"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let folder = folder();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut config = sound();
        change(&mut config);
        config
    };
    let list = json!(["127.0.0.1:0", { "address": address }]);
    for (config, key) in [
        (with(&|config| config["listen"] = json!(address)), "`listen`"),
        (with(&|config| config["listen"] = list.clone()), "`listen[1].address`"),
        (with(&|config| config["ops"] = json!(address)), "`ops`"),
        (
            with(&|config| config["lightning"]["loopback"]["wallet"] = json!(address)),
            "`lightning.loopback.wallet`",
        ),
    ] {
        refuses(&folder, &config, FAILED, &[&address, key, "another program listens there"]);
    }
}

fn keys(folder: &TempDir) -> PathBuf {
    folder.path().join("data/keys")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// A folder in which the gateway has run before.
async fn used_folder() -> TempDir {
    let mut program = Program::start(folder(), &sound(), None).await;
    program.signal("TERM");
    assert!(program.ends().await.success());
    std::mem::replace(&mut program.folder, folder())
}

/// The whole file with a good checksum after a change of its text.
fn resealed(text: &str) -> String {
    let (body, _) = text.rsplit_once("checksum ").expect("a checksum");
    let digest = hex::encode(&Sha256::digest(body)[..8]);
    format!("{body}checksum {digest}\n")
}

#[tokio::test]
async fn the_first_start_makes_keys_that_only_their_owner_can_read_and_later_ones_keep_them() {
    let upstream = Upstream::start(Script::text("sunny"));
    let config = config(json!([everything(&upstream.url())]));
    let mut first = Program::start(folder(), &config, None).await;
    assert!(first.said().contains("new master keys made"));
    assert_eq!((mode(&keys(&first.folder)), mode(&first.folder.path().join("data"))), (0o600, 0o700));
    let made = fs::read(keys(&first.folder)).expect("keys");
    let refused = get_once(first.address().await, "/").await;
    let credential = pay(first.wallet().await, &offers(&refused.headers)[0]).await.credential();
    first.signal("TERM");
    assert!(first.ends().await.success());
    let kept = std::mem::replace(&mut first.folder, folder());
    let second = Program::start(kept, &config, None).await;
    assert!(!second.said().contains("new master keys made"));
    assert_eq!(fs::read(keys(&second.folder)).expect("keys"), made);
    assert_eq!(ask_once(second.address().await, paid("/", &credential)).await.text(), "sunny");
}

#[tokio::test]
async fn keys_that_are_gone_beside_data_are_never_replaced() {
    let folder = used_folder().await;
    let file = keys(&folder);
    fs::remove_file(&file).expect("removed");
    refuses(
        &folder,
        &sound(),
        MISCONFIGURED,
        &["data/keys is missing", "restore the key file from a backup"],
    );
    assert!(!file.exists());
}

#[tokio::test]
async fn keys_that_others_could_read_or_that_are_damaged_are_not_used() {
    let folder = used_folder().await;
    let file = keys(&folder);
    let good = fs::read_to_string(&file).expect("keys");
    for lax in [0o644, 0o640, 0o604, 0o660] {
        set_mode(&file, lax);
        refuses(&folder, &sound(), MISCONFIGURED, &[&format!("mode {lax:04o}"), "chmod 600", "data/keys"]);
    }
    set_mode(&file, 0o600);
    set_mode(&folder.path().join("data"), 0o755);
    let (code, said) = fails_to_start(&folder, &sound());
    assert_eq!(code, MISCONFIGURED);
    assert!(
        said.contains("octroi.yaml:1:") && said.contains("mode 0755") && said.contains("chmod 700"),
        "{said}"
    );
    set_mode(&folder.path().join("data"), 0o700);
    let backup = "restore the key file from a backup";
    for torn in [&good[..good.len() / 2], &good[..good.len() - 5], "", &good.replace("root ", "root 0")] {
        fs::write(&file, torn).expect("written");
        refuses(&folder, &sound(), MISCONFIGURED, &["incomplete or were changed", backup]);
        assert_eq!(fs::read_to_string(&file).expect("keys"), torn, "left as it is");
    }
    let (before, _) = good.rsplit_once("current ").expect("a current epoch");
    let unknown = resealed(&format!("{before}current 00000000\nchecksum x"));
    fs::write(&file, unknown).expect("written");
    refuses(&folder, &sound(), MISCONFIGURED, &["00000000 as the current epoch", backup]);
    fs::write(&file, resealed(&format!("{good}more\nchecksum x"))).expect("written");
    refuses(&folder, &sound(), MISCONFIGURED, &["is not understood", backup]);
    fs::write(&file, resealed(&good)).expect("written");
    Program::start(folder, &sound(), None).await;
}

#[test]
fn a_config_with_problems_lists_them_all() {
    let folder = folder();
    let mut config = sound();
    config["lisen"] = json!("127.0.0.1:0");
    config["services"][0]["price"] = json!(10);
    let (code, said) = fails_to_start(&folder, &config);
    assert_eq!(code, MISCONFIGURED);
    for words in ["octroi.yaml:1:", "did you mean \"listen\"?", "has no unit"] {
        assert!(said.contains(words), "no {words:?} in\n{said}");
    }
    assert!(!folder.path().join("data").exists(), "nothing is made before the config is sound");
}

/// The wallet lets anybody who reaches it pay for nothing, so money and strangers are kept away from it.
#[test]
fn the_loopback_node_stays_on_loopback() {
    let folder = folder();
    for (key, address) in [("listen", "0.0.0.0:0"), ("wallet", "0.0.0.0:0"), ("wallet", "192.0.2.1:8403")] {
        let mut config = sound();
        if key == "wallet" {
            config["lightning"]["loopback"]["wallet"] = json!(address);
        } else {
            config[key] = json!(address);
        }
        let (code, said) = fails_to_start(&folder, &config);
        assert_eq!(code, MISCONFIGURED, "{said}");
        assert!(said.contains("loopback"), "{said}");
    }
}

#[tokio::test]
async fn what_is_dangerous_is_said_loudly() {
    let mut service = everything_free("https://127.0.0.1:1");
    service["insecure_tls"] = json!(true);
    let program = Program::start(folder(), &config(json!([service])), None).await;
    let warned: Value =
        serde_json::from_str(&program.hears("insecure_tls is set").await).expect("a line of JSON");
    assert_eq!((&warned["level"], &warned["service"]), (&json!("WARN"), &json!("weather")));
    assert_eq!(warned["upstream"], "https://127.0.0.1:1");
    let warned: Value = serde_json::from_str(&program.hears("LOOPBACK NODE").await).expect("JSON");
    assert_eq!(warned["level"], "WARN");
}
