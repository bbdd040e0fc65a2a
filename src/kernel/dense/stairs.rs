//! The blocks of a masked weight that hold connections.
//!
//! In a MADE, the units of two layers are sorted by their degrees. The connections of a block of columns then lie in
//! few rows, and the rest of its product is zero.

use std::ops::Range;

/// Rows or columns of a block. Blocks of twice the size use the registers of a product better and skip fewer zeros: a
/// training step of a MAF of 64 features then takes a tenth more time.
const BLOCK: usize = 32;

/// If the blocks skip less than this share of the weight, the weight is processed as one block.
const WORTH: f64 = 0.125;

/// A range of neighbours along one axis of a weight, and the range of the other axis that holds all of their
/// connections.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

/// For each row, the range from the first to the last open block of columns; empty if the row has no connection.
#[derive(Debug)]
pub(in crate::kernel) struct Stairs {
    rows: Vec<Range<usize>>,
    columns: usize,
}

impl Stairs {
    /// Builds the ranges from the mask of a weight `[rows, columns]`, in row-major order. The weight has at least one
    /// row and one column. Without a mask, everything is open.
    pub(super) fn new(mask: Option<&[u8]>, [rows, columns]: [usize; 2]) -> Self {
        let rows = match mask {
            None => vec![0..columns; rows],
            Some(mask) => mask.chunks_exact(columns).map(open).collect(),
        };
        Self { rows, columns }
    }

    /// Consecutive blocks of columns, each with the rows that are open in at least one of its columns.
    pub(super) fn by_columns(&self) -> Vec<Block> {
        let block = |columns: Range<usize>| {
            let meets = |row: &Range<usize>| row.start < columns.end && columns.start < row.end;
            let first = self.rows.iter().position(meets).unwrap_or(0);
            let last = self.rows.iter().rposition(meets).unwrap_or(first);
            Block { rows: first..last + 1, columns }
        };
        self.if_worth(blocks(self.columns).map(block).collect())
    }

    /// Consecutive blocks of rows, each with the columns that are open in at least one of its rows.
    pub(super) fn by_rows(&self) -> Vec<Block> {
        let block = |rows: Range<usize>| {
            let open = || self.rows[rows.clone()].iter().filter(|row| !row.is_empty());
            let first = open().map(|row| row.start).min().unwrap_or(0);
            let last = open().map(|row| row.end).max().unwrap_or(1);
            Block { rows, columns: first..last }
        };
        self.if_worth(blocks(self.rows.len()).map(block).collect())
    }

    fn if_worth(&self, blocks: Vec<Block>) -> Vec<Block> {
        let whole = Block { rows: 0..self.rows.len(), columns: 0..self.columns };
        let area = |block: &Block| (block.rows.len() * block.columns.len()) as f64;
        let left: f64 = blocks.iter().map(area).sum();
        if left > (1.0 - WORTH) * area(&whole) { vec![whole] } else { blocks }
    }
}

fn blocks(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(BLOCK).map(move |start| start..(start + BLOCK).min(count))
}

fn open(row: &[u8]) -> Range<usize> {
    let any = |block: &[u8]| block.iter().fold(0, |any, open| any | open) != 0;
    let (first, last) = (row.chunks(BLOCK).position(any), row.chunks(BLOCK).rposition(any));
    let end = |last: usize| ((last + 1) * BLOCK).min(row.len());
    first.zip(last).map_or(0..0, |(first, last)| first * BLOCK..end(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shape: [usize; 2], open: impl Fn(usize, usize) -> bool) -> Stairs {
        let at = |at: usize| u8::from(open(at / shape[1], at % shape[1]));
        let mask: Vec<u8> = (0..shape[0] * shape[1]).map(at).collect();
        Stairs::new(Some(&mask), shape)
    }

    #[test]
    fn blocks_follow_one_another_and_leave_nothing_open_out() {
        let open: [fn(usize, usize) -> bool; 5] = [
            |r, c| r <= c,
            |r, c| r + c >= 150,
            |r, c| r / 70 == c / 70,
            |r, _| r == 5,
            |_, _| false,
        ];
        for (at, open) in open.into_iter().enumerate() {
            let shape = [150, 200];
            let stairs = of(shape, open);
            for (blocks, axis) in [(stairs.by_columns(), 1), (stairs.by_rows(), 0)] {
                assert!(blocks.len() > 1, "{at}");
                let mut next = 0;
                for Block { rows, columns } in &blocks {
                    let along = [rows, columns][axis];
                    assert!(along.start == next && !rows.is_empty() && !columns.is_empty());
                    next = along.end;
                    let outside = |r, c| match axis {
                        1 => columns.contains(&c) && !rows.contains(&r),
                        _ => rows.contains(&r) && !columns.contains(&c),
                    };
                    let all = (0..shape[0]).flat_map(|r| (0..shape[1]).map(move |c| (r, c)));
                    assert!(all.into_iter().all(|(r, c)| !(outside(r, c) && open(r, c))), "{at}");
                }
                assert_eq!(next, shape[axis]);
            }
        }
    }

    #[test]
    fn a_triangle_saves_and_a_dense_weight_is_one_block() {
        let area = |blocks: &[Block]| -> usize {
            blocks.iter().map(|block| block.rows.len() * block.columns.len()).sum()
        };
        let triangle = of([256, 256], |r, c| r <= c);
        assert_eq!(area(&triangle.by_columns()), 256 * 256 * 9 / 16);
        assert_eq!(area(&triangle.by_rows()), 256 * 256 * 9 / 16);
        let whole = vec![Block { rows: 0..90, columns: 0..130 }];
        let scattered = of([90, 130], |r, c| (r * 7 + c * 3) % 5 == 0);
        for stairs in [scattered, Stairs::new(None, [90, 130])] {
            assert_eq!(stairs.by_columns(), whole);
            assert_eq!(stairs.by_rows(), whole);
        }
    }
}
