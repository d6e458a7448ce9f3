//! Named tensors.

use std::collections::BTreeMap;

/// Values of a tensor, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameter {
    /// Shape, slowest index first.
    pub shape: Vec<usize>,
    /// Values; as many as the shape holds.
    pub values: Vec<f32>,
}

impl Parameter {
    /// `value` everywhere.
    #[must_use]
    pub fn filled(shape: Vec<usize>, value: f32) -> Self {
        let length = shape.iter().product();
        Self { shape, values: vec![value; length] }
    }
}

/// Tensors by name, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights(BTreeMap<String, Parameter>);

impl Weights {
    /// The tensor `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.get(name)
    }

    /// The tensor `name`, to be changed in place.
    #[must_use]
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Parameter> {
        self.0.get_mut(name)
    }

    /// Adds or replaces a tensor; gives back the one that was there.
    pub fn insert(&mut self, name: impl Into<String>, parameter: Parameter) -> Option<Parameter> {
        self.0.insert(name.into(), parameter)
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<Parameter> {
        self.0.remove(name)
    }

    /// Names and tensors, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.0.iter().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Number of tensors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no tensor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of values in all tensors.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.values().map(|parameter| parameter.values.len()).sum()
    }
}

impl FromIterator<(String, Parameter)> for Weights {
    fn from_iter<I: IntoIterator<Item = (String, Parameter)>>(tensors: I) -> Self {
        Self(tensors.into_iter().collect())
    }
}

impl IntoIterator for Weights {
    type Item = (String, Parameter);
    type IntoIter = std::collections::btree_map::IntoIter<String, Parameter>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
