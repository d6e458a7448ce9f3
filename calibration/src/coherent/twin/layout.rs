//! Where heaters and interferometers sit, as the frame's layout says.

use crate::mesh::{Site, Topology};

/// How near two heaters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::coherent) enum Ring {
    /// The next in the same column of shifters, or at most one mode away in an adjacent one.
    First,
    /// Within two columns and two modes.
    Second,
}

/// A pair of heaters of which one warms the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::coherent) struct Pair {
    pub(in crate::coherent) victim: usize,
    pub(in crate::coherent) aggressor: usize,
    pub(in crate::coherent) ring: Ring,
}

/// One interferometer of the light path; θ is shifter `2 · index`, φ the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::coherent) struct Element {
    pub(in crate::coherent) upper: usize,
    /// Lower waveguide; the dump (row `N` of [`super::Fields`]) for an attenuator.
    pub(in crate::coherent) lower: usize,
}

/// Geometry of a processor with two meshes around a column of attenuators.
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Layout {
    pub(in crate::coherent) topology: Topology,
    /// In propagation order: V mesh, attenuators, U mesh; `N²` of them.
    pub(in crate::coherent) elements: Vec<Element>,
    /// All pairs, victim by victim.
    pub(in crate::coherent) pairs: Vec<Pair>,
    /// `pairs[starts[k] .. starts[k + 1]]` have the victim `k`.
    pub(in crate::coherent) starts: Vec<usize>,
}

/// Column of shifters along the light, and mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    column: usize,
    mode: usize,
}

impl Layout {
    pub(in crate::coherent) fn new(modes: usize) -> Self {
        let topology = Topology::new(modes);
        let mesh =
            || topology.sites().iter().map(|site| Element { upper: site.upper, lower: site.upper + 1 });
        let attenuators = (0..modes).map(|upper| Element { upper, lower: modes });
        let elements: Vec<Element> = mesh().chain(attenuators).chain(mesh()).collect();
        let places = places(&topology);
        let dense = |column: usize| column / 2 == modes || column == 4 * modes + 2;
        let mut pairs = Vec::new();
        let mut starts = vec![0];
        for (victim, &place) in places.iter().enumerate() {
            for (aggressor, &other) in places.iter().enumerate() {
                if victim != aggressor
                    && let Some(ring) = ring(place, other, dense)
                {
                    pairs.push(Pair { victim, aggressor, ring });
                }
            }
            starts.push(pairs.len());
        }
        Self { topology, elements, pairs, starts }
    }

    pub(in crate::coherent) fn modes(&self) -> usize {
        self.topology.modes()
    }

    pub(in crate::coherent) fn shifters(&self) -> usize {
        self.topology.shifters()
    }

    /// Where `shifter` sits, for people.
    pub(in crate::coherent) fn name(&self, shifter: usize) -> String {
        let modes = self.modes();
        let angle = if shifter.is_multiple_of(2) { "θ" } else { "φ" };
        let sites = self.topology.sites();
        let place = match (shifter / 2).checked_sub(sites.len()) {
            None => in_mesh("V", sites[shifter / 2], angle),
            Some(index) if index < modes => format!("attenuator of mode {index}, {angle}"),
            Some(index) => match sites.get(index - modes) {
                Some(&site) => in_mesh("U", site, angle),
                None => format!("phase of output {}", shifter - 2 * modes * modes),
            },
        };
        format!("{place} (actuator {shifter})")
    }

    /// Pairs whose victim is `shifter`, with their position in [`Self::pairs`].
    pub(in crate::coherent) fn around(&self, shifter: usize) -> impl Iterator<Item = (usize, Pair)> + '_ {
        (self.starts[shifter]..self.starts[shifter + 1]).map(|index| (index, self.pairs[index]))
    }
}

fn in_mesh(mesh: &str, site: Site, angle: &str) -> String {
    format!("{mesh} mesh, column {}, modes {}–{}, {angle}", site.column, site.upper, site.upper + 1)
}

/// Heaters of one column are two modes apart in a mesh, one mode among attenuators and outputs (`dense`).
fn ring(a: Place, b: Place, dense: impl Fn(usize) -> bool) -> Option<Ring> {
    let next = if dense(a.column) { 1 } else { 2 };
    match (a.column.abs_diff(b.column), a.mode.abs_diff(b.mode)) {
        (1, 0 | 1) => Some(Ring::First),
        (0, modes) if modes == next => Some(Ring::First),
        (0..=2, 0..=2) => Some(Ring::Second),
        _ => None,
    }
}

/// Place of every heater, in frame order. Along the light, φ of an interferometer comes before its θ.
fn places(topology: &Topology) -> Vec<Place> {
    let modes = topology.modes();
    let mut places = Vec::with_capacity(topology.shifters());
    let mut add = |column: usize, mode: usize| {
        places.push(Place { column: 2 * column + 1, mode });
        places.push(Place { column: 2 * column, mode });
    };
    topology.sites().iter().for_each(|site| add(site.column, site.upper));
    (0..modes).for_each(|mode| add(modes, mode));
    topology.sites().iter().for_each(|site| add(modes + 1 + site.column, site.upper));
    places.extend((0..modes).map(|mode| Place { column: 4 * modes + 2, mode }));
    places
}
