//! What a stream looks like from outside: its fields, and the ports that carry them.

use super::simulator::{fits_signed, mask};
use super::{Direction, PortId, Simulator};
use crate::hdl;

/// One field of a stream's payload: a number of lanes of one width, packed into one port.
///
/// `last` is a field like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name within the channel: port `<channel>_<name>_i` or `_o`.
    pub name: String,
    /// Values side by side.
    pub lanes: usize,
    /// Bits of a lane, 1 to 64 (unsigned ones up to 63).
    pub width: u32,
    /// Whether lanes are two's complement.
    pub signed: bool,
}

impl Field {
    /// One unsigned value.
    pub fn unsigned(name: &str, width: usize) -> Self {
        Self {
            name: name.into(),
            lanes: 1,
            width: width as u32,
            signed: false,
        }
    }

    /// One two's-complement value.
    pub fn signed(name: &str, width: usize) -> Self {
        Self {
            signed: true,
            ..Self::unsigned(name, width)
        }
    }

    /// The same, `lanes` times.
    pub fn lanes(self, lanes: usize) -> Self {
        Self { lanes, ..self }
    }

    fn holds(&self, value: i64) -> bool {
        if self.signed {
            fits_signed(value, self.width)
        } else {
            value >= 0 && value as u64 <= mask(self.width)
        }
    }
}

/// One unsigned value.
impl From<&hdl::Field> for Field {
    fn from(field: &hdl::Field) -> Self {
        Field::unsigned(&field.name, field.ty.width)
    }
}

/// The ports of one stream.
///
/// A word of the stream is a flat list: the lanes of the first field, then those of the second, and so on.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    pub(super) valid: PortId,
    pub(super) ready: PortId,
    payload: Vec<PortId>,
    /// Values in a word.
    pub(super) lanes: usize,
}

impl Channel {
    /// Finds the ports of the stream `name`: into the design for [`Direction::In`], out of it otherwise.
    ///
    /// # Panics
    /// When a port is missing, or its width is not the field's.
    #[track_caller]
    pub(super) fn new(
        simulator: &Simulator,
        name: &str,
        direction: Direction,
        fields: &[Field],
    ) -> Self {
        let (forward, backward) = match direction {
            Direction::In => ("i", "o"),
            Direction::Out => ("o", "i"),
        };
        let mut payload = Vec::new();
        for field in fields {
            let port_name = format!("{name}_{}_{forward}", field.name);
            let port = simulator.port(&port_name);
            let (bits, width) = (field.lanes * field.width as usize, simulator.width(port));
            assert!(
                bits == width as usize,
                "{port_name} has {width} bits; {field:?} needs {bits}"
            );
            assert!(
                field.width + u32::from(!field.signed) <= 64,
                "{field:?}: lanes must fit an i64"
            );
            payload.push(port);
        }
        Self {
            name: name.into(),
            lanes: fields.iter().map(|field| field.lanes).sum(),
            fields: fields.to_vec(),
            valid: simulator.port(&format!("{name}_valid_{forward}")),
            ready: simulator.port(&format!("{name}_ready_{backward}")),
            payload,
        }
    }

    /// Each field with its port and its place in a word.
    fn layout(&self) -> impl Iterator<Item = (&Field, PortId, std::ops::Range<usize>)> {
        let mut end = 0;
        self.fields
            .iter()
            .zip(&self.payload)
            .map(move |(field, &port)| {
                let start = end;
                end += field.lanes;
                (field, port, start..end)
            })
    }

    /// Drives the payload.
    pub(super) fn write(&self, simulator: &mut Simulator, word: &[i64]) {
        for (field, port, place) in self.layout() {
            simulator.set_lanes(port, field.width, &word[place]);
        }
    }

    /// Reads the payload into `word`.
    pub(super) fn read(&self, simulator: &Simulator, word: &mut [i64]) {
        for (field, port, place) in self.layout() {
            simulator.get_lanes(port, field.width, field.signed, &mut word[place]);
        }
    }

    /// The word that this cycle offers, if any.
    pub(super) fn offer(&self, simulator: &Simulator) -> Option<Vec<i64>> {
        (simulator.get(self.valid) == 1).then(|| {
            let mut word = vec![0; self.lanes];
            self.read(simulator, &mut word);
            word
        })
    }

    /// The field that value `index` of a word belongs to, and the lane within it.
    pub(super) fn locate(&self, index: usize) -> (&str, usize) {
        let (field, _, place) = self
            .layout()
            .find(|(_, _, place)| place.contains(&index))
            .expect("within a word");
        (&field.name, index - place.start)
    }

    /// Adds `word` to a flat list of words.
    ///
    /// # Panics
    /// When it has not one value per lane, or one does not fit its field.
    #[track_caller]
    pub(super) fn append(&self, word: &[i64], words: &mut Vec<i64>) {
        assert!(
            word.len() == self.lanes,
            "a word of stream `{}` has {} values, not {}",
            self.name,
            self.lanes,
            word.len()
        );
        for (field, _, place) in self.layout() {
            if let Some(value) = word[place].iter().find(|&&value| !field.holds(value)) {
                panic!("stream `{}`: {value} does not fit {field:?}", self.name);
            }
        }
        words.extend_from_slice(word);
    }
}
