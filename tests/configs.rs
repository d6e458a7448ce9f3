//! Every configuration that is shipped can be used, and the documentation of the keys is true.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

use alora::config::{Config, load};

fn tomls(folder: &str) -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths
}

#[test]
fn every_shipped_configuration_is_accepted() {
    let paths = [tomls("configs"), tomls("tests/configs")].concat();
    assert!(paths.len() >= 4, "{paths:?}");
    for path in paths {
        load(&path).unwrap();
    }
}

#[test]
fn the_documented_block_holds_every_key_with_its_default() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let block = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let documented: Config = toml::from_str(block).unwrap();
    assert_eq!(documented, Config::default(), "seed 0 in both");
    let keys: toml::Table = toml::from_str(block).unwrap();
    assert_eq!(keys, toml::Table::try_from(Config::default()).unwrap(), "every key is there");
}
