//! How vectors of the supported head dimensions lie on the multipliers of one array.
//!
//! A line holds `multipliers / d` vectors side by side: lane i belongs to vector i / d, element i % d. The smallest
//! dimension cuts a line into chunks; larger vectors are whole numbers of neighbouring chunks. A head dimension is
//! chosen at run time by its level, log2(d / smallest).

use crate::hdl::{Builder, Field, Sig};
use crate::numerics::{log2_exact, value_bits};

/// One multiplier array and the head dimensions it serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArrayShape {
    /// Multipliers of the array; a multiple of the largest head dimension.
    pub multipliers: usize,
    /// Head dimensions, ascending powers of two.
    pub head_dims: Vec<usize>,
}

impl ArrayShape {
    /// Smallest head dimension: elements of a chunk.
    pub fn min_dim(&self) -> usize {
        self.head_dims[0]
    }

    /// Largest head dimension.
    pub fn max_dim(&self) -> usize {
        self.head_dims[self.head_dims.len() - 1]
    }

    /// Chunks of a line: the most vectors that a line can hold.
    pub fn chunks(&self) -> usize {
        self.multipliers / self.min_dim()
    }

    /// Chunks of a vector of the largest dimension.
    pub fn chunks_per_vector(&self) -> usize {
        self.max_dim() / self.min_dim()
    }

    /// Vectors of the largest dimension in a line.
    pub fn banks(&self) -> usize {
        self.multipliers / self.max_dim()
    }

    /// Levels of the supported dimensions, ascending from 0.
    pub fn levels(&self) -> Vec<usize> {
        let level = |d: &usize| log2_exact(d / self.min_dim());
        self.head_dims.iter().map(level).collect()
    }

    /// Largest level.
    pub fn max_level(&self) -> usize {
        log2_exact(self.chunks_per_vector())
    }

    /// Bits of a level field.
    pub fn level_bits(&self) -> usize {
        value_bits(self.max_level())
    }

    /// Level of a supported head dimension.
    pub fn level_of(&self, head_dim: usize) -> Option<usize> {
        self.head_dims
            .contains(&head_dim)
            .then(|| log2_exact(head_dim / self.min_dim()))
    }

    /// Vectors per line at a level: scores of one `query_key` group.
    pub fn vectors_per_line(&self, level: usize) -> usize {
        self.chunks() >> level
    }

    /// Stream field that carries the level.
    pub fn level_field(&self) -> Field {
        let doc = format!("head dimension: log2(d / {})", self.min_dim());
        Field::new("level", self.level_bits(), &doc)
    }

    /// Parameters that shape a module's text, for names and banners.
    pub fn name(&self) -> String {
        let dims: Vec<_> = self.head_dims.iter().map(usize::to_string).collect();
        format!("m{}_d{}", self.multipliers, dims.join("_"))
    }

    /// Banner rows.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let dims: Vec<_> = self.head_dims.iter().map(usize::to_string).collect();
        vec![
            ("multipliers", self.multipliers.to_string()),
            ("head_dims", dims.join(", ")),
        ]
    }

    /// A net that takes `value(level)` for the level chosen at run time.
    pub fn by_level<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        level: Sig<'m>,
        doc: &str,
        mut value: impl FnMut(usize) -> Sig<'m>,
    ) -> Sig<'m> {
        let levels = self.levels();
        let (&last, others) = levels.split_last().expect("at least one head dimension");
        let otherwise = value(last);
        if others.is_empty() {
            m.unused(&format!("{name}_level"), level, "one head dimension only");
            return m.net(name, otherwise, doc);
        }
        let values: Vec<_> = others.iter().map(|&l| (l as u64, value(l))).collect();
        if values.iter().all(|(_, value)| value.is_same_as(otherwise)) {
            return m.net(name, otherwise, doc);
        }
        if let [(only, value)] = values[..] {
            // Two head dimensions are told apart by one bit, which asks for the larger.
            let chosen = match level.width() {
                1 => level.select(otherwise, value),
                _ => level.is(only).select(value, otherwise),
            };
            return m.net(name, chosen, doc);
        }
        m.case(name, level, &values, otherwise, doc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_array_holds_16_8_or_4_keys_per_line() {
        let shape = ArrayShape {
            multipliers: 512,
            head_dims: vec![32, 64, 128],
        };
        assert_eq!(shape.levels(), [0, 1, 2]);
        let per_line: Vec<_> = shape
            .levels()
            .iter()
            .map(|&l| shape.vectors_per_line(l))
            .collect();
        assert_eq!(per_line, [16, 8, 4]);
        assert_eq!((shape.banks(), shape.chunks_per_vector()), (4, 4));
        assert_eq!(shape.level_of(48), None);
    }
}
