//! Layers that resemble those of trained models: heads that differ in what they attend to, channels and tokens that
//! differ in size.
//!
//! A score is the sum of four parts, each a part of the key's vector met by one of the query's:
//!
//! * noise, which makes most of the spread of a head's scores;
//! * a match with one earlier key, which makes their heavy tail;
//! * the first key, which all queries of a head seek more or less;
//! * the neighbours: keys carry their position as angles of a few frequencies, and a query carries its own.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{SyntheticAttention, normal};
use crate::golden::layer::kv_head;

/// Half-angle tangents between neighbouring keys: periods of about 7, 21 and 79 keys.
const FREQUENCIES: [f64; 3] = [0.5, 0.15, 0.04];
/// Fewest elements of a vector per frequency, which takes two of them.
const ELEMENTS_PER_FREQUENCY: usize = 8;
/// Standard deviation of a typical K channel's mean; the product of two normal numbers makes some much larger.
const CHANNEL_MEAN: f64 = 0.7;

/// Q, K and V of one layer, each flat.
pub(super) fn layer(model: &SyntheticAttention, random: &mut ChaCha8Rng) -> [Vec<f64>; 3] {
    let [mut q, mut k, mut v] = [const { Vec::new() }; 3];
    let groups: Vec<Keys> = (0..model.kv_heads)
        .map(|_| Keys::draw(model, random))
        .collect();
    for head in 0..model.heads {
        let keys = &groups[kv_head(head, model.heads, model.kv_heads)];
        let traits = Traits::draw(model, random);
        for query in 0..model.queries {
            q.extend(traits.query(model.newest_key(query), keys, random));
        }
    }
    for keys in &groups {
        k.extend(keys.vectors.iter().flatten());
        v.extend(values(model, random));
    }
    [q, k, v]
}

/// The keys of one KV head and what they are made of.
struct Keys {
    /// What each key adds to the channels' means: what queries match.
    contents: Vec<Vec<f64>>,
    /// The direction in which the first key is large.
    sink: Vec<f64>,
    /// Cosine and sine of each key's position, per frequency.
    positions: Vec<Vec<[f64; 2]>>,
    /// The sums of all parts.
    vectors: Vec<Vec<f64>>,
}

impl Keys {
    fn draw(model: &SyntheticAttention, random: &mut ChaCha8Rng) -> Keys {
        let dim = model.head_dim;
        let mut channel = |f: fn(f64, f64) -> f64| -> Vec<f64> {
            (0..dim)
                .map(|_| f(normal(random), normal(random)))
                .collect()
        };
        let means = channel(|a, b| CHANNEL_MEAN * a * b);
        let sizes = channel(|a, _| 0.4 + 0.6 * a.abs());
        let sink = channel(|a, _| a);
        let contents: Vec<Vec<f64>> = (0..model.keys)
            .map(|_| sizes.iter().map(|size| size * normal(random)).collect())
            .collect();
        let positions = positions(
            model.keys,
            FREQUENCIES.len().min(dim / ELEMENTS_PER_FREQUENCY),
        );

        let amplitude = (dim as f64).sqrt().sqrt();
        let mut vectors = contents.clone();
        for (key, vector) in vectors.iter_mut().enumerate() {
            add(vector, 1.0, &means);
            add(vector, f64::from(u8::from(key == 0)), &sink);
            add(vector, amplitude, positions[key].as_flattened());
        }
        Keys {
            contents,
            sink,
            positions,
            vectors,
        }
    }
}

/// What a query head attends to: how much the parts of its scores count, in units of logits.
struct Traits {
    /// Standard deviation of the noise.
    noise: f64,
    /// Of the matches.
    matches: f64,
    /// Lead of the first key.
    first: f64,
    /// Lead of the key at `distance`.
    neighbours: f64,
    /// Keys back from the query's own to its favoured neighbour.
    distance: usize,
}

impl Traits {
    fn draw(model: &SyntheticAttention, random: &mut ChaCha8Rng) -> Traits {
        let mut uniform = || random.random_range(0.0..1.0_f64);
        // A first key of longer rows leads more keys, and as in trained models it keeps its share.
        let keys = f64::from(model.keys.ilog2()) * std::f64::consts::LN_2;
        let [noise, first, neighbours] = [uniform(), uniform(), uniform()];
        Traits {
            noise: 0.2 + 1.8 * noise * noise,
            matches: 4.0 * uniform(),
            first: (1.0 + keys) * first,
            neighbours: 4.0 * neighbours * neighbours,
            distance: random.random_range(0..3),
        }
    }

    /// A query that sees the keys up to `newest`.
    fn query(&self, newest: usize, keys: &Keys, random: &mut ChaCha8Rng) -> Vec<f64> {
        // Logits are divided by sqrt(d), and each part's vectors have about d units of squared length.
        let root = (keys.sink.len() as f64).sqrt();
        let mut query: Vec<f64> = keys
            .sink
            .iter()
            .map(|_| self.noise * normal(random))
            .collect();
        let matched = random.random_range(0..=newest);
        let strength = self.matches * normal(random).abs();
        add(&mut query, strength / root, &keys.contents[matched]);
        add(&mut query, self.first / root, &keys.sink);
        let neighbour = &keys.positions[newest.saturating_sub(self.distance)];
        let share = self.neighbours * root.sqrt() / neighbour.len().max(1) as f64;
        add(&mut query, share, neighbour.as_flattened());
        query
    }
}

/// V of one KV head, flat: tokens differ in size, and the first one is small, which is what makes models seek it.
fn values(model: &SyntheticAttention, random: &mut ChaCha8Rng) -> Vec<f64> {
    let mut values = Vec::with_capacity(model.keys * model.head_dim);
    for key in 0..model.keys {
        let size = match key {
            0 => random.random_range(0.05..1.0),
            _ => 0.5 + 0.6 * normal(random).abs(),
        };
        values.extend((0..model.head_dim).map(|_| size * normal(random)));
    }
    values
}

/// Cosine and sine of every key's position, by repeated rotation: no machine's own library of functions decides.
fn positions(keys: usize, frequencies: usize) -> Vec<Vec<[f64; 2]>> {
    let steps = FREQUENCIES[..frequencies].iter().map(|t| {
        let square = t * t;
        [(1.0 - square) / (1.0 + square), 2.0 * t / (1.0 + square)]
    });
    let steps: Vec<[f64; 2]> = steps.collect();
    let mut angles = vec![[1.0, 0.0]; frequencies];
    let mut positions = Vec::with_capacity(keys);
    for _ in 0..keys {
        positions.push(angles.clone());
        for ([x, y], [cosine, sine]) in angles.iter_mut().zip(&steps) {
            (*x, *y) = (*x * cosine - *y * sine, *x * sine + *y * cosine);
        }
    }
    positions
}

/// Adds a multiple of `part` to the first elements of `vector`.
fn add(vector: &mut [f64], factor: f64, part: &[f64]) {
    for (element, x) in vector.iter_mut().zip(part) {
        *element += factor * x;
    }
}
