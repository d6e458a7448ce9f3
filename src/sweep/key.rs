//! What decides a cell's result, as a table, and a short name for it.

use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::cell::Method;

/// Sections that no cell's result depends on.
pub(super) const SHOWN_ONLY: [&str; 3] = ["sweep", "figures", "deployment"];

/// Sections that the digitally trained base does not depend on.
const AFTER_THE_BASE: [&str; 8] = [
    "precision",
    "mapping",
    "processor",
    "calibration",
    "measurement",
    "error_model",
    "finetune",
    "evaluation",
];

/// The first 16 hexadecimal digits of the SHA-256 of `table`.
///
/// The order of keys does not count, nor whether a whole number is written as 1 or 1.0.
pub(super) fn key(table: &Table) -> String {
    let mut text = String::new();
    write_table(table, &mut text);
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn write_table(table: &Table, text: &mut String) {
    // The map is sorted unless some crate asks `toml` to keep the order of the file.
    let mut entries: Vec<(&String, &Value)> = table.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    text.push('{');
    for (key, value) in entries {
        text.push_str(&format!("{key:?}:"));
        write_value(value, text);
        text.push(',');
    }
    text.push('}');
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Table(table) => write_table(table, text),
        Value::Array(values) => {
            text.push('[');
            for value in values {
                write_value(value, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::String(string) => text.push_str(&format!("{string:?}")),
        Value::Integer(number) => text.push_str(&number.to_string()),
        Value::Float(number) => text.push_str(&number.to_string()),
        Value::Boolean(truth) => text.push_str(&truth.to_string()),
        Value::Datetime(time) => text.push_str(&time.to_string()),
    }
}

/// The part of a cell's configuration that decides its result: without adapters for methods that have none, and without
/// all of fine-tuning but the compute device for PTQ.
pub(super) fn deciding(config: &Table, method: Method) -> Table {
    let mut table = config.clone();
    for section in SHOWN_ONLY {
        table.remove(section);
    }
    if let Some(Value::Table(finetune)) = table.get_mut("finetune") {
        match method {
            Method::Ptq => finetune.retain(|key, _| key == "device"),
            Method::Qat => {
                finetune.remove("adapter");
            }
            Method::QatLora | Method::Alora => {}
        }
    }
    table
}

/// The part of a configuration that decides the digitally trained base.
pub(super) fn deciding_base(config: &Table) -> Table {
    let mut table = deciding(config, Method::Ptq);
    let device = table.get("finetune").and_then(|finetune| finetune.get("device")).cloned();
    for section in AFTER_THE_BASE {
        table.remove(section);
    }
    if let Some(device) = device {
        table.insert("device".to_owned(), device);
    }
    table
}

/// Lays `over` onto `table`: tables are merged key by key, any other value replaces what stood there.
pub(super) fn merge(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

/// What differs, one phrase a key, e.g. `finetune.epochs was 3, is 5`.
pub(super) fn changes(old: &Table, new: &Table) -> Vec<String> {
    let mut phrases = Vec::new();
    collect(old, new, "", &mut phrases);
    phrases
}

fn collect(old: &Table, new: &Table, path: &str, phrases: &mut Vec<String>) {
    let added = new.keys().filter(|key| !old.contains_key(*key));
    let mut keys: Vec<&String> = old.keys().chain(added).collect();
    keys.sort();
    for key in keys {
        let dotted = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (old.get(key), new.get(key)) {
            (Some(Value::Table(old)), Some(Value::Table(new))) => collect(old, new, &dotted, phrases),
            (old, new) if old == new => {}
            (old, new) => phrases.push(format!("{dotted} was {}, is {}", shown(old), shown(new))),
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_follows_values_and_not_how_they_are_written() {
        let written = table("a = 1\n[b]\nx = 0.5\ny = \"8\"");
        assert_eq!(key(&written), key(&table("b = { y = \"8\", x = 5e-1 }\na = 1.0")));
        for other in
            ["a = 2\nb = { x = 0.5, y = \"8\" }", "a = 1\nb = { x = 0.5, y = 8 }", "a = 1\n\"b.x\" = 0.5"]
        {
            assert_ne!(key(&written), key(&table(other)), "{other}");
        }
    }

    #[test]
    fn a_key_stays_what_it_was_in_earlier_versions() {
        // Another key would run every cell that anyone has kept again.
        assert_eq!(key(&table("a = 1\nb = [true, \"x\"]")), "a2ebc1d2ffff703e");
    }

    #[test]
    fn merging_goes_into_tables_and_replaces_the_rest() {
        let mut merged = table("a = { x = 1, y = [1, 2] }\nb = 3");
        merge(&mut merged, &table("a = { y = [9] }\nb = { z = 1 }\nc = true"));
        assert_eq!(merged, table("a = { x = 1, y = [9] }\nb = { z = 1 }\nc = true"));
    }

    #[test]
    fn changes_name_dotted_keys() {
        let old = table("a = { x = 1, y = [1] }\nb = 3");
        let new = table("a = { x = 2, y = [1] }\nc = \"new\"");
        assert_eq!(
            changes(&old, &new),
            ["a.x was 1, is 2", "b was 3, is absent", "c was absent, is \"new\""]
        );
    }

    #[test]
    fn the_base_depends_on_nothing_that_comes_after_it() {
        let config = "pretrain = { epochs = 3 }\nfinetune = { device = \"flex\", epochs = 5 }\nprecision = { weight_bits = 8 }";
        let base = table("pretrain = { epochs = 3 }\ndevice = \"flex\"");
        assert_eq!(deciding_base(&table(config)), base);
    }
}
