//! Streams: valid, ready and named payload fields, connected as wholes.
//!
//! A word is transferred at a clock edge where valid and ready are both high. Valid never waits for ready, and once
//! valid is high the payload holds until the transfer.

use super::block::Block;
use super::builder::Builder;
use super::handle::Wire;
use super::instance::Instance;
use super::module::Direction;
use super::sig::Sig;
use super::types::{Ty, mistake};

const VALID_DOC: &str = "a word is offered";
const READY_DOC: &str = "it is taken at the clock edge";

/// One payload field of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name within the channel: port `<channel>_<name>_i` or `_o`.
    pub name: String,
    /// Type of the field.
    pub ty: Ty,
    /// Format and shape.
    pub doc: String,
}

impl Field {
    /// A field; `doc` states format and shape.
    pub fn new(name: &str, ty: impl Into<Ty>, doc: &str) -> Self {
        Field {
            name: name.to_owned(),
            ty: ty.into(),
            doc: doc.to_owned(),
        }
    }
}

/// The receiving end of a stream; `ready` must be driven.
#[must_use = "a stream that nobody receives never moves"]
#[derive(Clone)]
pub struct Stream<'m> {
    /// A word is offered.
    pub valid: Sig<'m>,
    /// To be driven: the word is taken.
    pub ready: Wire<'m>,
    fields: Vec<(String, Sig<'m>)>,
}

/// The sending end of a stream of the module; `valid` and every field must be driven.
pub struct StreamOut<'m> {
    /// To be driven: a word is offered.
    pub valid: Wire<'m>,
    /// The word is taken.
    pub ready: Sig<'m>,
    fields: Vec<(String, Wire<'m>)>,
}

impl<'m> Stream<'m> {
    /// A stream made inside a module from its parts.
    pub fn new(valid: Sig<'m>, ready: Wire<'m>, fields: Vec<(String, Sig<'m>)>) -> Self {
        Stream {
            valid,
            ready,
            fields,
        }
    }

    /// Payload field of that name.
    #[track_caller]
    pub fn field(&self, name: &str) -> Sig<'m> {
        match self.fields.iter().find(|(n, _)| n == name) {
            Some((_, value)) => *value,
            None => {
                let names: Vec<_> = self.fields.iter().map(|f| &f.0).collect();
                mistake(format!("the stream has no field {name}, only {names:?}"))
            }
        }
    }

    /// The single field of streams that carry one word.
    #[track_caller]
    pub fn data(&self) -> Sig<'m> {
        self.field("data")
    }

    /// Every field in one word, the first in the high bits.
    pub fn packed(&self) -> Sig<'m> {
        let m = self.valid.m;
        let parts: Vec<_> = self.fields.iter().map(|f| f.1).collect();
        m.cat(&parts)
    }

    /// Bits of the packed payload.
    pub fn width(&self) -> usize {
        self.fields.iter().map(|f| f.1.width()).sum()
    }

    /// Every field with its name.
    pub fn fields(&self) -> Vec<(String, Sig<'m>)> {
        self.fields.clone()
    }

    /// Fields like this stream's, in a word that is packed as [`packed`](Self::packed).
    #[track_caller]
    pub fn unpacked(&self, word: Sig<'m>) -> Vec<(String, Sig<'m>)> {
        let mut lo = word.width();
        let field = |(name, value): &(String, Sig<'m>)| {
            lo -= value.width();
            let part = word.slice(lo, value.width());
            let part = match value.ty().signed {
                true => part.as_signed(),
                false => part,
            };
            (name.clone(), part)
        };
        self.fields.iter().map(field).collect()
    }

    /// The same handshake around other fields.
    pub fn with_fields(self, fields: Vec<(String, Sig<'m>)>) -> Self {
        Stream { fields, ..self }
    }
}

impl<'m> StreamOut<'m> {
    /// To be driven: the field of that name.
    #[track_caller]
    pub fn field(&self, name: &str) -> Wire<'m> {
        match self.fields.iter().find(|(n, _)| n == name) {
            Some((_, wire)) => *wire,
            None => mistake(format!("the stream has no field {name}")),
        }
    }

    /// Drives valid and every field.
    #[track_caller]
    pub fn drive(&self, valid: impl Into<Sig<'m>>, fields: &[(&str, Sig<'m>)]) {
        self.valid.drive(valid);
        if fields.len() != self.fields.len() {
            mistake(format!(
                "the stream has {} fields, driven are {}",
                self.fields.len(),
                fields.len()
            ));
        }
        for (name, value) in fields {
            self.field(name).drive(*value);
        }
    }

    /// Sends another stream's words on.
    #[track_caller]
    pub fn connect(&self, stream: Stream<'m>) {
        let fields: Vec<_> = stream
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        self.drive(stream.valid, &fields);
        stream.ready.drive(self.ready);
    }
}

impl Builder {
    /// Input channel: ports `<channel>_valid_i`, `<channel>_ready_o` and one per field.
    #[track_caller]
    pub fn stream_in(&self, channel: &str, fields: &[Field]) -> Stream<'_> {
        let valid = self.input(&format!("{channel}_valid"), 1, VALID_DOC);
        let ready = self.output(&format!("{channel}_ready"), 1, READY_DOC);
        let mut ports = Vec::new();
        for f in fields {
            let port = self.input(&format!("{channel}_{}", f.name), f.ty, &f.doc);
            ports.push((f.name.clone(), port));
        }
        Stream::new(valid, ready, ports)
    }

    /// Output channel: ports `<channel>_valid_o`, `<channel>_ready_i` and one per field.
    #[track_caller]
    pub fn stream_out(&self, channel: &str, fields: &[Field]) -> StreamOut<'_> {
        let valid = self.output(&format!("{channel}_valid"), 1, VALID_DOC);
        let ready = self.input(&format!("{channel}_ready"), 1, READY_DOC);
        let mut ports = Vec::new();
        for f in fields {
            let port = self.output(&format!("{channel}_{}", f.name), f.ty, &f.doc);
            ports.push((f.name.clone(), port));
        }
        StreamOut {
            valid,
            ready,
            fields: ports,
        }
    }

    /// Sends a stream through a child with channels `in` and `out` that carry one field `data`, such as a spill
    /// register or a FIFO as wide as the stream; the fields come out under their names.
    #[track_caller]
    pub fn through<'m>(&'m self, name: &str, block: &dyn Block, stream: Stream<'m>) -> Stream<'m> {
        let child = self.instance(name, block);
        child
            .input("in_valid", stream.valid)
            .input("in_data", stream.packed());
        stream.ready.drive(child.output("in_ready"));
        let word = child.output("out_data");
        let fields = stream.unpacked(word);
        let ready = self.wire(&format!("{}_out_ready", &name["u_".len()..]), 1, "");
        child.input("out_ready", ready);
        Stream::new(child.output("out_valid"), ready, fields)
    }
}

impl<'m> Instance<'m> {
    /// Connects a whole stream to the child's input channel; the field names must agree.
    #[track_caller]
    pub fn feed(self, channel: &str, stream: Stream<'m>) -> Self {
        self.input(&format!("{channel}_valid"), stream.valid);
        stream.ready.drive(self.output(&format!("{channel}_ready")));
        for (name, value) in &stream.fields {
            self.input(&format!("{channel}_{name}"), *value);
        }
        self
    }

    /// The child's output channel as a stream.
    #[track_caller]
    pub fn stream(self, channel: &str) -> Stream<'m> {
        let prefix = format!("{channel}_");
        if !self.has_port(&format!("{channel}_valid_o")) {
            mistake(format!("the child has no output channel {channel}"));
        }
        let valid = self.output(&format!("{channel}_valid"));
        let mut fields = Vec::new();
        for (port, direction) in self.ports_of(&prefix) {
            let Some(field) = port[prefix.len()..].strip_suffix("_o") else {
                continue;
            };
            // A longer channel name with the same beginning has its own handshake ports.
            let other_channel = self
                .channels()
                .into_iter()
                .any(|c| c.starts_with(&prefix) && port.starts_with(&format!("{c}_")));
            if direction == Direction::Out && field != "valid" && !other_channel {
                let value = self.output(&format!("{channel}_{field}"));
                fields.push((field.to_owned(), value));
            }
        }
        let name = valid.m.op(valid.id);
        let ready_name = match name {
            super::expr::Op::Signal(id) => {
                let valid_name = valid.m.signal_name(id);
                format!("{}_ready", valid_name.trim_end_matches("_valid"))
            }
            _ => unreachable!("an instance output is a named net"),
        };
        let ready = self.builder().wire(&ready_name, 1, "");
        self.input(&format!("{channel}_ready"), ready);
        Stream::new(valid, ready, fields)
    }

    /// Names of the child's channels, by their valid ports.
    fn channels(self) -> Vec<String> {
        self.ports_of("")
            .iter()
            .filter_map(|(port, _)| {
                port.strip_suffix("_valid_o")
                    .or_else(|| port.strip_suffix("_valid_i"))
                    .map(str::to_owned)
            })
            .collect()
    }
}
