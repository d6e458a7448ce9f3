//! Where each interferometer sits, and which codes of a frame drive it.

/// One interferometer of a Clements mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Column along the light, `0 .. N`.
    pub column: usize,
    /// Upper of the two modes it couples, `(upper, upper + 1)`; `upper ≡ column (mod 2)`.
    pub upper: usize,
}

/// Frame layout of a processor with two meshes around a column of attenuators,
/// [`alora_drivers::ActuatorLayout::ClementsSvd`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    modes: usize,
    sites: Vec<Site>,
    /// `index[column][upper / 2]` is the position in `sites`.
    first_of_column: Vec<usize>,
}

impl Topology {
    /// Layout of `modes` modes.
    #[must_use]
    pub fn new(modes: usize) -> Self {
        let mut sites = Vec::with_capacity(modes * modes.saturating_sub(1) / 2);
        let mut first_of_column = Vec::with_capacity(modes);
        for column in 0..modes {
            first_of_column.push(sites.len());
            sites
                .extend((column % 2..modes.saturating_sub(1)).step_by(2).map(|upper| Site { column, upper }));
        }
        Self { modes, sites, first_of_column }
    }

    /// Number of modes, `N`.
    #[must_use]
    pub fn modes(&self) -> usize {
        self.modes
    }

    /// Sites of one mesh in frame order: column by column, upper first. `N (N − 1) / 2` of them.
    #[must_use]
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Position of `site` in [`Self::sites`].
    #[must_use]
    pub fn position(&self, site: Site) -> usize {
        self.first_of_column[site.column] + site.upper / 2
    }

    /// Number of shifters, `2 N² + N`.
    #[must_use]
    pub fn shifters(&self) -> usize {
        2 * self.modes * self.modes + self.modes
    }

    /// Frame index of θ of interferometer `position` of the V mesh; φ is the next index.
    #[must_use]
    pub fn v_theta(&self, position: usize) -> usize {
        2 * position
    }

    /// Frame index of θ of the attenuator of `mode`; φ is the next index.
    #[must_use]
    pub fn attenuator_theta(&self, mode: usize) -> usize {
        2 * (self.sites.len() + mode)
    }

    /// Frame index of θ of interferometer `position` of the U mesh; φ is the next index.
    #[must_use]
    pub fn u_theta(&self, position: usize) -> usize {
        2 * (self.sites.len() + self.modes + position)
    }

    /// Frame index of the phase of output `mode`.
    #[must_use]
    pub fn output_phase(&self, mode: usize) -> usize {
        2 * self.modes * self.modes + mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_fills_the_frame_without_gap() {
        for modes in [2, 3, 4, 7, 16] {
            let topology = Topology::new(modes);
            let mzis = topology.sites().len();
            assert_eq!(mzis, modes * (modes - 1) / 2);
            assert_eq!(topology.attenuator_theta(0), topology.v_theta(mzis - 1) + 2);
            assert_eq!(topology.u_theta(0), topology.attenuator_theta(modes - 1) + 2);
            assert_eq!(topology.output_phase(0), topology.u_theta(mzis - 1) + 2);
            assert_eq!(topology.output_phase(modes - 1) + 1, topology.shifters());
            for (position, &site) in topology.sites().iter().enumerate() {
                assert_eq!(topology.position(site), position);
                assert_eq!(site.upper % 2, site.column % 2);
            }
        }
    }
}
