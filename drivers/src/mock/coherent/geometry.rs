//! Where the elements of the simulated chip sit: light path and heater neighbours.

use std::collections::HashSet;

/// One interferometer of the light path, in propagation order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interferometer {
    /// Index of θ in the frame; φ is the next.
    pub(super) theta: usize,
    /// Upper waveguide.
    pub(super) upper: usize,
    /// An attenuator: only the upper waveguide is used, the other port is dark.
    pub(super) attenuator: bool,
}

/// Place of one heater on the chip: shifter column along the light path, and mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    column: usize,
    mode: usize,
}

/// The light path of `modes` modes: V mesh, attenuators, U mesh. Output phases follow at frame index `2N²`.
pub(super) fn light_path(modes: usize) -> Vec<Interferometer> {
    let mut path = Vec::with_capacity(modes * modes);
    let mut theta = 0;
    let mut push = |path: &mut Vec<Interferometer>, upper, attenuator| {
        path.push(Interferometer { theta, upper, attenuator });
        theta += 2;
    };
    for stage in 0..3 {
        if stage == 1 {
            (0..modes).for_each(|mode| push(&mut path, mode, true));
        } else {
            for column in 0..modes {
                (column % 2..modes - 1).step_by(2).for_each(|upper| push(&mut path, upper, false));
            }
        }
    }
    path
}

/// Ordered pairs `(victim, aggressor)` of heaters that warm each other: the next one up and down in the same
/// column of shifters, and those at most one mode away in the adjacent columns.
pub(super) fn neighbours(modes: usize) -> Vec<(usize, usize)> {
    let places = places(modes);
    let columns = 4 * modes + 3;
    let mut at_column = vec![Vec::new(); columns];
    for (index, place) in places.iter().enumerate() {
        at_column[place.column].push(index);
    }
    let mut pairs = Vec::new();
    for (column, heaters) in at_column.iter().enumerate() {
        for pair in heaters.windows(2) {
            pairs.push((pair[0], pair[1]));
            pairs.push((pair[1], pair[0]));
        }
        for &left in heaters {
            for &right in at_column.get(column + 1).into_iter().flatten() {
                if places[left].mode.abs_diff(places[right].mode) <= 1 {
                    pairs.push((left, right));
                    pairs.push((right, left));
                }
            }
        }
    }
    pairs
}

/// Ordered pairs `(victim, aggressor)` of heaters within two columns of shifters and two modes of each other that are
/// no [`neighbours`].
pub(super) fn second_neighbours(modes: usize) -> Vec<(usize, usize)> {
    let places = places(modes);
    let first: HashSet<(usize, usize)> = neighbours(modes).into_iter().collect();
    let near = |a: Place, b: Place| a.column.abs_diff(b.column) <= 2 && a.mode.abs_diff(b.mode) <= 2;
    let mut pairs = Vec::new();
    for (victim, &place) in places.iter().enumerate() {
        for (aggressor, &other) in places.iter().enumerate() {
            if victim != aggressor && near(place, other) && !first.contains(&(victim, aggressor)) {
                pairs.push((victim, aggressor));
            }
        }
    }
    pairs
}

/// Place of every heater, in frame order. Along the light, φ of an interferometer comes before its θ.
fn places(modes: usize) -> Vec<Place> {
    let per_mesh = modes * (modes - 1) / 2;
    let mut places = Vec::with_capacity(2 * modes * modes + modes);
    let mut mesh_columns = Vec::with_capacity(per_mesh);
    for column in 0..modes {
        mesh_columns.extend((column % 2..modes - 1).step_by(2).map(|_| column));
    }
    for (index, element) in light_path(modes).iter().enumerate() {
        let column = if element.attenuator {
            modes
        } else if index < per_mesh {
            mesh_columns[index]
        } else {
            modes + 1 + mesh_columns[index - per_mesh - modes]
        };
        places.push(Place { column: 2 * column + 1, mode: element.upper });
        places.push(Place { column: 2 * column, mode: element.upper });
    }
    places.extend((0..modes).map(|mode| Place { column: 4 * modes + 2, mode }));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_light_path_has_one_theta_and_phi_an_interferometer_and_fills_the_frame() {
        for modes in [2, 3, 4, 7, 8] {
            let path = light_path(modes);
            assert_eq!(path.len(), modes * modes);
            assert_eq!(path.last().map(|element| element.theta + 2), Some(2 * modes * modes));
            assert_eq!(places(modes).len(), 2 * modes * modes + modes);
        }
    }

    #[test]
    fn heaters_warm_each_other_mutually_and_never_themselves() {
        let pairs = neighbours(4);
        assert!(pairs.iter().all(|&(victim, aggressor)| victim != aggressor));
        assert!(pairs.iter().all(|&(victim, aggressor)| pairs.contains(&(aggressor, victim))));
    }
}
