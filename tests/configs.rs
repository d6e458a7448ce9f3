//! Every configuration that is shipped can be used, and the documentation of the keys is true.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use alora::{
    config::{Config, Override, load, load_station, load_table},
    model::Architecture,
    stage::plan_sweep,
    sweep::{SweepConfig, split},
};

fn tomls(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths
}

#[test]
fn every_shipped_configuration_is_accepted() {
    let paths = [tomls("configs"), tomls("tests/configs")].concat();
    assert!(paths.len() >= 4, "{paths:?}");
    for path in paths {
        let table = load_table(&path, &[]).unwrap();
        if table.contains_key("device") {
            load_station(&path, &[]).unwrap();
        } else if table.contains_key("sweep") {
            let (rest, sweep) = split(table, &path).unwrap();
            assert!(!plan_sweep(&rest, sweep, &path).unwrap().cells().is_empty(), "{}", path.display());
        } else {
            load(&path, &[]).unwrap();
        }
    }
}

#[test]
fn the_documented_stations_are_accepted() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stations.md")).unwrap();
    let blocks: Vec<_> = page.split("```toml\n").skip(1).collect();
    assert!(blocks.len() >= 2);
    for block in blocks {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("station.toml");
        fs::write(&path, block.split("```").next().unwrap()).unwrap();
        load_station(&path, &[]).unwrap();
    }
}

/// The blocks of TOML of the page that follow the heading `heading`, up to the next.
fn blocks(heading: &str) -> Vec<String> {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    section.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_documented_block_holds_every_key_with_its_default() {
    let block = &blocks("# Run configuration")[0];
    let documented: Config = toml::from_str(block).unwrap();
    assert_eq!(documented, Config::default(), "seed 0 in both");
    let keys: toml::Table = toml::from_str(block).unwrap();
    assert_eq!(keys, toml::Table::try_from(Config::default()).unwrap(), "every key is there");
}

#[test]
fn keys_without_a_default_stand_as_comments_that_can_be_uncommented() {
    let block = &blocks("# Run configuration")[0];
    let mut uncommented = 0;
    let lines: Vec<String> = block
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") => {
                uncommented += 1;
                key.to_owned()
            }
            _ => line.to_owned(),
        })
        .collect();
    let config: Config = toml::from_str(&lines.join("\n")).unwrap();
    let (model, data) = (&config.model, &config.data);
    assert!(model.weights.is_some() && model.position_embedding.is_some() && model.adapters.is_some());
    assert!(data.path.is_some() && data.format.is_some() && data.resample.is_some());
    assert!(data.mean.is_some() && data.std.is_some());
    // All but `model.architecture`, which has blocks of its own.
    assert!(config.processor.station.is_some() && config.processor.ports.len() == 1);
    assert_eq!(uncommented, 10);
}

#[test]
fn every_family_has_a_block_that_describes_a_network() {
    let blocks = blocks("Architectures");
    let mut families = Vec::new();
    for block in &blocks {
        let config: Config = toml::from_str(block).unwrap();
        let architecture = config.model.architecture.unwrap();
        architecture.check().unwrap();
        families.push(architecture.what());
        // What is written is the defaults' form, too: every key of the family is there.
        let written = toml::Table::try_from(&architecture).unwrap();
        let table: toml::Table = toml::from_str(block).unwrap();
        let asked = table["model"]["architecture"].as_table().unwrap();
        assert!(written.keys().eq(asked.keys()), "{written:?} {asked:?}");
    }
    families.sort_unstable();
    assert_eq!(
        families,
        ["a ResNet", "a convolutional network", "a multi-layer perceptron", "a vision transformer"]
    );
    let published: Config = toml::from_str(&blocks[3]).unwrap();
    assert!(matches!(published.model.architecture, Some(Architecture::Vit(_))));
}

#[test]
fn the_documented_sweep_holds_every_key_with_its_default() {
    let block = &blocks("Sweeps")[0];
    let (rest, sweep) = split(toml::from_str(block).unwrap(), Path::new("sweep.toml")).unwrap();
    assert!(rest.is_empty());
    let defaults =
        SweepConfig { models: sweep.models.clone(), tasks: sweep.tasks.clone(), ..SweepConfig::default() };
    assert_eq!(sweep, defaults);
    let table: toml::Table = toml::from_str(block).unwrap();
    let keys = table["sweep"].as_table().unwrap();
    assert!(keys.keys().eq(toml::Table::try_from(&defaults).unwrap().keys()), "every key is there");
}

fn set(text: &str) -> Override {
    text.parse().unwrap()
}

#[test]
fn keys_of_the_command_line_take_the_place_of_the_file_s() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/quick.toml");
    let overrides = [
        set("finetune.epochs = 7"),
        set("finetune.adapter.rank=2"),
        set("data.path=some/folder"),
        set("model.hidden=[5, 6]"),
        set("finetune.sampling={ frozen = { chip_seed = 4 } }"),
        set("mapping.scaling=row"),
        set("finetune.epochs=9"),
    ];
    let config = load(&path, &overrides).unwrap();
    assert_eq!((config.finetune.epochs, config.finetune.adapter.rank), (9, 2), "the last one counts");
    assert_eq!(config.data.path, Some("some/folder".into()));
    assert_eq!(config.model.hidden, [5, 6]);
    assert_eq!(config.finetune.sampling, alora::photonic::Sampling::Frozen { chip_seed: 4 });
    assert_eq!(config.mapping.scaling, alora::photonic::WeightScaling::Row);
    assert_eq!(config.seed, 3, "what is not named stays");
}
