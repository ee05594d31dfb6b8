//! Probed values over two widths, in dense form.

/// Values by (row width, column width); absent where nobody probed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WidthMatrix {
    /// Ascending.
    pub(super) rows: Vec<usize>,
    /// Ascending.
    pub(super) columns: Vec<usize>,
    /// `rows × columns`.
    values: Vec<Option<f64>>,
}

impl WidthMatrix {
    /// From points (row width, column width, value).
    pub(super) fn new(points: &[(usize, usize, f64)]) -> Self {
        let axis = |of: fn(&(usize, usize, f64)) -> usize| {
            let mut widths: Vec<usize> = points.iter().map(of).collect();
            widths.sort_unstable();
            widths.dedup();
            widths
        };
        let (rows, columns) = (axis(|point| point.0), axis(|point| point.1));
        let mut values = vec![None; rows.len() * columns.len()];
        for &(row, column, value) in points {
            let (row, column) =
                (rows.partition_point(|&w| w < row), columns.partition_point(|&w| w < column));
            values[row * columns.len() + column] = Some(value);
        }
        Self { rows, columns, values }
    }

    /// The value at two positions on the axes.
    pub(super) fn at(&self, row: usize, column: usize) -> Option<f64> {
        self.values[row * self.columns.len() + column]
    }

    /// The value at two widths.
    pub(super) fn get(&self, row: usize, column: usize) -> Option<f64> {
        self.at(self.rows.binary_search(&row).ok()?, self.columns.binary_search(&column).ok()?)
    }
}
