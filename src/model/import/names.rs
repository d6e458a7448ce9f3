//! Names of a ViT's tensors and modules.
//!
//! On disk they are those of transformers 4 (`vit.encoder.layer.0.attention.attention.query`), which are the canonical
//! ones here; transformers 5 renames them in memory (`vit.layers.0.attention.q_proj`), and adapters of peft bear the
//! names in memory.

/// Part of a block on disk, and in the memory of transformers 5.
const PARTS: [(&str, &str); 6] = [
    ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"),
    ("attention.attention.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
];

/// A name without the `module.` that `DataParallel` puts before it.
pub(super) fn bare(name: &str) -> &str {
    name.strip_prefix("module.").unwrap_or(name)
}

/// True for the name of a backbone's tensor, which lacks `vit.`.
pub(super) fn lacks_prefix(name: &str) -> bool {
    !["vit.", "classifier."].iter().any(|start| bare(name).starts_with(start))
}

/// The canonical name of a tensor or module of a ViT, from either layout, with or without `vit.`.
pub(in crate::model) fn canonical(name: &str) -> String {
    let name = bare(name);
    if name == "classifier" || name.starts_with("classifier.") {
        return name.to_owned();
    }
    let inner = name.strip_prefix("vit.").unwrap_or(name);
    match inner.strip_prefix("layers.").and_then(|block| block.split_once('.')) {
        Some((index, part)) => {
            format!("vit.encoder.layer.{index}.{}", renamed(part, |(disk, memory)| (memory, disk)))
        }
        None => format!("vit.{inner}"),
    }
}

/// The name that transformers 5 gives to the canonical `name` in memory.
pub(in crate::model) fn in_memory(name: &str) -> String {
    match name.strip_prefix("vit.encoder.layer.").and_then(|block| block.split_once('.')) {
        Some((index, part)) => format!("vit.layers.{index}.{}", renamed(part, |pair| pair)),
        None => name.to_owned(),
    }
}

fn renamed(
    part: &str,
    direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> String {
    for (from, to) in PARTS.into_iter().map(direction) {
        match part.strip_prefix(from) {
            Some(rest) if rest.is_empty() || rest.starts_with('.') => return format!("{to}{rest}"),
            _ => {}
        }
    }
    part.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::{Architecture, VitConfig};

    #[test]
    fn every_name_goes_to_memory_and_back() {
        for tensor in Architecture::Vit(VitConfig::base_patch16_224(10)).tensors() {
            assert_eq!(canonical(&in_memory(&tensor.name)), tensor.name);
            assert_eq!(canonical(&tensor.name), tensor.name);
            assert_eq!(canonical(&format!("module.{}", tensor.name)), tensor.name);
            if let Some(inner) = in_memory(&tensor.name).strip_prefix("vit.") {
                assert_eq!(canonical(inner), tensor.name);
            }
        }
    }

    #[test]
    fn names_in_memory_are_those_of_transformers_5() {
        assert_eq!(
            in_memory("vit.encoder.layer.11.attention.attention.value.bias"),
            "vit.layers.11.attention.v_proj.bias"
        );
        assert_eq!(in_memory("vit.encoder.layer.0.attention.output.dense"), "vit.layers.0.attention.o_proj");
        assert_eq!(in_memory("vit.encoder.layer.0.output.dense.weight"), "vit.layers.0.mlp.fc2.weight");
        assert_eq!(
            in_memory("vit.encoder.layer.0.layernorm_after.weight"),
            "vit.layers.0.layernorm_after.weight"
        );
        assert_eq!(in_memory("classifier"), "classifier");
    }
}
