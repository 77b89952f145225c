//! Golden model of the K and V line buffer: which lines each row reads.

use crate::accelerator::shape::ArrayShape;

/// A row, as the buffer's `row` channel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferRow {
    /// Level of the head dimension.
    pub level: usize,
    /// Live keys of the row: the first so many of the head.
    pub live: usize,
    /// Keys of the head, where the row is the head's last one and frees their lines.
    pub release: Option<usize>,
}

/// One line as it leaves the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadLine {
    /// Its place among all lines ever filled.
    pub index: usize,
    /// A flag per chunk: vector k of the line is a live key.
    pub live: Vec<bool>,
    /// Last line of the row.
    pub last: bool,
}

impl BufferRow {
    /// Lines that the row reads: one even of an empty row.
    pub fn lines(&self, shape: &ArrayShape) -> usize {
        let per_line = shape.vectors_per_line(self.level);
        self.live.div_ceil(per_line).max(1)
    }
}

/// The lines that `rows` read, row by row. Each row starts at its head's first line; a releasing row ends its head.
///
/// # Panics
/// When a row has more live keys than its head, as the head's last row tells their number.
pub fn read(shape: &ArrayShape, rows: &[BufferRow]) -> Vec<Vec<ReadLine>> {
    let mut base = 0;
    let mut most_live = 0;
    let read_row = |row: &BufferRow| {
        let lines = row.lines(shape);
        let per_line = shape.vectors_per_line(row.level);
        let read = (0..lines).map(|line| ReadLine {
            index: base + line,
            live: (0..shape.chunks())
                .map(|k| k < per_line && line * per_line + k < row.live)
                .collect(),
            last: line + 1 == lines,
        });
        let read = read.collect();
        most_live = row.live.max(most_live);
        if let Some(keys) = row.release {
            assert!(
                most_live <= keys,
                "a row has {most_live} live keys of a head of {keys}"
            );
            base += keys.div_ceil(per_line);
            most_live = 0;
        }
        read
    };
    rows.iter().map(read_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_from_their_heads_first_line() {
        let shape = ArrayShape {
            multipliers: 8,
            head_dims: vec![2, 4],
        };
        let row = |live, release| BufferRow {
            level: 1,
            live,
            release,
        };
        let read = read(&shape, &[row(3, None), row(0, Some(4)), row(2, Some(2))]);
        let indices: Vec<Vec<usize>> = read
            .iter()
            .map(|row| row.iter().map(|line| line.index).collect())
            .collect();
        assert_eq!(indices, [vec![0, 1], vec![0], vec![2]]);
        assert_eq!(read[0][1].live, [true, false, false, false]);
        assert_eq!(read[1][0].live, [false; 4]);
        assert!(read[0][1].last && !read[0][0].last);
    }
}
