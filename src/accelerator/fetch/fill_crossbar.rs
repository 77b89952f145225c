//! The crossbar from the channels' assemblies to the columns of the rings.

use super::assembly::Assembly;
use super::fill_port::FillPort;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream};
use crate::{net, reg};

/// Whole vectors from the channels to the columns: a port for the even and one for the odd lines of each column.
///
/// A vector asks for the ports of all its columns. As all vectors under way have one head dimension, those ports decide
/// alike, and grant it together.
///
/// - Latency: [`FillPort::LATENCY`] cycles from a request to the fill.
/// - Interval: a vector per channel and cycle, and a chunk per port and cycle.
/// - Stalls: two chunks wait at each port; `fill<p>_ready_i` meets registers only.
#[derive(Clone, Debug)]
pub struct FillCrossbar {
    /// Memory channels.
    pub channels: usize,
    /// The assembly of each.
    pub assembly: Assembly,
}

impl FillCrossbar {
    /// One port.
    pub fn port(&self) -> FillPort {
        FillPort {
            channels: self.channels,
            chunk_bits: self.assembly.chunk_bits(),
            half_bits: self.assembly.half_bits(),
        }
    }

    /// Fields of channel k's requests, `request<k>`.
    pub fn request_fields(&self) -> Vec<Field> {
        self.assembly.request_fields()
    }

    /// Fields of port p's fills, `fill<p>`: column p / 2, even lines where p is even.
    pub fn fill_fields(&self) -> Vec<Field> {
        self.port().fill_fields()
    }
}

impl Block for FillCrossbar {
    fn name(&self) -> String {
        let assembly = &self.assembly;
        format!(
            "spatten_fill_crossbar_c{}_{}_w{}_h{}",
            self.channels,
            assembly.shape.name(),
            assembly.element_bits,
            assembly.half_bits()
        )
    }

    fn about(&self) -> About {
        let mut parameters = vec![("channels", self.channels.to_string())];
        parameters.extend(self.assembly.shape.parameters());
        parameters.extend([
            ("element_bits", self.assembly.element_bits.to_string()),
            ("half_bits", self.assembly.half_bits().to_string()),
        ]);
        About {
            purpose: "Crossbar: vectors go from the channels' assemblies to their columns of the rings, through a port for\n\
                      the even and one for the odd lines of each column. The turn moves on by a channel per cycle."
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let n = self.channels;
        let requests: Vec<Stream> = (0..n)
            .map(|k| m.stream_in(&format!("request{k}"), &self.request_fields()))
            .collect();
        let data: Vec<Sig> = (0..n)
            .map(|k| {
                let doc = "of the vector granted last: its chunk for column c at c modulo those of a vector";
                m.input(&format!("data{k}"), self.assembly.data_bits(), doc)
            })
            .collect();
        let moved = m.output("moved", n, "the vector granted to channel k leaves");
        let fills: Vec<_> = (0..self.assembly.ports())
            .map(|p| m.stream_out(&format!("fill{p}"), &self.fill_fields()))
            .collect();

        m.section("the turn");
        let behind = self.turn(m);

        m.section("a channel's next vector is granted when its last one moves or has moved");
        reg!(m, granted_q: n, reset = 0, "a vector of channel k is granted and has not moved");
        let moves = m.wire("moves", n, "");
        net!(m, takes = !granted_q | *moves);
        moved.drive(*moves);

        let places: Vec<Sig> = requests
            .iter()
            .map(|request| m.cat(&[request.field("class"), request.field("half")]))
            .collect();
        net!(m, places = m.pack(&places));
        let mut grants: Vec<Sig> = Vec::new();
        let mut leaving: Vec<Sig> = Vec::new();
        let port = self.port();
        for (p, fill) in fills.iter().enumerate() {
            m.section(&format!(
                "{} lines of column {}",
                ["even", "odd"][p % 2],
                p / 2
            ));
            let asks = requests
                .iter()
                .map(|request| request.valid & request.field("ports").bit(p));
            let u_port = m
                .instance(&format!("u_port{p}"), &port)
                .input("asks", m.pack(&asks.collect::<Vec<_>>()))
                .input("behind", behind)
                .input("takes", takes)
                .input("places", places);
            let within = p / 2 % self.assembly.shape.chunks_per_vector();
            for (k, data) in data.iter().enumerate() {
                let chunk = data.slice(within * port.chunk_bits, port.chunk_bits);
                u_port.input(&format!("chunk{k}"), chunk);
            }
            grants.push(u_port.output("grant"));
            leaving.push(u_port.output("moved"));
            fill.connect(u_port.stream("fill"));
        }

        m.section("what the ports did");
        let or = grants.into_iter().reduce(|a, b| a | b);
        net!(m, granted = or.expect("there are ports"));
        let or = leaving.into_iter().reduce(|a, b| a | b);
        moves.drive(or.expect("there are ports"));
        granted_q.next(granted | (granted_q & !*moves));
        for (k, request) in requests.iter().enumerate() {
            request.ready.drive(granted.bit(k));
        }
    }
}

impl FillCrossbar {
    /// The channels from the turn on: one less in every cycle, until it is all of them again.
    fn turn<'m>(&self, m: &'m Builder) -> Sig<'m> {
        let n = self.channels;
        if n == 1 {
            return m.lit(1, 1);
        }
        reg!(m, behind_q: n, reset = 0, "channel k comes from the turn on");
        m.unused("last_behind", behind_q.msb(), "shifted out");
        net!(
            m,
            following = m.cat(&[behind_q.slice(0, n - 1), m.lit(0, 1)])
        );
        let all = m.lit_big((num_bigint::BigUint::from(1u8) << n) - 1u8, n);
        behind_q.next(following.any().select(following, all));
        *behind_q
    }
}
