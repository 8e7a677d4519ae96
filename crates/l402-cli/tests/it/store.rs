//! The store on disk, and the `tokens` commands.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use l402::Preimage;
use l402_lightning::loopback::{Fault, When};
use serde_json::Value;

use crate::shop::Shop;
use crate::world::World;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    if folder.is_dir() {
        for entry in fs::read_dir(folder).unwrap() {
            found.extend(files(&entry.unwrap().path()));
        }
    }
    found
}

fn token_file(world: &World) -> PathBuf {
    files(&world.data().join("tokens")).into_iter().find(|path| path.is_file()).unwrap()
}

#[test]
fn folders_and_files_are_private_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let world = World::new();
        let shop = Shop::plain(&world);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_l402")]);
        shell.args(["get", "-o", "f", "--wallet", &world.wallet, &shop.at("/paid")]);
        shell.env_clear().env("HOME", world.home()).current_dir(world.home());
        assert!(shell.status().unwrap().success());
        let all = files(&world.data());
        assert!(all.len() >= 8, "{all:?}");
        for path in all {
            let metadata = fs::symlink_metadata(&path).unwrap();
            let right = if metadata.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(metadata.mode() & 0o7777, right, "{}", path.display());
        }
    }
}

#[test]
fn lax_modes_stop_everything_before_paying() {
    for place in [".", "tokens", "locks"] {
        let world = World::new();
        let shop = Shop::plain(&world);
        world.get(&[&shop.at("/free")]).expect(0);
        fs::set_permissions(world.data().join(place), Permissions::from_mode(0o750)).unwrap();
        let report = world.get(&["--json", &shop.at("/paid")]).expect(1).report();
        assert_eq!(report["code"], "store");
        assert!(report["hint"].as_str().unwrap().contains("chmod"), "{report}");
        assert_eq!(world.payments(), 0);
    }
}

#[test]
fn a_token_file_that_is_lax_linked_or_torn_is_not_used_and_nothing_is_bought_instead() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 4] = [
        ("lax", |path| fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap()),
        ("link", |path| {
            let elsewhere = path.parent().unwrap().parent().unwrap().parent().unwrap().join("moved");
            fs::rename(path, &elsewhere).unwrap();
            symlink(&elsewhere, path).unwrap();
        }),
        ("torn", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("other version", |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        }),
    ];
    for (name, spoil) in spoils {
        let world = World::new();
        let shop = Shop::plain(&world);
        world.get(&[&shop.at("/paid")]).expect(0);
        spoil(&token_file(&world));
        let ending = world.get(&["--json", &shop.at("/paid")]);
        assert_eq!(ending.code, 1, "{name}: {}", ending.stderr);
        assert_eq!(world.payments(), 1, "{name}");
    }
}

#[test]
fn a_preimage_that_was_tampered_with_is_noticed() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.get(&[&shop.at("/paid")]).expect(0);
    let (path, right) = (token_file(&world), world.node.payments()[0].preimage.reveal_hex());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&right, &"ab".repeat(32))).unwrap();
    let report = world.get(&["--json", &shop.at("/paid")]).expect(1).report();
    assert!(report["error"].as_str().unwrap().contains("preimage"), "{report}");
}

#[test]
fn secrets_show_only_when_asked_for() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.get(&["--json", &shop.at("/paid")]).expect(0);
    let preimage = world.node.payments()[0].preimage.reveal_hex();
    let hash = world.node.payments()[0].payment_hash.to_string();
    let list = world.run(&["tokens", "list"]).expect(0);
    assert!(list.body().contains(&hash[..12]) && list.body().contains("accepted"), "{}", list.body());
    for arguments in [
        &["tokens", "list", "--json"][..],
        &["tokens", "show", &hash[..8]],
        &["tokens", "show", &hash, "--json"],
        &["get", "--json", "-i", &shop.at("/paid")],
    ] {
        let ending = world.run(arguments).expect(0);
        assert!(!ending.body().contains(&preimage) && !ending.stderr.contains(&preimage), "{arguments:?}");
    }
    let shown = world.run(&["tokens", "show", &hash, "--json", "--reveal"]).expect(0);
    let shown: Value = serde_json::from_str(shown.body()).unwrap();
    let credential = shown["authorization"].as_str().unwrap().to_owned();
    assert!(credential.starts_with("L402 ") && credential.ends_with(&preimage));
    // The very line can be sent.
    world.run(&["tokens", "remove", &hash]).expect(0);
    world.get(&["-H", &format!("Authorization: {credential}"), &shop.at("/paid")]).served("goods for /paid");
    assert_eq!(world.payments(), 1);
}

#[test]
fn tokens_are_named_by_the_beginning_of_their_hash() {
    let world = World::new();
    for wrong in ["", "abc", "abcdef", "zzzz"] {
        world.run(&["tokens", "show", wrong]).expect(1);
        world.run(&["tokens", "remove", wrong]).expect(1);
    }
    assert_eq!(world.run(&["tokens", "list"]).expect(0).body(), "");
    assert_eq!(world.run(&["tokens", "list", "--json"]).expect(0).body(), "[]\n");
}

#[test]
fn an_unresolved_purchase_is_not_removed_lightly() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.node.knobs().pay().set_times(1, Fault::Hang(When::Before));
    let hash = world.get(&["--json", &shop.at("/paid")]).expect(5).report()["payment_hash"].clone();
    let hash = hash.as_str().unwrap();
    assert!(world.run(&["tokens", "list"]).expect(0).body().contains("unresolved"));
    world.run(&["tokens", "remove", hash]).expect(3);
    world.run(&["tokens", "remove", hash, "--danger-forget-payment"]).expect(0);
    assert_eq!(world.run(&["tokens", "list"]).expect(0).body(), "");
}

/// A token file as lnget and aperture write it.
fn foreign_file(shop: &Shop, preimage: &Preimage, shown: [u8; 32]) -> Vec<u8> {
    let hash = preimage.payment_hash();
    let token = shop.till.token(hash, &["services=shop:0"]);
    let mut bytes = u32::try_from(token.as_bytes().len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(token.as_bytes());
    bytes.extend(hash.as_bytes());
    bytes.extend(shown);
    bytes.extend([0; 16]);
    bytes.extend(1_700_000_000_000_000_000_i64.to_be_bytes());
    bytes
}

#[test]
fn tokens_of_other_buyers_are_taken_over() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let preimage = Preimage::from_bytes([4; 32]);
    let file = world.home().join("l402.token");
    fs::write(&file, foreign_file(&shop, &preimage, [4; 32])).unwrap();
    let file = file.to_str().unwrap();
    world.run(&["tokens", "import", file]).expect(2);
    world.run(&["tokens", "import", file, "--origin", &shop.url]).expect(0);
    world.run(&["tokens", "import", file, "--origin", &shop.url]).expect(0);
    world.get(&[&shop.at("/paid")]).served("goods for /paid");
    assert_eq!(world.payments(), 0);
}

#[test]
fn a_folder_of_lnget_is_taken_over_as_far_as_it_goes() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let folder = world.home().join("lnget");
    let place = |host: &str, name: &str, bytes: Vec<u8>, domain: Option<&str>| {
        let below = folder.join(host);
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(name), bytes).unwrap();
        if let Some(domain) = domain {
            fs::write(below.join(".domain"), domain).unwrap();
        }
    };
    let token = |byte: u8, shown: u8| foreign_file(&shop, &Preimage::from_bytes([byte; 32]), [shown; 32]);
    place("a.example", "l402.token", token(1, 1), None);
    place("b.example_8443", "lsat.token", token(2, 2), Some("b.example:8443"));
    place("c.example", "l402.token.pending", token(3, 0), None);
    place("d.example", "l402.token", b"rubbish".to_vec(), None);
    let ending = world.run(&["tokens", "import", folder.to_str().unwrap()]).expect(1);
    assert_eq!(ending.body().matches("imported").count(), 2, "{}", ending.body());
    assert_eq!(ending.body().matches("skipped").count(), 2, "{}", ending.body());
    let list = world.run(&["tokens", "list"]).expect(0);
    assert!(list.body().contains("https://a.example:443") && list.body().contains("https://b.example:8443"));
}
