//! Fields that reach every place of a chip, and the ways from there to the outputs.

use num_complex::Complex64;

use super::{Chip, Fields, ROWS, complex, split, turn};

/// One entry a vector, or one an output; of both waveguides of an interferometer where there are two.
pub(in crate::coherent::twin) type Row = Vec<Complex64>;

/// Something at every place where a parameter acts.
#[derive(Clone, Debug, Default)]
pub(in crate::coherent::twin) struct Places {
    /// After each shifter.
    pub(in crate::coherent::twin) shifters: Vec<Row>,
    /// Between θ and the second splitter, where the first splitter's angle acts: for fields those that it moves into each waveguide.
    pub(in crate::coherent::twin) between: Vec<(Row, Row)>,
    /// After each interferometer.
    pub(in crate::coherent::twin) ends: Vec<(Row, Row)>,
    /// At each input.
    pub(in crate::coherent::twin) inputs: Vec<Row>,
}

/// Both sides of every place: `fields` there (`inputs` are left out), and `ways` from there to each output.
#[derive(Clone, Debug)]
pub(in crate::coherent::twin) struct Sides {
    pub(in crate::coherent::twin) fields: Places,
    pub(in crate::coherent::twin) ways: Places,
}

impl Chip<'_> {
    /// Both sides of every place, from the tape of a propagation of `width` vectors.
    pub(in crate::coherent::twin) fn sides(&self, tape: &[f64], width: usize) -> Sides {
        Sides { fields: self.fields_at(tape, width), ways: self.ways_from() }
    }

    fn fields_at(&self, tape: &[f64], width: usize) -> Places {
        let size = 2 * width;
        let row = |index: usize| complex(&tape[index * size..(index + 1) * size], 1.0);
        let mut places = Places::default();
        for index in 0..self.layout.elements.len() {
            let (c, s) = self.turns[2 * index];
            let theta = Complex64::new(c, s);
            let turned = |row: Row, by: Complex64| row.into_iter().map(|entry| entry * by).collect();
            let at = |k: usize| row(ROWS * index + k);
            places.shifters.extend([at(1), at(0)]);
            places.between.push((turned(at(2), theta), turned(at(1), theta.conj())));
            places.ends.push((at(3), at(4)));
        }
        let last = ROWS * self.layout.elements.len();
        places.shifters.extend((0..self.layout.modes()).map(|mode| row(last + mode)));
        places
    }

    fn ways_from(&self) -> Places {
        let modes = self.layout.modes();
        let elements = self.layout.elements.len();
        let mut back = Fields::identity(modes);
        let inverse = |(c, s): (f64, f64)| (c, -s);
        let mut places = Places {
            shifters: vec![Row::new(); self.layout.shifters()],
            between: vec![(Row::new(), Row::new()); elements],
            ends: vec![(Row::new(), Row::new()); elements],
            inputs: Vec::new(),
        };
        for mode in 0..modes {
            let shifter = 2 * elements + mode;
            places.shifters[shifter] = complex(back.row(mode), -1.0);
            turn(back.row_mut(mode), inverse(self.turns[shifter]));
        }
        for (index, (&element, part)) in self.layout.elements.iter().zip(self.parts).enumerate().rev() {
            let (a, b) = back.two(element);
            if element.lower == modes {
                b.fill(0.0);
            }
            places.ends[index] = (complex(a, -1.0), complex(b, -1.0));
            split(a, b, inverse(part.second), part.transmission);
            places.between[index] = (complex(a, -1.0), complex(b, -1.0));
            places.shifters[2 * index] = complex(a, -1.0);
            turn(a, inverse(self.turns[2 * index]));
            split(a, b, inverse(part.first), 1.0);
            places.shifters[2 * index + 1] = complex(a, -1.0);
            turn(a, inverse(self.turns[2 * index + 1]));
        }
        places.inputs = (0..modes).map(|mode| complex(back.row(mode), -1.0)).collect();
        places
    }
}
